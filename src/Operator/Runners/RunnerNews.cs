using k8s.Models;
using Microsoft.Extensions.Hosting;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.Runners;

/// <summary>Reconciles a LabNode or LabImage when its runner told something new.</summary>
public sealed class RunnerNews(
    RunnerFollower runners, ReconcileTrigger<V1Alpha1LabNode> nodes, ReconcileTrigger<V1Alpha1LabImage> images) : IHostedService
{
    /// <inheritdoc/>
    public Task StartAsync(CancellationToken cancellationToken)
    {
        runners.Changed += OnNews;
        return Task.CompletedTask;
    }

    /// <inheritdoc/>
    public Task StopAsync(CancellationToken cancellationToken)
    {
        runners.Changed -= OnNews;
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
}
