using System.Globalization;
using System.Text.Json;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;

namespace SandLabX.Runtime;

/// <summary>Keeps a cache like the server: lists once, then watches, and comes back from whatever breaks. It ends only when it is told to.</summary>
internal abstract class Informer
{
    /// <summary>So many watches in a row that were closed at once and empty mean that the server does not take our version, but does not say so.</summary>
    private const int MaxEmptyCloses = 3;

    /// <summary>A list is large, and the server's store may be busy.</summary>
    private static readonly TimeSpan s_pageTimeout = TimeSpan.FromSeconds(60);

    /// <summary>A server may ask for a wait, but not for one in which we would be taken for dead.</summary>
    private static readonly TimeSpan s_longestAsked = TimeSpan.FromMinutes(1);

    private readonly KubeTransport _transport;
    private readonly InformerTimes _times;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly string _path;
    private readonly string _selector;
    private readonly Backoff _backoff;

    private string? _version;
    private int _emptyCloses;
    private long _beat;

    protected Informer(string path, string? labelSelector, string kind, KubeTransport transport, InformerTimes times, TimeProvider clock, ILogger log)
    {
        _path = path;
        _selector = labelSelector is null ? "" : "&labelSelector=" + Uri.EscapeDataString(labelSelector);
        Kind = kind;
        _transport = transport;
        _times = times;
        _clock = clock;
        _log = log;
        _backoff = new Backoff(times.FirstBackoff, times.LastBackoff, times.Healthy, clock);
        _beat = clock.GetTimestamp();
    }

    /// <summary>The kind that is followed.</summary>
    public string Kind { get; }

    /// <summary>Ends when the first list is in the cache.</summary>
    public abstract Task Synced { get; }

    /// <summary>Whether the loop itself has come to a halt; that the server is away does not count.</summary>
    public bool IsStuck => _clock.GetElapsedTime(Volatile.Read(ref _beat)) > (_times.WatchTimeout * 2) + _times.IdleGrace + _times.LastBackoff + s_pageTimeout;

