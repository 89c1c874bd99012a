using k8s.Models;
using Microsoft.Extensions.Hosting;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.Runners;

/// <summary>Reconciles a LabNode or LabImage when its runner told something new. That a guest was used is new to a LabNode which was told that it ends for want of it.</summary>
public sealed class RunnerNews(
    RunnerFollower runners, Cache<V1Alpha1LabNode> known, ReconcileTrigger<V1Alpha1LabNode> nodes, ReconcileTrigger<V1Alpha1LabImage> images) : IHostedService
{
    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        runners.Changed += OnNews;
        runners.Used += OnUse;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        runners.Changed -= OnNews;
        runners.Used -= OnUse;
        return Task.CompletedTask;
    }

    private void OnNews(V1Pod pod)
    {
        if (Indexes.OwnerByLabel(pod.Metadata, Labels.Node) is { } node)
        {
            nodes.Enqueue(node);
        }

        if (Indexes.OwnerByLabel(pod.Metadata, Labels.Image) is { } image)
        {
            images.Enqueue(image);
        }
    }

    private void OnUse(V1Pod pod)
    {
        if (Indexes.OwnerByLabel(pod.Metadata, Labels.Node) is { } node && known.Get(node)?.Status?.Lifetime?.Reason == LifetimeReasons.IdleTooLong)
        {
            nodes.Enqueue(node);
        }
    }
}
