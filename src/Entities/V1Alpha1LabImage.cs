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

    /// <summary>SHA-256 of the file, 64 lower-case hexadecimal digits. A new digest is a new revision: disks that are based on the old one keep it.</summary>
    [Required]
    [Pattern("^[0-9a-f]{64}$")]
    public string Sha256 { get; set; } = "";

    /// <summary>The claim that holds the image.</summary>
    public LabImageStorage Storage { get; set; } = new();
}

/// <summary>Where an image's bytes come from.</summary>
public sealed class LabImageSource
{
    /// <summary>An http or https address of a qcow2 file without a backing file, data file or encryption.</summary>
    [Required]
    [Pattern("^https?://[^\\s]+$")]
    [Length(8, 2048)]
    public string Url { get; set; } = "";
}

/// <summary>The claim that holds an image.</summary>
public sealed class LabImageStorage
{
    /// <summary>The claim's size, a quantity; must hold the file as it is served.</summary>
    [Default("10Gi")]
    [Pattern(Quantities.Pattern)]
    public string Size { get; set; } = "10Gi";

    /// <summary>Storage class of the claim; left out, the cluster's default.</summary>
    [Length(1, 253)]
    public string? StorageClassName { get; set; }

    /// <summary>ReadWriteOnce serves LabNodes on one node of the cluster; with several nodes take a class that can ReadWriteMany.</summary>
    [Default("ReadWriteOnce")]
    [AllowedValues("ReadWriteOnce", "ReadWriteMany")]
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

    /// <summary>How far the import is, such as 40%, or Verifying.</summary>
    public string? Progress { get; set; }

    /// <summary>Name of the claim that holds the image.</summary>
    public string? Claim { get; set; }

    /// <summary>The verified digest, sha256:&lt;64 hexadecimal digits&gt;.</summary>
    public string? Digest { get; set; }

    /// <summary>Always qcow2 today.</summary>
    public string? Format { get; set; }

    /// <summary>What a guest sees, in bytes.</summary>
    public long? VirtualSizeBytes { get; set; }

    /// <summary>What the file takes, in bytes.</summary>
    public long? FileSizeBytes { get; set; }

    /// <summary>When it became ready.</summary>
    public DateTime? ImportedAt { get; set; }

    /// <summary>How the last try failed; absent when none did since the last success.</summary>
    public LabImageFailure? LastFailure { get; set; }
}

/// <summary>A failed import.</summary>
public sealed class LabImageFailure
{
    /// <summary>One word of a closed list: DownloadFailed, DigestMismatch, NotQcow2, HasBackingFile, HasDataFile, Encrypted, VirtualSizeTooLarge, ImageCorrupt, NoSpace and others.</summary>
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
