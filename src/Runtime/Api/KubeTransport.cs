using System.Net;
using System.Net.Http.Headers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;

namespace SandLabX.Runtime;

/// <summary>
/// Requests to the API server, and nothing about what they mean. Authentication, TLS and connections are the client library's;
/// its own typed calls are not used, since they hide watch errors and drop what they can't read.
/// </summary>
internal sealed class KubeTransport : IDisposable
{
    private const string Json = "application/json";

    /// <summary>The API server itself gives up after 60 s at the latest; a write that takes longer than this is looked at anew.</summary>
    private static readonly TimeSpan s_callTimeout = TimeSpan.FromSeconds(30);

    private readonly Kubernetes _client;
    private readonly TimeProvider _clock;
    private readonly TimeSpan _connectTimeout;
    private readonly bool _http2;
    private readonly string _agent;

    public KubeTransport(KubernetesClientConfiguration config, OperatorSettings settings, TimeProvider clock)
    {
        Action<SocketsHttpHandler>? setup = config.FirstMessageHandlerSetup;
        config.FirstMessageHandlerSetup = handler =>
        {
            handler.ConnectTimeout = settings.ConnectTimeout;
            handler.KeepAlivePingDelay = settings.PingDelay;
            handler.KeepAlivePingTimeout = settings.PingTimeout;
            handler.PooledConnectionLifetime = TimeSpan.FromMinutes(10);
            setup?.Invoke(handler);
        };
#pragma warning disable CA2000 // Kubernetes owns and disposes its handlers.
        _client = new Kubernetes(config, new RequestHandler(settings));
#pragma warning restore CA2000
        _client.HttpClient.Timeout = Timeout.InfiniteTimeSpan;
        _clock = clock;
        _connectTimeout = settings.ConnectTimeout;
        _agent = settings.Name;
        _http2 = !config.DisableHttp2;
    }

    /// <summary>Sends a request and reads the whole answer.</summary>
    /// <exception cref="KubeException">Whatever went wrong, but for a cancelled <paramref name="stop"/>.</exception>
    public async Task<JsonElement> SendAsync(
        HttpMethod method, string path, JsonNode? body, string contentType, TimeSpan? timeout, CancellationToken stop)
    {
        string what = $"{method} {path}";
        using var limit = new CancellationTokenSource(timeout ?? s_callTimeout, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(limit.Token, stop);
        try
        {
            using HttpRequestMessage request = await RequestAsync(method, path, body, contentType, either.Token).ConfigureAwait(false);
            using HttpResponseMessage answer = await _client.HttpClient
                .SendAsync(request, HttpCompletionOption.ResponseHeadersRead, either.Token).ConfigureAwait(false);
            await ThrowUnlessSuccessAsync(answer, what, either.Token).ConfigureAwait(false);
            await using Stream stream = await answer.Content.ReadAsStreamAsync(either.Token).ConfigureAwait(false);
            using JsonDocument document = await JsonDocument.ParseAsync(stream, default, either.Token).ConfigureAwait(false);
            return document.RootElement.Clone();
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            throw;
        }
        catch (OperationCanceledException e) when (limit.IsCancellationRequested)
        {
            throw new KubeException($"{what}: no answer in {(timeout ?? s_callTimeout).TotalSeconds:0.#} s", e);
        }
        catch (Exception e) when (e is not KubeException)
        {
            throw Fault(e, what);
        }
    }

    public Task<JsonElement> GetAsync(string path, TimeSpan? timeout, CancellationToken stop) =>
        SendAsync(HttpMethod.Get, path, null, Json, timeout, stop);

    public Task<JsonElement> PostAsync(string path, JsonNode body, TimeSpan? timeout, CancellationToken stop) =>
        SendAsync(HttpMethod.Post, path, body, Json, timeout, stop);

    public Task<JsonElement> PatchAsync(string path, JsonNode body, TimeSpan? timeout, CancellationToken stop) =>
        SendAsync(HttpMethod.Patch, path, body, "application/merge-patch+json", timeout, stop);

    public Task<JsonElement> DeleteAsync(string path, JsonNode body, CancellationToken stop) =>
        SendAsync(HttpMethod.Delete, path, body, Json, null, stop);

    /// <summary>Opens an endless answer; the caller reads and disposes it.</summary>
    /// <exception cref="KubeException">Whatever went wrong, but for a cancelled <paramref name="stop"/>.</exception>
    public async Task<HttpResponseMessage> OpenAsync(string path, CancellationToken stop)
    {
        string what = $"WATCH {path}";
        HttpResponseMessage? answer = null;
        try
        {
            using HttpRequestMessage request = await RequestAsync(HttpMethod.Get, path, null, Json, stop).ConfigureAwait(false);
            answer = await _client.HttpClient.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
            await ThrowUnlessSuccessAsync(answer, what, stop).ConfigureAwait(false);
            return answer;
        }
        catch (Exception e)
        {
            answer?.Dispose();
            if (e is OperationCanceledException && stop.IsCancellationRequested)
            {
                throw;
            }

            throw Fault(e, what);
        }
    }

    public void Dispose() => _client.Dispose();

    // Nobody has cancelled it then: the handler gives up a connection that takes too long in the same words.
    private KubeException Fault(Exception fault, string what) =>
        fault is OperationCanceledException ? new KubeException($"{what}: no connection in {_connectTimeout.TotalSeconds:0.#} s", fault) : KubeErrors.From(fault, what);

    private async Task<HttpRequestMessage> RequestAsync(HttpMethod method, string path, JsonNode? body, string contentType, CancellationToken stop)
    {
        var request = new HttpRequestMessage(method, new Uri(_client.BaseUri, path));
        if (_http2)
        {
            request.Version = HttpVersion.Version20;
        }

        request.Headers.TryAddWithoutValidation("User-Agent", _agent);
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue(Json));
        if (body is not null)
        {
            request.Content = new StringContent(body.ToJsonString(), Encoding.UTF8, contentType);
        }

        if (_client.Credentials is { } credentials)
        {
            await credentials.ProcessHttpRequestAsync(request, stop).ConfigureAwait(false);
        }

        return request;
    }

    private static async Task ThrowUnlessSuccessAsync(HttpResponseMessage answer, string what, CancellationToken stop)
    {
        if (!answer.IsSuccessStatusCode)
        {
            throw KubeErrors.From(answer, await answer.Content.ReadAsStringAsync(stop).ConfigureAwait(false), what);
        }
    }
}
