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
    public string DiskRevision { get; set; } = "";

    /// <summary>True when a disk of another revision is to give way: to the kept one of <see cref="DiskRevision"/> where there is one, else to a fresh one.</summary>
    public bool Wipe { get; init; }

    /// <summary>How many disks that gave way are kept; 0 deletes them once the new one is in place.</summary>
    public int KeepWiped { get; set; } = 1;

    /// <summary>How many disks that a mended copy took the place of are kept. What a start mends itself it keeps in any case; the next one counts.</summary>
    public int KeepDamaged { get; set; } = 1;

    /// <summary>The full check to be done before the guest starts: its name (<c>spec.disk.checkRevision</c>), empty for a scheduled one. Null for none.</summary>
    public string? FullCheck { get; init; }

    /// <summary>One of <see cref="DiskRepairs"/>: what may be mended, on a copy, when a check finds it. Null for nothing.</summary>
    public string? Repair { get; init; }

    /// <summary>True when the disk is only checked (and repaired, as wished): no guest starts, and the runner ends for <see cref="TerminationReasons.Checked"/>.</summary>
    public bool CheckOnly { get; init; }

    /// <summary>
    /// The reset that was asked for when the pod was made (<c>spec.resetRevision</c>). It counts as done where the guest boots anyway; where it was suspended
    /// under another one, its saved memory is discarded, as a reset would, and it boots.
    /// </summary>
    public string ResetRevision { get; set; } = "";

    /// <summary>Absolute path of the base image, on the image's claim or in a container image, mounted read-only.</summary>
    public required string BackingPath { get; init; }

    /// <summary>
    /// Size in bytes that the base image's file must have where a container image holds it, which has no <see cref="ContractNames.ImageReportFile"/>; its digest vouches for
    /// the rest. Null where an import wrote that.
    /// </summary>
    public long? BackingFileBytes { get; init; }

    /// <summary>Absolute path of the image that the base is to be copied from, when it is not there yet; null where it is not to be made here.</summary>
    public string? BackingCopyFrom { get; init; }

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

    /// <summary>What cloud-init in the guest is told; null for a guest that has none.</summary>
    public SeedConfig? Seed { get; init; }

    /// <summary>Absolute path of the CD in the guest's drive, a qcow2 file mounted read-only; null for none.</summary>
    public string? CdromPath { get; init; }

    /// <summary>True when the guest boots from the CD first, false when it does once nothing on its disk boots.</summary>
    public bool CdromFirst { get; init; }

    /// <summary>True when the guest's firmware is UEFI, false for BIOS.</summary>
    public bool Uefi { get; init; }
}

/// <summary>What cloud-init in the guest is told. What is secret is not here but in files that the kubelet shows.</summary>
public sealed record SeedConfig
{
    /// <summary>The guest's hostname.</summary>
    public required string HostName { get; init; }

    /// <summary>Name of the user to make; null for the image's own.</summary>
    public string? User { get; init; }

    /// <summary>User data, verbatim; null for what is made of the rest.</summary>
    public string? UserData { get; init; }

    /// <summary>Network configuration, verbatim; null for DHCP.</summary>
    public string? NetworkData { get; init; }

    /// <summary>Where user data comes from, when it is secret.</summary>
    public SeedSecret? UserDataSecret { get; init; }

    /// <summary>Where the password comes from; null for the default one.</summary>
    public SeedSecret? PasswordSecret { get; init; }

    /// <summary>Where SSH keys come from; null for none.</summary>
    public SeedSecret? SshKeysSecret { get; init; }
}

/// <summary>A Secret that the kubelet shows as a folder of files.</summary>
/// <param name="Name">The Secret's name; for messages.</param>
/// <param name="Folder">The folder, absolute.</param>
/// <param name="Key">The file in it; null for all of them.</param>
public sealed record SeedSecret(string Name, string Folder, string? Key);

/// <summary>What an import is told: the JSON in <see cref="ContractNames.ConfigVariable"/> of a pod that imports an image.</summary>
public sealed record ImportConfig
{
    /// <summary>Namespace and name of the LabImage, <c>namespace/name</c>; shown in messages only.</summary>
    public required string Image { get; init; }

    /// <summary>The http or https address of the file. At most one of this, <see cref="Oci"/>, <see cref="File"/> and <see cref="Mounted"/> is set; none for an upload: the runner then waits for the bytes (<see cref="ContractNames.UploadPort"/>).</summary>
    public string? Url { get; init; }

    /// <summary>An image in a registry.</summary>
    public OciSource? Oci { get; init; }

    /// <summary>A file on another claim.</summary>
    public FileSource? File { get; init; }

    /// <summary>A file of a container image that is mounted: it is judged where it is, and stays there.</summary>
    public MountedSource? Mounted { get; init; }

    /// <summary>The SHA-256 that the bytes must have as they are delivered, 64 hexadecimal digits.</summary>
    public required string Sha256 { get; init; }

    /// <summary>True to compress the image's clusters on the claim; a qcow2 file that is delivered is converted for that, and kept as it is otherwise.</summary>
    public bool Compress { get; init; }

    /// <summary>What the image's claim was asked to hold, in bytes: nothing that an import writes may exceed it, whatever the volume would take. Null for no bound but the volume's.</summary>
    public long? ClaimBytes { get; init; }

