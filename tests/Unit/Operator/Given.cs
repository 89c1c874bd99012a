using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabImages;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>Observations to start from; each test changes what it is about.</summary>
internal static class Given
{
    public const string Sha = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    public static readonly DateTimeOffset Now = new(2026, 11, 24, 12, 0, 0, TimeSpan.Zero);

    public static readonly OperatorOptions Options = new() { RunnerImage = "sandlabx.local/runner:test" };

    /// <summary>What random tests are drawn from: <c>SANDLABX_SEED</c> repeats one.</summary>
    public static int Seed() =>
        Environment.GetEnvironmentVariable("SANDLABX_SEED") is { Length: > 0 } given ? int.Parse(given, System.Globalization.CultureInfo.InvariantCulture) : Random.Shared.Next();

    public static V1Alpha1LabNode Node(Action<V1Alpha1LabNode>? change = null)
    {
        var node = new V1Alpha1LabNode
        {
            ApiVersion = "sandlabx.io/v1alpha1",
            Kind = "LabNode",
            Metadata = new V1ObjectMeta { Name = "a", NamespaceProperty = "lab", Uid = "node-uid", Generation = 1, ResourceVersion = "1" },
            Spec = new LabNodeSpec { Image = "debian-12", Memory = "512Mi" },
        };
        change?.Invoke(node);
        return node;
    }

    public static V1Alpha1LabImage Image(Action<V1Alpha1LabImage>? change = null)
    {
        var image = new V1Alpha1LabImage
        {
            ApiVersion = "sandlabx.io/v1alpha1",
            Kind = "LabImage",
            Metadata = new V1ObjectMeta { Name = "debian-12", NamespaceProperty = "lab", Uid = "image-uid", Generation = 1, ResourceVersion = "1" },
            Spec = new LabImageSpec { Source = new LabImageSource { Url = "http://images/debian-12.qcow2" }, Sha256 = Sha },
            Status = new LabImageStatus
            {
                Phase = ImagePhases.Ready,
                Claim = "labimage-debian-12-aaaaaaaaaaaa",
                Digest = "sha256:" + Sha,
                Format = "qcow2",
                VirtualSizeBytes = 2048 * Quantities.MiB,
            },
        };
        change?.Invoke(image);
        return image;
    }

    public static V1PersistentVolumeClaim ImageClaim() => Bound(ImageObjects.Claim(Image()), "image-claim-uid");

    public static V1PersistentVolumeClaim Claim(V1Alpha1LabNode node)
    {
        var backing = new DiskBase("debian-12", "labimage-debian-12-aaaaaaaaaaaa", Sha, Firmwares.Bios, false);
        return Bound(NodeObjects.Claim(node, backing, 2048 * Quantities.MiB, Options), "claim-uid");
    }

    public static V1Pod Pod(V1Alpha1LabNode node, Action<V1Pod>? change = null)
    {
        V1Pod pod = NodeObjects.Pod(node, Claim(node), null, new NodeStart(false, node.Status?.SavedState, node.Spec.RestartRevision, node.Spec.Disk.Revision, false), Options);
        pod.Metadata.Uid = "pod-uid";
        pod.Spec.NodeName = "node1";
        pod.Status = new V1PodStatus
        {
            Phase = "Running",
            PodIP = "10.0.0.1",
            Conditions = [new V1PodCondition { Type = "PodScheduled", Status = "True" }, new V1PodCondition { Type = "Ready", Status = "False" }],
        };
        change?.Invoke(pod);
        return pod;
    }

    /// <summary>The cluster's node that pods are on.</summary>
    public static V1Node Host(string ready, DateTimeOffset? since = null) => new()
    {
        Metadata = new V1ObjectMeta { Name = "node1", Uid = "host-uid" },
        Status = new V1NodeStatus
        {
            Conditions = [new V1NodeCondition { Type = "Ready", Status = ready, Reason = ready == "Unknown" ? "NodeStatusUnknown" : "KubeletNotReady", LastTransitionTime = (since ?? Now).UtcDateTime }],
        },
    };

