using System.Text.Json.Serialization;

namespace SandLabX.Contract;

/// <summary>What the runner is told: the JSON in the environment variable <see cref="ContractNames.ConfigVariable"/> of a pod that runs a guest.</summary>
public sealed record RunnerConfig
{
    /// <summary>Namespace and name of the LabNode, <c>namespace/name</c>; shown in messages only.</summary>
    public required string Node { get; init; }

    /// <summary>The disk's id: the overlay is <c>node_&lt;id&gt;.qcow2</c>.</summary>
    public required string DiskId { get; init; }

    /// <summary>Absolute path of the overlay, on the LabNode's claim.</summary>
    public required string OverlayPath { get; init; }

    /// <summary>True when this disk is known to have been made before: a missing overlay is then an error, never a fresh disk (law 7).</summary>
    public bool OverlayExpected { get; init; }

    /// <summary>Virtual size of the overlay in bytes; null takes the base image's. Smaller than the base's is refused; an overlay that is there grows to it and never shrinks.</summary>
    public long? DiskSizeBytes { get; init; }

    /// <summary>What a disk that is made is called (<c>spec.disk.revision</c>); empty for <see cref="OverlayMarker.Initial"/>.</summary>
    public string DiskRevision { get; init; } = "";

    /// <summary>True when a disk of another revision is to give way: to the kept one of <see cref="DiskRevision"/> where there is one, else to a fresh one.</summary>
    public bool Wipe { get; init; }

    /// <summary>How many disks that gave way are kept; 0 deletes them once the new one is in place.</summary>
    public int KeepWiped { get; init; } = 1;

    /// <summary>
    /// The reset that was asked for when the pod was made (<c>spec.resetRevision</c>). It counts as done where the guest boots anyway; where it was suspended
    /// under another one, its saved memory is discarded, as a reset would, and it boots.
    /// </summary>
    public string ResetRevision { get; init; } = "";

    /// <summary>Absolute path of the base image, on the image's claim, mounted read-only.</summary>
    public required string BackingPath { get; init; }

    /// <summary>SHA-256 of the base image, 64 hexadecimal digits; an overlay made on other bytes is refused.</summary>
    public required string BackingSha256 { get; init; }

    /// <summary>Virtual CPUs, at least 1.</summary>
    public required int Cpus { get; init; }

    /// <summary>The guest's memory in bytes; a multiple of 1 MiB.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>One of <see cref="Accelerators"/>.</summary>
    public required string Accelerator { get; init; }

    /// <summary>Seconds between the ACPI power-off and the pulled plug; 0 pulls it at once.</summary>
    public required int GracePeriodSeconds { get; init; }
}

/// <summary>What an import is told: the JSON in <see cref="ContractNames.ConfigVariable"/> of a pod that imports an image.</summary>
public sealed record ImportConfig
{
    /// <summary>Namespace and name of the LabImage, <c>namespace/name</c>; shown in messages only.</summary>
    public required string Image { get; init; }

    /// <summary>The http or https address of the qcow2 file.</summary>
    public required string Url { get; init; }

    /// <summary>The SHA-256 that the bytes must have, 64 hexadecimal digits.</summary>
    public required string Sha256 { get; init; }

    /// <summary>Absolute path that the verified image gets; its folder is on the image's claim.</summary>
    public required string TargetPath { get; init; }

    /// <summary>The largest virtual size accepted, in bytes.</summary>
    public required long MaxVirtualSizeBytes { get; init; }
}

/// <summary>Names and numbers both sides must agree on.</summary>
public static class ContractNames
{
    /// <summary>Environment variable that carries the configuration as JSON.</summary>
    public const string ConfigVariable = "SANDLABX_CONFIG";

    /// <summary>Environment variable that carries the UID of the runner's own pod.</summary>
    public const string PodUidVariable = "SANDLABX_POD_UID";

    /// <summary>TCP port on which the runner answers <c>GET /readyz</c> (200 or 503) and <c>GET /v1/events</c> (newline-delimited <see cref="RunnerState"/>, the present one first).</summary>
    public const int Port = 7070;

    /// <summary>
    /// Folder in which the kubelet shows what is wished of a guest that runs, a file a wish (<see cref="PowerFile"/>, <see cref="ResetFile"/>, <see cref="SizeFile"/>), from the pod's
    /// annotations. Who may write those could delete the pod as well, so no other credential is needed; and a wish outlives the one who wrote it.
    /// </summary>
    public const string WishDirectory = "/wishes";

    /// <summary>File in <see cref="WishDirectory"/>: one of <see cref="PowerWishes"/>. Running where it never was anything else.</summary>
    public const string PowerFile = "power";

    /// <summary>File in <see cref="WishDirectory"/>: the reset that was asked for; each change of the string resets the guest once.</summary>
    public const string ResetFile = "reset";

    /// <summary>File in <see cref="WishDirectory"/>: the disk's virtual size in bytes, once its claim has the room. A smaller one than the disk has is no wish.</summary>
    public const string SizeFile = "size";

    /// <summary>Folder of the runner's sockets; an emptyDir in the pod.</summary>
    public const string RunDirectory = "/run/sandlabx";

    /// <summary>Folder on which the LabNode's claim is mounted.</summary>
    public const string OverlayDirectory = "/overlays";

    /// <summary>Folder under which base images are mounted read-only, one folder an image.</summary>
    public const string ImageDirectory = "/images";

    /// <summary>File name of a base image in its folder.</summary>
    public const string ImageFile = "disk.qcow2";

    /// <summary>File beside a base image that holds its <see cref="ImageReport"/>; written when the import was verified.</summary>
    public const string ImageReportFile = "disk.json";

    /// <summary>Folder on which an import mounts the image's claim.</summary>
    public const string ImportDirectory = "/image";

    /// <summary>Kubernetes' limit on a container's termination message, in bytes.</summary>
    public const int TerminationMessageLimit = 4096;

    /// <summary>Where Kubernetes reads the termination message from.</summary>
    public const string TerminationMessagePath = "/dev/termination-log";
}

/// <summary>The closed list of accelerator wishes.</summary>
public static class Accelerators
{
    /// <summary>KVM where it passes the self-test, else TCG.</summary>
    public const string Auto = "Auto";

    /// <summary>KVM or an error.</summary>
    public const string Kvm = "KVM";

    /// <summary>Software emulation.</summary>
    public const string Tcg = "TCG";
}

/// <summary>The closed list of what can be wished of a guest that has a pod.</summary>
public static class PowerWishes
{
    /// <summary>It runs.</summary>
    public const string Running = "Running";

    /// <summary>Its processors stand.</summary>
    public const string Paused = "Paused";

    /// <summary>Its memory and devices are saved beside its disk, and its pod ends; the next start resumes it where it was.</summary>
    public const string Suspended = "Suspended";

    /// <summary>
    /// It powers off, as after SIGTERM, and its pod ends. Not taken back. Unlike a deleted pod, one that ended by itself stays, and its last word with it,
    /// until somebody has read it.
    /// </summary>
    public const string Off = "Off";
}

/// <summary>Source-generated JSON for everything that operator and runner say to each other: camelCase, nulls left out, unknown members ignored.</summary>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RunnerConfig))]
[JsonSerializable(typeof(ImportConfig))]
[JsonSerializable(typeof(RunnerState))]
[JsonSerializable(typeof(TerminationReport))]
[JsonSerializable(typeof(ImageReport))]
[JsonSerializable(typeof(OverlayMarker))]
[JsonSerializable(typeof(SavedState))]
[JsonSerializable(typeof(DiskSwap))]
public sealed partial class ContractJson : JsonSerializerContext;
