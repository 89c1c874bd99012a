using System.CommandLine;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Verbs;

/// <summary>The words that say which LabNodes a verb is about.</summary>
internal sealed class NodeChoice
{
    private readonly Argument<string[]> _names = Globals.Names("NODE", "Names of LabNodes.");
    private readonly Option<bool> _all = new("--all") { Description = "All LabNodes of the namespace." };
    private readonly Option<string?> _selector = new("--selector", "-l") { Description = "Those with these labels, as kubectl takes it: app=web,tier!=db.", HelpName = "LABELS" };

    /// <summary>Gives a verb these words.</summary>
    internal NodeChoice(Command command)
    {
        _names.CompletionSources.Add(NodeNames.Complete);
        command.Arguments.Add(_names);
        command.Options.Add(_all);
        command.Options.Add(_selector);
    }

    /// <summary>The LabNodes that they name.</summary>
    internal Task<IReadOnlyList<V1Alpha1LabNode>> ChosenAsync(Call call) =>
        LabNodes.ChosenAsync(call.Cluster, call.Get(_names) ?? [], call.Get(_all), call.Get(_selector), call.Stop);
}
