using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner.Import;

/// <summary>
/// Speaks to a registry (OCI distribution): manifests, and the right to read, by name and password or by a token. Credentials go to the registry
/// and to where it sends for tokens, and nowhere else: not to the servers that it redirects to, and in no message.
/// </summary>
internal sealed class Registry(OciSource source, OciReference reference) : IDisposable
{
    private const int MaxManifest = 4 * 1024 * 1024;
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(60);

    private readonly HttpClient _http = new(new SocketsHttpHandler { ConnectTimeout = TimeSpan.FromSeconds(15), UseCookies = false, MaxAutomaticRedirections = 5 })
    {
        Timeout = s_limit,
        MaxResponseContentBufferSize = MaxManifest,
    };

    private AuthenticationHeaderValue? _authorization;

    private string Root => $"{(source.PlainHttp ? "http" : "https")}://{reference.Host}/v2/{reference.Repository}";

    /// <summary>The address of a blob.</summary>
    internal Uri Blob(OciBlob blob) => new($"{Root}/blobs/sha256:{blob.Digest}");

    /// <summary>Reads the manifest, by way of an index where there is one.</summary>
    /// <returns>The blobs to look into, in this order.</returns>
    /// <exception cref="RunnerEndException">It can't be had, or can't be used.</exception>
    internal async Task<IReadOnlyList<OciBlob>> FindAsync(CancellationToken stop)
    {
        (string? manifest, IReadOnlyList<OciBlob> blobs) = OciManifest.Read(await ManifestAsync(reference.Version, reference.IsDigest, stop).ConfigureAwait(false), source.Path);
        if (manifest is not null)
        {
            (manifest, blobs) = OciManifest.Read(await ManifestAsync("sha256:" + manifest, isDigest: true, stop).ConfigureAwait(false), source.Path);
        }

        return manifest is null ? blobs : throw OciManifest.Unusable("its index names another index");
    }

