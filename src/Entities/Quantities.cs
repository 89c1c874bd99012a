using System.Globalization;
using System.Text.RegularExpressions;

namespace SandLabX.Entities;

/// <summary>Quantities of bytes as the API writes them: a number with an optional unit (k, M, G, T or Ki, Mi, Gi, Ti).</summary>
/// <remarks>The API's fields are strings and not the client's quantity type, whose reader throws on what it can't parse and so would hide the whole object.</remarks>
public static partial class Quantities
{
    /// <summary>What the schema admits.</summary>
    public const string Pattern = "^[0-9]{1,15}(\\.[0-9]{1,3})?(k|M|G|T|Ki|Mi|Gi|Ti)?$";

    /// <summary>Bytes per MiB.</summary>
    public const long MiB = 1024 * 1024;

    /// <summary>Reads a quantity; false when it is none, or more than fits in a signed 64-bit number of bytes.</summary>
    public static bool TryParse(string? text, out long bytes)
    {
        bytes = 0;
        if (text is null || Shape().Match(text) is not { Success: true } match)
        {
            return false;
        }

        decimal unit = match.Groups[2].Value switch
        {
            "k" => 1_000m,
            "M" => 1_000_000m,
            "G" => 1_000_000_000m,
            "T" => 1_000_000_000_000m,
            "Ki" => 1024m,
            "Mi" => 1024m * 1024,
            "Gi" => 1024m * 1024 * 1024,
            "Ti" => 1024m * 1024 * 1024 * 1024,
            _ => 1m,
        };
        decimal value = decimal.Ceiling(decimal.Parse(match.Groups[1].Value, CultureInfo.InvariantCulture) * unit);
        if (value > long.MaxValue)
        {
            return false;
        }

        bytes = (long)value;
        return true;
    }

    /// <summary>Reads a quantity that is known to be one.</summary>
    /// <exception cref="FormatException">It is none.</exception>
    public static long Parse(string text) => TryParse(text, out long bytes) ? bytes : throw new FormatException($"\"{text}\" is no quantity of bytes.");

    /// <summary>Writes bytes in the largest binary unit that divides them.</summary>
    public static string Format(long bytes)
    {
        ReadOnlySpan<string> units = ["", "Ki", "Mi", "Gi", "Ti"];
        int unit = 0;
        while (unit < units.Length - 1 && bytes != 0 && bytes % 1024 == 0)
        {
            bytes /= 1024;
            unit++;
        }

        return bytes.ToString(CultureInfo.InvariantCulture) + units[unit];
    }

    [GeneratedRegex("^([0-9]{1,15}(?:\\.[0-9]{1,3})?)(k|M|G|T|Ki|Mi|Gi|Ti)?$", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();
}
