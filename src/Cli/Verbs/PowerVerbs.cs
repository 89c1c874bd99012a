using System.CommandLine;
using SandLabX.Cli.Power;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Verbs;

/// <summary><c>start stop pause suspend restart reset</c>: one family, told apart by <see cref="PowerPlanner"/>.</summary>
internal static class PowerVerbs
{
    /// <summary>What a start or a stop takes at most on a busy machine: a pod, an image of a runner, a guest that powers off in its grace.</summary>
    private const double Patience = 180;

    internal static IEnumerable<Command> Create() =>
    [
        Create(PowerVerb.Start, "start", "Starts guests; also those that are paused, suspended, halted or in back-off."),
        Create(PowerVerb.Stop, "stop", "Powers guests off in order; their disks stay."),
        Create(PowerVerb.Pause, "pause", "Lets guests' processors stand; pods and memory stay."),
        Create(PowerVerb.Suspend, "suspend", "Saves guests' memory on their claims and ends their pods; start lets them go on."),
        Create(PowerVerb.Restart, "restart", "Powers guests off and starts them again, with what the spec says now."),
        Create(PowerVerb.Reset, "reset", "Presses guests' reset buttons: what they had not synced is lost."),
    ];

    /// <summary>The options of waiting, which <c>wipe</c> has too.</summary>
    internal static (Option<bool> NoWait, TimeoutOption Timeout) Waiting(Command command)
    {
        var noWait = new Option<bool>("--no-wait") { Description = "Asks for it and does not wait until the status says so." };
        TimeoutOption timeout = Globals.Timeout(Patience);
        command.Options.Add(noWait);
        command.Options.Add(timeout);
        return (noWait, timeout);
    }

    /// <summary>A revision that is new: no two of the same millisecond.</summary>
    internal static string Token() => $"cli-{TimeProvider.System.GetUtcNow():yyyyMMdd'T'HHmmss'.'fff'Z'}";

    private static Command Create(PowerVerb verb, string name, string help)
    {
        var command = new Command(name, help);
        var choice = new NodeChoice(command);
        (Option<bool> noWait, TimeoutOption timeout) = Waiting(command);
        Option<Format> output = Globals.Output();
        command.Options.Add(output);
        Option<bool> yes = Globals.Yes();
        if (verb == PowerVerb.Reset)
        {
            command.Options.Add(yes);
        }

        command.Runs(async call =>
        {
            string token = Token();
            IReadOnlyList<V1Alpha1LabNode> nodes = await choice.ChosenAsync(call).ConfigureAwait(false);
            bool discard = verb == PowerVerb.Reset && call.Get(yes);
            return await new PowerRun(call, call.Get(noWait) ? null : call.Get(timeout))
                .RunAsync([.. nodes.Select(n => (n, PowerPlanner.Plan(verb, n, token, discard)))], call.Get(output)).ConfigureAwait(false);
        });
        return command;
    }
}
