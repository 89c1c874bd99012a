using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Unit.Cli;

/// <summary>LabNodes as a user finds them; each test changes what it is about.</summary>
internal static class NodeGiven
{
    public static readonly DateTimeOffset Now = new(2026, 11, 24, 12, 0, 0, TimeSpan.Zero);

    /// <summary>One that runs as asked, on a disk that was made an hour ago.</summary>
    public static V1Alpha1LabNode Running(Action<V1Alpha1LabNode>? change = null)
    {
        var node = new V1Alpha1LabNode
        {
            Metadata = new V1ObjectMeta { Name = "web", NamespaceProperty = "lab", Uid = "uid", Generation = 3, CreationTimestamp = Now.UtcDateTime.AddHours(-1) },
            Spec = new LabNodeSpec { Image = "debian-12" },
            Status = new LabNodeStatus
            {
                ObservedGeneration = 3,
                Phase = NodePhases.Running,
                Conditions = [],
                Disk = new LabNodeDiskStatus { Claim = "labnode-web", Revision = "initial", CreatedAt = Now.UtcDateTime.AddHours(-1), ActualSizeBytes = 300 << 20 },
                Pod = new LabNodePodStatus { Name = "labnode-web", Node = "n1", Ip = "10.0.0.7" },
            },
        };
        Ready(node, "True", "Running");
        change?.Invoke(node);
        return node;
    }

    /// <summary>Sets phase and condition.</summary>
    public static void Is(this V1Alpha1LabNode node, string phase, string status, string reason, string message = "")
    {
        node.Status!.Phase = phase;
        Ready(node, status, reason, message);
    }

    private static void Ready(V1Alpha1LabNode node, string status, string reason, string message = "") =>
        SandLabX.Runtime.Conditions.Set(node.Status!.Conditions!, ConditionTypes.Ready, status, reason, message, node.Metadata.Generation, Now);
}
