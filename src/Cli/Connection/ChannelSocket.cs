using System.Net.WebSockets;

namespace SandLabX.Cli.Connection;

/// <summary>
/// Channels over one WebSocket, as the API server speaks them (<c>v4.channel.k8s.io</c>): the first byte of each message is its channel. Unlike the client
/// library's demuxer it holds no thread and buffers nothing: who does not read holds the sender up, whatever the length of the transfer.
/// </summary>
internal sealed class ChannelSocket(WebSocket socket) : IAsyncDisposable
{
    // The server reads a message whole, and takes a continued frame for a message of its own: one frame a message.
    private const int MaxMessage = 64 * 1024;
    private static readonly TimeSpan s_goodbye = TimeSpan.FromSeconds(2);

    private readonly byte[] _frame = new byte[MaxMessage + 1];
    private readonly SemaphoreSlim _sending = new(1);
    private byte _channel;
    private bool _within;

    /// <summary>Sends bytes on a channel, in as many messages as they need.</summary>
    internal async Task SendAsync(byte channel, ReadOnlyMemory<byte> data, CancellationToken stop)
    {
        await _sending.WaitAsync(stop).ConfigureAwait(false);
        try
        {
            while (data.Length > 0)
            {
                int length = Math.Min(data.Length, MaxMessage);
                _frame[0] = channel;
                data[..length].CopyTo(_frame.AsMemory(1));
                await socket.SendAsync(_frame.AsMemory(0, length + 1), WebSocketMessageType.Binary, endOfMessage: true, stop).ConfigureAwait(false);
                data = data[length..];
            }
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>Receives the next bytes, of whichever channel; one reader at a time.</summary>
    /// <returns>The channel and how many; null at the end of the connection. A count of 0 is an empty message.</returns>
    internal async Task<(byte Channel, int Count)?> ReceiveAsync(Memory<byte> buffer, CancellationToken stop)
    {
        if (!_within)
        {
            byte[] head = new byte[1];
            ValueWebSocketReceiveResult first;
            do
            {
                first = await socket.ReceiveAsync(head.AsMemory(), stop).ConfigureAwait(false);
                if (first.MessageType == WebSocketMessageType.Close)
                {
                    return null;
                }
            }
            while (first.Count == 0);

            _channel = head[0];
            if (first.EndOfMessage)
            {
                return (_channel, 0);
            }

            _within = true;
        }

        ValueWebSocketReceiveResult next = await socket.ReceiveAsync(buffer, stop).ConfigureAwait(false);
        if (next.MessageType == WebSocketMessageType.Close)
        {
            return null;
        }

        _within = !next.EndOfMessage;
        return (_channel, next.Count);
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        if (socket.State is WebSocketState.Open or WebSocketState.CloseReceived)
        {
            using var limit = new CancellationTokenSource(s_goodbye);
            try
            {
                await socket.CloseOutputAsync(WebSocketCloseStatus.NormalClosure, null, limit.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is WebSocketException or OperationCanceledException or IOException)
            {
                // The other side is gone already.
            }
        }

        socket.Dispose();
        _sending.Dispose();
    }
}
