using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Entities;

/// <summary>A virtual machine. Its disk is a qcow2 overlay on a claim of its own, over a LabImage; its status is the durable record of its life.</summary>
[KubernetesEntity(Group = Api.Group, ApiVersion = Api.Version, Kind = "LabNode", PluralName = "labnodes")]
[EntityScope(EntityScope.Namespaced)]
[KubernetesEntityShortNames("ln")]
[KubernetesEntityCategories("sandlabx")]
[GenericAdditionalPrinterColumn(".spec.image", "Image", "string")]
[GenericAdditionalPrinterColumn(".status.phase", "Phase", "string")]
[GenericAdditionalPrinterColumn(".status.conditions[?(@.type==\"Ready\")].reason", "Reason", "string")]
[GenericAdditionalPrinterColumn(".status.pod.node", "Node", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".status.pod.ip", "IP", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".status.accelerator", "Accelerator", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".status.overlayPath", "Overlay", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".status.restarts.count", "Restarts", "integer")]
[GenericAdditionalPrinterColumn(".status.lifetime.endsAt", "Ends", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".metadata.creationTimestamp", "Age", "date")]
public sealed class V1Alpha1LabNode : CustomKubernetesEntity<LabNodeSpec, LabNodeStatus>;

/// <summary>What a LabNode should be.</summary>
public sealed class LabNodeSpec
{
    /// <summary>Name of the LabImage of this namespace that a new disk is based on. A disk that is there keeps the base it was made on.</summary>
    [Required]
    [Length(1, 43)]
    public string Image { get; set; } = "";

    /// <summary>What the guest should be: Running; Stopped (powered off, its disk stays); Paused (its processors stand, its pod and memory stay, and Running lets it go on at once); Suspended (its memory and devices are saved on its claim and its pod goes; Running lets it go on where it was). A suspended guest that is to be Stopped is resumed first, so that it powers off in order.</summary>
    [Default(PowerStates.Running)]
    [AllowedValues(PowerStates.Running, PowerStates.Stopped, PowerStates.Paused, PowerStates.Suspended)]
    public string PowerState { get; set; } = PowerStates.Running;

    /// <summary>Any change of this string restarts a guest that runs, once: it is asked to power off and starts again, with the spec as it is then.</summary>
    [Length(0, 64)]
    public string? RestartRevision { get; set; }

    /// <summary>Any change of this string resets a guest that runs, once, as the button on a machine would: nothing that it had not synced is saved. A suspended guest loses its saved memory and boots from its disk.</summary>
    [Length(0, 64)]
    public string? ResetRevision { get; set; }

    /// <summary>What follows when the guest ends by itself: Always starts it again, OnFailure only after a panic or a crash, Never leaves it off. A guest that the cluster ended is always started again.</summary>
    [Default(RestartPolicies.OnFailure)]
    [AllowedValues(RestartPolicies.Always, RestartPolicies.OnFailure, RestartPolicies.Never)]
    public string RestartPolicy { get; set; } = RestartPolicies.OnFailure;

    /// <summary>Virtual CPUs. A change is applied at the next start.</summary>
    [Default(1)]
    [RangeMinimum(1)]
    [RangeMaximum(64)]
    public int Cpus { get; set; } = 1;

    /// <summary>The guest's memory, a quantity such as 512Mi or 2Gi; at least 16Mi. The pod asks for this and for what QEMU needs beside it. A change is applied at the next start.</summary>
    [Default("1Gi")]
    [Pattern(Quantities.Pattern)]
    public string Memory { get; set; } = "1Gi";

    /// <summary>Auto takes KVM where it passes a self-test, else TCG (software emulation); KVM and TCG insist. The condition Accelerated says which it became and why.</summary>
    [Default("Auto")]
    [AllowedValues("Auto", "KVM", "TCG")]
    public string Accelerator { get; set; } = "Auto";