    /// <summary>Absolute path that the verified image gets; its folder is on the image's claim. Of no matter with <see cref="Mounted"/>.</summary>
    public string TargetPath { get; set; } = $"{ContractNames.ImportDirectory}/{ContractNames.ImageFile}";

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
    /// TCP port, on the pod's loopback alone, on which an import takes an upload: <c>GET</c> and <c>PUT ?offset=N</c> of <see cref="UploadPath"/>, and <c>POST</c> of
    /// <see cref="UploadFinishPath"/>; each answers with an <see cref="UploadReport"/>. Who may port-forward to the pod may upload.
    /// </summary>
    public const int UploadPort = 7071;

    /// <summary>
    /// TCP port, on all of the pod's addresses, on which an upload takes pieces that are sealed (<see cref="UploadSeal"/>): <c>PUT ?offset=N&amp;ticket=ID</c> of
    /// <see cref="UploadPath"/>, and nothing else. The ticket is had at <see cref="UploadPort"/> alone, so the credential is the same.
    /// </summary>
    public const int SealedPort = 7072;

    /// <summary>Path of an upload's bytes.</summary>
    public const string UploadPath = "/v1/upload";

    /// <summary>Path of a ticket for a sealed piece: <c>POST</c> gives an <see cref="UploadTicket"/>, which is good for one piece.</summary>
    public const string UploadTicketPath = UploadPath + "/ticket";

    /// <summary>Path of an upload's end.</summary>
    public const string UploadFinishPath = UploadPath + "/finish";

    /// <summary>
    /// Folder in which the kubelet shows what is wished of a guest that runs, a file a wish (<see cref="PowerFile"/>, <see cref="ResetFile"/>, <see cref="SizeFile"/>), or what an
    /// adoption is told while it goes on (<see cref="DigestFile"/>), from the pod's
    /// annotations. Who may write those could delete the pod as well, so no other credential is needed; and a wish outlives the one who wrote it.
    /// </summary>
    public const string WishDirectory = "/wishes";

    /// <summary>File in <see cref="WishDirectory"/>: one of <see cref="PowerWishes"/>. Running where it never was anything else.</summary>
    public const string PowerFile = "power";

    /// <summary>File in <see cref="WishDirectory"/>: the reset that was asked for; each change of the string resets the guest once.</summary>
    public const string ResetFile = "reset";

    /// <summary>File in <see cref="WishDirectory"/>, of an adoption: SHA-256 of the overlay as it is sent or copied, 64 hexadecimal digits; empty until it is known.</summary>
    public const string DigestFile = "sha256";

    /// <summary>File in <see cref="WishDirectory"/>: the disk's virtual size in bytes, once its claim has the room. A smaller one than the disk has is no wish.</summary>
    public const string SizeFile = "size";

    /// <summary>Folder of the runner's sockets; an emptyDir in the pod.</summary>
    public const string RunDirectory = "/run/sandlabx";

    /// <summary>Folder on which the LabNode's claim is mounted.</summary>
    public const string OverlayDirectory = "/overlays";

    /// <summary>Folder under which base images are mounted read-only, one folder an image.</summary>
    public const string ImageDirectory = "/images";

    /// <summary>Folder in memory in which the runner makes what cloud-init is told: it may hold secrets.</summary>
    public const string SeedDirectory = "/seed";

    /// <summary>Folder below which the kubelet shows the Secrets that cloud-init's data comes from, one folder a Secret.</summary>
    public const string SecretDirectory = "/secrets";

    /// <summary>Folder on which the claim of the CD's image is mounted read-only.</summary>
    public const string CdromDirectory = "/cdrom";

    /// <summary>What the name of a folder begins with that holds a copy of a base image, on a LabNode's claim; twelve digits of its SHA-256 follow.</summary>
    public const string BaseCopyPrefix = "base-";

    /// <summary>File name of a base image in its folder.</summary>
    public const string ImageFile = "disk.qcow2";

    /// <summary>File beside a base image that holds its <see cref="ImageReport"/>; written when the import was verified.</summary>
    public const string ImageReportFile = "disk.json";

    /// <summary>Folder on which an import mounts the image's claim.</summary>
    public const string ImportDirectory = "/image";

    /// <summary>File with the pull secret of an import from a registry.</summary>
    public const string PullSecretPath = "/pull-secret/config.json";

    /// <summary>Folder on which an import or an adoption from another claim mounts that claim, read-only.</summary>
    public const string SourceDirectory = "/source";

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
/// <remarks>A member with a default of its own has a set accessor: one with init would get its type's default where it is absent, as a file of an earlier version is.</remarks>
[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase,
    DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull)]
[JsonSerializable(typeof(RunnerConfig))]
[JsonSerializable(typeof(ImportConfig))]
[JsonSerializable(typeof(AdoptConfig))]
[JsonSerializable(typeof(RunnerState))]
[JsonSerializable(typeof(TerminationReport))]
[JsonSerializable(typeof(ImageReport))]
[JsonSerializable(typeof(UploadReport))]
[JsonSerializable(typeof(UploadTicket))]
[JsonSerializable(typeof(OverlayMarker))]
[JsonSerializable(typeof(SavedState))]
[JsonSerializable(typeof(DiskSwap))]
public sealed partial class ContractJson : JsonSerializerContext;
