using System.CommandLine;

namespace SandLabX.Cli.Shell;

/// <summary>Forms of a result.</summary>
internal enum Format
{
    /// <summary>For people.</summary>
    Table,

    /// <summary>JSON, indented.</summary>
    Json,

    /// <summary>YAML.</summary>
    Yaml,
}

/// <summary><c>--timeout</c>. Its default is not the library's to know, which would print it as 00:03:00.</summary>
internal sealed class TimeoutOption(TimeSpan otherwise) : Option<TimeSpan>("--timeout")
{
    /// <summary>What counts where it is not given.</summary>
    internal TimeSpan Otherwise => otherwise;
}

/// <summary>The options that every verb has, named as kubectl names them, and those that several share.</summary>
internal static class Globals
{
    /// <summary>Path of the kubeconfig.</summary>
    internal static Option<string?> KubeConfig { get; } = new("--kubeconfig")
    {
        Description = "Path of the kubeconfig; otherwise what KUBECONFIG names, or ~/.kube/config, or the pod that this runs in.",
        HelpName = "FILE",
        Recursive = true,
    };

    /// <summary>Name of the kubeconfig's context.</summary>
    internal static Option<string?> Context { get; } = new("--context")
    {
        Description = "The kubeconfig's context; otherwise its current one.",
        HelpName = "NAME",
        Recursive = true,
    };

    /// <summary>The namespace.</summary>
    internal static Option<string?> Namespace { get; } = new("--namespace", "-n")
    {
        Description = "The namespace; otherwise the context's.",
        HelpName = "NAME",
        Recursive = true,
    };

    /// <summary>All of them.</summary>
    internal static IReadOnlyList<Option> All => [KubeConfig, Context, Namespace];

    /// <summary>A fresh <c>-o</c>, for verbs with a result.</summary>
    internal static Option<Format> Output()
    {
        var option = new Option<Format>("--output", "-o")
        {
            Description = "Form of the result: table, json or yaml. Default: table.",
            HelpName = "table|json|yaml",
            CustomParser = result =>
            {
                switch (result.Tokens[0].Value)
                {
                    case "table":
                        return Format.Table;
                    case "json":
                        return Format.Json;
                    case "yaml":
                        return Format.Yaml;
                    default:
                        result.AddError($"-o is {result.Tokens[0].Value}: give table, json or yaml.");
                        return Format.Table;
                }
            },
        };

        // Its own would be the names in C#.
        option.CompletionSources.Clear();
        option.CompletionSources.Add("table", "json", "yaml");
        return option;
    }

    /// <summary>A fresh <c>--timeout</c>.</summary>
    /// <param name="seconds">The default, in seconds.</param>
    internal static TimeoutOption Timeout(double seconds) => new(TimeSpan.FromSeconds(seconds))
    {
        Description = $"How long it may take, such as 90s, 5m or 1h. Default: {KubectlDurations.Write(TimeSpan.FromSeconds(seconds))}.",
        HelpName = "TIME",
        CustomParser = result =>
        {
            if (KubectlDurations.TryParse(result.Tokens.Count > 0 ? result.Tokens[0].Value : "", out TimeSpan time))
            {
                return time;
            }

            result.AddError($"--timeout is {result.Tokens[0].Value}: give a time above 0, such as 90s, 5m or 1h.");
            return default;
        },
    };

    /// <summary>Names as an argument, any number of them. A word that looks like an option is no name: it was mistyped.</summary>
    internal static Argument<string[]> Names(string name, string description)
    {
        var argument = new Argument<string[]>(name) { Description = description, Arity = ArgumentArity.ZeroOrMore };
        argument.Validators.Add(result =>
        {
            if (result.Tokens.FirstOrDefault(t => t.Value.StartsWith('-')) is { } option)
            {
                result.AddError($"There is no option {option.Value} here.");
            }
        });
        return argument;
    }

    /// <summary>A fresh <c>--yes</c>.</summary>
    internal static Option<bool> Yes() => new("--yes", "-y") { Description = "Does it without asking." };
}
