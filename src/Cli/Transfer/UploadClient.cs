using System.Net;
using System.Text.Json;
using SandLabX.Cli.Connection;
using SandLabX.Contract;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>The receiving end refused the bytes.</summary>
/// <param name="reason">One of <see cref="TerminationReasons"/>.</param>
/// <param name="message">What happened, and the way out.</param>
internal sealed class UploadRefusedException(string reason, string message) : Exception(message)
{
    /// <summary>One of <see cref="TerminationReasons"/>.</summary>
    internal string Reason => reason;
}

/// <summary>Sends a sealed piece to the runner's <see cref="ContractNames.SealedPort"/>, and gives the answer.</summary>
internal delegate Task<HttpResponseMessage> SealedWay(string path, HttpContent body, CancellationToken stop);

/// <summary>
/// Sends a file to a runner that waits for it (<see cref="ContractNames.UploadPath"/>), over connections that may break: it asks how much came, and goes on
/// from there. Where there is a faster way for the pieces that works, they go that way, sealed; what proves to be none is given up.
/// </summary>
/// <param name="client">Reaches the runner; the host in addresses is of no matter.</param>
/// <param name="fast">The faster way; null when there is none.</param>
/// <param name="clock">Measures waits.</param>
internal sealed class UploadClient(HttpClient client, SealedWay? fast, TimeProvider clock) : IDisposable
{
    // What a break costs at most is what was not yet synced of a piece.
    private const long MaxPiece = 256L * 1024 * 1024;

    private static readonly TimeSpan s_firstWait = TimeSpan.FromMilliseconds(100);
    private static readonly TimeSpan s_longestWait = TimeSpan.FromSeconds(5);

    // For one chunk. An API server that has no way to the pod says so only after half a minute.
    private static readonly TimeSpan s_trial = TimeSpan.FromSeconds(5);

    private SealedWay? _fast = fast;
    private bool _proven;

    /// <summary>For the runner in a pod: by port-forward, and by the API server's proxy as long as that works.</summary>
    internal static UploadClient To(Cluster cluster, ObjectKey pod, TimeProvider clock) => new(
        PortForward.HttpClient(cluster, pod, ContractNames.UploadPort),
        (path, body, stop) => PodProxy.PutAsync(cluster, pod, ContractNames.SealedPort, path, body, stop),
        clock);

    /// <inheritdoc/>
    public void Dispose() => client.Dispose();

    /// <summary>Sends it, and waits until it is judged.</summary>
    /// <param name="file">The file; only read.</param>
    /// <param name="sent">Told how many bytes are there.</param>
    /// <param name="isThere">Asked after each break: false when the receiving end is over, whatever became of it.</param>
    /// <param name="stop">Ends it early; what was received stays.</param>
    /// <returns>True when it was taken; false when the receiving end is over and did not say.</returns>
    /// <exception cref="UploadRefusedException">It was refused.</exception>
    internal async Task<bool> SendAsync(FileStream file, Action<long> sent, Func<CancellationToken, Task<bool>> isThere, CancellationToken stop)
    {
        TimeSpan wait = s_firstWait;
        while (true)
        {
            try
            {
                UploadReport report = await AskAsync(HttpMethod.Get, ContractNames.UploadPath, null, stop).ConfigureAwait(false);
                wait = s_firstWait;
                if (report.State == UploadStates.Receiving && report.Received < file.Length)
                {
                    sent(report.Received);
                    report = await PutAsync(file, report.Received, sent, stop).ConfigureAwait(false);
                    sent(report.Received);
                }
                else
                {
                    sent(report.Received);
                    report = await AskAsync(HttpMethod.Post, ContractNames.UploadFinishPath, null, stop).ConfigureAwait(false);
                }

                switch (report.State)
                {
                    case UploadStates.Done:
                        return true;
                    case UploadStates.Refused:
                        throw new UploadRefusedException(report.Reason ?? TerminationReasons.InternalError, report.Message ?? "it was refused without a word");
                }
            }
            catch (Exception e) when (e is HttpRequestException or IOException or JsonException or System.Net.WebSockets.WebSocketException or Shell.CliException)
            {
                if (!await isThere(stop).ConfigureAwait(false))
                {
                    return false;
                }

                await Task.Delay(wait, clock, stop).ConfigureAwait(false);
                wait = wait * 2 < s_longestWait ? wait * 2 : s_longestWait;
            }
        }
    }

    private async Task<UploadReport> PutAsync(FileStream file, long offset, Action<long> sent, CancellationToken stop)
    {
        if (await TicketAsync(stop).ConfigureAwait(false) is { } ticket)
        {
            if (await PutSealedAsync(ticket, file, offset, sent, stop).ConfigureAwait(false) is { } report)
            {
                return report;
            }

            // What came of it, if anything, is asked for before the same bytes go the other way.
            return await AskAsync(HttpMethod.Get, ContractNames.UploadPath, null, stop).ConfigureAwait(false);
        }

        using var body = new Piece(file, offset, Math.Min(MaxPiece, file.Length - offset), seal: null, sent);
        return await AskAsync(HttpMethod.Put, $"{ContractNames.UploadPath}?offset={offset}", body, stop).ConfigureAwait(false);
    }

