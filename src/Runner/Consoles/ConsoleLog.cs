namespace SandLabX.Runner.Consoles;

/// <summary>
/// The last bytes that the guest wrote, read by any number of readers, each at its own place and pace. The writer never waits: who falls
/// behind further than the ring reaches has lost what is gone, and is told how much.
/// </summary>
internal sealed class ConsoleLog(int capacity = ConsoleLog.DefaultCapacity)
{
    /// <summary>Bytes kept: enough for a reader that is away for the time of a boot's whole output.</summary>
    internal const int DefaultCapacity = 256 * 1024;

    private readonly byte[] _ring = new byte[capacity];
    private readonly Lock _lock = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private long _end;
    private bool _closed;

    /// <summary>How many bytes the guest has written in all: the place of the next one.</summary>
    internal long End
    {
        get
        {
            lock (_lock)
            {
                return _end;
            }
        }
    }

    /// <summary>Adds what the guest wrote.</summary>
    internal void Append(ReadOnlySpan<byte> bytes)
    {
        lock (_lock)
        {
            long place = _end;
            _end += bytes.Length;
            if (bytes.Length > capacity)
            {
                place += bytes.Length - capacity;
                bytes = bytes[^capacity..];
            }

            int at = (int)(place % capacity);
            int first = Math.Min(bytes.Length, capacity - at);
            bytes[..first].CopyTo(_ring.AsSpan(at));
            bytes[first..].CopyTo(_ring);
            Wake();
        }
    }

    /// <summary>The guest will write no more.</summary>
    internal void Close()
    {
        lock (_lock)
        {
            _closed = true;
            Wake();
        }
    }

    /// <summary>Copies what follows <paramref name="place"/>, and moves it on.</summary>
    /// <param name="place">The reader's place; moved over what was lost, too.</param>
    /// <param name="target">Where the bytes go.</param>
    /// <param name="lost">Bytes that were overwritten before the reader came.</param>
    /// <returns>How many bytes were copied.</returns>
    internal int Read(ref long place, Span<byte> target, out long lost)
    {
        lock (_lock)
        {
            lost = Math.Max(0, _end - capacity - place);
            place += lost;
            int count = (int)Math.Min(target.Length, _end - place);
            int at = (int)(place % capacity);
            int first = Math.Min(count, capacity - at);
            _ring.AsSpan(at, first).CopyTo(target);
            _ring.AsSpan(0, count - first).CopyTo(target[first..]);
            place += count;
            return count;
        }
    }

    /// <summary>Waits until there is something after <paramref name="place"/>; false when nothing will ever be.</summary>
    internal async Task<bool> WaitAsync(long place)
    {
        while (true)
        {
            Task change;
            lock (_lock)
            {
                if (_end > place)
                {
                    return true;
                }

                if (_closed)
                {
                    return false;
                }

                change = _changed.Task;
            }

            await change.ConfigureAwait(false);
        }
    }

    /// <summary>The last bytes.</summary>
    internal byte[] Tail(int bytes)
    {
        byte[] tail = new byte[Math.Min(bytes, capacity)];
        long place = Math.Max(0, End - tail.Length);
        int count = Read(ref place, tail, out _);
        return tail[..count];
    }

    private void Wake()
    {
        TaskCompletionSource changed = _changed;
        _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }
}