    /// <summary>Seconds a guest gets to power off when it is asked to; then its plug is pulled. 0 pulls it at once.</summary>
    [Default(30)]
    [RangeMinimum(0)]
    [RangeMaximum(3600)]
    public int GracePeriodSeconds { get; set; } = 30;

    /// <summary>
    /// What an eviction of the guest's pod meets, such as kubectl drain of its node: Stop lets the guest power off in order and start elsewhere, where its volume
    /// can follow; Block refuses it, by a PodDisruptionBudget, until the guest is stopped or suspended or this says Stop. A node that fails asks nobody.
    /// </summary>
    [Default(EvictionPolicies.Stop)]
    [AllowedValues(EvictionPolicies.Stop, EvictionPolicies.Block)]
    public string EvictionPolicy { get; set; } = EvictionPolicies.Stop;

    /// <summary>The disk.</summary>
    public LabNodeDisk Disk { get; set; } = new();

    /// <summary>What cloud-init in the guest is told.</summary>
    public LabNodeCloudInit? CloudInit { get; set; }

    /// <summary>A CD in the guest's drive; a change is applied at the next start.</summary>
    public LabNodeCdrom? Cdrom { get; set; }

    /// <summary>When the guest is to go off by itself, and the LabNode to go.</summary>
    public LabNodeLifetime? Lifetime { get; set; }
}

/// <summary>What a LabNode's disk should be.</summary>
public sealed class LabNodeDisk
{
    /// <summary>What the guest sees, a quantity such as 20Gi; at least the image's virtual size, which is the default. The claim asks for 6 % and 128 MiB more, so that a full disk fits beside the file system's own needs. Raised later, it grows the claim, where its class allows that, and then the disk, running or stopped. A disk never shrinks.</summary>
    [Pattern(Quantities.Pattern)]
    public string? Size { get; set; }

    /// <summary>Storage class of the claim; left out, the cluster's default. Fixed once the claim is bound.</summary>
    [Length(1, 253)]
    public string? StorageClassName { get; set; }

    /// <summary>
    /// Any change of this string puts the disk back to its base image, once: a guest that runs is asked to power off first, and the disk that gives way is kept
    /// under its own revision. The revision of a kept disk brings that one back. A disk that was made without one is called initial; taking the field away
    /// changes nothing.
    /// </summary>
    [Length(0, 64)]
    public string? Revision { get; set; }

    /// <summary>How many disks that gave way are kept on the claim, the newest; with 0 they are deleted once the new one is in place.</summary>
    [Default(1)]
    [RangeMinimum(0)]
    [RangeMaximum(5)]
    public int KeepWiped { get; set; } = 1;

    /// <summary>
    /// Any change of this string asks for a full check of the disk, once. A disk in use can't be checked truthfully: that of a guest that runs is checked before
    /// its next start, that of a stopped one at once. The condition DiskHealthy and status.disk.lastCheck tell what was found.
    /// </summary>
    [Length(0, 64)]
    public string? CheckRevision { get; set; }

    /// <summary>Hours after which a full check is due again, done as one that checkRevision asks for; left out, none is due by itself. Each start is preceded by a quick one in any case.</summary>
    [RangeMinimum(1)]
    [RangeMaximum(8760)]
    public int? CheckEveryHours { get; set; }

    /// <summary>
    /// What may be repaired when a check finds it; left out, nothing. Leaks gives back leaked clusters that a full check found; All also mends damage that any check
    /// found, as far as qemu-img check -r all can. Mended is a copy, for which the claim needs the room; it takes the disk's place when a check finds nothing wrong
    /// with it, and the damaged disk is kept (status.disk.kept).
    /// </summary>
    [AllowedValues("Leaks", "All")]
    public string? Repair { get; set; }

    /// <summary>How many disks that a repaired copy took the place of are kept on the claim, the newest. The start or check that repairs keeps its own in any case; the next start deletes what is more.</summary>
    [Default(1)]
    [RangeMinimum(0)]
    [RangeMaximum(5)]
    public int KeepDamaged { get; set; } = 1;

