using System.CommandLine;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Verbs;

/// <summary><c>completion</c>.</summary>
internal static class CompletionVerb
{
    internal static Command Create()
    {
        var shell = new Argument<string>("SHELL") { Description = "bash, zsh or fish; or kubectl, whose script completes 'kubectl sandlabx' itself." };
        shell.AcceptOnlyFromAmong("bash", "zsh", "fish", "kubectl");
        var command = new Command("completion", "The script that makes a shell complete verbs, options and LabNodes.") { shell };
        command.Runs(call =>
        {
            call.Out.Line(Completion.Script(call.Get(shell)!)!);
            return Task.CompletedTask;
        });
        return command;
    }
}
