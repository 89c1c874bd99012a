using System.Threading.Channels;

namespace SandLabX.Runtime;

/// <summary>
/// The keys that wait for a look. A key is never with two workers at once, is in the queue once however often it is added, and one that is
/// added while a worker has it is run once more afterwards. Before <see cref="Open"/> nothing is taken in.
/// </summary>
internal sealed class WorkQueue : IDisposable
{
    /// <summary>First wait after a failure.</summary>
    public static readonly TimeSpan FirstRetry = TimeSpan.FromMilliseconds(5);

    /// <summary>Longest wait after failures: a fault of hours is noticed to be over within this time.</summary>
    public static readonly TimeSpan LastRetry = TimeSpan.FromMinutes(5);

    /// <summary>Timers can't wait longer than 49 days.</summary>
    private static readonly TimeSpan s_longestTimer = TimeSpan.FromDays(1);

    private readonly Lock _gate = new();
    private readonly Channel<ObjectKey> _ready = Channel.CreateUnbounded<ObjectKey>();

    /// <summary>Keys that want a run, with the time since when.</summary>
    private readonly Dictionary<ObjectKey, long> _dirty = [];

    /// <summary>Keys that workers have, with the time since when.</summary>
    private readonly Dictionary<ObjectKey, long> _processing = [];
    private readonly Dictionary<ObjectKey, int> _failures = [];

    /// <summary>When delayed keys are due; the truth, of which the heap is an order that may hold more.</summary>
    private readonly Dictionary<ObjectKey, long> _due = [];
    private readonly PriorityQueue<(ObjectKey Key, long Due), long> _byTime = new();
    private readonly TimeProvider _clock;
    private readonly ITimer _timer;
    private bool _open;
    private bool _disposed;

    /// <param name="name">The queue's name in metrics.</param>
    /// <param name="clock">The clock.</param>
    public WorkQueue(string name, TimeProvider clock)
    {
        Name = name;
        _clock = clock;
        _timer = clock.CreateTimer(_ => Tick(), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The queue's name in metrics.</summary>
    public string Name { get; }

    /// <summary>How long the longest running key has been with its worker.</summary>
    public TimeSpan LongestRunning
    {
        get
        {
            lock (_gate)
            {
                return _processing.Count == 0 ? TimeSpan.Zero : _clock.GetElapsedTime(_processing.Values.Min());
            }
        }
    }

    /// <summary>Begins to take keys in.</summary>
    public void Open()
    {
        lock (_gate)
        {
            _open = true;
        }
    }

    /// <summary>Whether a worker has this key now.</summary>
    public bool IsProcessing(ObjectKey key)
    {
        lock (_gate)
        {
            return _processing.ContainsKey(key);
        }
    }

    /// <summary>Asks for a run of a key as soon as a worker is free.</summary>
    public void Add(ObjectKey key)
    {
        lock (_gate)
        {
            if (!_open || !_dirty.TryAdd(key, _clock.GetTimestamp()))
            {
                return;
            }

            RuntimeMetrics.QueueAdds.WithLabels(Name).Inc();
            if (!_processing.ContainsKey(key))
            {
                Ready(key);
            }
        }
    }

    /// <summary>Asks for a run after a while. Of several wishes the earliest counts; a run that begins fulfils them all.</summary>
    public void AddAfter(ObjectKey key, TimeSpan delay)
    {
        if (delay <= TimeSpan.Zero)
        {
            Add(key);
            return;
        }

        lock (_gate)
        {
            long due = _clock.GetTimestamp() + (long)(delay.TotalSeconds * _clock.TimestampFrequency);
            if (!_open || (_due.TryGetValue(key, out long earlier) && earlier <= due))
            {
                return;
            }

            _due[key] = due;
            _byTime.Enqueue((key, due), due);
            Tidy();
            Arm();
        }
    }

    /// <summary>Asks for a run after a failure: later each time, until <see cref="Forget"/>.</summary>
    /// <param name="key">The key.</param>
    /// <param name="atLeast">The server's own wish; no more than <see cref="LastRetry"/> of it is heeded.</param>
    public void AddRateLimited(ObjectKey key, TimeSpan atLeast = default)
    {
        TimeSpan delay;
        lock (_gate)
        {
            int failures = _failures.GetValueOrDefault(key);
            _failures[key] = failures + 1;
            delay = Backoff.Exponential(FirstRetry, LastRetry, failures);
        }

        RuntimeMetrics.QueueRetries.WithLabels(Name).Inc();
        AddAfter(key, delay > atLeast ? delay : atLeast < LastRetry ? atLeast : LastRetry);
    }

    /// <summary>The key did well: the next failure waits as short as a first one.</summary>
    public void Forget(ObjectKey key)
    {
        lock (_gate)
        {
            _failures.Remove(key);
        }
    }

    /// <summary>Takes the next key; <see cref="Done"/> must follow.</summary>
    public async ValueTask<ObjectKey> TakeAsync(CancellationToken stop)
    {
        ObjectKey key = await _ready.Reader.ReadAsync(stop).ConfigureAwait(false);
        lock (_gate)
        {
            _dirty.Remove(key, out long since);
            _processing.Add(key, _clock.GetTimestamp());

            // What this run returns decides when the next one comes.
            _due.Remove(key);
            RuntimeMetrics.QueueDepth.WithLabels(Name).Dec();
            RuntimeMetrics.QueueTime.WithLabels(Name).Observe(_clock.GetElapsedTime(since).TotalSeconds);
        }

        return key;
    }

    /// <summary>Gives a key back.</summary>
    public void Done(ObjectKey key)
    {
        lock (_gate)
        {
            _processing.Remove(key);
            if (_dirty.ContainsKey(key))
            {
                Ready(key);
            }
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        lock (_gate)
        {
            _open = false;
            _disposed = true;
        }

        _timer.Dispose();
    }

    private void Ready(ObjectKey key)
    {
        _ready.Writer.TryWrite(key);
        RuntimeMetrics.QueueDepth.WithLabels(Name).Inc();
    }

    private void Tick()
    {
        lock (_gate)
        {
            long now = _clock.GetTimestamp();
            while (_byTime.TryPeek(out (ObjectKey Key, long Due) head, out _) && (head.Due <= now || !IsCurrent(head)))
            {
                _byTime.Dequeue();
                if (IsCurrent(head))
                {
                    _due.Remove(head.Key);
                    Add(head.Key);
                }
            }

            Arm();
        }
    }

    private bool IsCurrent((ObjectKey Key, long Due) entry) => _due.TryGetValue(entry.Key, out long due) && due == entry.Due;

    /// <summary>Drops what the heap holds beyond the truth, so that it does not grow by keys that are delayed far and run often.</summary>
    private void Tidy()
    {
        if (_byTime.Count > (2 * _due.Count) + 64)
        {
            _byTime.Clear();
            foreach ((ObjectKey key, long due) in _due)
            {
                _byTime.Enqueue((key, due), due);
            }
        }
    }

    private void Arm()
    {
        if (_disposed || !_byTime.TryPeek(out (ObjectKey Key, long Due) head, out _))
        {
            return;
        }

        TimeSpan wait = _clock.GetElapsedTime(_clock.GetTimestamp(), head.Due);

        // A millisecond more: timers count in whole ones, and one that fires too early finds nothing due.
        wait = wait <= TimeSpan.Zero ? TimeSpan.Zero : wait + TimeSpan.FromMilliseconds(1);
        _timer.Change(wait < s_longestTimer ? wait : s_longestTimer, Timeout.InfiniteTimeSpan);
    }
}
