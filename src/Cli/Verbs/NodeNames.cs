using System.CommandLine;
using System.CommandLine.Completions;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Verbs;

/// <summary>Names from the cluster, for the shell's completion: quick, and silent when there are none to be had.</summary>
internal static class NodeNames
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(5);

    /// <summary>Names of LabNodes.</summary>
    internal static IEnumerable<CompletionItem> Complete(CompletionContext context) => ReferenceEquals(context, CompletionContext.Empty)
        // Help asks what a word may be when nothing was typed: it is there without a cluster, and the same on all of them.
        ? []
        : Ask(context, cluster => async stop =>
            (await cluster.Api.ListAsync<V1Alpha1LabNode>(cluster.Namespace, null, stop).ConfigureAwait(false)).Select(n => n.Metadata.Name));

    private static IEnumerable<CompletionItem> Ask(CompletionContext context, Func<Cluster, Func<CancellationToken, Task<IEnumerable<string>>>> ask)
    {
        ParseResult words = context.ParseResult;
        using var limit = new CancellationTokenSource(s_patience);
        try
        {
            using Cluster cluster = Cluster.Connect(words.GetValue(Globals.KubeConfig), words.GetValue(Globals.Context), words.GetValue(Globals.Namespace));
            return [.. ask(cluster)(limit.Token).GetAwaiter().GetResult().Order(StringComparer.Ordinal).Select(n => new CompletionItem(n))];
        }
        catch (Exception e) when (e is CliException or KubeException or OperationCanceledException)
        {
            // A shell that completes has no place for an error; standard error, which it hides, has.
            new Output().Error(Failures.Tell(e).Message);
            return [];
        }
    }
}
