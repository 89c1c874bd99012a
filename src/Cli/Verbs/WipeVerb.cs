using System.CommandLine;
using SandLabX.Cli.Power;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Verbs;

/// <summary><c>wipe</c>.</summary>
internal static class WipeVerb
{
    internal static Command Create()
    {
        var command = new Command("wipe", "Puts disks back to their base image and keeps the ones that give way; --to brings a kept one back.");
        var choice = new NodeChoice(command);
        var to = new Option<string?>("--to") { Description = "The kept disk to bring back, by its revision; 'status NODE' lists them.", HelpName = "REVISION" };
        command.Options.Add(to);
        Option<bool> yes = Globals.Yes();
        command.Options.Add(yes);
        (Option<bool> noWait, TimeoutOption timeout) = PowerVerbs.Waiting(command);
        Option<Format> output = Globals.Output();
        command.Options.Add(output);
        command.Runs(async call =>
        {
            string token = PowerVerbs.Token();
            IReadOnlyList<V1Alpha1LabNode> nodes = await choice.ChosenAsync(call).ConfigureAwait(false);
            List<(V1Alpha1LabNode Node, Wipe Wipe)> wipes = [.. nodes.Select(n => (n, WipePlanner.Plan(n, call.Get(to), token)))];
            string[] told = [.. wipes.SelectMany(w => w.Wipe.Consequences)];
            foreach (string sentence in told)
            {
                call.Out.Note(sentence);
            }

            if (told.Length > 0 && !call.Get(yes) && !call.Out.Confirm("Go on?"))
            {
                throw new CliException(ExitCodes.Refused, "Nothing was done: it was not confirmed. --yes does it without asking.");
            }

            return await new PowerRun(call, call.Get(noWait) ? null : call.Get(timeout))
                .RunAsync([.. wipes.Select(w => (w.Node, w.Wipe.Plan))], call.Get(output)).ConfigureAwait(false);
        });
        return command;
    }
}
