using System.Globalization;
using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>Judges whether the cluster's node that a pod is on still answers. Pure.</summary>
public static class LostHosts
{
    /// <summary>
    /// How long a node that answers may say that it is not ready before its guests count as lost: as long as their pods tolerate it. A kubelet that starts again says so
    /// for a second. A silent one was waited for already when Kubernetes calls it silent.
    /// </summary>
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>What is wrong with the node of a pod.</summary>
    /// <param name="Message">For people, with the way out; the same as long as the trouble lasts.</param>
    /// <param name="Wait">When given, it is too early to say so: look again after this time.</param>
    public sealed record Trouble(string Message, TimeSpan? Wait);

    /// <summary>Whether a record says so: by its phase, or in deletion by its condition.</summary>
    public static bool IsLost(LabNodeStatus? status) => status?.Phase == NodePhases.NodeLost || status?.Conditions?.Any(c => c is { Type: ConditionTypes.Ready, Reason: NodePhases.NodeLost }) == true;

    /// <summary>What is wrong with the node that a pod is on; null when nothing is, or the pod has no place yet.</summary>
    /// <param name="pod">A pod that has not ended.</param>
    /// <param name="host">The cluster's node of its name; null when there is none.</param>
    /// <param name="wasLost">True when it was lost before: a node that is gone since is no longer a mere delay of the watch.</param>
    /// <param name="now">The present time.</param>
    public static Trouble? Judge(V1Pod pod, V1Node? host, bool wasLost, DateTimeOffset now)
    {
        if (pod.Spec?.NodeName is not { Length: > 0 } name)
        {
            return null;
        }

        if (host is null)
        {
            return wasLost ? new Trouble($"Node {name} of the cluster is gone. Kubernetes removes the pod within a minute or so; then the guest starts elsewhere, where its volume can follow.", null) : null;
        }

        if (host.Status?.Conditions?.FirstOrDefault(c => c.Type == "Ready") is not { Status: "False" or "Unknown" } ready)
        {
            return null;
        }

        TimeSpan? wait = null;
        if (ready.Status == "False" && !wasLost && ready.LastTransitionTime is { } since && since + Patience > now.UtcDateTime)
        {
            wait = since + Patience - now.UtcDateTime;
        }

        string what = ready.Status == "Unknown" ? "is silent" : "says that it is not ready";
        string from = ready.LastTransitionTime is { } at ? string.Create(CultureInfo.InvariantCulture, $" since {at:yyyy-MM-dd HH:mm:ss}Z") : "";
        return new Trouble(
            $"Node {name} of the cluster {what}{from} ({ready.Reason}). Whether the guest still runs there can't be known, so none is started elsewhere; it goes on when the node is back. "
            + $"If the machine is off for sure, say so: `kubectl taint node {name} node.kubernetes.io/out-of-service=nodeshutdown:NoExecute` (Kubernetes 1.26 and later), or `kubectl delete node {name}`.",
            wait);
    }
}
