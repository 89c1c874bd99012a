using Microsoft.Extensions.Logging;

namespace SandLabX.Runtime;

/// <summary>
/// Holds a lease, or waits for it. A holder that can't renew ceases to be leader before anybody else may become it: its own limit
/// (renew deadline) runs from before the last renewal was sent, the others' (lease duration, longer) from after they saw it.
/// Clocks of different machines are never compared.
/// </summary>
internal sealed class LeaderElector(ILeaseLock theLease, OperatorSettings settings, TimeProvider clock, ILogger<LeaderElector> log)
{
    private readonly TaskCompletionSource _acquired = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>What the lease last said, and when, by our clock, it first said so.</summary>
    private LeaseRecord? _seen;
    private long _seenSince;

    private volatile bool _leading;
    private long _validUntil;

    /// <summary>Ends when this process becomes the leader.</summary>
    public Task Acquired => _acquired.Task;

    /// <summary>Whether this process is the leader now, for sure.</summary>
    public bool IsLeader => _leading && clock.GetTimestamp() < Interlocked.Read(ref _validUntil);

    /// <summary>Waits for the lease, then renews it. Ends when it is lost (true), or when <paramref name="stop"/> asks for the end: it gives the lease back then (false).</summary>
    public async Task<bool> RunAsync(CancellationToken stop)
    {
        while (!await TryAsync(stop).ConfigureAwait(false))
        {
            if (!await PauseAsync(stop).ConfigureAwait(false))
            {
                return false;
            }
        }

        _leading = true;
        RuntimeMetrics.Leader.WithLabels(settings.Name).Set(1);
        log.LogInformation("{Identity} is the leader", settings.Identity);
        _acquired.TrySetResult();
        try
        {
            return await KeepAsync(stop).ConfigureAwait(false);
        }
        finally
        {
            _leading = false;
            RuntimeMetrics.Leader.WithLabels(settings.Name).Set(0);
        }
    }

    private async Task<bool> KeepAsync(CancellationToken stop)
    {
        while (await PauseAsync(stop).ConfigureAwait(false))
        {
            bool renewed = await TryAsync(stop).ConfigureAwait(false);
            if (stop.IsCancellationRequested)
            {
                break;
            }

            bool stolen = !renewed && _seen?.Holder != settings.Identity;
            if (stolen || !IsLeader)
            {
                log.LogError("{Identity} lost the lease: {Why}", settings.Identity, stolen ? $"its holder is '{_seen?.Holder}'" : "it could not be renewed in time");
                return true;
            }
        }

        await ReleaseAsync().ConfigureAwait(false);
        return false;
    }

    /// <summary>One try to get or renew the lease; false also for every fault.</summary>
    private async Task<bool> TryAsync(CancellationToken stop)
    {
        // No single call may use up the time in which another one could still succeed.
        using var limit = new CancellationTokenSource(AtMostUntilLost(settings.RenewDeadline / 2), clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(stop, limit.Token);
        long began = clock.GetTimestamp();
        try
        {
            // While we lead, our own last write is what the lease says, unless a conflict teaches otherwise.
            if (!_leading || _seen?.Version is null || _seen.Holder != settings.Identity)
            {
                Saw(await theLease.ReadAsync(either.Token).ConfigureAwait(false));
            }

            return MayTake() && await WriteAsync(began, either.Token).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind == KubeError.NotFound && _leading)
        {
            // Somebody deleted it, and somebody else may have made it anew.
            Saw(null);
            return false;
        }
        catch (KubeException e) when (e.Kind is KubeError.Conflict or KubeError.AlreadyExists)
        {
            return await AfterConflictAsync(began, either.Token).ConfigureAwait(false);
        }
        catch (Exception e) when (e is KubeException or OperationCanceledException)
        {
            if (!stop.IsCancellationRequested)
            {
                log.LogWarning("Lease of {Identity}: {Error}", settings.Identity, e.Message);
            }

            return false;
        }
    }

    /// <summary>Somebody wrote meanwhile: another process, or we ourselves by a call whose answer never came.</summary>
    private async Task<bool> AfterConflictAsync(long began, CancellationToken stop)
    {
        try
        {
            Saw(await theLease.ReadAsync(stop).ConfigureAwait(false));
            return _seen?.Holder == settings.Identity && await WriteAsync(began, stop).ConfigureAwait(false);
        }
        catch (Exception e) when (e is KubeException or OperationCanceledException)
        {
            log.LogWarning("Lease of {Identity}, after a conflict: {Error}", settings.Identity, e.Message);
            return false;
        }
    }

    private void Saw(LeaseRecord? record)
    {
        if (_seen is null || _seen != record)
        {
            _seen = record;
            _seenSince = clock.GetTimestamp();
        }
    }

    private bool MayTake() => _seen is null
        || _seen.Holder.Length == 0
        || _seen.Holder == settings.Identity
        || clock.GetElapsedTime(_seenSince) > _seen.Duration;

    private async Task<bool> WriteAsync(long began, CancellationToken stop)
    {
        DateTimeOffset now = clock.GetUtcNow();
        bool mine = _seen?.Holder == settings.Identity;
        var record = new LeaseRecord(
            settings.Identity,
            settings.LeaseDuration,
            mine ? _seen!.Acquired : now,
            now,
            (_seen?.Transitions ?? 0) + (mine || _seen is null ? 0 : 1),
            _seen?.Version);
        Saw(await theLease.WriteAsync(record, stop).ConfigureAwait(false));
        Interlocked.Exchange(ref _validUntil, began + (long)(settings.RenewDeadline.TotalSeconds * clock.TimestampFrequency));
        return true;
    }

    /// <summary>Gives the lease back, so that a successor need not wait it out. Best effort: it runs out by itself.</summary>
    private async Task ReleaseAsync()
    {
        _leading = false;
        if (_seen is not { Version: not null } seen || seen.Holder != settings.Identity)
        {
            return;
        }

        using var limit = new CancellationTokenSource(settings.RenewDeadline / 2, clock);
        try
        {
            DateTimeOffset now = clock.GetUtcNow();
            await theLease.WriteAsync(seen with { Holder = "", Duration = TimeSpan.FromSeconds(1), Renewed = now }, limit.Token).ConfigureAwait(false);
            log.LogInformation("{Identity} gave the lease back", settings.Identity);
        }
        catch (Exception e) when (e is KubeException or OperationCanceledException)
        {
            log.LogWarning("{Identity} could not give the lease back: {Error}", settings.Identity, e.Message);
        }
    }

    /// <summary>Waits one period; false when the end is asked for.</summary>
    private async Task<bool> PauseAsync(CancellationToken stop)
    {
        await Task.Delay(AtMostUntilLost(settings.RetryPeriod), clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return !stop.IsCancellationRequested;
    }

    /// <summary>A leader waits for nothing beyond the moment at which it ceases to be one.</summary>
    private TimeSpan AtMostUntilLost(TimeSpan wait)
    {
        if (!_leading)
        {
            return wait;
        }

        TimeSpan left = clock.GetElapsedTime(clock.GetTimestamp(), Interlocked.Read(ref _validUntil));
        return left < TimeSpan.Zero ? TimeSpan.Zero : left < wait ? left : wait;
    }
}
