using System.Globalization;
using System.Text.RegularExpressions;

namespace SandLabX.Entities;

/// <summary>Spans of time as the API writes them: whole hours, minutes and seconds in this order, such as 8h, 90m or 1h30m.</summary>
public static partial class Durations
{
    /// <summary>What the schema admits.</summary>
    public const string Pattern = "^([0-9]{1,5}h)?([0-9]{1,6}m)?([0-9]{1,8}s)?$";

    /// <summary>Reads one; false when it is none.</summary>
    public static bool TryParse(string? text, out TimeSpan time)
    {
        time = default;
        if (string.IsNullOrEmpty(text) || Shape().Match(text) is not { Success: true } match)
        {
            return false;
        }

        time = new TimeSpan(Number(match.Groups[1]), Number(match.Groups[2]), Number(match.Groups[3]));
        return true;
    }

    /// <summary>Writes one in hours, minutes and seconds; what is below a second is dropped.</summary>
    public static string Format(TimeSpan time)
    {
        (string Unit, int Count)[] parts = [("h", (int)time.TotalHours), ("m", time.Minutes), ("s", time.Seconds)];
        string text = string.Concat(parts.Where(part => part.Count > 0).Select(part => part.Count.ToString(CultureInfo.InvariantCulture) + part.Unit));
        return text.Length > 0 ? text : "0s";
    }

    private static int Number(Group group) => group.Success ? int.Parse(group.ValueSpan, CultureInfo.InvariantCulture) : 0;

    [GeneratedRegex("^(?:([0-9]{1,5})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,8})s)?$", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();
}
