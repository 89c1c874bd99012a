namespace SandLabX.Cli.Prune;

/// <summary>What kind of thing was left over: a closed set.</summary>
internal enum LeftoverKind
{
    /// <summary>A claim with a disk whose LabNode is gone. A LabNode of the same name would find it again.</summary>
    DiskClaim,

    /// <summary>A claim with a base image whose LabImage is gone, or has a newer revision, and that no disk is based on.</summary>
    ImageClaim,

    /// <summary>A disk that gave way to another, on the claim of a LabNode that is there.</summary>
    KeptDisk,
}

/// <summary>Something that takes room and that nothing uses.</summary>
/// <param name="Kind">Its kind.</param>
/// <param name="Space">Its namespace.</param>
/// <param name="Claim">The claim that it is, or is on.</param>
/// <param name="Uid">The claim's UID.</param>
/// <param name="Bytes">What it takes: a claim's capacity, a kept disk's clusters; null when it is not known.</param>
/// <param name="Since">When it was made.</param>
/// <param name="What">What it is, in words.</param>
internal sealed record Leftover(LeftoverKind Kind, string Space, string Claim, string Uid, long? Bytes, DateTime? Since, string What);
