using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>What kind of start a pod is made for.</summary>
/// <param name="DiskExpected">True when the disk is known to have been made: a missing overlay is then an error, never a fresh disk.</param>
/// <param name="Resumes">What the guest is resumed from; null when it boots.</param>
/// <param name="RestartRevision">The restart that this start counts as.</param>
/// <param name="DiskRevision">Which disk it is to run on; null for the one that is there.</param>
/// <param name="Wipe">Whether a disk of another revision gives way.</param>
public sealed record NodeStart(bool DiskExpected, LabNodeSavedState? Resumes, string? RestartRevision, string? DiskRevision, bool Wipe);
