using k8s.Models;
using SandLabX.Cli.Prune;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Doctor;

/// <summary>Checks of the user's namespace, rights and room. Each is a pure function of the facts.</summary>
internal static class SpaceChecks
{
    private const int Shown = 10;

    // A LabNode's default memory, and what its pod asks for beside it (docs/BENCHMARKS.md).
    private const long DefaultGuest = 1024 * Quantities.MiB;
    private const long SmallGuest = 128 * Quantities.MiB;
    private const long Beside = 88 * Quantities.MiB;

    // On the way, or as asked: no trouble.
    private static readonly string[] s_passing =
        ["Pending", "Starting", "Preparing", "StoppingGuest", "GuestEnding", "Pausing", "Resuming", "Suspending", "Restarting", "Wiping", "Importing", "ReplacingPod", "ReplacingClaim", "DeletingClaim", "Released"];

    internal static IEnumerable<Finding> Rights(Facts facts)
    {
        (Right Right, bool? Allowed)[] missing = [.. facts.Rights.Where(r => r.Allowed == false)];
        if (missing.Length == 0)
        {
            yield return facts.Rights.Any(r => r.Allowed is null)
                ? new Finding("Your rights", Verdict.Warn, "the server did not say what you may do")
                : new Finding("Your rights", Verdict.Ok, $"all that the verbs need, in namespace {facts.Space}");
        }

        bool mayNothing = facts.Rights.All(r => r.Allowed == false);
        foreach ((Right right, _) in missing)
        {
            // Servers before 1.35 do not ask for it; whoever may 'get' can open the connection there.
            bool later = right is { Verb: "create", Resource: "pods/exec" or "pods/portforward" };
            yield return new Finding(
                "Your rights",
                mayNothing || right is { Verb: "list", Resource: "labnodes" } ? Verdict.Fail : Verdict.Warn,
                $"you may not {right.Verb} {right.Resource}{(right.Group.Length > 0 ? "." + right.Group : "")} in namespace {facts.Space}: {right.Uses}{(later ? " (Kubernetes 1.35 and later)" : "")}",
                "Ask who runs the cluster; docs/CLI.md has a Role with all of them.");
        }
    }

    /// <summary>Whether the namespace admits our pods, which fulfil the strictest standard.</summary>
    internal static Finding PodSecurity(Facts facts)
    {
        string check = $"Namespace {facts.Space}";
        if (ClusterChecks.Unknown(check, facts.Namespace) is { } unknown)
        {
            return facts.Namespace.Error == FactFinder.MissingNamespace ? new Finding(check, Verdict.Fail, FactFinder.MissingNamespace, $"kubectl create namespace {facts.Space}, or -n names another") : unknown;
        }

        if (facts.Namespace.Value!.Status?.Phase == "Terminating")
        {
            return new Finding(check, Verdict.Fail, "it is being deleted", "Another namespace.");
        }

        string level = facts.Namespace.Value.Metadata.Labels is { } labels && labels.TryGetValue("pod-security.kubernetes.io/enforce", out string? value) ? value : "";
        return level is "" or "privileged" or "baseline" or "restricted"
            ? new Finding(check, Verdict.Ok, $"pod security: {(level.Length > 0 ? level : "none enforced")}; guests' pods fulfil 'restricted'")
            : new Finding(check, Verdict.Warn, $"its label pod-security.kubernetes.io/enforce is {level}, which is no level", "restricted");
    }

    /// <summary>The room that nodes have for another guest: what they can give less what their pods ask for.</summary>
    internal static Finding Room(Facts facts)
    {
        const string check = "Room for guests";
        if ((ClusterChecks.Unknown(check, facts.Nodes) ?? ClusterChecks.Unknown(check, facts.AllPods)) is { } unknown)
        {
            return unknown;
        }

        (string Name, long Bytes)[] free =
        [
            .. facts.Nodes.Value!.Where(CanTake).Select(n => (n.Metadata.Name, Free(n, facts.AllPods.Value!))).OrderByDescending(n => n.Item2),
        ];
        if (free.Length == 0)
        {
            return new Finding(check, Verdict.Fail, $"none of {facts.Nodes.Value!.Count} nodes is ready and takes pods", "kubectl describe nodes");
        }

        string most = $"most free memory: {Sizes.Write(Math.Max(0, free[0].Bytes))} on {free[0].Name}, of {free.Length} nodes that take pods";
        return free[0].Bytes < SmallGuest + Beside
            ? new Finding(check, Verdict.Fail, most, "Stop or suspend what is not needed, or add a node: not even a guest of 128 MiB fits.")
            : free[0].Bytes < DefaultGuest + Beside
            ? new Finding(check, Verdict.Warn, most, "A guest of the default 1 GiB does not fit: ask for less, stop or suspend others, or add a node.")
            : new Finding(check, Verdict.Ok, most);
    }

