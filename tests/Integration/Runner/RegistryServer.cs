using System.Net;
using System.Net.Http.Headers;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using System.Text.Json;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;
using SandLabX.Integration.Cluster;

namespace SandLabX.Integration.Runner;

/// <summary>How a registry lets people in.</summary>
internal enum RegistryDoor
{
    Open,
    Password,
    Token,
}

/// <summary>A real registry, Debian's docker-registry, on loopback; with a token server of its own where it wants tokens.</summary>
internal sealed class RegistryServer : IAsyncDisposable
{
    public const string User = "puller";
    public const string Password = "s3cret-word";
    // Of the password, by bcrypt, as htpasswd -B makes it.
    private const string Hashed = "$2b$04$Rx.CMhFA/ClCctnNFR6.6eGBrMQELnp/t/sM5gJJyageEjSdos2ci";
    private const string Service = "test-registry";
    private const string Issuer = "test-issuer";

    private readonly HttpClient _http = new();
    private readonly RSA _key = RSA.Create(2048);
    private readonly string _folder;
    private ChildProcess _registry = null!;
    private WebApplication? _tokens;
    private X509Certificate2? _certificate;

    private RegistryServer(string folder) => _folder = folder;

    /// <summary>Host and port.</summary>
    public string Host { get; private set; } = "";

    /// <summary>What was asked of the token server: its query, and whether a name and password came along.</summary>
    public List<string> TokenRequests { get; } = [];

    public static async Task<RegistryServer> StartAsync(string folder, RegistryDoor door)
    {
        Assert.SkipUnless(Machine.IsOnPath("docker-registry"), "docker-registry is not on PATH; Debian has it in the package of that name.");
        var server = new RegistryServer(folder);
        string auth = door switch
        {
            RegistryDoor.Password => $"auth: {{htpasswd: {{realm: r, path: {Path.Combine(folder, "htpasswd")}}}}}",
            RegistryDoor.Token => $"auth: {{token: {{realm: {await server.StartTokensAsync()}, service: {Service}, issuer: {Issuer}, rootcertbundle: {Path.Combine(folder, "roots.pem")}}}}}",
            _ => "",
        };
        await File.WriteAllTextAsync(Path.Combine(folder, "htpasswd"), $"{User}:{Hashed}\n");
        int port = FreePort();
        server.Host = $"127.0.0.1:{port}";
        string config = Path.Combine(folder, "registry.yml");
        await File.WriteAllTextAsync(config, $"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {Path.Combine(folder, "registry")}}}}}\nhttp: {{addr: '{server.Host}'}}\n{auth}\n");
        server._registry = new ChildProcess(Path.Combine(folder, "registry.log"), "docker-registry", ["serve", config]);
        await Eventually.BeTrueAsync(server.AnswersAsync, "the registry answers");
        return server;
    }

    /// <summary>Pushes a blob.</summary>
    /// <returns>Its descriptor.</returns>
    public async Task<string> PushBlobAsync(string repository, byte[] bytes, string mediaType, string? title = null)
    {
        using HttpResponseMessage begun = await SendAsync(HttpMethod.Post, $"http://{Host}/v2/{repository}/blobs/uploads/", null, null);
        string digest = "sha256:" + ImportLab.Digest(bytes);
        string place = begun.Headers.Location!.ToString();
        using HttpResponseMessage put = await SendAsync(HttpMethod.Put, $"{place}{(place.Contains('?', StringComparison.Ordinal) ? '&' : '?')}digest={digest}", bytes, "application/octet-stream");
        string notes = title is null ? "" : $$""","annotations":{"org.opencontainers.image.title":"{{title}}"}""";
        return $$"""{"mediaType":"{{mediaType}}","digest":"{{digest}}","size":{{bytes.Length}}{{notes}}}""";
    }

    /// <summary>Pushes a manifest of these layers.</summary>
    /// <returns>Its digest.</returns>
    public async Task<string> PushManifestAsync(string repository, string version, params string[] layers)
    {
        string config = await PushBlobAsync(repository, "{}"u8.ToArray(), "application/vnd.oci.image.config.v1+json");
        return await PushAsync(
            repository, version, "application/vnd.oci.image.manifest.v1+json", $$"""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{config}},"layers":[{{string.Join(',', layers)}}]}""");
    }

    /// <summary>Pushes an index of manifests: each a digest and an architecture.</summary>
    public Task PushIndexAsync(string repository, string version, params (string Digest, string Architecture)[] manifests)
    {
        IEnumerable<string> entries = manifests.Select(m => $$"""{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{{m.Digest}}","size":1,"platform":{"os":"linux","architecture":"{{m.Architecture}}"} }""");
        return PushAsync(repository, version, "application/vnd.oci.image.index.v1+json", $$"""{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[{{string.Join(',', entries)}}]}""");
    }

