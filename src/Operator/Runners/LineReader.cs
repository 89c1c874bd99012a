using System.Buffers;

namespace SandLabX.Operator.Runners;

/// <summary>Reads lines of bounded length from a peer that is not trusted: a longer one is an error, not memory.</summary>
/// <param name="source">Where the bytes come from; stays open.</param>
/// <param name="limit">The longest line, in bytes.</param>
internal sealed class LineReader(Stream source, int limit) : IDisposable
{
    private byte[] _buffer = ArrayPool<byte>.Shared.Rent(4096);
    private int _start;
    private int _end;

    /// <summary>The next line without its end, valid until the next call; null at the end of the stream.</summary>
    /// <exception cref="IOException">The line exceeds the limit.</exception>
    public async ValueTask<ReadOnlyMemory<byte>?> ReadAsync(CancellationToken stop)
    {
        int looked = _start;
        while (true)
        {
            int at = Array.IndexOf(_buffer, (byte)'\n', looked, _end - looked);
            if (at >= 0)
            {
                ReadOnlyMemory<byte> line = _buffer.AsMemory(_start, at - _start);
                _start = at + 1;
                return line;
            }

            if (_end - _start > limit)
            {
                throw new IOException($"A line exceeds {limit} bytes.");
            }

            MakeRoom();
            looked = _end;
            int read = await source.ReadAsync(_buffer.AsMemory(_end), stop).ConfigureAwait(false);
            if (read == 0)
            {
                return null;
            }

            _end += read;
        }
    }

    /// <inheritdoc/>
    public void Dispose() => ArrayPool<byte>.Shared.Return(_buffer);

    private void MakeRoom()
    {
        if (_start > 0)
        {
            Buffer.BlockCopy(_buffer, _start, _buffer, 0, _end - _start);
            _end -= _start;
            _start = 0;
        }

        if (_end == _buffer.Length)
        {
            byte[] larger = ArrayPool<byte>.Shared.Rent(_buffer.Length * 2);
            Buffer.BlockCopy(_buffer, 0, larger, 0, _end);
            ArrayPool<byte>.Shared.Return(_buffer);
            _buffer = larger;
        }
    }
}
