namespace SandLabX.Cli.Migration;

/// <summary>A VM as the Compose platform had it on record, whichever of its versions wrote the record.</summary>
internal sealed record OldNode
{
    /// <summary>What the platform took where nothing was said.</summary>
    internal const int DefaultMemoryMiB = 2048, DefaultCpus = 2;

    /// <summary>What the platform took where nothing was said.</summary>
    internal const string DefaultOsType = "ubuntu";

    /// <summary>Its id as written; a UUID where the platform made it.</summary>
    public required string Id { get; init; }

    /// <summary>Its name as written: any characters, and not unique.</summary>
    public required string Name { get; init; }

    /// <summary>Free text; what is not known there was run as ubuntu.</summary>
    public string OsType { get; init; } = DefaultOsType;

    /// <summary>What the record says, which is not to be trusted: it stays "running" after every stop of the platform.</summary>
    public string? Status { get; init; }

    /// <summary>Where the record says its overlay is; a path of the platform's container, of the host, or a relative one.</summary>
    public string? OverlayPath { get; init; }

    /// <summary>Path of the base image that later versions put on record; null where none did.</summary>
    public string? ImagePath { get; init; }

    /// <summary>Its memory, 16 MiB to 1 TiB.</summary>
    public int MemoryMiB { get; init; } = DefaultMemoryMiB;

    /// <summary>Its virtual CPUs, 1 to 64.</summary>
    public int Cpus { get; init; } = DefaultCpus;

    /// <summary>When it was created, UTC.</summary>
    public DateTimeOffset? CreatedAt { get; init; }

    /// <summary>When it was last started, UTC.</summary>
    public DateTimeOffset? StartedAt { get; init; }

    /// <summary>When it was last stopped, UTC.</summary>
    public DateTimeOffset? StoppedAt { get; init; }

    /// <summary>When its disk was last wiped, UTC.</summary>
    public DateTimeOffset? WipedAt { get; init; }

    /// <summary>What was read otherwise than it is written, each a sentence.</summary>
    public IReadOnlyList<string> Notes { get; init; } = [];
}

/// <summary>A stretch of a state file that is not there any more, or can't be read.</summary>
/// <param name="What">What is wrong there, with its place.</param>
/// <param name="Ids">Ids of nodes that it names; their records are lost, their overlays perhaps not.</param>
internal sealed record Loss(string What, IReadOnlyList<string> Ids);

/// <summary>All that a state file, or a database, says.</summary>
/// <param name="Nodes">The nodes that could be read whole, in their order.</param>
/// <param name="Losses">What could not be read.</param>
/// <param name="Notes">What else is worth a word.</param>
internal sealed record OldState(IReadOnlyList<OldNode> Nodes, IReadOnlyList<Loss> Losses, IReadOnlyList<string> Notes);
