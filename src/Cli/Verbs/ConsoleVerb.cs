using System.CommandLine;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Consoles;
using SandLabX.Cli.Shell;
using SandLabX.Runtime;

namespace SandLabX.Cli.Verbs;

/// <summary><c>console</c>.</summary>
internal static class ConsoleVerb
{
    internal static Command Create()
    {
        var name = new Argument<string>("NODE") { Description = "The LabNode.", CompletionSources = { NodeNames.Complete } };
        var script = new Argument<string[]>("SCRIPT")
        {
            Description = "After --: --send LINE, --expect TEXT and --timeout SECONDS, in their order; ends with 0 when all was seen.",
            Arity = ArgumentArity.ZeroOrMore,
        };
        var escape = new Option<string>("--escape", "-e")
        {
            Description = "The key that leaves: ^ and a letter or one of [ \\ ] _, or none.",
            HelpName = "KEY",
            DefaultValueFactory = _ => "^]",
        };
        TimeoutOption timeout = Globals.Timeout(180);
        timeout.Description = "How long a guest that is on its way is waited for. Default: 3m.";
        var command = new Command("console", "A guest's serial console.") { name, script, escape, timeout };
        command.Runs(async call =>
        {
            Escape key = Escape.Parse(call.Get(escape)!);
            string node = call.Get(name)!;
            string[] steps = call.Get(script) ?? [];
            if (steps.Length > 0 && !call.HasDashes)
            {
                // The parser hands on what it does not know: without the dashes that is no script, but a mistyped option.
                throw new CliException(ExitCodes.Usage, $"There is no option {steps[0]} here; a script follows --.");
            }

            ObjectKey pod = await GuestPod.WaitAsync(call, node, call.Get(timeout)).ConfigureAwait(false);
            string[] words = ["sandlabx-runner", "console", .. steps.Length > 0 ? steps : ["--until-eof"]];
            await using PodExec exec = await PodExec.OpenAsync(call.Cluster, pod, words, call.Stop).ConfigureAwait(false);
            if (steps.Length == 0)
            {
                return await ConsoleSession.RunAsync(call, exec, node, key).ConfigureAwait(false);
            }

            await using Stream output = Console.OpenStandardOutput();
            await using Stream errors = Console.OpenStandardError();
            return await exec.PumpAsync(output, errors, call.Stop).ConfigureAwait(false)
                ?? throw new CliException(ExitCodes.Failed, $"The connection to {node} broke before the script was done.");
        });
        return command;
    }
}
