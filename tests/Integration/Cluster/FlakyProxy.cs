using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace SandLabX.Integration.Cluster;

/// <summary>A TCP proxy in front of a server, whose link a test can cut, refuse or let go silent.</summary>
public sealed class FlakyProxy : IAsyncDisposable
{
    private readonly TcpListener _listener = new(IPAddress.Loopback, 0);
    private readonly ConcurrentDictionary<Socket, bool> _sockets = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly int _target;
    private readonly Task _accepting;
    private volatile bool _refusing;
    private volatile bool _silent;

    /// <summary>Starts one.</summary>
    /// <param name="target">The server's port on 127.0.0.1.</param>
    public FlakyProxy(int target)
    {
        _target = target;
        _listener.Start();
        _accepting = Task.Run(AcceptAsync);
    }

    /// <summary>The proxy's port on 127.0.0.1.</summary>
    public int Port => ((IPEndPoint)_listener.LocalEndpoint).Port;

    /// <summary>How many connections were let through so far.</summary>
    public int Connections { get; private set; }

    /// <summary>Breaks all connections.</summary>
    public void Cut()
    {
        foreach (Socket socket in _sockets.Keys)
        {
            socket.Close(0);
        }

        _sockets.Clear();
    }

    /// <summary>Breaks all connections and lets no new ones through, or does again.</summary>
    public void Refuse(bool on)
    {
        _refusing = on;
        if (on)
        {
            Cut();
        }
    }

    /// <summary>Keeps the connections that are there, but passes nothing on them ever again; new ones work.</summary>
    public void GoSilent() => _silent = true;

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        _listener.Stop();
        Cut();
        await _accepting;
        _stop.Dispose();
    }

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket client;
            try
            {
                client = await _listener.AcceptSocketAsync(_stop.Token);
            }
            catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
            {
                return;
            }

            if (_refusing)
            {
                client.Close(0);
                continue;
            }

            _ = ServeAsync(client);
        }
    }

    private async Task ServeAsync(Socket client)
    {
        using var server = new Socket(SocketType.Stream, ProtocolType.Tcp);
        try
        {
            await server.ConnectAsync(IPAddress.Loopback, _target, _stop.Token);
            _sockets[client] = true;
            _sockets[server] = true;
            Connections++;

            // Silence befalls those that are there when it falls.
            Func<bool> mute = _silent ? () => false : () => _silent;
            await Task.WhenAny(PumpAsync(client, server, mute), PumpAsync(server, client, mute));
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The server is away; so is the client then.
        }
        finally
        {
            _sockets.TryRemove(client, out _);
            _sockets.TryRemove(server, out _);
            client.Dispose();
        }
    }

    private async Task PumpAsync(Socket from, Socket to, Func<bool> mute)
    {
        byte[] buffer = new byte[64 * 1024];
        try
        {
            int count;
            while ((count = await from.ReceiveAsync(buffer, _stop.Token)) > 0)
            {
                if (!mute())
                {
                    await to.SendAsync(buffer.AsMemory(0, count), _stop.Token);
                }
            }
        }
        catch (Exception e) when (e is SocketException or OperationCanceledException or ObjectDisposedException)
        {
            // Cut.
        }
    }
}
