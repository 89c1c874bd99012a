using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using k8s;

namespace SandLabX.Integration.Cluster;

/// <summary>A real kube-apiserver on a real etcd: free loopback ports, a folder of its own, and nothing left of it afterwards.</summary>
public sealed class ApiServer : IAsyncDisposable
{
    /// <summary>Path of kube-apiserver.</summary>
    public const string ApiServerVariable = "SANDLABX_APISERVER_BIN";

    /// <summary>Path of etcd.</summary>
    public const string EtcdVariable = "SANDLABX_ETCD_BIN";

    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-api-").FullName;
    private readonly string[] _more;
    private readonly int _port = FreePort();
    private readonly int _etcdPort = FreePort();
    private readonly int _peerPort = FreePort();
    private ChildProcess? _etcd;
    private ChildProcess? _server;

    private ApiServer(string[] more) => _more = more;

    /// <summary>Why there can't be one here; null when there can.</summary>
    public static string? Missing =>
        new[] { ApiServerVariable, EtcdVariable }.FirstOrDefault(v => !File.Exists(Environment.GetEnvironmentVariable(v))) is { } variable
            ? $"{variable} names no file: 'make test' sets it."
            : null;

    /// <summary>Port of the API server on 127.0.0.1.</summary>
    public int Port => _port;

    /// <summary>Somebody who may do everything.</summary>
    public KubernetesClientConfiguration Admin => As("admin-token");

    /// <summary>The user <c>limited</c>, who may do what is bound to that name.</summary>
    public KubernetesClientConfiguration Limited => As("limited-token");

    /// <summary>A user whom nothing is bound to.</summary>
    public KubernetesClientConfiguration Nobody => As("nobody-token");

    /// <summary>Starts one and waits until it is ready.</summary>
    /// <param name="more">Further flags of kube-apiserver.</param>
    public static async Task<ApiServer> StartAsync(params string[] more)
    {
        var api = new ApiServer(more);
        try
        {
            await api.StartEtcdAsync();
            await api.StartServerAsync();
            return api;
        }
        catch
        {
            await api.DisposeAsync();
            throw;
        }
    }

    /// <summary>The same, through another port, such as a proxy's.</summary>
    public static KubernetesClientConfiguration Via(KubernetesClientConfiguration config, int port)
    {
        config.Host = $"https://127.0.0.1:{port.ToString(CultureInfo.InvariantCulture)}";
        return config;
    }

    /// <summary>Starts kube-apiserver on the same data and port.</summary>
    public async Task StartServerAsync()
    {
        string key = Path.Combine(_folder, "sa.key");
        string tokens = Path.Combine(_folder, "tokens.csv");
        if (!File.Exists(key))
        {
            using var rsa = RSA.Create(2048);
            await File.WriteAllTextAsync(key, rsa.ExportRSAPrivateKeyPem());
            await File.WriteAllTextAsync(tokens, "admin-token,admin,1,\"system:masters\"\nlimited-token,limited,2\nnobody-token,nobody,3\n");
        }

        _server = new ChildProcess(Path.Combine(_folder, "apiserver.log"), Environment.GetEnvironmentVariable(ApiServerVariable)!,
        [
            $"--etcd-servers=http://127.0.0.1:{_etcdPort}",
            "--bind-address=127.0.0.1",
            "--advertise-address=127.0.0.1",
            $"--secure-port={_port}",
            $"--cert-dir={Path.Combine(_folder, "certs")}",
            $"--token-auth-file={tokens}",
            "--authorization-mode=RBAC",
            "--service-account-issuer=https://kubernetes.default.svc",
            $"--service-account-key-file={key}",
            $"--service-account-signing-key-file={key}",
            "--service-cluster-ip-range=10.99.0.0/16",

            // Pods need no service account here: nobody makes those, there is no controller manager.
            "--disable-admission-plugins=ServiceAccount",
            .. _more,
        ]);
        using var client = new HttpClient(new SocketsHttpHandler
        {
            SslOptions = { RemoteCertificateValidationCallback = (_, _, _, _) => true },
        });
        client.DefaultRequestHeaders.Authorization = new("Bearer", "admin-token");
        await WaitAsync(client, $"https://127.0.0.1:{_port}/readyz", _server);
    }

    /// <summary>Kills kube-apiserver; the data stay.</summary>
    public async Task StopServerAsync()
    {
        if (_server is { } server)
        {
            _server = null;
            await server.DisposeAsync();
        }
    }

    /// <summary>Makes etcd forget all versions before the present one.</summary>
    public async Task CompactAsync()
    {
        using var client = new HttpClient();
        var etcd = new Uri($"http://127.0.0.1:{_etcdPort}");
        using HttpResponseMessage answer = await client.PostAsync(new Uri(etcd, "/v3/kv/range"), new StringContent("""{"key":"AA==","limit":1}"""));
        using var json = System.Text.Json.JsonDocument.Parse(await answer.Content.ReadAsStringAsync());
        string revision = json.RootElement.GetProperty("header").GetProperty("revision").GetString()!;
        using HttpResponseMessage done = await client.PostAsync(
            new Uri(etcd, "/v3/kv/compaction"), new StringContent($$"""{"revision":"{{revision}}","physical":true}"""));
        done.EnsureSuccessStatusCode();
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await StopServerAsync();
        if (_etcd is not null)
        {
            await _etcd.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    private async Task StartEtcdAsync()
    {
        _etcd = new ChildProcess(Path.Combine(_folder, "etcd.log"), Environment.GetEnvironmentVariable(EtcdVariable)!,
        [
            $"--data-dir={Path.Combine(_folder, "etcd")}",
            $"--listen-client-urls=http://127.0.0.1:{_etcdPort}",
            $"--advertise-client-urls=http://127.0.0.1:{_etcdPort}",
            $"--listen-peer-urls=http://127.0.0.1:{_peerPort}",
            $"--initial-advertise-peer-urls=http://127.0.0.1:{_peerPort}",
            $"--initial-cluster=default=http://127.0.0.1:{_peerPort}",

            // What a crash of the machine would lose is lost with the folder anyway.
            "--unsafe-no-fsync",
        ]);
        using var client = new HttpClient();
        await WaitAsync(client, $"http://127.0.0.1:{_etcdPort}/health", _etcd);
    }

    private static async Task WaitAsync(HttpClient client, string address, ChildProcess process)
    {
        using var limit = new CancellationTokenSource(s_patience);
        while (true)
        {
            try
            {
                using HttpResponseMessage answer = await client.GetAsync(new Uri(address), limit.Token);
                if (answer.IsSuccessStatusCode)
                {
                    return;
                }
            }
            catch (HttpRequestException)
            {
                // Not up yet.
            }
            catch (OperationCanceledException)
            {
                throw new TimeoutException($"{address} is not ready after {s_patience}.\n{process.Tail}");
            }

            await Task.Delay(50);
        }
    }

    private KubernetesClientConfiguration As(string token) => new()
    {
        Host = $"https://127.0.0.1:{_port}",
        AccessToken = token,
        SkipTlsVerify = true,
    };

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }
}
