using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner;

/// <summary>The runner's last word, in the room that Kubernetes gives it.</summary>
internal static class Termination
{
    // Enough for every sentence the runner says by itself; what quotes a tool may be longer.
    private const int MaxMessage = 1000;

    /// <summary>0 for the ends that nobody needs to look into.</summary>
    internal static int ExitCode(string reason) =>
        reason is TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.HostPowerOff or TerminationReasons.Suspended or TerminationReasons.Imported or TerminationReasons.Adopted or TerminationReasons.Checked ? 0 : 1;

    /// <summary>The report as JSON within the limit: the console gives way from its beginning, line by line and then within its last line.</summary>
    internal static byte[] Fit(TerminationReport report, int limit = ContractNames.TerminationMessageLimit)
    {
        report = Shortened(report);
        byte[] whole = Json(report);
        if (whole.Length <= limit)
        {
            return whole;
        }

        if (report.Console is not { Length: > 0 } console || Json(report with { Console = null }).Length > limit)
        {
            // A message in letters that JSON writes as six bytes each.
            DiskCheckReport? check = report.Check;
            return Fit(report with { Console = null, Message = Half(report.Message), Check = check is null ? null : check with { Message = Half(check.Message) } }, limit);
        }

        // The longest end of the console that fits: how many bytes a character takes in JSON is for the serializer to say.
        int fits = 0;
        int tooLong = console.Length;
        while (tooLong - fits > 1)
        {
            int length = (fits + tooLong) / 2;
            if (Json(report with { Console = console[^length..] }).Length <= limit)
            {
                fits = length;
            }
            else
            {
                tooLong = length;
            }
        }

        string kept = console[^fits..];
        int line = kept.IndexOf('\n', StringComparison.Ordinal);
        kept = line >= 0 && line < kept.Length - 1 ? kept[(line + 1)..] : kept;

        // Half of a surrogate pair is not a character.
        kept = kept.Length > 0 && char.IsLowSurrogate(kept[0]) ? kept[1..] : kept;
        return Json(report with { Console = kept.Length == 0 ? null : kept });
    }

    /// <summary>The report as the event stream tells it, which has room for the whole console: only what quotes a tool may be too long.</summary>
    internal static TerminationReport Shortened(TerminationReport report) => report with { Message = Short(report.Message), Check = report.Check is { } check ? check with { Message = Short(check.Message) } : null };

    private static string Half(string message) => message.Length > 2 ? message[..(message.Length / 2)] + "…" : "";

    private static string Short(string message) => message.Length > MaxMessage ? message[..MaxMessage] + "…" : message;

    /// <summary>Writes the report where Kubernetes reads it: into the file that is mounted there, which can't be replaced.</summary>
    internal static void Write(string path, TerminationReport report)
    {
        try
        {
            File.WriteAllBytes(path, Fit(report));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.Line("termination.unwritten", ("path", path), ("error", e.Message));
        }
    }

    private static byte[] Json(TerminationReport report) => JsonSerializer.SerializeToUtf8Bytes(report, ContractJson.Default.TerminationReport);
}
