using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>What kind of start a pod is made for.</summary>
/// <param name="DiskExpected">True when the disk is known to have been made: a missing overlay is then an error, never a fresh disk.</param>
/// <param name="Resumes">What the guest is resumed from; null when it boots.</param>
/// <param name="RestartRevision">The restart that this start counts as.</param>
/// <param name="DiskRevision">Which disk it is to run on; null for the one that is there.</param>
/// <param name="Wipe">Whether a disk of another revision gives way.</param>
public sealed record NodeStart(bool DiskExpected, LabNodeSavedState? Resumes, string? RestartRevision, string? DiskRevision, bool Wipe)
{
    /// <summary>The full check of the disk before the guest starts, by its name; null for none.</summary>
    public string? FullCheck { get; init; }

    /// <summary>What the disk is based on; null for what the claim notes of the present one.</summary>
    public DiskBase? Base { get; init; }

    /// <summary>The image that is the CD in the guest's drive; null for none.</summary>
    public DiskBase? Cdrom { get; init; }

    /// <summary>Whether the check is all.</summary>
    public bool CheckOnly { get; init; }
}
