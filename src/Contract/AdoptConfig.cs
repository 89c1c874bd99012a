namespace SandLabX.Contract;

/// <summary>
/// What an adoption is told: the JSON in <see cref="ContractNames.ConfigVariable"/> of a pod that receives a disk that was made elsewhere. The bytes come by the
/// upload of <see cref="ContractNames.UploadPath"/>, or are copied from a claim (<see cref="File"/>). Their digest is told by <see cref="ContractNames.DigestFile"/>, so that
/// who computes it may do so while they are on their way; nothing is made of them before.
/// </summary>
public sealed record AdoptConfig
{
    /// <summary>Namespace and name of the LabNode that the disk is for, <c>namespace/name</c>.</summary>
    public required string Node { get; init; }

    /// <summary>The disk's id: the overlay is <c>node_&lt;id&gt;.qcow2</c>.</summary>
    public required string DiskId { get; init; }

    /// <summary>Absolute path that the overlay gets, on the LabNode's claim.</summary>
    public required string OverlayPath { get; init; }

    /// <summary>Absolute path of the base image, on the image's claim, mounted read-only.</summary>
    public required string BackingPath { get; init; }

    /// <summary>As <see cref="RunnerConfig.BackingFileBytes"/>.</summary>
    public long? BackingFileBytes { get; init; }

    /// <summary>SHA-256 of the base image, 64 hexadecimal digits.</summary>
    public required string BackingSha256 { get; init; }

    /// <summary>The overlay's file on another claim: it is copied from there, and no upload is waited for. Null for an upload.</summary>
    public FileSource? File { get; init; }

    /// <summary>The backing file that the overlay names as it is sent, and the only one that it may name.</summary>
    public required string SourceBacking { get; init; }

    /// <summary>The disk's virtual size in bytes.</summary>
    public required long VirtualSizeBytes { get; init; }

    /// <summary>What the claim was asked to hold, in bytes: nothing that is received may exceed it. Null for no bound but the volume's.</summary>
    public long? ClaimBytes { get; init; }

    /// <summary>When the disk was made where it comes from, UTC; null for now.</summary>
    public DateTimeOffset? CreatedAt { get; init; }

    /// <summary>What the disk is called from now on; empty for <see cref="OverlayMarker.Initial"/>.</summary>
    public string DiskRevision { get; set; } = "";
}
