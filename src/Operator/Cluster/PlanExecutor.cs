using k8s;
using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Turns plans into API calls, the same way for every kind: status first, then the intents; a refusal is planned again so that the status tells it.</summary>
public sealed class PlanExecutor(KubeApi api, IntentExecutor intents)
{
    /// <summary>When a refused intent is tried again: no watch tells of a quota that was raised.</summary>
    private static readonly TimeSpan s_afterRefusal = TimeSpan.FromSeconds(30);

    /// <summary>One reconcile of an object that should be.</summary>
    /// <param name="entity">The object as observed.</param>
    /// <param name="plan">The pure decision: for the object as last written, and what the server refused in this reconcile, if it did.</param>
    /// <param name="stop">Ends the work between two writes.</param>
    public async Task<ReconciliationResult> ReconcileAsync<TEntity, TStatus>(
        TEntity entity, Func<TEntity, Refusal?, Plan<TStatus>> plan, CancellationToken stop)
        where TEntity : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        Plan<TStatus> first = plan(entity, null);
        TEntity written = await api.PatchStatusAsync(entity, first.Status, stop).ConfigureAwait(false);
        Refusal? refusal = await intents.ApplyAsync(written, first.Intents, stop).ConfigureAwait(false);
        if (refusal is null)
        {
            return first.RequeueAfter is { } after ? ReconciliationResult.RequeueAfter(after) : ReconciliationResult.Success();
        }

        Plan<TStatus> second = plan(written, refusal);
        await api.PatchStatusAsync(written, second.Status, stop).ConfigureAwait(false);
        await intents.ApplyAsync(written, second.Intents.OfType<Intent.Announce>(), stop).ConfigureAwait(false);
        return ReconciliationResult.RequeueAfter(s_afterRefusal);
    }

    /// <summary>One step of the deletion of an object; ends in success when nothing is left to do.</summary>
    public async Task<ReconciliationResult> FinalizeAsync<TEntity, TStatus>(TEntity entity, Plan<TStatus> plan, CancellationToken stop)
        where TEntity : class, IKubernetesObject<V1ObjectMeta>, IStatus<TStatus?>
        where TStatus : class
    {
        if (plan.Released)
        {
            return ReconciliationResult.Success();
        }

        TEntity written = await api.PatchStatusAsync(entity, plan.Status, stop).ConfigureAwait(false);
        Refusal? refusal = await intents.ApplyAsync(written, plan.Intents, stop).ConfigureAwait(false);
        return refusal is null ? ReconciliationResult.Pending() : ReconciliationResult.RequeueAfter(s_afterRefusal);
    }
}
