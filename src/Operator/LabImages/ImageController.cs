using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabImages;

/// <summary>Reconciles LabImages: observe, plan, apply.</summary>
[EntityRbac(typeof(V1Alpha1LabImage), Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch | RbacVerb.Patch)]
[GenericRbac(Groups = [Api.Group], Resources = ["labimages/status", "labimages/finalizers"], Verbs = RbacVerb.Get | RbacVerb.Patch | RbacVerb.Update)]
public sealed class ImageController(ImageObserver observer, PlanExecutor executor, OperatorOptions options, TimeProvider clock)
    : IEntityController<V1Alpha1LabImage>, IEntityFinalizer<V1Alpha1LabImage>
{
    /// <inheritdoc/>
    public Task<ReconciliationResult> ReconcileAsync(V1Alpha1LabImage entity, CancellationToken cancellationToken)
    {
        ImageObservation seen = observer.Observe(entity);
        return executor.ReconcileAsync<V1Alpha1LabImage, LabImageStatus>(
            entity,
            (image, refusal) => ImagePlanner.Plan(seen with { Image = image, Refusal = refusal }, options, clock.GetUtcNow()),
            cancellationToken);
    }

    /// <inheritdoc/>
    public Task<ReconciliationResult> FinalizeAsync(V1Alpha1LabImage entity, CancellationToken cancellationToken) =>
        executor.FinalizeAsync(entity, ImagePlanner.Plan(observer.Observe(entity), options, clock.GetUtcNow()), cancellationToken);

    /// <inheritdoc/>
    public Task DeletedAsync(V1Alpha1LabImage entity, CancellationToken cancellationToken) => Task.CompletedTask;
}