    /// <summary>What becomes of the claim when the LabNode is deleted. Retain keeps it, and a LabNode of the same name finds its disk again.</summary>
    [Default(ReclaimPolicies.Retain)]
    [AllowedValues(ReclaimPolicies.Retain, ReclaimPolicies.Delete)]
    public string ReclaimPolicy { get; set; } = ReclaimPolicies.Retain;
}

/// <summary>What a LabNode is: enough, with the claims, to carry on after any restart.</summary>
public sealed class LabNodeStatus
{
    /// <summary>The generation of the spec that this status answers.</summary>
    public long? ObservedGeneration { get; set; }

    /// <summary>One word: Pending, WaitingForImage, WaitingForVolume, Unschedulable, Starting, Running, Paused, Suspending, Suspended, Stopping, Stopped, BackOff, NodeLost, Failed or Deleting.</summary>
    public string? Phase { get; set; }

    /// <summary>Ready, ImageReady, DiskReady, DiskHealthy, Accelerated, RestartRequired, EvictionBlocked and Consistent.</summary>
    public IList<V1Condition>? Conditions { get; set; }

    /// <summary>The overlay's absolute path inside the pod: /overlays/node_&lt;id&gt;.qcow2.</summary>
    public string? OverlayPath { get; set; }

    /// <summary>The disk.</summary>
    public LabNodeDiskStatus? Disk { get; set; }

    /// <summary>The pod that runs the guest; absent while there is none.</summary>
    public LabNodePodStatus? Pod { get; set; }

    /// <summary>KVM or TCG: what the guest last ran on.</summary>
    public string? Accelerator { get; set; }

    /// <summary>Version of the runner that last ran the guest.</summary>
    public string? RunnerVersion { get; set; }

    /// <summary>Version of QEMU that last ran the guest.</summary>
    public string? QemuVersion { get; set; }

    /// <summary>What a suspended guest goes on from; absent when there is nothing saved.</summary>
    public LabNodeSavedState? SavedState { get; set; }

    /// <summary>When the guest last began to run.</summary>
    public DateTime? StartedAt { get; set; }

    /// <summary>When the guest last ceased to run.</summary>
    public DateTime? StoppedAt { get; set; }

    /// <summary>The guest's reboots of its own since it was started or resumed; absent when there were none.</summary>
    public LabNodeReboots? Reboots { get; set; }

    /// <summary>When the disk was last put back to its base, or a kept one brought back.</summary>
    public DateTime? WipedAt { get; set; }

    /// <summary>The restart that was last acted upon.</summary>
    public string? RestartRevision { get; set; }

    /// <summary>The reset that was last acted upon.</summary>
    public string? ResetRevision { get; set; }

    /// <summary>Restarts that nobody asked for.</summary>
    public LabNodeRestarts? Restarts { get; set; }

    /// <summary>Set while the guest stays off although the spec says Running: it powered itself off, its lifetime ended, or a person must decide. Any change of the spec ends it; a schedule's off hours only one of restartRevision, or their own end.</summary>
    public LabNodeHalt? Halted { get; set; }

    /// <summary>What comes next in its lifetime.</summary>
    public LabNodeLifetimeStatus? Lifetime { get; set; }

    /// <summary>The last five ends of the guest, newest first.</summary>
    public IList<LabNodeTermination>? Terminations { get; set; }

    /// <summary>The exact times of the last start.</summary>
    public LabNodeTimeline? Timeline { get; set; }
}

/// <summary>A LabNode's disk as it is.</summary>
public sealed class LabNodeDiskStatus
{
    /// <summary>Name of the claim that holds the overlay.</summary>
    public string? Claim { get; set; }

    /// <summary>The disk's id; also on the claim, so that a retained claim's overlay is found again.</summary>
    public string? Id { get; set; }

    /// <summary>What the guest sees, in bytes.</summary>
    public long? VirtualSizeBytes { get; set; }

    /// <summary>What the overlay took on the claim at the last start or stop, in bytes.</summary>
    public long? ActualSizeBytes { get; set; }