    /// <summary>An import's pod whose runner ended with this report.</summary>
    public static V1Pod Import(V1Alpha1LabImage image, TerminationReport report, string uid = "import-uid")
    {
        V1Pod pod = ImageObjects.Pod(image, Options);
        pod.Metadata.Uid = uid;
        pod.Status = new V1PodStatus
        {
            Phase = report.Image is null ? "Failed" : "Succeeded",
            ContainerStatuses = [Terminated(JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport))],
        };
        return pod;
    }

    /// <summary>A pod whose runner ended with this report.</summary>
    public static V1Pod Ended(V1Alpha1LabNode node, TerminationReport report) => Pod(node, p =>
    {
        p.Status.Phase = report.Reason is TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.Suspended ? "Succeeded" : "Failed";
        p.Status.ContainerStatuses = [Terminated(JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport))];
    });

    public static V1ContainerStatus Terminated(string message) => new()
    {
        Name = NodeObjects.ContainerName,
        State = new V1ContainerState { Terminated = new V1ContainerStateTerminated { ExitCode = 1, FinishedAt = Now.UtcDateTime, Message = message } },
    };

    public static TerminationReport Report(string reason, TimeSpan? ran = null) => new()
    {
        Reason = reason,
        Message = reason + " happened.",
        At = Now,
        Timeline = ran is { } r ? new StartTimeline { GuestRunning = Now - r } : null,
    };

    /// <summary>The last word of a runner that suspended its guest of 1 CPU and 512 MiB.</summary>
    public static TerminationReport SuspendedReport => Report(TerminationReasons.Suspended, TimeSpan.FromMinutes(1)) with
    {
        SavedState = new SavedState(Now, 77 * Quantities.MiB, new string('0', 32), 1, 512 * Quantities.MiB, Accelerators.Tcg, "", Quantities.MiB, Now),
    };

    public static RunnerState RunnerRunning => new()
    {
        Phase = RunnerPhases.Running,
        At = Now,
        Disk = new DiskReport(2048 * Quantities.MiB, Quantities.MiB, true),
        Accelerator = new AcceleratorReport(Accelerators.Tcg, "NoDevice", "No /dev/kvm."),
        Timeline = new StartTimeline { GuestRunning = Now },
        RunnerVersion = "0.1.0",
    };

    /// <summary>A node that has nothing yet, in a cluster where all it needs is ready.</summary>
    public static NodeObservation Fresh(Action<V1Alpha1LabNode>? change = null) => new()
    {
        Node = Node(change),
        Image = Image(),
        BackingClaim = ImageClaim(),
    };

    /// <summary>The same node after its status was written, with what the plan made.</summary>
    public static NodeObservation After(NodeObservation seen, Plan<LabNodeStatus> plan)
    {
        V1Alpha1LabNode node = Node(n =>
        {
            n.Metadata = seen.Node.Metadata;
            n.Spec = seen.Node.Spec;
            n.Status = plan.Status;
        });
        NodeObservation next = seen with { Node = node };
        foreach (Intent intent in plan.Intents)
        {
            next = intent switch
            {
                Intent.CreateClaim c => next with { Claim = Bound(c.Claim, "claim-uid") },
                Intent.CreatePod p => next with { Pod = Pod(node, pod => pod.Metadata.Uid = "pod-uid") },
                Intent.WishOfPod wish => next with { Pod = Wished(next.Pod!, wish) },
                Intent.NoteOnClaim note => next with { Claim = Noted(next.Claim!, note) },
                Intent.DeletePod => next with { Pod = null, Runner = null },
                Intent.DeleteClaim => next with { Claim = null },
                _ => next,
            };
        }

        return next;
    }

    /// <summary>A pod on which a wish was written.</summary>
    public static V1Pod Wished(V1Pod pod, Intent.WishOfPod wish)
    {
        foreach ((string name, string value) in wish.Annotations)
        {
            pod.Metadata.Annotations[name] = value;
        }

        return pod;
    }

    /// <summary>A claim on which something was noted.</summary>
    public static V1PersistentVolumeClaim Noted(V1PersistentVolumeClaim claim, Intent.NoteOnClaim note)
    {
        foreach ((string name, string? value) in note.Annotations)
        {
            claim.Metadata.Annotations.Remove(name);
            if (value is not null)
            {
                claim.Metadata.Annotations[name] = value;
            }
        }

        return claim;
    }

    /// <summary>A node whose guest runs.</summary>
    public static NodeObservation Running(Action<V1Alpha1LabNode>? change = null)
    {
        NodeObservation seen = Fresh(change);
        seen = After(seen, NodePlanner.Plan(seen, Options, Now)) with { Runner = RunnerRunning };
        return After(seen, NodePlanner.Plan(seen, Options, Now));
    }

    private static V1PersistentVolumeClaim Bound(V1PersistentVolumeClaim claim, string uid)
    {
        claim.Metadata.Uid = uid;
        claim.Spec.VolumeName = "pv";
        claim.Status = new V1PersistentVolumeClaimStatus { Phase = "Bound" };
        return claim;
    }
}
