using k8s.Models;
using Prometheus;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.Metering;

/// <summary>
/// What there is, counted from the caches whenever somebody asks. Each replica tells the same, whether it leads or not. docs/METRICS.md tells of each.
/// </summary>
public sealed class LabGauges(Cache<V1Alpha1LabNode> nodes, Cache<V1Alpha1LabImage> images, Cache<V1PersistentVolumeClaim> claims)
{
    private static readonly Gauge s_nodes = Metrics.CreateGauge("sandlabx_labnodes", "LabNodes by phase, and by what their guest last ran on.", ["phase", "accelerator"]);

    private static readonly Gauge s_notReady = Metrics.CreateGauge("sandlabx_labnodes_not_ready", "LabNodes that are not as their spec asks, by reason.", ["reason"]);

    private static readonly Gauge s_images = Metrics.CreateGauge("sandlabx_labimages", "LabImages by phase.", ["phase"]);

    private static readonly Gauge s_virtualBytes = Metrics.CreateGauge("sandlabx_disk_virtual_bytes", "What guests see of their disks, all together.");

    private static readonly Gauge s_actualBytes = Metrics.CreateGauge("sandlabx_disk_actual_bytes", "What overlays took at their last start or stop, kept disks included, all together.");

    private static readonly Gauge s_unhealthy = Metrics.CreateGauge("sandlabx_disks_unhealthy", "Disks in which the last check found damage.");

    private static readonly Gauge s_savedBytes = Metrics.CreateGauge("sandlabx_saved_memory_bytes", "Memory of suspended guests on their claims, all together.");

    private static readonly Gauge s_orphans = Metrics.CreateGauge(
        "sandlabx_orphans", "Objects without an owner, by kind: DiskClaim (its LabNode is gone), ImageClaim (its LabImage is gone), LostDisk (a LabNode whose claim is gone).", ["kind"]);

    /// <summary>Counts anew each time the metrics are read.</summary>
    public void Register() => Metrics.DefaultRegistry.AddBeforeCollectCallback(Measure);

    /// <summary>Counts.</summary>
    internal void Measure()
    {
        if (!nodes.HasSynced || !images.HasSynced || !claims.HasSynced)
        {
            // Half a cache would be told as a loss.
            return;
        }

        IReadOnlyList<V1Alpha1LabNode> all = nodes.List();
        Tell(s_nodes, all.CountBy(node => (node.Status?.Phase ?? NodePhases.Pending, node.Status?.Accelerator ?? "")).Select(c => (new[] { c.Key.Item1, c.Key.Item2 }, c.Value)));
        Tell(s_notReady, all.Select(WhyNotReady).OfType<string>().CountBy(reason => reason).Select(c => (new[] { c.Key }, c.Value)));
        Tell(s_images, images.List().CountBy(image => image.Status?.Phase ?? ImagePhases.Pending).Select(c => (new[] { c.Key }, c.Value)));
        s_virtualBytes.Set(all.Sum(node => node.Status?.Disk?.VirtualSizeBytes ?? 0));
        s_actualBytes.Set(all.Sum(node => (node.Status?.Disk?.ActualSizeBytes ?? 0) + (node.Status?.Disk?.Kept?.Sum(kept => kept.ActualSizeBytes ?? 0) ?? 0)));
        s_unhealthy.Set(all.Count(node => node.Status?.Conditions?.Any(c => c is { Type: ConditionTypes.DiskHealthy, Status: "False" }) == true));
        s_savedBytes.Set(all.Sum(node => node.Status?.SavedState?.SizeBytes ?? 0));
        s_orphans.WithLabels("DiskClaim").Set(claims.List().Count(claim => Indexes.OwnerByLabel(claim.Metadata, Labels.Node) is { } key && nodes.Get(key) is null));
        s_orphans.WithLabels("ImageClaim").Set(claims.List().Count(claim => Indexes.OwnerByLabel(claim.Metadata, Labels.Image) is { } key && images.Get(key) is null));
        s_orphans.WithLabels("LostDisk").Set(all.Count(node => node.Status?.Disk is { CreatedAt: not null, Claim: { } claim }
            && claims.Get(new ObjectKey(node.Metadata.NamespaceProperty, claim)) is null));
    }

    private static string? WhyNotReady(V1Alpha1LabNode node) =>
        node.Status?.Conditions?.FirstOrDefault(c => c is { Type: ConditionTypes.Ready, Status: "False" })?.Reason;

    /// <summary>Sets what was counted, and what was counted before and is no more to 0.</summary>
    private static void Tell(Gauge gauge, IEnumerable<(string[] Labels, int Count)> counts)
    {
        List<string[]> past = [.. gauge.GetAllLabelValues()];
        foreach ((string[] labels, int count) in counts)
        {
            gauge.WithLabels(labels).Set(count);
            past.RemoveAll(known => known.SequenceEqual(labels));
        }

        past.ForEach(labels => gauge.WithLabels(labels).Set(0));
    }
}
