using k8s.Models;
using Microsoft.Extensions.DependencyInjection;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabImages;
using SandLabX.Operator.LabNodes;
using SandLabX.Operator.Runners;
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
            .AddSingleton(TimeProvider.System)
            .AddSingleton<RunnerFollower>()
            .AddSingleton<StorageClasses>()
            .AddSingleton<NodeObserver>()
            .AddSingleton<ImageObserver>()
            .AddSingleton<IntentExecutor>()
            .AddSingleton<PlanExecutor>();
        services.AddKubernetesOperator(settings =>
            {
                settings.Name = "sandlabx";
                settings.Namespace = options.Namespace;
                settings.WatchNamespace = options.WatchNamespace.Length > 0 ? options.WatchNamespace : null;
            })
            .AddController<NodeController, V1Alpha1LabNode>()
            .AddFinalizer<NodeController, V1Alpha1LabNode>(Api.NodeFinalizer)
            .AddController<ImageController, V1Alpha1LabImage>()
            .AddFinalizer<ImageController, V1Alpha1LabImage>(Api.ImageFinalizer);
        return services;
    }
}
