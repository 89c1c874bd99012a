using System.CommandLine;
using System.CommandLine.Completions;

namespace SandLabX.Cli.Shell;

/// <summary>What a shell may complete a command line to, and the scripts that make shells ask.</summary>
internal static class Completion
{
    /// <summary>The word that makes the program answer a shell; what follows it are the words typed so far, the last one unfinished.</summary>
    internal const string Word = "__complete";

    /// <summary>The candidates for the last word.</summary>
    internal static IEnumerable<string> Candidates(RootCommand root, IReadOnlyList<string> words)
    {
        string line = string.Join(' ', words.Select(Quoted));
        string last = words.Count > 0 ? words[^1] : "";
        return root.Parse(line).GetCompletions(line.Length).OfType<CompletionItem>().Select(c => c.InsertText ?? c.Label)
            .Where(c => c.StartsWith(last, StringComparison.Ordinal) && (last.StartsWith('-') || !c.StartsWith('-'))).Distinct(StringComparer.Ordinal);
    }

    /// <summary>The script for a shell, or for kubectl, which runs <c>kubectl_complete-sandlabx</c> from PATH; null for one that is not known.</summary>
    internal static string? Script(string shell) => shell switch
    {
        "bash" => """
            # kubectl sandlabx completion bash: . <(kubectl sandlabx completion bash)
            _kubectl_sandlabx() {
              local IFS=$'\n'
              COMPREPLY=($(kubectl-sandlabx __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2> /dev/null))
            }
            complete -o default -F _kubectl_sandlabx kubectl-sandlabx
            """,
        "zsh" => """
            #compdef kubectl-sandlabx
            # kubectl sandlabx completion zsh: . <(kubectl sandlabx completion zsh), after compinit
            _kubectl_sandlabx() {
              local -a found=("${(@f)$(kubectl-sandlabx __complete "${(@)words[2,CURRENT]}" 2> /dev/null)}")
              [[ -n $found ]] && compadd -a found || _files
            }
            compdef _kubectl_sandlabx kubectl-sandlabx
            """,
        "fish" => """
            # kubectl sandlabx completion fish: kubectl sandlabx completion fish | source
            complete -c kubectl-sandlabx -a '(kubectl-sandlabx __complete (commandline -opc)[2..] (commandline -ct) 2> /dev/null)'
            """,
        "kubectl" => """
            #!/bin/sh
            # kubectl (1.26 and later) runs this to complete "kubectl sandlabx": put it as kubectl_complete-sandlabx into a folder of PATH, executable.
            kubectl-sandlabx __complete "$@"
            echo :0
            """,
        _ => null,
    };

    private static string Quoted(string word) => word.Any(char.IsWhiteSpace) ? $"\"{word.Replace("\"", "", StringComparison.Ordinal)}\"" : word;
}