    /// <summary>Which disk it is: the revision it was made as.</summary>
    public string? Revision { get; set; }

    /// <summary>The disks that gave way and are kept, newest first.</summary>
    public IList<LabNodeKeptDisk>? Kept { get; set; }

    /// <summary>Names of disks on the claim that belong to no disk of this LabNode, as its last start found them (at most 10). They are left alone.</summary>
    public IList<string>? StrayOverlays { get; set; }

    /// <summary>The last look at the disk.</summary>
    public LabNodeDiskCheck? LastCheck { get; set; }

    /// <summary>When it was last checked in full; absent when it never was.</summary>
    public DateTime? FullCheckAt { get; set; }

    /// <summary>The checkRevision that was last acted upon.</summary>
    public string? CheckRevision { get; set; }

    /// <summary>When the overlay was first seen whole. From then on a missing overlay is an error, never a fresh disk.</summary>
    public DateTime? CreatedAt { get; set; }

    /// <summary>The base image.</summary>
    public LabNodeBacking? Backing { get; set; }
}

/// <summary>The memory and devices of a suspended guest, on its claim.</summary>
public sealed class LabNodeSavedState
{
    /// <summary>When it was saved.</summary>
    public DateTime? At { get; set; }

    /// <summary>What it takes on the claim, in bytes.</summary>
    public long? SizeBytes { get; set; }

    /// <summary>The machine's virtual CPUs: it is resumed with as many, whatever the spec says by now.</summary>
    public int Cpus { get; set; }

    /// <summary>The machine's memory in bytes, likewise.</summary>
    public long MemoryBytes { get; set; }
}

/// <summary>A disk that gave way to another.</summary>
public sealed class LabNodeKeptDisk
{
    /// <summary>Its name: spec.disk.revision brings it back.</summary>
    public string? Revision { get; set; }

    /// <summary>True when a repaired copy took its place; absent otherwise.</summary>
    public bool? Damaged { get; set; }

    /// <summary>When it was made.</summary>
    public DateTime? CreatedAt { get; set; }

    /// <summary>What it takes on the claim, in bytes.</summary>
    public long? ActualSizeBytes { get; set; }

    /// <summary>What it is based on; absent when that is what the present disk is based on.</summary>
    public LabNodeBacking? Backing { get; set; }
}

/// <summary>What an overlay is based on.</summary>
public sealed class LabNodeBacking
{
    /// <summary>Name of the LabImage.</summary>
    public string? Image { get; set; }

    /// <summary>Name of the claim that holds it; absent where a container image does.</summary>
    public string? Claim { get; set; }

    /// <summary>The container image that holds it (delivery ImageVolume); absent where a claim does.</summary>
    public LabImageVolume? Volume { get; set; }

    /// <summary>True when the disk has a copy of its own, beside it on its claim (delivery Copy); absent otherwise.</summary>
    public bool? Copy { get; set; }

    /// <summary>Its digest, sha256:&lt;64 hexadecimal digits&gt;.</summary>
    public string? Digest { get; set; }
}

/// <summary>The pod that runs a LabNode's guest.</summary>
public sealed class LabNodePodStatus
{
    /// <summary>Its name.</summary>
    public string? Name { get; set; }

    /// <summary>Its UID.</summary>
    public string? Uid { get; set; }

    /// <summary>The cluster's node it runs on.</summary>
    public string? Node { get; set; }

    /// <summary>Its address.</summary>
    public string? Ip { get; set; }
}

/// <summary>A guest's reboots of its own, in its pod: they are no ends.</summary>
public sealed class LabNodeReboots
{
    /// <summary>How many, told at most once a minute. What a guest asks for within 5 s of a reset, as firmware does, is part of it.</summary>
    public int Count { get; set; }

    /// <summary>When the last of them was.</summary>
    public DateTime? LastAt { get; set; }
}

/// <summary>A look at a disk.</summary>
public sealed class LabNodeDiskCheck
{
    /// <summary>When.</summary>
    public DateTime? At { get; set; }

