using System.Collections.Concurrent;
using k8s;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Metering;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Turns plans into API calls, the same way for every kind: status first, then the intents; a refusal is planned again so that the status tells it.</summary>
/// <remarks>
/// A refusal is remembered until it is time to try again: what else happens to the object meanwhile changes nothing about a quota. Without that, each
/// status that tells of the refusal would bring on the next try.
/// </remarks>
public sealed class PlanExecutor(KubeApi api, IntentExecutor intents, TimeProvider clock)
{
    /// <summary>When a refused intent is tried again: no watch tells of a quota that was raised.</summary>
    private static readonly TimeSpan s_afterRefusal = TimeSpan.FromSeconds(30);

    private readonly ConcurrentDictionary<string, Refused> _refused = new();

    /// <summary>One reconcile of an object that should be.</summary>
    /// <param name="entity">The object as observed.</param>
    /// <param name="plan">The pure decision: for the object as last written, and what the server refused in this reconcile, if it did.</param>
    /// <param name="stop">Ends the work between two writes.</param>
    public async Task<ReconciliationResult> ReconcileAsync<TEntity, TStatus>(
        TEntity entity, Func<TEntity, Refusal?, Plan<TStatus>> plan, CancellationToken stop)
        where TEntity : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        Refused? known = _refused.TryGetValue(entity.Metadata.Uid, out Refused? told) && told.Generation == entity.Metadata.Generation ? told : null;
        if (known is not null && known.RetryAt - clock.GetUtcNow() is { Ticks: > 0 } left)
        {
            Plan<TStatus> waiting = plan(entity, known.Refusal);
            TEntity seen = await WriteAsync(entity, waiting.Status, stop).ConfigureAwait(false);
            await intents.ApplyAsync(seen, waiting.Intents.Where(i => i is not (Intent.CreateClaim or Intent.CreatePod or Intent.GrowClaim or Intent.DeleteNode)), stop).ConfigureAwait(false);
            return ReconciliationResult.RequeueAfter(left);
        }

        // Once more what was refused before: the status follows the answer, or it would flicker at each try.
        Plan<TStatus> first = plan(entity, null);
        TEntity written = known is not null ? entity : await WriteAsync(entity, first.Status, stop).ConfigureAwait(false);
        Refusal? refusal = await intents.ApplyAsync(written, first.Intents, stop).ConfigureAwait(false);
        if (refusal is null)
        {
            if (known is not null)
            {
                _refused.TryRemove(entity.Metadata.Uid, out _);
                await WriteAsync(entity, first.Status, stop).ConfigureAwait(false);
            }

            return first.RequeueAfter is { } after ? ReconciliationResult.RequeueAfter(after) : ReconciliationResult.Success();
        }

        if (refusal.Kind is KubeError.Forbidden or KubeError.Invalid)
        {
            _refused[entity.Metadata.Uid] = new Refused(refusal, entity.Metadata.Generation, clock.GetUtcNow() + s_afterRefusal);
        }

        Plan<TStatus> second = plan(written, refusal);
        await WriteAsync(written, second.Status, stop).ConfigureAwait(false);
        await intents.ApplyAsync(written, second.Intents.OfType<Intent.Announce>(), stop).ConfigureAwait(false);
        return ReconciliationResult.RequeueAfter(s_afterRefusal);
    }

    /// <summary>One step of the deletion of an object; ends in success when nothing is left to do.</summary>
    public async Task<ReconciliationResult> FinalizeAsync<TEntity, TStatus>(TEntity entity, Plan<TStatus> plan, CancellationToken stop)
        where TEntity : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        _refused.TryRemove(entity.Metadata.Uid, out _);
        if (plan.Released)
        {
            return ReconciliationResult.Success();
        }

        TEntity written = await WriteAsync(entity, plan.Status, stop).ConfigureAwait(false);
        Refusal? refusal = await intents.ApplyAsync(written, plan.Intents, stop).ConfigureAwait(false);
        return refusal is null ? ReconciliationResult.Pending() : ReconciliationResult.RequeueAfter(s_afterRefusal);
    }

    /// <summary>Writes a status where it differs; what is on record then is counted.</summary>
    private async Task<TEntity> WriteAsync<TEntity, TStatus>(TEntity entity, TStatus status, CancellationToken stop)
        where TEntity : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        TEntity written = await api.PatchStatusAsync(entity, status, stop).ConfigureAwait(false);
        if ((entity, written) is (V1Alpha1LabNode before, V1Alpha1LabNode { Status: { } after }) && !ReferenceEquals(before, written))
        {
            NodeCounters.Count(before.Status, after);
        }

        return written;
    }

    private sealed record Refused(Refusal Refusal, long? Generation, DateTimeOffset RetryAt);
}