    /// <summary>What a request must carry to be let in; null for nothing. Tokens are short-lived: each try has its own.</summary>
    internal async Task<AuthenticationHeaderValue?> AuthorizeAsync(CancellationToken stop)
    {
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Head, $"{Root}/manifests/{reference.Version}", stop).ConfigureAwait(false);
        return _authorization;
    }

    /// <inheritdoc/>
    public void Dispose() => _http.Dispose();

    private async Task<byte[]> ManifestAsync(string version, bool isDigest, CancellationToken stop)
    {
        using HttpResponseMessage answer = await AskAsync(HttpMethod.Get, $"{Root}/manifests/{version}", stop).ConfigureAwait(false);
        byte[] manifest;
        try
        {
            manifest = await answer.Content.ReadAsByteArrayAsync(stop).ConfigureAwait(false);
        }
        catch (HttpRequestException)
        {
            throw OciManifest.Unusable($"its manifest is longer than {MaxManifest} bytes, or broke off");
        }

        return !isDigest || "sha256:" + Convert.ToHexStringLower(SHA256.HashData(manifest)) == version
            ? manifest
            : throw Failed($"the registry gave another manifest than the one of digest {version}");
    }

    private async Task<HttpResponseMessage> AskAsync(HttpMethod method, string url, CancellationToken stop)
    {
        for (bool asked = false; ; asked = true)
        {
            HttpResponseMessage answer = await SendAsync(method, new Uri(url), _authorization, stop).ConfigureAwait(false);
            if (answer.IsSuccessStatusCode)
            {
                return answer;
            }

            using (answer)
            {
                if (answer.StatusCode != HttpStatusCode.Unauthorized || asked)
                {
                    throw Failed($"the registry answered {(int)answer.StatusCode} {answer.StatusCode}" + (answer.StatusCode is HttpStatusCode.Unauthorized or HttpStatusCode.Forbidden
                        ? $". Check the pull secret's user and password for {reference.Host}" : ""));
                }

                _authorization = await AnswerAsync(answer.Headers.WwwAuthenticate, stop).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Does what a registry asks of who wants to come in.</summary>
    private async Task<AuthenticationHeaderValue> AnswerAsync(HttpHeaderValueCollection<AuthenticationHeaderValue> challenges, CancellationToken stop)
    {
        AuthenticationHeaderValue? known = DockerAuth.Find(source.AuthPath, reference.Host) is { } user ? new("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes(user))) : null;
        if (challenges.FirstOrDefault(c => c.Scheme.Equals("Bearer", StringComparison.OrdinalIgnoreCase)) is { Parameter: { } parameter })
        {
            return await TokenAsync(BearerChallenge.Parse(parameter), known, stop).ConfigureAwait(false);
        }

        return known ?? throw Failed(source.AuthPath is null
            ? "the registry wants a name and a password. Name a Secret of type kubernetes.io/dockerconfigjson in spec.source.oci.pullSecret"
            : $"the registry wants a name and a password, and the pull secret has none for {reference.Host}");
    }

    private async Task<AuthenticationHeaderValue> TokenAsync(BearerChallenge challenge, AuthenticationHeaderValue? known, CancellationToken stop)
    {
        if (challenge.Address($"repository:{reference.Repository}:pull") is not { } address || (address.Scheme != Uri.UriSchemeHttps && !source.PlainHttp))
        {
            throw Failed("the registry sends for tokens to an address that is not https");
        }

        using HttpResponseMessage answer = await SendAsync(HttpMethod.Get, address, known, stop).ConfigureAwait(false);
        if (!answer.IsSuccessStatusCode)
        {
            throw Failed($"the token server {address.Host} answered {(int)answer.StatusCode} {answer.StatusCode}. Check the pull secret's user and password for {reference.Host}");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(await answer.Content.ReadAsByteArrayAsync(stop).ConfigureAwait(false));
            JsonElement root = document.RootElement;
            string? token = root.TryGetProperty("token", out JsonElement t) ? t.GetString() : root.GetProperty("access_token").GetString();
            return new AuthenticationHeaderValue("Bearer", token);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or HttpRequestException or FormatException)
        {
            throw Failed($"the token server {address.Host} gave no token");
        }
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, Uri url, AuthenticationHeaderValue? authorization, CancellationToken stop)
    {
        using var request = new HttpRequestMessage(method, url);
        request.Headers.Authorization = authorization;
        foreach (string type in OciManifest.Accepted)
        {
            request.Headers.Accept.ParseAdd(type);
        }

        request.Headers.Accept.ParseAdd("application/json");
        try
        {
            return await _http.SendAsync(request, stop).ConfigureAwait(false);
        }
        catch (HttpRequestException e)
        {
            throw Failed($"{url.Host}: {(e.InnerException ?? e).Message}");
        }
        catch (OperationCanceledException) when (!stop.IsCancellationRequested)
        {
            throw Failed($"{url.Host} said nothing for {s_limit.TotalSeconds:0} s");
        }
    }

    private RunnerEndException Failed(string why) => new(TerminationReasons.DownloadFailed, $"{source.Reference} can't be pulled: {why}.");
}

/// <summary>What a registry says of where tokens are had: <c>realm="https://…",service="…",scope="…"</c>.</summary>
internal sealed record BearerChallenge(string Realm, string? Service, string? Scope)
{
    internal static BearerChallenge Parse(string parameter)
    {
        var values = new Dictionary<string, string>(StringComparer.OrdinalIgnoreCase);
        for (int at = 0; at < parameter.Length;)
        {
            int equals = parameter.IndexOf('=', at);
            if (equals < 0)
            {
                break;
            }

            string key = parameter[at..equals].Trim(' ', ',');
            int begin = equals + 1;
            bool quoted = begin < parameter.Length && parameter[begin] == '"';
            begin += quoted ? 1 : 0;
            int end = parameter.IndexOf(quoted ? '"' : ',', Math.Min(begin, parameter.Length));
            end = end < 0 ? parameter.Length : end;
            values[key] = parameter[Math.Min(begin, end)..end];
            at = end + 1;
        }

        return new BearerChallenge(values.GetValueOrDefault("realm", ""), values.GetValueOrDefault("service"), values.GetValueOrDefault("scope"));
    }

    /// <summary>Where a token is asked for; null when the realm is no address.</summary>
    internal Uri? Address(string usualScope)
    {
        if (!Uri.TryCreate(Realm, UriKind.Absolute, out Uri? realm) || (realm.Scheme != Uri.UriSchemeHttp && realm.Scheme != Uri.UriSchemeHttps))
        {
            return null;
        }

        string query = $"{(realm.Query.Length > 1 ? realm.Query + "&" : "?")}scope={Uri.EscapeDataString(Scope ?? usualScope)}{(Service is null ? "" : $"&service={Uri.EscapeDataString(Service)}")}";
        return new Uri(realm.GetLeftPart(UriPartial.Path) + query);
    }
}

/// <summary>Credentials as docker, and with it Kubernetes, keeps them.</summary>
internal static class DockerAuth
{
    /// <summary><c>name:password</c> for a registry; null when there are none.</summary>
    /// <exception cref="RunnerEndException">The file is not there or is none.</exception>
    internal static string? Find(string? path, string host)
    {
        if (path is null)
        {
            return null;
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(File.ReadAllBytes(path));
            return Find(document.RootElement, host);
        }
        catch (Exception e) when (e is FileNotFoundException or DirectoryNotFoundException)
        {
            throw new RunnerEndException(TerminationReasons.PullSecretUnusable, "The pull secret that spec.source.oci.pullSecret names is not there, or has no key .dockerconfigjson. Create it in the LabImage's namespace: kubectl create secret docker-registry.");
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException or FormatException or KeyNotFoundException)
        {
            // Without the words of the error: they may quote the file.
            throw new RunnerEndException(TerminationReasons.PullSecretUnusable, "The pull secret's .dockerconfigjson can't be read. Make it anew: kubectl create secret docker-registry.");
        }
    }

    private static string? Find(JsonElement root, string host)
    {
        foreach (JsonProperty entry in root.GetProperty("auths").EnumerateObject())
        {
            string name = entry.Name.Contains("://", StringComparison.Ordinal) ? entry.Name.Split("://", 2)[1] : entry.Name;
            name = name.Split('/')[0];
            bool isDockers = host == "registry-1.docker.io" && name is ("docker.io" or "index.docker.io");
            if (name != host && !isDockers)
            {
                continue;
            }

            if (entry.Value.TryGetProperty("auth", out JsonElement auth) && auth.GetString() is { Length: > 0 } both)
            {
                return Encoding.UTF8.GetString(Convert.FromBase64String(both));
            }

            return entry.Value.TryGetProperty("username", out JsonElement user) && entry.Value.TryGetProperty("password", out JsonElement password)
                ? $"{user.GetString()}:{password.GetString()}"
                : null;
        }

        return null;
    }
}
