namespace SandLabX.Contract;

/// <summary>One line of <c>GET /v1/events</c>: the runner's whole present state, so that a reader that comes late or comes back misses nothing that matters.</summary>
public sealed record RunnerState
{
    /// <summary>One of <see cref="RunnerPhases"/>.</summary>
    public required string Phase { get; init; }

    /// <summary>When this state began, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>UID of the pod that the runner is in: an address can pass from one pod to another while somebody still listens. Null outside of pods.</summary>
    public string? PodUid { get; init; }

    /// <summary>The accelerator in use; null until QEMU's start was decided.</summary>
    public AcceleratorReport? Accelerator { get; init; }

    /// <summary>The guest's disk; null until it was prepared, and in imports.</summary>
    public DiskReport? Disk { get; init; }

    /// <summary>The times of this start so far.</summary>
    public StartTimeline? Timeline { get; init; }

    /// <summary>What the last look at the disk found; null until it was looked at, and in imports.</summary>
    public DiskCheckReport? Check { get; init; }

    /// <summary>What the guest's disk last failed at, while the guest is paused by it.</summary>
    public IoErrorReport? IoError { get; init; }

    /// <summary>
    /// The last word, in phase <see cref="RunnerPhases.Ended"/>: what the termination message says, which a kubelet can lose, with as much of the console as
    /// <see cref="TerminationReport.Console"/> allows.
    /// </summary>
    public TerminationReport? End { get; init; }

    /// <summary>Why the guest that is wished suspended could not be, while that is so; it goes on.</summary>
    public string? SaveError { get; init; }

    /// <summary>The last reset that was carried out, as <see cref="ContractNames.ResetFile"/> named it.</summary>
    public string? ResetRevision { get; init; }

    /// <summary>How often the guest was reset since QEMU's start (reboots included). What its firmware adds to a reset is not counted, nor is what a guest asks for within 5 s of one.</summary>
    public int Resets { get; init; }

    /// <summary>How often the guest rebooted by itself since QEMU's start.</summary>
    public int Reboots { get; init; }

    /// <summary>When it last did, UTC; null when it never did.</summary>
    public DateTimeOffset? RebootedAt { get; init; }

    /// <summary>When somebody last used the guest, or it began to run; told at most every ten seconds. Null while no guest has run, and from a runner that can't tell.</summary>
    public DateTimeOffset? LastUsedAt { get; init; }

    /// <summary>The runner's version.</summary>
    public string? RunnerVersion { get; init; }

    /// <summary>QEMU's version, as its monitor tells it.</summary>
    public string? QemuVersion { get; init; }

    /// <summary>Bytes an import or an adoption has received; null outside of those.</summary>
    public long? ReceivedBytes { get; init; }

    /// <summary>Bytes that it expects in all; null when the server did not say, and outside of imports and adoptions.</summary>
    public long? TotalBytes { get; init; }
}

/// <summary>The closed list of what a runner can be doing.</summary>
public static class RunnerPhases
{
    /// <summary>Checks or makes the overlay.</summary>
    public const string Preparing = "Preparing";

    /// <summary>Copies the base image onto the LabNode's claim, before anything else.</summary>
    public const string Copying = "Copying";

    /// <summary>Checks the overlay in full, or mends a copy of it.</summary>
    public const string Checking = "Checking";

    /// <summary>Another process holds the overlay's lock; the runner waits for it.</summary>
    public const string WaitingForLock = "WaitingForLock";

    /// <summary>QEMU was started; its guest does not run yet.</summary>
    public const string Starting = "Starting";

    /// <summary>The guest runs.</summary>
    public const string Running = "Running";

    /// <summary>The guest is paused, by request or by an I/O error (see <see cref="RunnerState.IoError"/>).</summary>
    public const string Paused = "Paused";

    /// <summary>The guest stands; its memory and devices are being saved.</summary>
    public const string Saving = "Saving";

