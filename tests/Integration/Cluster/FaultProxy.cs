using System.Collections.Concurrent;
using System.Net;
using System.Net.Http.Headers;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Server.Kestrel.Core;
using Microsoft.AspNetCore.Server.Kestrel.Https;
using Microsoft.Extensions.Logging;

namespace SandLabX.Integration.Cluster;

/// <summary>Stands before an API server, speaks HTTP/2 over TLS as it does, and lets <see cref="ApiFault"/>s befall what passes.</summary>
internal sealed class FaultProxy : IAsyncDisposable
{
    private readonly WebApplication _server;
    private readonly ConcurrentDictionary<string, ConnectionContext> _connections = new();
    private readonly ConcurrentDictionary<ApiFault, int> _struck = new();
    private readonly FaultDice _dice;
    private readonly HttpClient _upstream;
    private readonly X509Certificate2 _certificate = SelfSigned();
    private int _requests;

    private FaultProxy(int target, FaultDice dice)
    {
        _dice = dice;
        _upstream = new HttpClient(new SocketsHttpHandler { SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true } })
        {
            BaseAddress = new Uri($"https://127.0.0.1:{target}"),
            Timeout = Timeout.InfiniteTimeSpan,
            DefaultRequestVersion = HttpVersion.Version20,
        };
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseKestrelHttpsConfiguration().ConfigureKestrel(k => k.Listen(IPAddress.Loopback, 0, listen =>
        {
            listen.Protocols = HttpProtocols.Http1AndHttp2;
            listen.Use(next => async connection =>
            {
                _connections[connection.ConnectionId] = connection;
                try
                {
                    await next(connection);
                }
                finally
                {
                    _connections.TryRemove(connection.ConnectionId, out _);
                }
            });
            listen.UseHttps(new HttpsConnectionAdapterOptions { ServerCertificate = _certificate });
        }));
        _server = builder.Build();
        _server.Run(ServeAsync);
    }

    /// <summary>The proxy's port on 127.0.0.1.</summary>
    public int Port => new Uri(_server.Urls.First()).Port;

    /// <summary>True lets everything pass from now on.</summary>
    public bool Calm { get; set; }

    /// <summary>How many requests came.</summary>
    public int Requests => Volatile.Read(ref _requests);

    /// <summary>How often each fault struck.</summary>
    public IReadOnlyDictionary<ApiFault, int> Struck => _struck;

    /// <summary>Starts one.</summary>
    /// <param name="target">The server's port on 127.0.0.1.</param>
    /// <param name="seed">What chance is drawn from.</param>
    /// <param name="kinds">What may happen; nothing, for none.</param>
    public static async Task<FaultProxy> StartAsync(int target, int seed, params ApiFault[] kinds)
    {
        var proxy = new FaultProxy(target, new FaultDice(seed, kinds));
        await proxy._server.StartAsync();
        return proxy;
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        foreach (ConnectionContext connection in _connections.Values)
        {
            connection.Abort();
        }

        await _server.DisposeAsync();
        _upstream.Dispose();
        _certificate.Dispose();
    }

    private async Task ServeAsync(HttpContext context)
    {
        Interlocked.Increment(ref _requests);
        bool watch = context.Request.Query["watch"] == "true";
        ApiFault fault = Calm ? ApiFault.None : Count(_dice.OfRequest(context.Request.Method, watch));
        try
        {
            switch (fault)
            {
                case ApiFault.WatchClosed:
                    context.Response.ContentType = "application/json";
                    return;
                case ApiFault.Conflict:
                    await RefuseAsync(context, 409, "Conflict", "the object has been modified");
                    return;
                case ApiFault.Gone:
                    await RefuseAsync(context, 410, "Expired", "too old resource version");
                    return;
                case ApiFault.Throttled:
                    context.Response.Headers.RetryAfter = "1";
                    await RefuseAsync(context, 429, "TooManyRequests", "too many requests, please try again later");
                    return;
                case ApiFault.ServerError:
                    await RefuseAsync(context, 500, "InternalError", "etcdserver: leader changed");
                    return;
                case ApiFault.Reset:
                    _connections.GetValueOrDefault(context.Connection.Id)?.Abort();
                    return;
                case ApiFault.Slow:
                    await Task.Delay(_dice.Lateness(), context.RequestAborted);
                    break;
            }

            using HttpRequestMessage request = await CopyAsync(context.Request);
            using HttpResponseMessage answer = await _upstream.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, context.RequestAborted);
            if (fault == ApiFault.LostAnswer)
            {
                // It is carried out for certain once its answer is there.
                await answer.Content.ReadAsByteArrayAsync(context.RequestAborted);
                context.Abort();
                return;
            }

            await PassAsync(context, answer, watch);
        }
        catch (Exception e) when (e is OperationCanceledException or HttpRequestException or IOException)
        {
            // One of the two ends is away: so is this.
            context.Abort();
        }
    }

    private ApiFault Count(ApiFault fault)
    {
        if (fault != ApiFault.None)
        {
            _struck.AddOrUpdate(fault, 1, (_, n) => n + 1);
        }

        return fault;
    }

    private async Task PassAsync(HttpContext context, HttpResponseMessage answer, bool watch)
    {
        context.Response.StatusCode = (int)answer.StatusCode;
        context.Response.ContentType = answer.Content.Headers.ContentType?.ToString();
        if (!watch || !answer.IsSuccessStatusCode)
        {
            await answer.Content.CopyToAsync(context.Response.Body, context.RequestAborted);
            return;
        }

        await context.Response.StartAsync(context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
        using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(context.RequestAborted));
        while (await lines.ReadLineAsync(context.RequestAborted) is { } line)
        {
            switch (Calm ? ApiFault.None : Count(_dice.OfLine()))
            {
                case ApiFault.WatchDropped:
                    await context.Response.WriteAsync(line[..(line.Length / 2)], context.RequestAborted);
                    await context.Response.Body.FlushAsync(context.RequestAborted);
                    context.Abort();
                    return;
                case ApiFault.GoneInStream:
                    await context.Response.WriteAsync($$"""{"type":"ERROR","object":{{Status(410, "Expired", "too old resource version")}}}""" + "\n", context.RequestAborted);
                    return;
                case ApiFault.Slow:
                    await Task.Delay(_dice.Lateness(), context.RequestAborted);
                    break;
            }

            await context.Response.WriteAsync(line + "\n", context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
        }
    }

    private static async Task<HttpRequestMessage> CopyAsync(HttpRequest from)
    {
        var to = new HttpRequestMessage(new HttpMethod(from.Method), from.Path + from.QueryString.ToUriComponent()) { Version = HttpVersion.Version20 };
        to.Headers.TryAddWithoutValidation("Authorization", (string?)from.Headers.Authorization);
        to.Headers.TryAddWithoutValidation("Accept", (string?)from.Headers.Accept);
        to.Headers.TryAddWithoutValidation("User-Agent", (string?)from.Headers.UserAgent);
        if (from.ContentType is { } type)
        {
            using var body = new MemoryStream();
            await from.Body.CopyToAsync(body, from.HttpContext.RequestAborted);
            to.Content = new ByteArrayContent(body.ToArray());
            to.Content.Headers.ContentType = MediaTypeHeaderValue.Parse(type);
        }

        return to;
    }

    private static Task RefuseAsync(HttpContext context, int code, string reason, string message)
    {
        context.Response.StatusCode = code;
        context.Response.ContentType = "application/json";
        return context.Response.WriteAsync(Status(code, reason, message), context.RequestAborted);
    }

    private static string Status(int code, string reason, string message) =>
        $$"""{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Failure","message":"{{message}} (by the tests' proxy)","reason":"{{reason}}","code":{{code}}}""";

    private static X509Certificate2 SelfSigned()
    {
        using var key = RSA.Create(2048);
        return new CertificateRequest("CN=127.0.0.1", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1)
            .CreateSelfSigned(DateTimeOffset.UtcNow.AddDays(-1), DateTimeOffset.UtcNow.AddDays(1));
    }
}
