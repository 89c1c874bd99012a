using k8s.Models;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Power;

/// <summary>How far a LabNode is on the way to a goal.</summary>
/// <param name="State">Where it stands.</param>
/// <param name="Words">Phase, reason and message, for people.</param>
internal sealed record Progress(ProgressState State, string Words)
{
    /// <summary>Judges it. Pure.</summary>
    /// <param name="goal">The goal, with the generation that was written.</param>
    /// <param name="node">The LabNode as it is; null when it is gone.</param>
    internal static Progress Judge(Goal goal, V1Alpha1LabNode? node)
    {
        if (node is null)
        {
            return new Progress(ProgressState.Failed, "it was deleted meanwhile");
        }

        if (node.Metadata.DeletionTimestamp is not null)
        {
            return new Progress(ProgressState.Failed, "it is being deleted");
        }

        if (node.Spec.PowerState != goal.PowerState)
        {
            return new Progress(ProgressState.Failed, $"somebody else set spec.powerState to {node.Spec.PowerState} meanwhile");
        }

        if (node.Status is not { } status || (status.ObservedGeneration ?? 0) < goal.Generation)
        {
            return new Progress(ProgressState.Pending, "the operator has not seen it yet");
        }

        V1Condition? ready = Conditions.Find(status.Conditions, ConditionTypes.Ready);
        string words = Describe(status.Phase, ready);
        if (status.Phase == NodePhases.Failed || ready?.Reason is "InvalidSpec" or "SuspendFailed")
        {
            return new Progress(ProgressState.Failed, words);
        }

        if (goal.Phase == NodePhases.Suspended && ready?.Reason == "NothingToSuspend")
        {
            return new Progress(ProgressState.Reached, words);
        }

        if (goal.Phase != NodePhases.Stopped && status.Phase == NodePhases.Stopped && status.Halted is { } halt && halt.Generation == node.Metadata.Generation)
        {
            return new Progress(ProgressState.Failed, words);
        }

        bool revisions = Is(goal.RestartRevision, status.RestartRevision) && Is(goal.ResetRevision, status.ResetRevision)
            && (goal.Phase == NodePhases.Stopped || Is(goal.DiskRevision, status.Disk?.Revision));
        return new Progress(revisions && status.Phase == goal.Phase && ready?.Status == Conditions.True ? ProgressState.Reached : ProgressState.Pending, words);
    }

    private static bool Is(string? wanted, string? present) => wanted is null || wanted == present || (wanted == "initial" && string.IsNullOrEmpty(present));

    private static string Describe(string? phase, V1Condition? ready) =>
        ready is null || ready.Reason == phase ? phase ?? "Pending"
        : ready.Status == Conditions.True || ready.Message.Length == 0 ? $"{phase} ({ready.Reason})"
        : $"{phase} ({ready.Reason}): {ready.Message}";
}

/// <summary>Where it stands.</summary>
internal enum ProgressState
{
    /// <summary>On the way.</summary>
    Pending,

    /// <summary>There.</summary>
    Reached,

    /// <summary>It does not get there by itself.</summary>
    Failed,
}
