using System.Globalization;
using System.Text.RegularExpressions;

namespace SandLabX.Cli.Shell;

/// <summary>Times as kubectl takes and shows them.</summary>
internal static partial class KubectlDurations
{
    /// <summary>Reads a time: a number of seconds, or numbers with the units ms, s, m, h or d. False for what is none, or not above 0, or above 30 days.</summary>
    internal static bool TryParse(string text, out TimeSpan time)
    {
        time = default;
        if (double.TryParse(text, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double plain))
        {
            text = plain.ToString("0.###", CultureInfo.InvariantCulture) + "s";
        }

        Match match = Shape().Match(text);
        if (!match.Success)
        {
            return false;
        }

        double seconds = 0;
        for (int i = 0; i < match.Groups[1].Captures.Count; i++)
        {
            seconds += double.Parse(match.Groups[1].Captures[i].Value, CultureInfo.InvariantCulture) * match.Groups[2].Captures[i].Value switch
            {
                "ms" => 0.001,
                "s" => 1,
                "m" => 60,
                "h" => 3600,
                _ => 86400,
            };
        }

        if (seconds is not (> 0 and <= 30 * 86400))
        {
            return false;
        }

        time = TimeSpan.FromSeconds(seconds);
        return true;
    }

    /// <summary>An age in its two largest units at most, as kubectl has it: 45s, 5m3s, 3h12m, 4d, 2y10d.</summary>
    internal static string Write(TimeSpan time)
    {
        long seconds = Math.Max(0, (long)time.TotalSeconds);
        return seconds switch
        {
            < 120 => $"{seconds}s",
            < 600 => Two(seconds / 60, "m", seconds % 60, "s"),
            < 3 * 3600 => $"{seconds / 60}m",
            < 8 * 3600 => Two(seconds / 3600, "h", seconds / 60 % 60, "m"),
            < 48 * 3600 => $"{seconds / 3600}h",
            < 8 * 86400 => Two(seconds / 86400, "d", seconds / 3600 % 24, "h"),
            < 2 * 365 * 86400L => $"{seconds / 86400}d",
            _ => Two(seconds / (365 * 86400L), "y", seconds / 86400 % 365, "d"),
        };
    }

    private static string Two(long large, string unit, long small, string lesser) => small == 0 ? $"{large}{unit}" : $"{large}{unit}{small}{lesser}";

    [GeneratedRegex(@"^(?:(\d{1,7}(?:\.\d{1,3})?)(ms|s|m|h|d))+$", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();
}
