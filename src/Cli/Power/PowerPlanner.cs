using System.Text.Json.Nodes;
using SandLabX.Entities;

namespace SandLabX.Cli.Power;

/// <summary>The verbs that are a change of a LabNode's power.</summary>
internal enum PowerVerb
{
    /// <summary>The guest is to run.</summary>
    Start,

    /// <summary>It is to be off.</summary>
    Stop,

    /// <summary>Its processors are to stand.</summary>
    Pause,

    /// <summary>Its memory is to be on its claim.</summary>
    Suspend,

    /// <summary>It is to power off and start again.</summary>
    Restart,

    /// <summary>Its reset button is to be pressed.</summary>
    Reset,
}

/// <summary>What a power verb means for a LabNode. Pure.</summary>
internal static class PowerPlanner
{
    /// <summary>Plans it.</summary>
    /// <param name="verb">The verb.</param>
    /// <param name="node">The LabNode as it is.</param>
    /// <param name="token">A string that no revision of it has yet, at most 64 characters.</param>
    /// <param name="mayDiscard">Whether saved memory may be given up.</param>
    internal static PowerPlan Plan(PowerVerb verb, V1Alpha1LabNode node, string token, bool mayDiscard = false)
    {
        string now = node.Spec.PowerState;
        string name = node.Metadata.Name;
        return verb switch
        {
            PowerVerb.Start when now != PowerStates.Running => Power(PowerStates.Running, NodePhases.Running),

            // It stays off until the spec changes, or waits for its next try: any change has it tried at once.
            PowerVerb.Start when node.Status is { Halted: not null } or { Phase: NodePhases.Failed or NodePhases.BackOff } => new PowerPlan.Change(
                new JsonObject { ["restartRevision"] = token }, new Goal(NodePhases.Running, now)),
            PowerVerb.Start => new PowerPlan.Await(new Goal(NodePhases.Running, now)),
            PowerVerb.Stop => Asked(now, PowerStates.Stopped, NodePhases.Stopped),
            PowerVerb.Pause => Asked(now, PowerStates.Paused, NodePhases.Paused),
            PowerVerb.Suspend => Asked(now, PowerStates.Suspended, NodePhases.Suspended),
            PowerVerb.Restart when now != PowerStates.Running => new PowerPlan.Refuse(
                $"{name}: spec.powerState is {now}, and a restart is for a guest that should run. 'kubectl sandlabx start {name}' starts it."),
            PowerVerb.Restart => new PowerPlan.Change(
                new JsonObject { ["restartRevision"] = token }, new Goal(NodePhases.Running, now) { RestartRevision = token }),
            PowerVerb.Reset when node.Status?.SavedState is not null && !mayDiscard => new PowerPlan.Refuse(
                $"{name} is suspended, and a reset gives its saved memory up. --yes does that; 'kubectl sandlabx start {name}' lets it go on instead."),
            PowerVerb.Reset when node.Status?.SavedState is not null => new PowerPlan.Change(
                new JsonObject { ["resetRevision"] = token }, new Goal(now == PowerStates.Running ? NodePhases.Running : NodePhases.Stopped, now) { ResetRevision = token }),
            PowerVerb.Reset when node.Status?.Phase is not NodePhases.Running => new PowerPlan.Refuse(
                $"{name} is {node.Status?.Phase ?? "not started yet"}, and a reset is for a guest that runs. 'kubectl sandlabx start {name}' starts it."),
            _ => new PowerPlan.Change(
                new JsonObject { ["resetRevision"] = token }, new Goal(NodePhases.Running, now) { ResetRevision = token }),
        };
    }

    private static PowerPlan Asked(string now, string state, string phase) =>
        now == state ? new PowerPlan.Await(new Goal(phase, state)) : Power(state, phase);

    private static PowerPlan.Change Power(string state, string phase) => new(new JsonObject { ["powerState"] = state }, new Goal(phase, state));
}
