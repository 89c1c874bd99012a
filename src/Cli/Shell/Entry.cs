using System.CommandLine;
using System.CommandLine.Invocation;
using System.CommandLine.Parsing;
using SandLabX.Cli.Verbs;

namespace SandLabX.Cli.Shell;

/// <summary>From words to an exit code: parses, runs the verb, and is the one place that prints why something did not work.</summary>
internal static class Entry
{
    // A verb that restores the terminal and tells the server goodbye needs moments, not seconds.
    private static readonly TimeSpan s_lastWords = TimeSpan.FromSeconds(5);

    /// <summary>Runs a command line; gives the exit code.</summary>
    internal static async Task<int> RunAsync(string[] words)
    {
        RootCommand root = Root();
        if (words is [Completion.Word, .. var typed])
        {
            foreach (string candidate in Completion.Candidates(root, [.. typed]))
            {
                await Console.Out.WriteLineAsync(candidate).ConfigureAwait(false);
            }

            return ExitCodes.Ok;
        }

        ParseResult parsed = root.Parse(words);
        if (parsed.Action is ParseErrorAction)
        {
            foreach (string error in parsed.Errors.Select(e => e.Message))
            {
                await Console.Error.WriteLineAsync($"error: {error}").ConfigureAwait(false);
            }

            await Console.Error.WriteLineAsync($"'{CommandPath(parsed)} --help' tells more.").ConfigureAwait(false);
            return ExitCodes.Usage;
        }

        var settings = new InvocationConfiguration { EnableDefaultExceptionHandler = false, ProcessTerminationTimeout = s_lastWords };
        return await parsed.InvokeAsync(settings).ConfigureAwait(false);
    }

    /// <summary>The root command with all verbs.</summary>
    internal static RootCommand Root()
    {
        var root = new RootCommand("Virtual machines as Kubernetes resources: power, consoles, images, and moving in.");
        foreach (Option option in Globals.All)
        {
            root.Options.Add(option);
        }

        foreach (Command verb in VerbList.All())
        {
            root.Subcommands.Add(verb);
        }

        return root;
    }

    /// <summary>Gives a verb its work. What the work throws is told here and nowhere else.</summary>
    internal static void Runs(this Command command, Func<Call, Task<int>> work) => command.SetAction(async (parsed, stop) =>
    {
        var output = new Output();
        try
        {
            await using var call = new Call(parsed, output, stop);
            return await work(call).ConfigureAwait(false);
        }
#pragma warning disable CA1031 // The last place: whatever it is, the user gets words and an exit code, and no stack trace.
        catch (Exception e)
#pragma warning restore CA1031
        {
            (int exitCode, string message) = Failures.Tell(e);
            output.Error(message);
            if (Environment.GetEnvironmentVariable("SANDLABX_DEBUG") is { Length: > 0 })
            {
                output.Note(e.ToString());
            }

            return exitCode;
        }
    });

    /// <summary>The same, for a verb whose exit code is 0 unless it throws.</summary>
    internal static void Runs(this Command command, Func<Call, Task> work) => command.Runs(async call =>
    {
        await work(call).ConfigureAwait(false);
        return ExitCodes.Ok;
    });

    private static string CommandPath(ParseResult parsed)
    {
        var names = new List<string>();
        for (SymbolResult? at = parsed.CommandResult; at is CommandResult { Command: { } command } result; at = result.Parent)
        {
            names.Insert(0, command is RootCommand ? "kubectl sandlabx" : command.Name);
        }

        return string.Join(' ', names);
    }
}