    /// <summary>New (it was made at this start), Quick (before a start; given up after a minute), Full (as asked for or scheduled) or Live (QEMU came upon damage while the guest ran).</summary>
    public string? Kind { get; set; }

    /// <summary>Clean; Leaks (room is wasted, nothing is wrong with what the guest wrote); Repaired; Corrupt; NotDone (it was given up, or cut off).</summary>
    public string? Result { get; set; }

    /// <summary>The checkRevision that it answers; absent for one that none asked for.</summary>
    public string? Revision { get; set; }

    /// <summary>Clusters that take room and belong to nothing.</summary>
    public long? Leaks { get; set; }

    /// <summary>Wrong entries of the disk's tables.</summary>
    public long? Corruptions { get; set; }

    /// <summary>What was found, and the way out where there is one.</summary>
    public string? Message { get; set; }

    /// <summary>UID of the pod that looked.</summary>
    public string? PodUid { get; set; }
}

/// <summary>Restarts that nobody asked for.</summary>
public sealed class LabNodeRestarts
{
    /// <summary>How many in all.</summary>
    public int Count { get; set; }

    /// <summary>How many starts in a row failed; 0 once a guest has run for ten minutes.</summary>
    public int Consecutive { get; set; }

    /// <summary>When the next try comes; set in phase BackOff only.</summary>
    public DateTime? NextAt { get; set; }
}

/// <summary>Why a guest stays off.</summary>
public sealed class LabNodeHalt
{
    /// <summary>The reason of the end that led to it, or what ended its lifetime: TtlExpired, IdleTooLong or OutsideSchedule.</summary>
    public string? Reason { get; set; }

    /// <summary>The spec's generation at that time; another one ends the halt.</summary>
    public long Generation { get; set; }

    /// <summary>When.</summary>
    public DateTime? At { get; set; }

    /// <summary>Where a lifetime ended: the spec's restartRevision at that time. Another one starts the guest.</summary>
    public string? RestartRevision { get; set; }
}

/// <summary>One end of a guest.</summary>
public sealed class LabNodeTermination
{
    /// <summary>One word of a closed list: GuestShutdown, GuestPanicked, HostShutdown, HostPowerOff, QemuCrashed, PodLost and others; docs/API.md has them all.</summary>
    public string? Reason { get; set; }

    /// <summary>What happened, and the way out where there is one.</summary>
    public string? Message { get; set; }

    /// <summary>QEMU's exit code, or 128 plus its signal; absent when it was never started or nobody saw it end.</summary>
    public int? ExitCode { get; set; }

    /// <summary>When.</summary>
    public DateTime? At { get; set; }

    /// <summary>When this run of the guest had begun; absent when it never ran.</summary>
    public DateTime? StartedAt { get; set; }

    /// <summary>UID of the pod that ended.</summary>
    public string? PodUid { get; set; }

    /// <summary>The console's last 50 lines, at most 8,192 characters of them.</summary>
    public string? Console { get; set; }
}

/// <summary>The exact times of a start, UTC, so that start latency needs no guess.</summary>
public sealed class LabNodeTimeline
{
    /// <summary>The operator decided to start the guest.</summary>
    public DateTime? Decided { get; set; }

    /// <summary>The pod was created (the API server's clock, whole seconds).</summary>
    public DateTime? PodCreated { get; set; }

    /// <summary>The pod got its node (whole seconds).</summary>
    public DateTime? PodScheduled { get; set; }

    /// <summary>The runner's first statement.</summary>
    public DateTime? RunnerStarted { get; set; }

    /// <summary>The overlay was there and checked.</summary>
    public DateTime? DiskReady { get; set; }

    /// <summary>QEMU's process was started.</summary>
    public DateTime? QemuStarted { get; set; }

    /// <summary>The guest's first instruction, as QEMU's monitor told it.</summary>
    public DateTime? GuestRunning { get; set; }
}
