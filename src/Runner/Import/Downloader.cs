using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>Something to be fetched.</summary>
/// <param name="Url">Its address.</param>
/// <param name="Sha256">The digest that it should have: what was fetched for another one is of no use.</param>
internal sealed record Download(Uri Url, string Sha256)
{
    /// <summary>Gives what each request carries to be let in; null where the address says it, if anything is needed.</summary>
    internal Func<CancellationToken, Task<AuthenticationHeaderValue?>>? AuthorizeAsync { get; init; }

    /// <summary>True where the address itself names the bytes: the rest of them can be asked for without more.</summary>
    internal bool IsContentAddressed { get; init; }
}

/// <summary>Fetches a file over http(s) and hashes it on the way; takes up what an earlier try, or an earlier pod, left.</summary>
/// <param name="wanted">What is to be fetched.</param>
/// <param name="partial">The file that the bytes go to. Beside it, with <c>.from</c>, what it is the beginning of.</param>
/// <param name="progress">Told now and then: bytes received, bytes in all.</param>
/// <param name="clock">Measures waits.</param>
internal sealed class Downloader(Download wanted, string partial, Action<long, long?> progress, TimeProvider clock) : IDisposable
{
    private const int Chunk = 128 * 1024;

    // A server that sends nothing for so long is as good as gone.
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(60);

