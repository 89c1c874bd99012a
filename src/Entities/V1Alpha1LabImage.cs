using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Entities;

/// <summary>A base image that LabNodes' disks are based on: imported once, verified, then never changed.</summary>
[KubernetesEntity(Group = Api.Group, ApiVersion = Api.Version, Kind = "LabImage", PluralName = "labimages")]
[EntityScope(EntityScope.Namespaced)]
[KubernetesEntityShortNames("li")]
[KubernetesEntityCategories("sandlabx")]
[GenericAdditionalPrinterColumn(".status.phase", "Phase", "string")]
[GenericAdditionalPrinterColumn(".status.progress", "Progress", "string")]
[GenericAdditionalPrinterColumn(".status.conditions[?(@.type==\"Ready\")].reason", "Reason", "string")]
[GenericAdditionalPrinterColumn(".status.virtualSizeBytes", "Virtual Size", "integer", Priority = 1)]
[GenericAdditionalPrinterColumn(".status.digest", "Digest", "string", Priority = 1)]
[GenericAdditionalPrinterColumn(".metadata.creationTimestamp", "Age", "date")]
public sealed class V1Alpha1LabImage : CustomKubernetesEntity<LabImageSpec, LabImageStatus>;

/// <summary>Where an image comes from and what it must be.</summary>
public sealed class LabImageSpec
{
    /// <summary>Where the bytes come from.</summary>
    [Required]
    public LabImageSource Source { get; set; } = new();

    /// <summary>SHA-256 of the file as it is delivered, 64 lower-case hexadecimal digits. A new digest is a new revision: disks that are based on the old one keep it.</summary>
    [Required]
    [Pattern("^[0-9a-f]{64}$")]
    public string Sha256 { get; set; } = "";

    /// <summary>
    /// True to keep the image compressed on its claim: smaller, and slower to read. A file that is no qcow2 image is converted to one either way; a qcow2 file
    /// is kept as it was delivered unless this is true.
    /// </summary>
    public bool Compress { get; set; }

    /// <summary>
    /// How disks that are made from now on come by the image. Shared: all read the one copy on the image's claim. Copy: each first copies it onto its own claim,
    /// and needs the image no more; that takes room and time, and lets the LabNode run wherever its own claim can go. ImageVolume: nothing is imported; each pod
    /// mounts the container image of spec.source.oci, which must be named by its digest and have a qcow2 file. It takes a cluster with image volumes
    /// (Kubernetes 1.35 or later, containerd 2.1 or CRI-O 1.31). Disks that are there keep what they have.
    /// </summary>
    [Default(Deliveries.Shared)]
    [AllowedValues(Deliveries.Shared, Deliveries.Copy, Deliveries.ImageVolume)]
    public string Delivery { get; set; } = Deliveries.Shared;

    /// <summary>The claim that holds the image.</summary>
    public LabImageStorage Storage { get; set; } = new();

    /// <summary>What guests made of it need.</summary>
    public LabImageGuest Guest { get; set; } = new();
}

/// <summary>Where an image's bytes come from: exactly one of these.</summary>
[PropertyCount(1, 1)]
public sealed class LabImageSource
{
    /// <summary>An http or https address of the file.</summary>
    [Pattern("^https?://[^\\s]+$")]
    [Length(8, 2048)]
    public string? Url { get; set; }

    /// <summary>An image in an OCI registry: a container disk or an artifact.</summary>
    public LabImageOci? Oci { get; set; }

    /// <summary>A file on another claim of this namespace.</summary>
    public LabImageClaim? Claim { get; set; }

    /// <summary>The bytes are sent by <c>kubectl sandlabx image upload</c>; the import waits for them. <c>upload: {}</c>.</summary>
    public LabImageUpload? Upload { get; set; }
}

/// <summary>An image in an OCI registry: a container image for linux/amd64 with one file in /disk, or an artifact of files, as oras pushes them.</summary>
public sealed class LabImageOci
{
    /// <summary>Registry, repository, and tag or digest: registry.example.org/lab/debian:12, or …@sha256:….</summary>
    [Required]
    [Length(1, 1024)]
    public string Reference { get; set; } = "";

    /// <summary>The file within the container image, such as disk/debian.qcow2, or the title of the artifact's file; needed where there are several.</summary>
    [Length(1, 1024)]
    public string? Path { get; set; }

    /// <summary>Name of a Secret of type kubernetes.io/dockerconfigjson in this namespace, with name and password for the registry.</summary>
    [Length(1, 253)]
    public string? PullSecret { get; set; }

    /// <summary>True to speak plain HTTP, as a registry inside of the cluster may. Name and password then go over the network as they are.</summary>
    public bool PlainHttp { get; set; }
}

/// <summary>A file on another claim of this namespace; it is copied.</summary>
public sealed class LabImageClaim
{
    /// <summary>The claim's name.</summary>
    [Required]
    [Length(1, 253)]
    public string Name { get; set; } = "";

    /// <summary>The file's path within the volume.</summary>
    [Required]
    [Length(1, 900)]
    public string Path { get; set; } = "";
}

