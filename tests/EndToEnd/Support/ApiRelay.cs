using System.Net;
using System.Net.Sockets;
using System.Text.RegularExpressions;

namespace SandLabX.EndToEnd.Support;

/// <summary>A way to the API server of its own, for one program: counts what goes there, and is cut when a test says so.</summary>
internal sealed class ApiRelay : IDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly HashSet<TcpClient> _clients = [];
    private readonly Queue<(long At, Func<Task> Act)> _acts = [];
    private readonly List<Task> _acting = [];
    private readonly Uri _server;
    private long _sent;

    private ApiRelay(Uri server, string config)
    {
        _server = server;
        _listener.Start();
        File.WriteAllText(KubeConfig, config.Replace(server.OriginalString, $"https://{_listener.LocalEndpoint}", StringComparison.Ordinal));
        _ = AcceptAsync();
    }

    /// <summary>A kubeconfig that leads along here.</summary>
    public string KubeConfig { get; } = Path.GetTempFileName();

    /// <summary>Bytes that went to the server.</summary>
    public long Sent => Interlocked.Read(ref _sent);

    /// <summary>Opens one beside the way that KUBECONFIG names.</summary>
    public static async Task<ApiRelay> OpenAsync()
    {
        string config = await Lab.KubectlOkAsync("config", "view", "--raw", "--minify", "--flatten");
        Match server = Regex.Match(config, "server: \"?(https://(127\\.0\\.0\\.1|localhost):[0-9]+)");
        Assert.SkipUnless(server.Success, "The API server is not on this machine's loopback, which its certificate would have to name as well.");
        return new ApiRelay(new Uri(server.Groups[1].Value), config);
    }

    /// <summary>Once so many bytes went to the server: does something, while what is under way waits.</summary>
    public void At(long bytes, Func<Task> act) => _acts.Enqueue((bytes, act));

    /// <summary>Waits for the end of all that was done so, which each must have been.</summary>
    public async Task ActedAsync()
    {
        _acts.ShouldBeEmpty($"only {Sent} bytes were sent");
        await Task.WhenAll(_acting);
    }

    /// <summary>Cuts all connections, as a network does that fails.</summary>
    public Task CutAsync()
    {
        lock (_clients)
        {
            foreach (TcpClient client in _clients)
            {
                client.Client.LingerState = new LingerOption(true, 0);
                client.Close();
            }
        }

        return Task.CompletedTask;
    }

    public void Dispose()
    {
        _listener.Dispose();
        _ = CutAsync();
        File.Delete(KubeConfig);
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.AcceptTcpClientAsync());
            }
        }
        catch (Exception e) when (e is ObjectDisposedException or SocketException)
        {
            // The test is over.
        }
    }

    private async Task ServeAsync(TcpClient near)
    {
        using var far = new TcpClient();
        try
        {
            await far.ConnectAsync(_server.Host, _server.Port);
            lock (_clients)
            {
                _clients.Add(near);
            }

            // Whichever side ends first ends both: TLS says by itself what was the end.
            await await Task.WhenAny(SendAsync(near.GetStream(), far.GetStream()), far.GetStream().CopyToAsync(near.GetStream()));
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException or InvalidOperationException)
        {
            // Cut.
        }
        finally
        {
            lock (_clients)
            {
                _clients.Remove(near);
            }

            near.Dispose();
        }
    }

    private async Task SendAsync(NetworkStream from, NetworkStream to)
    {
        byte[] buffer = new byte[256 * 1024];
        while (await from.ReadAsync(buffer) is > 0 and int count)
        {
            long sent = Interlocked.Add(ref _sent, count);
            await to.WriteAsync(buffer.AsMemory(0, count));
            Task? act = null;
            lock (_clients)
            {
                if (_acts.TryPeek(out (long At, Func<Task> Act) next) && sent >= next.At)
                {
                    act = _acts.Dequeue().Act();
                    _acting.Add(act);
                }
            }

            if (act is not null)
            {
                await act;
            }
        }
    }
}
