using System.Net;
using System.Net.WebSockets;
using System.Text;
using SandLabX.Cli.Shell;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>
/// Connections to a port of a pod, through the API server, with the user's own rights. Nothing listens on this machine: a connection is a
/// <see cref="Stream"/>, and <see cref="HttpClient"/> gives a client whose requests go through such streams. Each connection has a WebSocket of its own.
/// </summary>
internal static class PortForward
{
    private const byte Data = 0;
    private const byte Error = 1;
    private const int PortPrefix = 2;

    /// <summary>Opens a connection.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="pod">The pod.</param>
    /// <param name="port">The port on its loopback, 1 to 65535.</param>
    /// <param name="stop">Ends the opening; the stream has its own.</param>
    /// <exception cref="CliException">The pod is not there, or the server does not let the user.</exception>
    internal static async Task<Stream> OpenAsync(Cluster cluster, ObjectKey pod, int port, CancellationToken stop)
    {
        WebSocket socket = await WebSockets.OpenAsync(
            () => cluster.Client.WebSocketNamespacedPodPortForwardAsync(pod.Name, pod.Namespace, [port], "v4.channel.k8s.io", cancellationToken: stop),
            $"port {port} of pod {pod}").ConfigureAwait(false);
        return new ForwardedStream(new ChannelSocket(socket), $"port {port} of pod {pod}");
    }

    /// <summary>A client of the HTTP server at a port of a pod; the host in its addresses is of no matter. It has no time limit of its own.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="pod">The pod.</param>
    /// <param name="port">The port on its loopback.</param>
    internal static HttpClient HttpClient(Cluster cluster, ObjectKey pod, int port) => Over(async stop => await OpenAsync(cluster, pod, port, stop).ConfigureAwait(false));

    /// <summary>A client whose connections are what <paramref name="connect"/> opens.</summary>
    internal static HttpClient Over(Func<CancellationToken, ValueTask<Stream>> connect)
    {
#pragma warning disable CA2000 // The client owns its handler.
        var handler = new SocketsHttpHandler
        {
            ConnectCallback = (_, stop) => connect(stop),
            UseProxy = false,
            AutomaticDecompression = DecompressionMethods.None,
        };
#pragma warning restore CA2000
        return new HttpClient(handler) { BaseAddress = new Uri("http://pod"), Timeout = Timeout.InfiniteTimeSpan };
    }

    /// <summary>The data channel as a stream. What the server says on the error channel is thrown at the next read.</summary>
    private sealed class ForwardedStream(ChannelSocket channels, string what) : DuplexStream
    {
        private readonly byte[] _skip = new byte[512];
        private readonly int[] _prefix = new int[2];
        private bool _ended;

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            while (!_ended && buffer.Length > 0)
            {
                // The first message of each channel is the port's number.
                bool plain = _prefix[Data] == PortPrefix && _prefix[Error] == PortPrefix;
                Memory<byte> target = plain ? buffer : _skip;
                if (await channels.ReceiveAsync(target, cancellationToken).ConfigureAwait(false) is not { } got)
                {
                    break;
                }

                if (got.Channel > Error || got.Count == 0)
                {
                    continue;
                }

                Memory<byte> bytes = target[..got.Count];
                int head = Math.Min(PortPrefix - _prefix[got.Channel], bytes.Length);
                _prefix[got.Channel] += head;
                bytes = bytes[head..];
                if (bytes.Length == 0)
                {
                    continue;
                }

                if (got.Channel == Error)
                {
                    throw new IOException($"The connection to {what} failed: {Encoding.UTF8.GetString(bytes.Span).Trim()}");
                }

                if (!plain)
                {
                    if (bytes.Length > buffer.Length)
                    {
                        throw new IOException($"The connection to {what} began with more than it may.");
                    }

                    bytes.CopyTo(buffer);
                }

                return bytes.Length;
            }

            _ended = true;
            return 0;
        }

        public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
        {
            try
            {
                await channels.SendAsync(Data, buffer, cancellationToken).ConfigureAwait(false);
            }
            catch (WebSocketException e)
            {
                throw new IOException($"The connection to {what} broke: {e.Message}", e);
            }
        }

        public override async ValueTask DisposeAsync()
        {
            await channels.DisposeAsync().ConfigureAwait(false);
            await base.DisposeAsync().ConfigureAwait(false);
        }

        protected override void Dispose(bool disposing)
        {
            if (disposing)
            {
                _ = channels.DisposeAsync().AsTask();
            }

            base.Dispose(disposing);
        }
    }
}