    /// <summary>The guest was asked to power off.</summary>
    public const string ShuttingDown = "ShuttingDown";

    /// <summary>It is over; the termination report says how.</summary>
    public const string Ended = "Ended";

    /// <summary>An import receives bytes, or it or an adoption copies them from another claim.</summary>
    public const string Downloading = "Downloading";

    /// <summary>An import waits for an upload, or receives it.</summary>
    public const string Receiving = "Receiving";

    /// <summary>An import decompresses or converts what it received.</summary>
    public const string Converting = "Converting";

    /// <summary>An import checks what it received.</summary>
    public const string Verifying = "Verifying";
}

/// <summary>Which accelerator the guest runs on, and why.</summary>
/// <param name="Name"><see cref="Accelerators.Kvm"/> or <see cref="Accelerators.Tcg"/>.</param>
/// <param name="Reason">One CamelCase word, fit for a condition: SelfTestPassed, Requested, NoDevice, SelfTestFailed, SelfTestTimedOut.</param>
/// <param name="Message">One sentence for people.</param>
public sealed record AcceleratorReport(string Name, string Reason, string Message);

/// <summary>The guest's disk as the runner found or made it.</summary>
/// <param name="VirtualSizeBytes">What the guest sees.</param>
/// <param name="ActualSizeBytes">What the overlay takes on the claim.</param>
/// <param name="Created">True when this start made it.</param>
public sealed record DiskReport(long VirtualSizeBytes, long ActualSizeBytes, bool Created)
{
    /// <summary>Which disk it is: the revision it was made as.</summary>
    public string? Revision { get; init; }

    /// <summary>When this start put the disk back to its base, or brought a kept one back; null when it did neither.</summary>
    public DateTimeOffset? WipedAt { get; init; }

    /// <summary>The disks that gave way and are kept, newest first; null when there are none.</summary>
    public IReadOnlyList<KeptDisk>? Kept { get; init; }

    /// <summary>What the overlay is based on, as its marker says; null from earlier versions.</summary>
    public BackingReport? Backing { get; init; }

    /// <summary>Names of qcow2 files in the disk's folder that belong to another disk, at most 10; null when there are none.</summary>
    public IReadOnlyList<string>? Strays { get; init; }
}

/// <summary>A disk that gave way to another one.</summary>
/// <param name="Revision">Its name: asking for it brings it back.</param>
/// <param name="CreatedAt">When it was made, UTC.</param>
/// <param name="ActualSizeBytes">What it takes on the claim.</param>
public sealed record KeptDisk(string Revision, DateTimeOffset? CreatedAt, long ActualSizeBytes)
{
    /// <summary>True when a mended copy took its place.</summary>
    public bool Damaged { get; init; }

    /// <summary>What it is based on; null when its marker can't be read, and from earlier versions.</summary>
    public BackingReport? Backing { get; init; }
}

/// <summary>The base image of an overlay.</summary>
/// <param name="Path">Its path, which the overlay names.</param>
/// <param name="Sha256">Its SHA-256, 64 hexadecimal digits.</param>
public sealed record BackingReport(string Path, string Sha256);

/// <summary>
/// The file <c>.node_&lt;id&gt;.swap.json</c>: one disk is giving way to another. Who finds it goes on from wherever it was cut off; all that is left to do is renames.
/// </summary>
/// <param name="Keep">The number under which the present disk is kept.</param>
/// <param name="Restore">The number of the kept disk that takes its place; null for the one that was just made.</param>
public sealed record DiskSwap(int Keep, int? Restore)
{
    /// <summary>What the present disk is called from then on, as it is damaged and a mended copy takes its place and its name; null when it keeps its own.</summary>
    public string? DamagedAs { get; init; }
}

/// <summary>Times of one start, UTC; each null until reached.</summary>
public sealed record StartTimeline
{
    /// <summary>The runner's first statement.</summary>
    public DateTimeOffset? RunnerStarted { get; init; }

