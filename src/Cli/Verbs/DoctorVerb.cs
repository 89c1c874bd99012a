using System.CommandLine;
using System.Text.Json.Nodes;
using SandLabX.Cli.Doctor;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Verbs;

/// <summary><c>doctor</c>.</summary>
internal static class DoctorVerb
{
    internal static Command Create()
    {
        Option<Format> output = Globals.Output();
        var command = new Command("doctor", "What of the cluster would stop LabNodes from running, and the cure; exit code 1 when something does.") { output };
        command.Runs(async call =>
        {
            IReadOnlyList<Finding> findings = Checkup.Of(await FactFinder.FetchAsync(call.Cluster, call.Stop).ConfigureAwait(false));
            int failed = findings.Count(f => f.Verdict == Verdict.Fail);
            int warned = findings.Count(f => f.Verdict == Verdict.Warn);
            var document = new JsonObject
            {
                ["ok"] = failed == 0,
                ["findings"] = new JsonArray([.. findings.Select(f => new JsonObject { ["check"] = f.Check, ["verdict"] = Word(f.Verdict), ["message"] = f.Message, ["cure"] = f.Cure })]),
            };
            call.Out.Result(call.Get(output), document, () =>
            {
                foreach (Finding finding in findings)
                {
                    call.Out.Marked(Word(finding.Verdict), $"{finding.Check}: {finding.Message}");
                    if (finding.Cure is { Length: > 0 } cure)
                    {
                        call.Out.Line($"      {cure}");
                    }
                }

                call.Out.Line();
                call.Out.Line($"{findings.Count - failed - warned} ok, {warned} to look at, {failed} failed");
            });
            return failed > 0 ? ExitCodes.Failed : ExitCodes.Ok;
        });
        return command;
    }

    private static string Word(Verdict verdict) => verdict switch
    {
        Verdict.Ok => "ok",
        Verdict.Warn => "warn",
        _ => "fail",
    };
}