    /// <summary>Where the registry keeps a blob.</summary>
    public string BlobPath(string digest) => Path.Combine(_folder, "registry", "docker", "registry", "v2", "blobs", "sha256", digest[..2], digest, "data");

    /// <summary>A pull secret's file.</summary>
    public string AuthFile(string password = Password)
    {
        string path = Path.Combine(_folder, "config.json");
        string both = Convert.ToBase64String(Encoding.UTF8.GetBytes($"{User}:{password}"));
        File.WriteAllText(path, $$"""{"auths":{"other.example.org":{"auth":"eDp5"},"{{Host}}":{"auth":"{{both}}"} } }""");
        return path;
    }

    public async ValueTask DisposeAsync()
    {
        await _registry.DisposeAsync();
        if (_tokens is not null)
        {
            await _tokens.DisposeAsync();
        }

        _certificate?.Dispose();
        _key.Dispose();
        _http.Dispose();
    }

    private async Task<string> PushAsync(string repository, string version, string mediaType, string manifest)
    {
        byte[] bytes = Encoding.UTF8.GetBytes(manifest);
        using HttpResponseMessage answer = await SendAsync(HttpMethod.Put, $"http://{Host}/v2/{repository}/manifests/{version}", bytes, mediaType);
        return "sha256:" + ImportLab.Digest(bytes);
    }

    private async Task<HttpResponseMessage> SendAsync(HttpMethod method, string url, byte[]? bytes, string? mediaType)
    {
        using var request = new HttpRequestMessage(method, url) { Content = new ByteArrayContent(bytes ?? []) };
        request.Content.Headers.ContentType = mediaType is null ? null : new MediaTypeHeaderValue(mediaType);
        request.Headers.Authorization = _tokens is null
            ? new AuthenticationHeaderValue("Basic", Convert.ToBase64String(Encoding.UTF8.GetBytes($"{User}:{Password}")))
            : new AuthenticationHeaderValue("Bearer", Token(new Uri(url).AbsolutePath.Split("/v2/")[1].Split("/blobs/")[0].Split("/manifests/")[0], "pull", "push"));
        HttpResponseMessage answer = await _http.SendAsync(request);
        answer.IsSuccessStatusCode.ShouldBeTrue($"{method} {url}: {answer.StatusCode} {await answer.Content.ReadAsStringAsync()}");
        return answer;
    }

    private async Task<bool> AnswersAsync()
    {
        try
        {
            using HttpResponseMessage answer = await _http.GetAsync(new Uri($"http://{Host}/v2/"));
            return answer.StatusCode is HttpStatusCode.OK or HttpStatusCode.Unauthorized;
        }
        catch (HttpRequestException)
        {
            return false;
        }
    }

    private async Task<string> StartTokensAsync()
    {
        var request = new CertificateRequest("CN=tokens", _key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        _certificate = request.CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
        await File.WriteAllTextAsync(Path.Combine(_folder, "roots.pem"), _certificate.ExportCertificatePem());
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        _tokens = builder.Build();
        _tokens.MapGet("/token", (HttpContext context) =>
        {
            string known = "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes($"{User}:{Password}"));
            bool isKnown = context.Request.Headers.Authorization == known;
            lock (TokenRequests)
            {
                TokenRequests.Add($"{context.Request.QueryString} {(isKnown ? "known" : "unknown")}");
            }

            string[] scope = context.Request.Query["scope"].ToString().Split(':');
            return isKnown && context.Request.Query["service"] == Service && scope is ["repository", _, "pull"]
                ? Results.Text(JsonSerializer.Serialize(new { token = Token(scope[1], "pull") }), "application/json")
                : Results.Unauthorized();
        });
        await _tokens.StartAsync();
        return $"{_tokens.Urls.First()}/token";
    }

    private string Token(string repository, params string[] actions)
    {
        long now = DateTimeOffset.UtcNow.ToUnixTimeSeconds();
        string head = Encoded(JsonSerializer.Serialize(new { typ = "JWT", alg = "RS256", x5c = (string[])[Convert.ToBase64String(_certificate!.RawData)] }));
        string body = Encoded(JsonSerializer.Serialize(new
        {
            iss = Issuer, sub = User, aud = Service, exp = now + 300, nbf = now - 10, iat = now, jti = Guid.NewGuid().ToString(),
            access = (object[])[new { type = "repository", name = repository, actions }],
        }));
        return $"{head}.{body}.{Encoded(_key.SignData(Encoding.ASCII.GetBytes($"{head}.{body}"), HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1))}";
    }

    private static string Encoded(string json) => Encoded(Encoding.UTF8.GetBytes(json));

    private static string Encoded(byte[] bytes) => System.Buffers.Text.Base64Url.EncodeToString(bytes);

    private static int FreePort()
    {
        using var listener = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        listener.Bind(new IPEndPoint(IPAddress.Loopback, 0));
        return ((IPEndPoint)listener.LocalEndPoint!).Port;
    }
}
