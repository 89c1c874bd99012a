using System.Text.Json.Nodes;

namespace SandLabX.Cli.Power;

/// <summary>What the status must say for a verb to have come about.</summary>
/// <param name="Phase">The phase.</param>
/// <param name="PowerState">What the spec must still ask for: somebody else may change it while we wait.</param>
internal sealed record Goal(string Phase, string PowerState)
{
    /// <summary>The restart that must have been carried out; null when none was asked for.</summary>
    internal string? RestartRevision { get; init; }

    /// <summary>The reset, likewise.</summary>
    internal string? ResetRevision { get; init; }

    /// <summary>The disk that the guest must be on, likewise.</summary>
    internal string? DiskRevision { get; init; }

    /// <summary>The spec's generation that the status must answer; 0 until it was written.</summary>
    internal long Generation { get; init; }
}

/// <summary>What a verb means for one LabNode: a closed set.</summary>
internal abstract record PowerPlan
{
    /// <summary>Change the spec, and wait for the goal.</summary>
    /// <param name="Spec">A merge patch of the spec.</param>
    /// <param name="Goal">What to wait for.</param>
    internal sealed record Change(JsonObject Spec, Goal Goal) : PowerPlan;

    /// <summary>The spec says so already; wait for the goal.</summary>
    /// <param name="Goal">What to wait for.</param>
    internal sealed record Await(Goal Goal) : PowerPlan;

    /// <summary>It would be wrong now.</summary>
    /// <param name="Why">Why, and what to do instead.</param>
    internal sealed record Refuse(string Why) : PowerPlan;
}
