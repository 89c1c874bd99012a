using System.CommandLine;
using System.Reflection;
using System.Text.Json.Nodes;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Verbs;

/// <summary><c>version</c>.</summary>
internal static class VersionVerb
{
    /// <summary>This program's version.</summary>
    internal static string Version =>
        typeof(VersionVerb).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    internal static Command Create()
    {
        Option<Format> output = Globals.Output();
        var command = new Command("version", "This program's version; no cluster is asked.") { output };
        command.Runs(call =>
        {
            call.Out.Result(call.Get(output), new JsonObject { ["version"] = Version, ["apiVersion"] = $"{Entities.Api.Group}/{Entities.Api.Version}" }, () => call.Out.Line(Version));
            return Task.CompletedTask;
        });
        return command;
    }
}