    /// <summary>Pods that can't start their container, most often for its image.</summary>
    internal static IEnumerable<Finding> Containers(Facts facts)
    {
        const string check = "Containers";
        if (ClusterChecks.Unknown(check, facts.Pods) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        (V1Pod Pod, V1ContainerStateWaiting Waiting)[] stuck =
        [
            .. facts.Pods.Value!
                .Select(p => (p, p.Status?.ContainerStatuses?.Select(c => c.State?.Waiting).FirstOrDefault(w => w is { Reason: not ("ContainerCreating" or "PodInitializing") })))
                .Where(p => p.Item2 is not null).Select(p => (p.p, p.Item2!)),
        ];
        foreach ((V1Pod pod, V1ContainerStateWaiting waiting) in stuck.Take(Shown))
        {
            bool pull = waiting.Reason is "ErrImagePull" or "ImagePullBackOff" or "InvalidImageName" or "ErrImageNeverPull";
            string? mounted = pod.Spec.Volumes?.Select(volume => volume.Image?.Reference).FirstOrDefault(reference => reference is not null && waiting.Message?.Contains(reference, StringComparison.Ordinal) == true);
            yield return new Finding(
                check, Verdict.Fail, $"pod {pod.Metadata.Name}: {waiting.Reason}: {waiting.Message}",
                !pull ? $"kubectl -n {facts.Space} describe pod {pod.Metadata.Name}"
                : mounted is not null ? $"Make {mounted} reachable from the nodes: bring it back to its registry, or correct spec.source.oci of its LabImage (reference and pullSecret)."
                : $"Make {pod.Spec.Containers[0].Image} reachable from the nodes: chart values runner.image and runner.image.pullSecret.");
        }

        if (stuck.Length == 0)
        {
            yield return new Finding(check, Verdict.Ok, $"{facts.Pods.Value!.Count} pods of SandLabX in {facts.Space}, and none that can't start");
        }
    }

    internal static IEnumerable<Finding> Nodes(Facts facts)
    {
        if (ClusterChecks.Unknown("LabNodes", facts.LabNodes) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        V1Alpha1LabNode[] troubled = [.. facts.LabNodes.Value!.Where(n => Trouble(n.Status?.Conditions) is not null)];
        foreach (V1Alpha1LabNode node in troubled.Take(Shown))
        {
            V1Condition ready = Trouble(node.Status!.Conditions)!;
            yield return new Finding($"LabNode {node.Metadata.Name}", Verdict.Warn, $"{node.Status.Phase}, {ready.Reason}", ready.Message);
        }

        yield return Rest("LabNodes", troubled.Length, facts.LabNodes.Value!.Count, facts.Space);
    }

    internal static IEnumerable<Finding> Images(Facts facts)
    {
        if (ClusterChecks.Unknown("LabImages", facts.LabImages) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        V1Alpha1LabImage[] troubled = [.. facts.LabImages.Value!.Where(i => Trouble(i.Status?.Conditions) is not null)];
        foreach (V1Alpha1LabImage image in troubled.Take(Shown))
        {
            V1Condition ready = Trouble(image.Status!.Conditions)!;
            yield return new Finding($"LabImage {image.Metadata.Name}", Verdict.Warn, $"{image.Status.Phase}, {ready.Reason}", ready.Message);
        }

        yield return Rest("LabImages", troubled.Length, facts.LabImages.Value!.Count, facts.Space);
    }

    internal static Finding Leftovers(Facts facts)
    {
        const string check = "Leftovers";
        if ((ClusterChecks.Unknown(check, facts.Claims) ?? ClusterChecks.Unknown(check, facts.LabNodes) ?? ClusterChecks.Unknown(check, facts.LabImages)
            ?? ClusterChecks.Unknown(check, facts.Pods)) is { } unknown)
        {
            return unknown;
        }

        Leftover[] orphans = [.. LeftoversOf(facts).Where(l => l.Kind != LeftoverKind.KeptDisk)];
        return orphans.Length == 0
            ? new Finding(check, Verdict.Ok, "no claim without its LabNode or LabImage")
            : new Finding(
                check, Verdict.Warn, $"{orphans.Length} claims whose LabNode or LabImage is gone, of {Sizes.Write(orphans.Sum(o => o.Bytes ?? 0))}",
                $"kubectl sandlabx prune -n {facts.Space} lists them, and deletes those that you name.");
    }

    private static IReadOnlyList<Leftover> LeftoversOf(Facts facts) =>
        LeftoverFinder.Find(facts.Claims.Value!, facts.LabNodes.Value!, facts.LabImages.Value!, facts.Pods.Value!);

    private static Finding Rest(string check, int troubled, int all, string space) => troubled == 0
        ? new Finding(check, Verdict.Ok, $"{all} in {space}, none in trouble")
        : new Finding(check, Verdict.Warn, $"{troubled} of {all} in {space} in trouble", $"docs/PERSISTENCE.md#troubleshooting has all reasons; 'kubectl sandlabx status' shows all.");

    private static V1Condition? Trouble(IEnumerable<V1Condition>? conditions) =>
        Conditions.Find(conditions, ConditionTypes.Ready) is { Status: Conditions.False } ready && !s_passing.Contains(ready.Reason) ? ready : null;

    private static bool CanTake(V1Node node) => node.Spec?.Unschedulable != true
        && node.Status?.Conditions?.Any(c => c is { Type: "Ready", Status: "True" }) == true
        && node.Spec?.Taints?.Any(t => t.Effect is "NoSchedule" or "NoExecute") != true;

    private static long Free(V1Node node, IEnumerable<V1Pod> pods) =>
        Memory(node.Status.Allocatable) - pods
            .Where(p => p.Spec.NodeName == node.Metadata.Name && p.Status?.Phase is not ("Succeeded" or "Failed"))
            .Sum(p => p.Spec.Containers.Sum(c => Memory(c.Resources?.Requests)));

    private static long Memory(IDictionary<string, ResourceQuantity>? resources) =>
        resources is not null && resources.TryGetValue("memory", out ResourceQuantity? quantity) ? (long)quantity.ToDecimal() : 0;
}
