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
        reason is TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.HostPowerOff or TerminationReasons.Suspended or TerminationReasons.Imported ? 0 : 1;

    /// <summary>The report as JSON within the limit: the console gives way from its beginning, line by line and then within its last line.</summary>
    internal static byte[] Fit(TerminationReport report, int limit = ContractNames.TerminationMessageLimit)
    {
        if (report.Message.Length > MaxMessage)
        {
            report = report with { Message = report.Message[..MaxMessage] + "…" };
        }

        byte[] whole = Json(report);
        if (whole.Length <= limit)
        {
            return whole;
        }

        if (report.Console is not { Length: > 0 } console || Json(report with { Console = null }).Length > limit)
        {
            // A message in letters that JSON writes as six bytes each.
            string message = report.Message;
            return Fit(report with { Console = null, Message = message.Length > 2 ? message[..(message.Length / 2)] + "…" : "" }, limit);
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

    /// <summary>The report as <see cref="Fit"/> leaves it.</summary>
    internal static TerminationReport Shortened(TerminationReport report) =>
        JsonSerializer.Deserialize(Fit(report), ContractJson.Default.TerminationReport)!;

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
