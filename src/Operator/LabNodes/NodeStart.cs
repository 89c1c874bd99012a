using SandLabX.Contract;

namespace SandLabX.Operator.LabNodes;

/// <summary>What one start is to be, beside what the spec says of every start.</summary>
public sealed record NodeStart
{
    /// <summary>Virtual CPUs: the spec's, or those of the saved state that is resumed.</summary>
    public required int Cpus { get; init; }

    /// <summary>The guest's memory in bytes, whole MiB: the spec's, or that of the saved state that is resumed.</summary>
    public required long MemoryBytes { get; init; }

    /// <summary>The size a new overlay gets, in bytes; null for the image's.</summary>
    public long? DiskBytes { get; init; }

    /// <summary>True when the disk is known to have been made.</summary>
    public bool OverlayExpected { get; init; }

    /// <summary>One of <see cref="SavedStates"/>.</summary>
    public string SavedState { get; init; } = SavedStates.Resume;

    /// <summary>One of <see cref="DiskRepairs"/>, when the disk was found damaged and a person asked for its repair; else null.</summary>
    public string? Repair { get; init; }

    /// <summary>True when no guest is to be started: the disk alone is seen to.</summary>
    public bool DiskOnly { get; init; }
}
