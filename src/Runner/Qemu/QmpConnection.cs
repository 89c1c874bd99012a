using System.Net.Sockets;
using System.Runtime.CompilerServices;
using System.Text;
using System.Text.Json;

namespace SandLabX.Runner.Qemu;

/// <summary>The runner's own monitor: a stream that QEMU was born with, so there is nothing to connect to and nothing to wait for.</summary>
internal sealed class QmpConnection(Socket socket) : IDisposable
{
    // QEMU's longest answer to what is asked here is below 1 KiB.
    private const int MaxLine = 256 * 1024;

    private readonly SemaphoreSlim _sending = new(1);

    /// <summary>Sends a command; a monitor that is gone is told by the stream's end, not here.</summary>
    /// <param name="command">Its name.</param>
    /// <param name="arguments">Its arguments, a JSON object.</param>
    /// <param name="id">What its answer is known by: a JSON string's content.</param>
    internal async Task SendAsync(string command, string arguments = "{}", string id = "")
    {
        byte[] line = Encoding.UTF8.GetBytes($"{{\"execute\":\"{command}\",\"arguments\":{arguments},\"id\":\"{id}\"}}\n");
        await _sending.WaitAsync().ConfigureAwait(false);
        try
        {
            for (int sent = 0; sent < line.Length;)
            {
                sent += await socket.SendAsync(line.AsMemory(sent)).ConfigureAwait(false);
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            Log.Line("monitor.gone", ("command", command));
        }
        finally
        {
            _sending.Release();
        }
    }

    /// <summary>All that QEMU tells, until it closes the monitor.</summary>
    internal async IAsyncEnumerable<QmpMessage> ReadAsync([EnumeratorCancellation] CancellationToken stop = default)
    {
        byte[] buffer = new byte[4096];
        int start = 0;
        int end = 0;
        while (true)
        {
            int at = buffer.AsSpan(start, end - start).IndexOf((byte)'\n');
            if (at >= 0)
            {
                ReadOnlyMemory<byte> line = buffer.AsMemory(start, at);
                start += at + 1;
                if (Parse(line) is { } message)
                {
                    yield return message;
                }

                continue;
            }

            if (start > 0)
            {
                buffer.AsSpan(start, end - start).CopyTo(buffer);
                end -= start;
                start = 0;
            }

            if (end == buffer.Length)
            {
                if (end >= MaxLine)
                {
                    throw new InvalidDataException($"A line of QEMU's monitor exceeds {MaxLine} bytes.");
                }

                Array.Resize(ref buffer, buffer.Length * 2);
            }

            int count = await ReceiveAsync(buffer.AsMemory(end), stop).ConfigureAwait(false);
            if (count == 0)
            {
                yield break;
            }

            end += count;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => socket.Dispose();

    private static QmpMessage? Parse(ReadOnlyMemory<byte> line)
    {
        try
        {
            return QmpMessage.Parse(line);
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException)
        {
            Log.Line("monitor.unreadable", ("line", Encoding.UTF8.GetString(line.Span[..Math.Min(200, line.Length)])));
            return null;
        }
    }

    private async ValueTask<int> ReceiveAsync(Memory<byte> target, CancellationToken stop)
    {
        try
        {
            return await socket.ReceiveAsync(target, stop).ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            return 0;
        }
    }
}
