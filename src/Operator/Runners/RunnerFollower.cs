using System.Collections.Concurrent;
using System.Net.Http.Headers;
using System.Text.Json;
using k8s.Models;
using Microsoft.Extensions.Logging;
using SandLabX.Contract;
using SandLabX.Runtime;

namespace SandLabX.Operator.Runners;

/// <summary>
/// Listens to the event streams of the runners, so that "the guest runs" is known the moment it does and not at the next probe.
/// A stream only hastens: what it tells is also in the pod's readiness and in its termination message, so a lost one loses nothing.
/// </summary>
public sealed class RunnerFollower : IDisposable
{
    /// <summary>The longest line a runner may send, in bytes; a state is a few hundred, the last one has the console's last lines, which JSON can make six times as long.</summary>
    private const int MaxLine = 128 * 1024;

    private static readonly TimeSpan s_firstRetry = TimeSpan.FromMilliseconds(200);
    private static readonly TimeSpan s_lastRetry = TimeSpan.FromSeconds(30);

    // A pod has its address before its runner listens. So long, tries come at least this often: its first word is what people wait for.
    private static readonly TimeSpan s_startTime = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan s_startRetry = TimeSpan.FromSeconds(1);

    private readonly ConcurrentDictionary<ObjectKey, Following> _streams = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly ILogger<RunnerFollower> _log;
    private readonly TimeProvider _clock;
    private readonly Cache<V1Pod> _pods;
    private readonly HttpClient _http = new(new SocketsHttpHandler
    {
        ConnectTimeout = TimeSpan.FromSeconds(5),
        UseProxy = false,
        MaxResponseHeadersLength = 8,
    })
    {
        // The stream is endless by design; a dead peer is noticed by the pod's own end.
        Timeout = Timeout.InfiniteTimeSpan,
    };

    /// <summary>One follower serves all pods of a process.</summary>
    public RunnerFollower(Cache<V1Pod> pods, ILogger<RunnerFollower> log, TimeProvider clock)
    {
        _pods = pods;
        _log = log;
        _clock = clock;
    }

    /// <summary>Called, with the pod, when its runner told something new.</summary>
    public event Action<V1Pod>? Changed;

    /// <summary>Called, with the pod, when all that is new is that its guest was used: what many guests tell often, and few decisions look at.</summary>
    public event Action<V1Pod>? Used;

    /// <summary>What this pod's runner last said; begins to listen to it when nobody does yet.</summary>
    /// <remarks>What it said last is kept beyond the pod's end, for <see cref="Heard"/>: a kubelet can lose a termination message.</remarks>
    public RunnerState? Follow(V1Pod pod)
    {
        ObjectKey key = Key(pod);
        if (_streams.TryGetValue(key, out Following? known) && known.Pod.Metadata.Uid == pod.Metadata.Uid)
        {
            return known.Last;
        }

        if (pod.Status?.Phase is "Succeeded" or "Failed" || string.IsNullOrEmpty(pod.Status?.PodIP))
        {
            return null;
        }

        var made = new Following(pod, CancellationTokenSource.CreateLinkedTokenSource(_stop.Token));
        Following now = _streams.AddOrUpdate(key, made, (_, old) =>
        {
            if (old.Pod.Metadata.Uid == pod.Metadata.Uid)
            {
                return old;
            }

            old.Stop.Cancel();
            return made;
        });
        if (now == made)
        {
            made.Reading = Task.Run(() => ReadAsync(made), CancellationToken.None);
        }

        return now.Last;
    }

    /// <summary>What was last heard from the runner of the pod that has, or last had, this name; with the pod's UID.</summary>
    public (string PodUid, RunnerState State)? Heard(ObjectKey pod) =>
        _streams.TryGetValue(pod, out Following? stream) && stream.Last is { } last ? (stream.Pod.Metadata.Uid, last) : null;

