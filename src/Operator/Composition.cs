using k8s.Models;
using Microsoft.Extensions.DependencyInjection;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabImages;
using SandLabX.Operator.LabNodes;
using SandLabX.Operator.Metering;
using SandLabX.Operator.Runners;
using SandLabX.Operator.Validation;
using SandLabX.Runtime;

namespace SandLabX.Operator;

/// <summary>Puts the operator together: which kinds it reconciles, and what it watches for them.</summary>
public static class Composition
{
    /// <summary>Pods and claims of the product alone: the caches hold nothing of anybody else's.</summary>
    private const string Ours = Labels.ManagedBy + "=" + Labels.ManagedByValue;

    /// <summary>Adds the operator to a host.</summary>
    public static IServiceCollection AddSandLabX(this IServiceCollection services, OperatorOptions options)
    {
        services.AddSingleton(options)
            .AddSingleton<RunnerFollower>()
            .AddSingleton<StorageClasses>()
            .AddSingleton<NodeObserver>()
            .AddSingleton<ImageObserver>()
            .AddSingleton<LabGauges>()
            .AddSingleton<EvictionGuards>()
            .AddSingleton<IntentExecutor>()
            .AddSingleton<PlanExecutor>();
        services.AddKubernetesOperator(settings =>
            {
                settings.Name = "sandlabx";
                settings.Namespace = options.Namespace;
                settings.WatchNamespace = options.WatchNamespace.Length > 0 ? options.WatchNamespace : null;
            })
            .AddCache<V1StorageClass>()
            .AddController<ImageController, V1Alpha1LabImage>(c => c
                .Watches<V1Pod>(pod => Indexes.OwnerByLabel(pod.Metadata, Labels.Image).AsKeys(), Ours)
                .Watches<V1PersistentVolumeClaim, ImageObserver>((observer, claim) => observer.MapClaim(claim), Ours)
                .Watches<V1StorageClass, ImageObserver>((observer, _) => observer.MapStorageClass()))
            .AddFinalizer<ImageController, V1Alpha1LabImage>(Api.ImageFinalizer)
            .AddController<NodeController, V1Alpha1LabNode>(c => c
                .Watches<V1Pod, NodeObserver>((observer, pod) => observer.MapPod(pod), Ours)
                .Watches<V1PersistentVolumeClaim, NodeObserver>((observer, claim) => observer.MapClaim(claim), Ours)
                .Watches<V1Alpha1LabImage, NodeObserver>((observer, image) => observer.MapImage(image))
                .Watches<V1Node, NodeObserver>((observer, host) => observer.MapHost(host))
                .Watches<V1StorageClass, NodeObserver>((observer, _) => observer.MapStorageClass()))
            .AddFinalizer<NodeController, V1Alpha1LabNode>(Api.NodeFinalizer)
            .AddIndex<V1Alpha1LabNode>(Indexes.ImageOfNode, Indexes.ImageOf)
            .AddIndex<V1PersistentVolumeClaim>(Indexes.Backing, claim => Indexes.BackingsOf(claim).Select(key => key.ToString()))
            .AddIndex<V1PersistentVolumeClaim>(Indexes.Image, claim => Indexes.OwnerByLabel(claim.Metadata, Labels.Image).AsValues())
            .AddIndex<V1Pod>(Indexes.Image, pod => Indexes.OwnerByLabel(pod.Metadata, Labels.Image).AsValues())
            .AddIndex<V1Pod>(Indexes.Host, Indexes.HostOf)
            .AddIndex<V1Pod>(Indexes.Mounted, pod => Indexes.ClaimsOf(pod).Select(claim => claim.ToString()))
            .AddLeaderWork<StateValidator>((validator, stop) => validator.RunAsync(stop));
        services.AddHostedService<RunnerNews>();
        return services;
    }
}