    /// <summary>A ticket for a sealed piece; null when pieces go the slower way, as they do to a runner that knows of no tickets.</summary>
    private async Task<UploadTicket?> TicketAsync(CancellationToken stop)
    {
        if (_fast is null)
        {
            return null;
        }

        using HttpResponseMessage answer = await client.PostAsync(ContractNames.UploadTicketPath, null, stop).ConfigureAwait(false);
        if (answer.IsSuccessStatusCode)
        {
            return JsonSerializer.Deserialize(await answer.Content.ReadAsByteArrayAsync(stop).ConfigureAwait(false), ContractJson.Default.UploadTicket);
        }

        _fast = null;
        return null;
    }

    /// <summary>Sends a piece the faster way: at first one chunk, which shows whether it leads anywhere.</summary>
    /// <returns>The runner's answer; null when the way leads nowhere, and is given up.</returns>
    private async Task<UploadReport?> PutSealedAsync(UploadTicket ticket, FileStream file, long offset, Action<long> sent, CancellationToken stop)
    {
        using var limit = new CancellationTokenSource(_proven ? Timeout.InfiniteTimeSpan : s_trial, clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop);
        try
        {
            using var seal = new UploadSeal(ticket);
            using var body = new Piece(file, offset, Math.Min(_proven ? MaxPiece : UploadSeal.Chunk, file.Length - offset), seal, sent);
            using HttpResponseMessage answer = await _fast!($"{ContractNames.UploadPath}?offset={offset}&ticket={ticket.Id}", body, either.Token).ConfigureAwait(false);
            byte[] said = await answer.Content.ReadAsByteArrayAsync(either.Token).ConfigureAwait(false);
            if (answer.StatusCode is not (HttpStatusCode.OK or HttpStatusCode.Conflict or HttpStatusCode.UnprocessableEntity))
            {
                throw new HttpRequestException($"The API server's proxy answered {(int)answer.StatusCode}.");
            }

            UploadReport report = JsonSerializer.Deserialize(said, ContractJson.Default.UploadReport) ?? throw new JsonException("The answer is null.");
            _proven = true;

            // That all is well is believed on the other way alone.
            return report.State == UploadStates.Refused ? report : report with { State = UploadStates.Receiving };
        }
        catch (Exception e) when (!_proven && !stop.IsCancellationRequested && e is HttpRequestException or IOException or JsonException or OperationCanceledException)
        {
            _fast = null;
            return null;
        }
        catch (Exception)
        {
            _proven = false;
            throw;
        }
    }

    private async Task<UploadReport> AskAsync(HttpMethod method, string path, HttpContent? body, CancellationToken stop)
    {
        using var request = new HttpRequestMessage(method, path) { Content = body };
        using HttpResponseMessage answer = await client.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
        byte[] said = await answer.Content.ReadAsByteArrayAsync(stop).ConfigureAwait(false);
        return JsonSerializer.Deserialize(said, ContractJson.Default.UploadReport) ?? throw new JsonException("The answer is null.");
    }

    /// <summary>The next bytes of a file, as they are or sealed.</summary>
    private sealed class Piece(FileStream file, long offset, long length, UploadSeal? seal, Action<long> sent) : HttpContent
    {
        protected override bool TryComputeLength(out long bytes)
        {
            bytes = seal is null ? length : UploadSeal.SealedLength(length);
            return true;
        }

        protected override Task SerializeToStreamAsync(Stream stream, TransportContext? context) => SerializeToStreamAsync(stream, context, CancellationToken.None);

        protected override async Task SerializeToStreamAsync(Stream stream, TransportContext? context, CancellationToken cancellationToken)
        {
            byte[] plain = new byte[UploadSeal.Chunk];
            byte[] closed = new byte[seal is null ? 0 : UploadSeal.Chunk + UploadSeal.Overhead];
            for (long at = offset, end = offset + length; at < end;)
            {
                int count = await ReadAsync(plain.AsMemory(0, (int)Math.Min(plain.Length, end - at)), at, cancellationToken).ConfigureAwait(false);
                seal?.Seal(plain.AsSpan(0, count), closed.AsSpan(0, count + UploadSeal.Overhead));
                await stream.WriteAsync(seal is null ? plain.AsMemory(0, count) : closed.AsMemory(0, count + UploadSeal.Overhead), cancellationToken).ConfigureAwait(false);
                sent(at += count);
            }
        }

        private async Task<int> ReadAsync(Memory<byte> chunk, long at, CancellationToken stop)
        {
            for (int got = 0; got < chunk.Length;)
            {
                int count = await RandomAccess.ReadAsync(file.SafeFileHandle, chunk[got..], at + got, stop).ConfigureAwait(false);
                got += count > 0 ? count : throw new IOException($"{file.Name} became shorter while it was read.");
            }

            return chunk.Length;
        }
    }
}
