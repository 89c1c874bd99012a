using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <summary>Reconciles LabNodes: observe, plan, apply.</summary>
[EntityRbac(typeof(V1Alpha1LabNode), Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch | RbacVerb.Patch | RbacVerb.Delete)]
[GenericRbac(Groups = [Api.Group], Resources = ["labnodes/status", "labnodes/finalizers"], Verbs = RbacVerb.Get | RbacVerb.Patch | RbacVerb.Update)]
[GenericRbac(Groups = [""], Resources = ["pods", "persistentvolumeclaims"], Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch | RbacVerb.Create | RbacVerb.Patch | RbacVerb.Delete)]
[GenericRbac(Groups = [""], Resources = ["events"], Verbs = RbacVerb.Create)]
[EntityRbac(typeof(V1Node), Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch)]
[GenericRbac(Groups = ["storage.k8s.io"], Resources = ["storageclasses"], Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch)]
public sealed class NodeController(NodeObserver observer, PlanExecutor executor, OperatorOptions options, TimeProvider clock)
    : IEntityController<V1Alpha1LabNode>, IEntityFinalizer<V1Alpha1LabNode>
{
    /// <inheritdoc/>
    public Task<ReconciliationResult> ReconcileAsync(V1Alpha1LabNode entity, CancellationToken cancellationToken)
    {
        NodeObservation seen = observer.Observe(entity);
        return executor.ReconcileAsync<V1Alpha1LabNode, LabNodeStatus>(
            entity,
            (node, refusal) => NodePlanner.Plan(seen with { Node = node, Refusal = refusal }, options, clock.GetUtcNow()),
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<ReconciliationResult> FinalizeAsync(V1Alpha1LabNode entity, CancellationToken cancellationToken) =>
        executor.FinalizeAsync(entity, NodePlanner.Plan(observer.Observe(entity), options, clock.GetUtcNow()), cancellationToken);

    /// <inheritdoc/>
    public Task DeletedAsync(V1Alpha1LabNode entity, CancellationToken cancellationToken)
    {
        observer.Forget(entity);
        return Task.CompletedTask;
    }
}