/// <summary>An upload: nothing to say about it.</summary>
public sealed class LabImageUpload;

/// <summary>The claim that holds an image.</summary>
public sealed class LabImageStorage
{
    /// <summary>The claim's size, a quantity; must hold the file as it is delivered and, where that is converted, what is made of it beside it. An import writes no more than that.</summary>
    [Default("10Gi")]
    [Pattern(Quantities.Pattern)]
    public string Size { get; set; } = "10Gi";

    /// <summary>Storage class of the claim; left out, the cluster's default.</summary>
    [Length(1, 253)]
    public string? StorageClassName { get; set; }

    /// <summary>
    /// ReadWriteOnce serves LabNodes on one node of the cluster; with several nodes take a class that can ReadWriteMany, or one that can ReadOnlyMany: the claim
    /// then asks for ReadWriteOnce as well, for the import.
    /// </summary>
    [Default("ReadWriteOnce")]
    [AllowedValues("ReadWriteOnce", "ReadWriteMany", "ReadOnlyMany")]
    public string AccessMode { get; set; } = "ReadWriteOnce";
}

/// <summary>What an image is.</summary>
public sealed class LabImageStatus
{
    /// <summary>The generation of the spec that this status answers.</summary>
    public long? ObservedGeneration { get; set; }

    /// <summary>One word: Pending, Importing, Ready, BackOff, Failed or Deleting.</summary>
    public string? Phase { get; set; }

    /// <summary>Ready; when not, its reason and message say why and what to do.</summary>
    public IList<V1Condition>? Conditions { get; set; }

    /// <summary>How far the import is, such as 40%; then Converting and Verifying.</summary>
    public string? Progress { get; set; }

    /// <summary>Name of the claim that holds the image; absent where a container image does.</summary>
    public string? Claim { get; set; }

    /// <summary>The container image that holds the image (delivery ImageVolume); absent where a claim does.</summary>
    public LabImageVolume? Volume { get; set; }

    /// <summary>The verified digest, sha256:&lt;64 hexadecimal digits&gt;.</summary>
    public string? Digest { get; set; }

    /// <summary>The image's format where LabNodes read it; always qcow2.</summary>
    public string? Format { get; set; }

    /// <summary>What was delivered: qcow2, raw, vmdk, vdi or vhdx, followed by .gz, .xz or .zst when it was compressed.</summary>
    public string? SourceFormat { get; set; }

    /// <summary>How LabNodes reach the image.</summary>
    public LabImageDelivery? Delivery { get; set; }

    /// <summary>What a guest sees, in bytes.</summary>
    public long? VirtualSizeBytes { get; set; }

    /// <summary>What the file takes, in bytes.</summary>
    public long? FileSizeBytes { get; set; }

    /// <summary>When it became ready.</summary>
    public DateTime? ImportedAt { get; set; }

    /// <summary>How the last try failed; absent when none did since the last success.</summary>
    public LabImageFailure? LastFailure { get; set; }
}

/// <summary>A base image's file in a container image, which pods mount as a volume.</summary>
public sealed record LabImageVolume
{
    /// <summary>Registry, repository and digest of the container image.</summary>
    public string Reference { get; set; } = "";

    /// <summary>The file within it, such as disk/debian.qcow2.</summary>
    public string Path { get; set; } = "";

    /// <summary>Name of the Secret in this namespace that it is pulled with; absent for none.</summary>
    public string? PullSecret { get; set; }

    /// <summary>The file's size in bytes, as it was verified: a file of another size is refused.</summary>
    public long FileSizeBytes { get; set; }
}

/// <summary>How the one copy of an image reaches the LabNodes that are based on it.</summary>
public sealed class LabImageDelivery
{
    /// <summary>
    /// Shared: LabNodes on all nodes of the cluster read it. OneNode: those on the node that has its volume. Copy: each disk that is made has its own.
    /// ImageVolume: the cluster's nodes pull it as a container image.
    /// </summary>
    public string? Mode { get; set; }

    /// <summary>Why it is so.</summary>
    public string? Reason { get; set; }
}

/// <summary>A failed import.</summary>
public sealed class LabImageFailure
{
    /// <summary>One word of a closed list: DownloadFailed, DigestMismatch, UnknownFormat, DecompressedTooLarge, HasBackingFile, HasDataFile, Encrypted, VirtualSizeTooLarge, ImageCorrupt, NoSpace and others.</summary>
    public string? Reason { get; set; }

    /// <summary>What happened, and the way out.</summary>
    public string? Message { get; set; }

    /// <summary>When.</summary>
    public DateTime? At { get; set; }

    /// <summary>UID of the pod that failed.</summary>
    public string? PodUid { get; set; }

    /// <summary>The hash of what that import was told, and the runner's image; a change of source, claim or runner tries anew at once.</summary>
    public string? ImportHash { get; set; }

    /// <summary>How many tries in a row failed.</summary>
    public int Consecutive { get; set; }

    /// <summary>When it is tried again; absent when only a corrected spec helps.</summary>
    public DateTime? NextAt { get; set; }
}