    /// <summary>Lists and watches until it is told to end; never throws.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            Beat();
            TimeSpan wait;
            long began = _clock.GetTimestamp();
            try
            {
                if (_version is null)
                {
                    await ListAsync(stop).ConfigureAwait(false);
                    began = _clock.GetTimestamp();
                }

                await WatchAsync(stop).ConfigureAwait(false);
                Restarted("closed");
                wait = _times.BetweenWatches - _clock.GetElapsedTime(began);
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
#pragma warning disable CA1031 // Whatever it is, an operator that goes on with a dead cache is worse: come back, and list anew when in doubt.
            catch (Exception e)
#pragma warning restore CA1031
            {
                wait = Failed(e);
            }

            if (wait > TimeSpan.Zero)
            {
                await Task.Delay(wait, _clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Takes in a whole list.</summary>
    protected abstract void OnList(IReadOnlyList<JsonElement> items, string resourceVersion);

    /// <summary>Takes in ADDED, MODIFIED (<paramref name="deleted"/> false) or DELETED.</summary>
    protected abstract void OnEvent(JsonElement item, bool deleted);

    /// <summary>Takes in a BOOKMARK.</summary>
    protected abstract void OnBookmark(string resourceVersion);

    private async Task ListAsync(CancellationToken stop)
    {
        var items = new List<JsonElement>();
        string? next = null;
        string version;
        do
        {
            string query = $"?limit={_times.PageSize}{_selector}" + (next is null ? "" : "&continue=" + Uri.EscapeDataString(next));
            JsonElement page = await _transport.GetAsync(_path + query, s_pageTimeout, stop).ConfigureAwait(false);
            Beat();
            if (!page.TryGetProperty("metadata", out JsonElement metadata) || Text(metadata, "resourceVersion") is not { Length: > 0 } listed)
            {
                throw new KubeException($"The list of {Kind} has no resourceVersion.");
            }

            if (page.TryGetProperty("items", out JsonElement part) && part.ValueKind == JsonValueKind.Array)
            {
                items.AddRange(part.EnumerateArray());
            }

            version = listed;
            next = Text(metadata, "continue");
        }
        while (!string.IsNullOrEmpty(next));

        OnList(items, version);
        _version = version;
        _log.LogDebug("Listed {Count} {Kind} at version {Version}", items.Count, Kind, version);
    }

    private async Task WatchAsync(CancellationToken stop)
    {
#pragma warning disable CA5394 // Spread is no secret.
        TimeSpan lasts = _times.WatchTimeout * (1 + Random.Shared.NextDouble());
#pragma warning restore CA5394
        string seconds = Math.Max(1, Math.Ceiling(lasts.TotalSeconds)).ToString(CultureInfo.InvariantCulture);
        string query = $"?watch=true&allowWatchBookmarks=true&timeoutSeconds={seconds}&resourceVersion={Uri.EscapeDataString(_version!)}{_selector}";
        using var idle = new CancellationTokenSource(_times.OpenTimeout, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, idle.Token);
        long began = _clock.GetTimestamp();
        bool any = false;
        try
        {
            using HttpResponseMessage answer = await _transport.OpenAsync(_path + query, either.Token).ConfigureAwait(false);
            idle.CancelAfter(lasts + _times.IdleGrace);
            await using Stream stream = await answer.Content.ReadAsStreamAsync(either.Token).ConfigureAwait(false);
            await foreach (WatchEvent line in WatchStream.ReadAsync(stream, either.Token).ConfigureAwait(false))
            {
                Beat();
                RuntimeMetrics.LastEvent.WithLabels(Kind).Set(_clock.GetUtcNow().ToUnixTimeSeconds());
                idle.CancelAfter(lasts + _times.IdleGrace);
                Take(line);
                any = true;
            }
        }
        catch (OperationCanceledException e) when (!stop.IsCancellationRequested)
        {
            throw new TimeoutException($"The watch of {Kind} went silent.", e);
        }

        bool atOnce = _clock.GetElapsedTime(began) < _times.BetweenWatches;
        _emptyCloses = any || !atOnce ? 0 : _emptyCloses + 1;
        if (_emptyCloses >= MaxEmptyCloses)
        {
            _emptyCloses = 0;
            throw new KubeException(KubeError.Gone, $"The watch of {Kind} was closed {MaxEmptyCloses} times at once and without an event.");
        }
    }

    private void Take(WatchEvent line)
    {
        if (line.Type == "ERROR")
        {
            throw KubeErrors.FromStatus(line.Object, $"WATCH {_path}");
        }

        string? version = line.Object.TryGetProperty("metadata", out JsonElement metadata) ? Text(metadata, "resourceVersion") : null;
        if (string.IsNullOrEmpty(version))
        {
            throw new JsonException($"An event {line.Type} of the watch has no resourceVersion.");
        }

        switch (line.Type)
        {
            case "ADDED" or "MODIFIED":
                OnEvent(line.Object, deleted: false);
                break;
            case "DELETED":
                OnEvent(line.Object, deleted: true);
                break;
            case "BOOKMARK":
                OnBookmark(version);
                break;
            default:
                throw new JsonException($"The watch has an event of the unknown type '{line.Type}'.");
        }

        _version = version;
    }

    private TimeSpan Failed(Exception e)
    {
        TimeSpan wait = _backoff.Next();
        (string reason, bool relist) = e switch
        {
            KubeException { Kind: KubeError.Gone } => ("gone", true),
            TimeoutException => ("idle", false),
            KubeException or IOException or HttpRequestException => ("error", false),

            // A line that can't be read would come again from the same version.
            _ => ("unreadable", true),
        };
        if (e is KubeException { RetryAfter: { } asked } && asked > wait)
        {
            wait = asked < s_longestAsked ? asked : s_longestAsked;
        }

        _version = relist ? null : _version;
        Restarted(reason);
        LogLevel level = reason is "gone" or "idle" ? LogLevel.Information : LogLevel.Warning;
        _log.Log(level, "List and watch of {Kind} ({Reason}): {Error}; again in {Wait}", Kind, reason, e.Message, wait);
        return wait;
    }

    private void Restarted(string reason) => RuntimeMetrics.WatchRestarts.WithLabels(Kind, reason).Inc();

    private void Beat() => Volatile.Write(ref _beat, _clock.GetTimestamp());

    private static string? Text(JsonElement json, string name) =>
        json.ValueKind == JsonValueKind.Object && json.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString() : null;
}

/// <summary>The informer of one kind.</summary>
internal sealed class Informer<T> : Informer
    where T : class, IKubernetesObject<V1ObjectMeta>
{
    private readonly Cache<T> _cache;
    private readonly ILogger _log;

    public Informer(Cache<T> cache, KubeTransport transport, InformerTimes times, TimeProvider clock, ILogger<Informer<T>> log)
        : base(ResourceType.Of<T>().Path(cache.WatchNamespace), cache.LabelSelector, ResourceType.Of<T>().Kind, transport, times, clock, log)
    {
        _cache = cache;
        _log = log;
        cache.IndexFailed = (index, item, e) => log.LogError(e, "Index {Index} of {Kind} {Key} failed", index, Kind, ObjectKey.Of(item));
    }

    public override Task Synced => _cache.Synced;

    protected override void OnList(IReadOnlyList<JsonElement> items, string resourceVersion)
    {
        var read = new List<T>(items.Count);
        foreach (JsonElement item in items)
        {
            if (Read(item) is { } one)
            {
                read.Add(one);
            }
        }

        _cache.Replace(read, resourceVersion);
    }

    protected override void OnEvent(JsonElement item, bool deleted)
    {
        if (Read(item) is not { } read)
        {
            return;
        }

        if (deleted)
        {
            _cache.ApplyDeleted(read);
        }
        else
        {
            _cache.Apply(read);
        }
    }

    protected override void OnBookmark(string resourceVersion) => _cache.Advance(resourceVersion);

    private T? Read(JsonElement item)
    {
        try
        {
            T read = KubeJson.Read<T>(item, out IReadOnlyList<string> faults);
            foreach (string fault in faults)
            {
                RuntimeMetrics.Unreadable.WithLabels(Kind).Inc();
                _log.LogWarning("{Kind} {Key}: {Field} can't be read and was left out", Kind, ObjectKey.Of(read), fault);
            }

            return read;
        }
        catch (KubeException e)
        {
            RuntimeMetrics.Unreadable.WithLabels(Kind).Inc();
            _log.LogError("{Error}", e.Message);
            return null;
        }
    }
}