    /// <summary>The overlay was there and checked.</summary>
    public DateTimeOffset? DiskReady { get; init; }

    /// <summary>QEMU's process was started.</summary>
    public DateTimeOffset? QemuStarted { get; init; }

    /// <summary>QEMU's monitor said that the guest runs.</summary>
    public DateTimeOffset? GuestRunning { get; init; }
}

/// <summary>A failed access of the guest's disk.</summary>
/// <param name="NoSpace">True when the claim is full.</param>
/// <param name="Message">QEMU's words.</param>
public sealed record IoErrorReport(bool NoSpace, string Message);

/// <summary>What is known of a base image once it was verified.</summary>
/// <param name="Sha256">64 hexadecimal digits.</param>
/// <param name="Format">Always <c>qcow2</c> today.</param>
/// <param name="VirtualSizeBytes">What a guest sees.</param>
/// <param name="FileSizeBytes">What the image's file takes.</param>
public sealed record ImageReport(string Sha256, string Format, long VirtualSizeBytes, long FileSizeBytes)
{
    /// <summary>What was delivered: qcow2, raw, vmdk, vdi or vhdx, followed by .gz, .xz or .zst when it was compressed. Null from earlier versions: qcow2.</summary>
    public string? SourceFormat { get; init; }

    /// <summary>The file within the container image that holds it, such as disk/debian.qcow2; null where it is on a claim.</summary>
    public string? Path { get; init; }
}

/// <summary>
/// What is known of a suspended guest: the file <c>node_&lt;id&gt;.state.json</c> beside the overlay. The state, QEMU's migration stream in
/// <c>node_&lt;id&gt;.state</c>, counts while this file is there, and fits this very machine on this very disk alone.
/// </summary>
/// <param name="At">When it was saved, UTC.</param>
/// <param name="Bytes">The state's size.</param>
/// <param name="Checksum">XXH128 of the state, 32 hexadecimal digits: told are damage and mix-ups; whoever could write the one file could write the other.</param>
/// <param name="Cpus">The machine's virtual CPUs.</param>
/// <param name="MemoryBytes">The machine's memory.</param>
/// <param name="Accelerator"><see cref="Accelerators.Kvm"/> or <see cref="Accelerators.Tcg"/>: their processors differ.</param>
/// <param name="ResetRevision">The last reset that the guest had had.</param>
/// <param name="OverlayBytes">The overlay file's length then.</param>
/// <param name="OverlayWrittenAt">When the overlay had last been written, whole seconds, as archives keep them.</param>
public sealed record SavedState(
    DateTimeOffset At,
    long Bytes,
    string Checksum,
    int Cpus,
    long MemoryBytes,
    string Accelerator,
    string ResetRevision,
    long OverlayBytes,
    DateTimeOffset OverlayWrittenAt)
{
    /// <summary>Whether the machine had the disk with cloud-init's data: it is resumed with the devices that it had.</summary>
    public bool Seed { get; init; }

    /// <summary>Whether the machine had a CD drive.</summary>
    public bool Cdrom { get; init; }
}

/// <summary>The file <c>node_&lt;id&gt;.json</c> beside an overlay: says without Kubernetes what the overlay is and that it was made.</summary>
/// <param name="DiskId">The disk's id.</param>
/// <param name="Node">The LabNode it was made for, <c>namespace/name</c>.</param>
/// <param name="BackingPath">Its base image's path.</param>
/// <param name="BackingSha256">Its base image's SHA-256.</param>
/// <param name="CreatedAt">When it was made, UTC.</param>
public sealed record OverlayMarker(string DiskId, string Node, string BackingPath, string BackingSha256, DateTimeOffset CreatedAt)
{
    /// <summary>The revision of a disk that was made without a name.</summary>
    public const string Initial = "initial";

    /// <summary>Which disk it is.</summary>
    public string Revision { get; set; } = Initial;

    /// <summary>True when a mended copy took its place.</summary>
    public bool Damaged { get; init; }
}
