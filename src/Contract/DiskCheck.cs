namespace SandLabX.Contract;

/// <summary>What a look at a disk found.</summary>
/// <param name="At">When it was looked at, UTC.</param>
/// <param name="Kind">One of <see cref="DiskCheckKinds"/>.</param>
/// <param name="Result">One of <see cref="DiskCheckResults"/>.</param>
/// <param name="Message">What was found, and the way out where there is one.</param>
public sealed record DiskCheckReport(DateTimeOffset At, string Kind, string Result, string Message)
{
    /// <summary>The full check that was asked for, as <see cref="RunnerConfig.FullCheck"/> named it; empty for a scheduled one, null for any other kind.</summary>
    public string? Revision { get; init; }

    /// <summary>Clusters that take room and belong to nothing.</summary>
    public long Leaks { get; init; }

    /// <summary>Entries of the disk's tables that are wrong.</summary>
    public long Corruptions { get; init; }
}

/// <summary>The closed list of looks at a disk.</summary>
public static class DiskCheckKinds
{
    /// <summary>It was made a moment ago, whole.</summary>
    public const string New = "New";

    /// <summary>Before a start: header, tables and <c>qemu-img check</c>, given up after a minute.</summary>
    public const string Quick = "Quick";

    /// <summary>As asked for or scheduled: the same, to its end.</summary>
    public const string Full = "Full";

    /// <summary>QEMU came upon damage while the guest ran.</summary>
    public const string Live = "Live";
}

/// <summary>The closed list of what a look at a disk can find.</summary>
public static class DiskCheckResults
{
    /// <summary>Nothing is wrong.</summary>
    public const string Clean = "Clean";

    /// <summary>Room is wasted; nothing is wrong with what the guest wrote.</summary>
    public const string Leaks = "Leaks";

    /// <summary>Something was wrong, and a mended copy has taken the disk's place.</summary>
    public const string Repaired = "Repaired";

    /// <summary>The disk is damaged; nothing was changed.</summary>
    public const string Corrupt = "Corrupt";

    /// <summary>It could not be told: the check was given up, or cut off.</summary>
    public const string NotDone = "NotDone";
}

/// <summary>The closed list of repairs that can be wished.</summary>
public static class DiskRepairs
{
    /// <summary>Leaked clusters are given back.</summary>
    public const string Leaks = "Leaks";

    /// <summary>Whatever <c>qemu-img check -r all</c> can mend.</summary>
    public const string All = "All";
}