    private readonly Uri _url = wanted.Url;
    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        ConnectTimeout = TimeSpan.FromSeconds(15),
        MaxAutomaticRedirections = 10,
        UseCookies = false,
    })
    {
        Timeout = Timeout.InfiniteTimeSpan,
    };

    private string ValidatorPath => partial + ".from";

    /// <summary>Fetches all of it.</summary>
    /// <returns>The digest of the bytes, in lower-case hexadecimal digits; and whether an earlier pod's bytes are among them.</returns>
    /// <exception cref="RunnerEndException">It can't be had, or there is no room for it.</exception>
    internal async Task<(string Sha256, bool Resumed)> FetchAsync(CancellationToken stop)
    {
        bool resumed = Have() > 0;
        for (int failures = 0; ;)
        {
            long before = Have();
            string failure;
            try
            {
                return (await TryAsync(stop).ConfigureAwait(false), resumed);
            }
            catch (HttpRequestException e) when (e.StatusCode is { } status)
            {
                failure = $"the server answered {(int)status} {status}";
                if (!DownloadRules.MayHelp(status))
                {
                    throw Failed(failure);
                }
            }
            catch (HttpRequestException e)
            {
                failure = Reason(e);
            }
            catch (HttpIOException e)
            {
                failure = Reason(e);
            }
            catch (TimeoutException)
            {
                failure = $"the server sent nothing for {s_silence.TotalSeconds:0} s";
            }

            failures = Have() - before >= DownloadRules.Progress ? 1 : failures + 1;
            Log.Line("download.failed", ("url", DownloadRules.Shown(_url)), ("why", failure), ("failures", $"{failures}"));
            if (failures >= DownloadRules.MaxFailures)
            {
                throw Failed($"{failure}, {failures} times in a row");
            }

            await Task.Delay(DownloadRules.Wait(failures), clock, stop).ConfigureAwait(false);
        }
    }

    /// <summary>Forgets what was received.</summary>
    internal void Discard()
    {
        File.Delete(ValidatorPath);
        File.Delete(partial);
    }

    /// <summary>Forgets only how to go on: the file is whole.</summary>
    internal void Finish() => File.Delete(ValidatorPath);

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private async Task<string> TryAsync(CancellationToken stop)
    {
        string? validator = ReadValidator();
        long have = Have();
        using var request = new HttpRequestMessage(HttpMethod.Get, _url);
        request.Headers.Authorization = wanted.AuthorizeAsync is { } authorize ? await authorize(stop).ConfigureAwait(false)
            : _url.UserInfo.Length > 0 ? new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(Uri.UnescapeDataString(_url.UserInfo))))
            : null;

        if (validator is not null && have > 0)
        {
            request.Headers.Range = new RangeHeaderValue(have, null);
            if (!wanted.IsContentAddressed)
            {
                request.Headers.TryAddWithoutValidation("If-Range", validator);
            }
        }

        using HttpResponseMessage answer = await WithinAsync(
            silence => _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, silence), stop).ConfigureAwait(false);
        if (answer.StatusCode == HttpStatusCode.RequestedRangeNotSatisfiable)
        {
            if (answer.Content.Headers.ContentRange?.Length == have)
            {
                // All of it is there: an earlier pod was ended while it converted or verified it.
                await using var whole = new FileStream(partial, FileMode.Open, FileAccess.Read, FileShare.Read);
                return Convert.ToHexStringLower(await SHA256.HashDataAsync(whole, stop).ConfigureAwait(false));
            }

            // The bytes that are there are not the beginning of what is there now.
            Discard();
            throw new HttpRequestException("the file changed at the server");
        }

        answer.EnsureSuccessStatusCode();
        if (DownloadRules.WriteAt(have, answer.StatusCode, answer.Content.Headers.ContentRange?.From) is not { } start)
        {
            Discard();
            throw new HttpRequestException("the server sent a part that was not asked for");
        }

        if (start == 0)
        {
            KeepValidator(answer);
        }

        long? total = answer.Content.Headers.ContentLength is { } length ? start + length : null;
        return await ReceiveAsync(answer, start, total, stop).ConfigureAwait(false);
    }

    private async Task<string> ReceiveAsync(HttpResponseMessage answer, long start, long? total, CancellationToken stop)
    {
        await using Stream body = await answer.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        using var file = new FileStream(partial, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
        if (total - start > new DriveInfo(Path.GetDirectoryName(partial)!).AvailableFreeSpace + (file.Length - start))
        {
            throw NoRoom(start, total);
        }

        byte[] buffer = new byte[Chunk];
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        file.SetLength(start);
        for (long hashed = 0; hashed < start;)
        {
            int count = await file.ReadAsync(buffer, stop).ConfigureAwait(false);
            hash.AppendData(buffer, 0, count);
            hashed += count;
        }

        long received = start;
        var told = new PacedProgress(progress, clock);
        told.Now(received, total);
        while (true)
        {
            int count = await WithinAsync(silence => body.ReadAsync(buffer, silence).AsTask(), stop).ConfigureAwait(false);
            if (count == 0)
            {
                break;
            }

            hash.AppendData(buffer, 0, count);
            try
            {
                file.Write(buffer, 0, count);
            }
            catch (IOException e) when (Files.IsNoSpace(e))
            {
                throw NoRoom(received, total);
            }

            received += count;
            told.Passes(received, total);
        }

        told.Now(received, total);
        return Convert.ToHexStringLower(hash.GetHashAndReset());
    }

    private static async Task<T> WithinAsync<T>(Func<CancellationToken, Task<T>> work, CancellationToken stop)
    {
        using var silence = CancellationTokenSource.CreateLinkedTokenSource(stop);
        silence.CancelAfter(s_silence);
        try
        {
            return await work(silence.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw new TimeoutException();
        }
        catch (IOException e) when (e is not HttpIOException)
        {
            // A connection that was reset comes as a plain I/O error.
            throw new HttpRequestException(Reason(e), e);
        }
    }

    private long Have() => ReadValidator() is not null && File.Exists(partial) ? new FileInfo(partial).Length : 0;

    private string? ReadValidator()
    {
        // Bytes that were fetched for another digest are of no use.
        string[] lines = File.Exists(ValidatorPath) ? File.ReadAllLines(ValidatorPath) : [];
        return lines.Length == 2 && lines[0] == wanted.Sha256 && lines[1].Length > 0 ? lines[1] : null;
    }

    private void KeepValidator(HttpResponseMessage answer)
    {
        EntityTagHeaderValue? tag = answer.Headers.ETag;
        string? validator = wanted.IsContentAddressed ? "content" : DownloadRules.Validator(tag?.Tag, tag?.IsWeak ?? false, answer.Content.Headers.LastModified);
        File.Delete(ValidatorPath);
        if (validator is not null)
        {
            // Empty first: no crash between the two lets old bytes pass for the beginning of new ones.
            File.WriteAllBytes(partial, []);
            File.WriteAllLines(ValidatorPath, [wanted.Sha256, validator]);
        }
    }

    private static string Reason(Exception error)
    {
        Exception inner = error;
        while (inner.InnerException is { } deeper)
        {
            inner = deeper;
        }

        return inner is SocketException or System.Security.Authentication.AuthenticationException or not HttpIOException ? inner.Message : "the connection broke off";
    }

    private RunnerEndException Failed(string why) => new(
        TerminationReasons.DownloadFailed, $"{DownloadRules.Shown(_url)} can't be downloaded: {why}. Check the address, and that the cluster's nodes reach it.");

    private static RunnerEndException NoRoom(long received, long? total) => new(
        TerminationReasons.NoSpace,
        $"The claim has no room for the image: {received} of {total?.ToString(null, null) ?? "an unknown number of"} bytes were received. Make the image's claim larger.");
}
