using System.CommandLine;
using System.CommandLine.Parsing;
using SandLabX.Cli.Connection;

namespace SandLabX.Cli.Shell;

/// <summary>One run of a verb: its words, its output, and the cluster once it is asked for.</summary>
internal sealed class Call(ParseResult words, Output output, CancellationToken stop) : IAsyncDisposable
{
    private Cluster? _cluster;

    /// <summary>Where all that is printed goes.</summary>
    internal Output Out => output;

    /// <summary>Cancelled by Ctrl-C and SIGTERM.</summary>
    internal CancellationToken Stop => stop;

    /// <summary>The cluster that the global options name; connected to at first use.</summary>
    internal Cluster Cluster => _cluster ??= Cluster.Connect(Get(Globals.KubeConfig), Get(Globals.Context), Get(Globals.Namespace));

    /// <summary>An option's value.</summary>
    internal T? Get<T>(Option<T> option) => words.GetValue(option);

    /// <summary>How long something may take.</summary>
    internal TimeSpan Get(TimeoutOption option) => words.GetResult(option) is null ? option.Otherwise : words.GetValue(option);

    /// <summary>An argument's value.</summary>
    internal T? Get<T>(Argument<T> argument) => words.GetValue(argument);

    /// <summary>Whether <c>--</c> is on the command line: what follows it is handed on as it is.</summary>
    internal bool HasDashes => words.Tokens.Any(t => t.Type == TokenType.DoubleDash);

    /// <inheritdoc/>
    public ValueTask DisposeAsync()
    {
        _cluster?.Dispose();
        return ValueTask.CompletedTask;
    }
}
