using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;

namespace SandLabX.Runtime;

/// <summary>The workers of one kind, as the host sees them.</summary>
internal abstract class ControllerLoop
{
    /// <summary>The controller's name in metrics and logs.</summary>
    public abstract string Name { get; }

    /// <summary>How long the longest running reconcile has been running.</summary>
    public abstract TimeSpan LongestRunning { get; }

    /// <summary>Looks at every object once, then at what changes, until it is told to end.</summary>
    /// <param name="stop">Take no more keys, and end when the running ones are through.</param>
    /// <param name="abort">Cancel the running ones too.</param>
    public abstract Task RunAsync(CancellationToken stop, CancellationToken abort);

    /// <summary>Puts every object into the queue.</summary>
    public abstract void EnqueueAll();
}

/// <summary>A finalizer and its name on objects.</summary>
internal sealed record NamedFinalizer<TEntity>(string Identifier, IEntityFinalizer<TEntity> Finalizer);

/// <summary>The workers of one kind: take a key, look at the object as it is now, let the controller or a finalizer make one step, and put the key back as that says.</summary>
internal sealed class ControllerLoop<TEntity> : ControllerLoop
    where TEntity : class, IKubernetesObject<V1ObjectMeta>
{
    private readonly Cache<TEntity> _cache;
    private readonly WorkQueue _queue;
    private readonly IEntityController<TEntity> _controller;
    private readonly IReadOnlyList<NamedFinalizer<TEntity>> _finalizers;
    private readonly KubeApi _api;
    private readonly OperatorSettings _settings;
    private readonly TimeProvider _clock;
    private readonly ILogger _log;
    private readonly int _workers;

    /// <summary>Last states of objects that are gone and of which the controller has not been told yet.</summary>
    private readonly ConcurrentDictionary<ObjectKey, TEntity> _gone = new();

    /// <summary>Keys whose object was written by this process while they were with a worker.</summary>
    private readonly ConcurrentDictionary<ObjectKey, bool> _selfWritten = new();

    private volatile bool _running;

    public ControllerLoop(
        Cache<TEntity> cache,
        WorkQueue queue,
        IEntityController<TEntity> controller,
        IReadOnlyList<NamedFinalizer<TEntity>> finalizers,
        KubeApi api,
        OperatorSettings settings,
        TimeProvider clock,
        ILogger log,
        int workers)
    {
        _cache = cache;
        _queue = queue;
        _controller = controller;
        _finalizers = finalizers;
        _api = api;
        _settings = settings;
        _clock = clock;
        _log = log;
        _workers = workers;
        cache.Subscribe(OnChange);
    }

    /// <inheritdoc/>
    public override string Name => _queue.Name;

    /// <inheritdoc/>
    public override TimeSpan LongestRunning => _queue.LongestRunning;

    /// <summary>Puts the keys into the queue that a mapping finds for a change of another kind.</summary>
    public void OnOther<TOther>(CacheChange<TOther> change, Func<TOther, IEnumerable<ObjectKey>> map)
        where TOther : class, IKubernetesObject<V1ObjectMeta>
    {
        // Both states: an object may have moved from one owner to another.
        Enqueue(change.Old, map);
        Enqueue(change.New, map);
    }

    /// <inheritdoc/>
    public override async Task RunAsync(CancellationToken stop, CancellationToken abort)
    {
        _queue.Open();
        _running = true;
        EnqueueAll();
        await Task.WhenAll(Enumerable.Range(0, _workers).Select(_ => Task.Run(() => WorkAsync(stop, abort), CancellationToken.None))).ConfigureAwait(false);
    }

    /// <inheritdoc/>
    public override void EnqueueAll()
    {
        foreach (TEntity entity in _cache.List())
        {
            _queue.Add(ObjectKey.Of(entity));
        }
    }

    private void Enqueue<TOther>(TOther? other, Func<TOther, IEnumerable<ObjectKey>> map)
        where TOther : class, IKubernetesObject<V1ObjectMeta>
    {
        if (other is null)
        {
            return;
        }

        try
        {
            foreach (ObjectKey key in map(other))
            {
                _queue.Add(key);
            }
        }
#pragma warning disable CA1031 // A mapping with a bug must not end the watch of everybody.
        catch (Exception e)
#pragma warning restore CA1031
        {
            RuntimeMetrics.ReconcileErrors.WithLabels(Name).Inc();
            _log.LogError(e, "{Controller}: the mapping of {Kind} {Key} failed", Name, typeof(TOther).Name, ObjectKey.Of(other));
        }
    }

    private void OnChange(CacheChange<TEntity> change)
    {
        if (!_running)
        {
            return;
        }

        var key = ObjectKey.Of((change.New ?? change.Old)!);
        if (change.New is null)
        {
            _gone[key] = change.Old!;
        }

        // What a reconcile itself wrote is looked at again too, but in no hurry: one that writes something new each time must not spin.
        if (change.OwnWrite && _queue.IsProcessing(key))
        {
            _selfWritten[key] = true;
        }
        else
        {
            _queue.Add(key);
        }
    }

    private async Task WorkAsync(CancellationToken stop, CancellationToken abort)
    {
        while (!stop.IsCancellationRequested && !abort.IsCancellationRequested)
        {
            ObjectKey key;
            try
            {
                key = await _queue.TakeAsync(stop).ConfigureAwait(false);
            }
            catch (OperationCanceledException)
            {
                return;
            }

            try
            {
                await RunAsync(key, abort).ConfigureAwait(false);
            }
            finally
            {
                _queue.Done(key);
            }
        }
    }

    /// <summary>One run of one key; never throws.</summary>
    private async Task RunAsync(ObjectKey key, CancellationToken abort)
    {
        using IDisposable? scope = _log.BeginScope("{Controller} {Key}", Name, key);
        using var limit = new CancellationTokenSource(_settings.ReconcileTimeout, _clock);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(abort, limit.Token);
        long began = _clock.GetTimestamp();
        RuntimeMetrics.ActiveWorkers.WithLabels(Name).Inc();
        string result;
        try
        {
            ReconciliationResult step = await StepAsync(key, either.Token).ConfigureAwait(false);
            result = Settle(key, step);
        }
        catch (OperationCanceledException) when (abort.IsCancellationRequested)
        {
            result = "cancelled";
        }
#pragma warning disable CA1031 // A controller with a bug must not end its worker, nor the others'.
        catch (Exception e)
#pragma warning restore CA1031
        {
            result = Failed(key, e, limit.IsCancellationRequested);
        }

        RuntimeMetrics.ActiveWorkers.WithLabels(Name).Dec();
        RuntimeMetrics.Reconciles.WithLabels(Name, result).Inc();
        RuntimeMetrics.ReconcileTime.WithLabels(Name).Observe(_clock.GetElapsedTime(began).TotalSeconds);
    }

    private async Task<ReconciliationResult> StepAsync(ObjectKey key, CancellationToken stop)
    {
        if (_gone.TryGetValue(key, out TEntity? gone))
        {
            // Taken off first: a controller that fails at this must not keep a successor of the name from being reconciled.
            _gone.TryRemove(KeyValuePair.Create(key, gone));
            try
            {
                await _controller.DeletedAsync(gone, stop).ConfigureAwait(false);
            }
            catch
            {
                if (_cache.Get(key) is null)
                {
                    _gone.TryAdd(key, gone);
                }

                throw;
            }
        }

        if (_cache.Get(key) is not { } cached)
        {
            return ReconciliationResult.Success();
        }

        TEntity entity = KubeJson.Clone(cached);
        if (entity.Metadata.DeletionTimestamp is not null)
        {
            return await FinalizeAsync(entity, stop).ConfigureAwait(false);
        }

        if (_finalizers.Any(f => !Has(entity, f.Identifier)))
        {
            IEnumerable<string> all = (entity.Metadata.Finalizers ?? []).Concat(_finalizers.Select(f => f.Identifier)).Distinct();
            entity = await PatchFinalizersAsync(entity, all, stop).ConfigureAwait(false);
        }

        return await _controller.ReconcileAsync(entity, stop).ConfigureAwait(false);
    }

    private async Task<ReconciliationResult> FinalizeAsync(TEntity entity, CancellationToken stop)
    {
        foreach (NamedFinalizer<TEntity> ours in _finalizers)
        {
            if (!Has(entity, ours.Identifier))
            {
                continue;
            }

            ReconciliationResult result = await ours.Finalizer.FinalizeAsync(KubeJson.Clone(entity), stop).ConfigureAwait(false);
            if (!result.IsSuccess)
            {
                return result;
            }

            // The finalizer may have written its object; the cache knows that already.
            if (_cache.Get(ObjectKey.Of(entity)) is not { } now || now.Metadata.Uid != entity.Metadata.Uid)
            {
                return ReconciliationResult.Success();
            }

            try
            {
                // Not cancelled by a shutdown: the work is done, and without this the object would hang in its deletion until the next leader.
                entity = await PatchFinalizersAsync(now, (now.Metadata.Finalizers ?? []).Where(f => f != ours.Identifier), CancellationToken.None).ConfigureAwait(false);
            }
            catch (KubeException e) when (e.Kind == KubeError.NotFound)
            {
                return ReconciliationResult.Success();
            }

            _log.LogInformation("{Controller} {Key}: finalizer {Finalizer} is through", Name, ObjectKey.Of(entity), ours.Identifier);
        }

        return ReconciliationResult.Success();
    }

    private Task<TEntity> PatchFinalizersAsync(TEntity entity, IEnumerable<string> finalizers, CancellationToken stop)
    {
        var body = new JsonObject
        {
            ["metadata"] = new JsonObject
            {
                // The list is replaced whole, so nobody may have changed it since.
                ["resourceVersion"] = entity.Metadata.ResourceVersion,
                ["uid"] = entity.Metadata.Uid,
                ["finalizers"] = new JsonArray([.. finalizers.Select(f => (JsonNode)f)]),
            },
        };
        return _api.PatchAsync<TEntity>(ObjectKey.Of(entity), body, stop);
    }

    private string Settle(ObjectKey key, ReconciliationResult step)
    {
        if (_selfWritten.TryRemove(key, out _))
        {
            _queue.AddRateLimited(key);
        }
        else
        {
            _queue.Forget(key);
        }

        if (step.Delay is { } delay)
        {
            _queue.AddAfter(key, delay);
            return "requeue_after";
        }

        return "success";
    }

    private string Failed(ObjectKey key, Exception e, bool timedOut)
    {
        _selfWritten.TryRemove(key, out _);
        switch (e)
        {
            case TerminalException:
                _queue.Forget(key);
                _log.LogError("{Controller} {Key}: {Error}; nothing is tried until something changes", Name, key, e.Message);
                return "terminal";
            case KubeException { Kind: KubeError.Conflict }:
                // Somebody else wrote first, and the watch is about to tell what.
                _queue.AddRateLimited(key);
                _log.LogDebug("{Controller} {Key}: {Error}", Name, key, e.Message);
                return "conflict";
            case KubeException kube:
                RuntimeMetrics.ReconcileErrors.WithLabels(Name).Inc();
                _queue.AddRateLimited(key, kube.RetryAfter ?? default);
                _log.LogWarning("{Controller} {Key}: {Error}; tried again", Name, key, e.Message);
                return "error";
            default:
                RuntimeMetrics.ReconcileErrors.WithLabels(Name).Inc();
                _queue.AddRateLimited(key);
                _log.LogError(e, "{Controller} {Key}: {Error}; tried again", Name, key, timedOut ? $"took longer than {_settings.ReconcileTimeout}" : e.Message);
                return "error";
        }
    }

    private static bool Has(TEntity entity, string finalizer) => entity.Metadata.Finalizers?.Contains(finalizer) == true;
}
