using System.Net;
using System.Net.Sockets;

namespace SandLabX.Runner.Http;

/// <summary>Listens, and serves each connection by itself; more than it may have at a time are hung up on.</summary>
internal sealed class Acceptor : IDisposable
{
    private readonly Socket _listener;
    private readonly int _most;
    private readonly Func<Socket, Task> _serve;
    private readonly CancellationToken _stop;
    private int _connections;

    /// <summary>Listens.</summary>
    /// <param name="address">The address; null for all.</param>
    /// <param name="port">The TCP port; 0 takes a free one.</param>
    /// <param name="most">How many connections there may be at a time.</param>
    /// <param name="serve">Serves one; that it breaks is no matter.</param>
    /// <param name="stop">Ends it.</param>
    internal Acceptor(IPAddress? address, int port, int most, Func<Socket, Task> serve, CancellationToken stop)
    {
        (_most, _serve, _stop) = (most, serve, stop);
        address ??= Socket.OSSupportsIPv6 ? IPAddress.IPv6Any : IPAddress.Any;
        _listener = new Socket(address.AddressFamily, SocketType.Stream, ProtocolType.Tcp);
        if (address.Equals(IPAddress.IPv6Any))
        {
            _listener.DualMode = true;
        }

        _listener.Bind(new IPEndPoint(address, port));
        _listener.Listen();
        _ = AcceptAsync();
    }

    /// <summary>The port it listens on.</summary>
    internal int Port => ((IPEndPoint)_listener.LocalEndPoint!).Port;

    /// <summary>Waits until nobody is served any more, as far as the time allows.</summary>
    internal void Drain(TimeSpan limit) => SpinWait.SpinUntil(() => Volatile.Read(ref _connections) == 0, limit);

    /// <inheritdoc/>
    public void Dispose() => _listener.Dispose();

    private async Task AcceptAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                Socket client = await _listener.AcceptAsync(_stop).ConfigureAwait(false);
                if (Interlocked.Increment(ref _connections) > _most)
                {
                    Interlocked.Decrement(ref _connections);
                    client.Dispose();
                    continue;
                }

                _ = ServeAsync(client);
            }
            catch (SocketException)
            {
                // Out of descriptors, say: try again, but not in a tight loop.
                await Task.Delay(TimeSpan.FromMilliseconds(100)).ConfigureAwait(false);
            }
            catch (Exception e) when (e is ObjectDisposedException or OperationCanceledException)
            {
                return;
            }
        }
    }

    private async Task ServeAsync(Socket client)
    {
        try
        {
            using Socket held = client;
            client.NoDelay = true;
            client.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
            await _serve(client).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The peer is gone, too slow or displaced, or the runner ends.
        }
        finally
        {
            Interlocked.Decrement(ref _connections);
        }
    }
}