    /// <summary>Nobody asks for this pod's runner any more.</summary>
    public void Forget(ObjectKey pod)
    {
        if (_streams.TryRemove(pod, out Following? stream))
        {
            stream.Stop.Cancel();
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _http.Dispose();
        _stop.Dispose();
    }

    private async Task ReadAsync(Following stream)
    {
        TimeSpan wait = s_firstRetry;
        long began = _clock.GetTimestamp();
        CancellationToken stop = stream.Stop.Token;
        while (Lives(stream.Pod))
        {
            try
            {
                await ReadOnceAsync(stream, stop).ConfigureAwait(false);
                wait = s_firstRetry;
            }
            catch (OperationCanceledException) when (stop.IsCancellationRequested)
            {
                return;
            }
            catch (Exception e) when (e is HttpRequestException or IOException or JsonException or OperationCanceledException)
            {
                // A runner that ends closes its stream; one behind a network policy is never reached. Both are told by the pod's status.
                _log.LogDebug(e, "Stream of pod {Pod} broke; next try in {Wait}", stream.Pod.Metadata.Name, wait);
            }

            await Task.Delay(wait, _clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (stop.IsCancellationRequested)
            {
                return;
            }

            TimeSpan longest = stream.Last is null && _clock.GetElapsedTime(began) < s_startTime ? s_startRetry : s_lastRetry;
            wait = wait * 2 < longest ? wait * 2 : longest;
        }
    }

    private static ObjectKey Key(V1Pod pod) => new(pod.Metadata.NamespaceProperty, pod.Metadata.Name);

    private bool Lives(V1Pod pod) => _pods.Get(Key(pod)) is { } now
        && now.Metadata.Uid == pod.Metadata.Uid && now.Status?.Phase is not ("Succeeded" or "Failed");

    private async Task ReadOnceAsync(Following stream, CancellationToken stop)
    {
        string ip = stream.Pod.Status.PodIP;
        string host = ip.Contains(':', StringComparison.Ordinal) ? $"[{ip}]" : ip;
        using var request = new HttpRequestMessage(HttpMethod.Get, $"http://{host}:{ContractNames.Port}/v1/events");
        request.Headers.Accept.Add(new MediaTypeWithQualityHeaderValue("application/x-ndjson"));
        using HttpResponseMessage answer = await _http.SendAsync(request, HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
        answer.EnsureSuccessStatusCode();
        await using Stream body = await answer.Content.ReadAsStreamAsync(stop).ConfigureAwait(false);
        using var lines = new LineReader(body, MaxLine);
        while (await lines.ReadAsync(stop).ConfigureAwait(false) is { } line)
        {
            if (JsonSerializer.Deserialize(line.Span, ContractJson.Default.RunnerState) is { } state)
            {
                if (state.PodUid is { } uid && uid != stream.Pod.Metadata.Uid)
                {
                    // The address is another pod's by now.
                    return;
                }

                RunnerState? before = stream.Last;
                stream.Last = state;
                (OnlyUsed(before, state) ? Used : Changed)?.Invoke(stream.Pod);
            }
        }
    }

    /// <summary>Whether all that a line tells anew is that the guest was used.</summary>
    internal static bool OnlyUsed(RunnerState? before, RunnerState now) =>
        before is not null && now.LastUsedAt > before.LastUsedAt
        && (before with { LastUsedAt = now.LastUsedAt, At = now.At, Disk = now.Disk }) == now

        // Which disks are kept changes at a start alone; each line brings a list of its own.
        && (before.Disk is null || now.Disk is null ? before.Disk == now.Disk : before.Disk with { Kept = now.Disk.Kept } == now.Disk);

    private sealed class Following(V1Pod pod, CancellationTokenSource stop)
    {
        public V1Pod Pod { get; } = pod;

        public CancellationTokenSource Stop { get; } = stop;

        public Task? Reading { get; set; }

        public volatile RunnerState? Last;
    }
}
