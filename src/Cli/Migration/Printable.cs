using System.Text;

namespace SandLabX.Cli.Migration;

/// <summary>What others wrote, made fit for a terminal, an annotation or a message.</summary>
internal static class Printable
{
    /// <summary>One line without control characters or broken surrogates, cut to a length.</summary>
    internal static string Line(string text, int limit)
    {
        var line = new StringBuilder();
        foreach (Rune rune in text.EnumerateRunes())
        {
            if (line.Length >= limit)
            {
                return line.Append('…').ToString();
            }

            line.Append(Rune.IsControl(rune) || rune.Value is >= 0x202A and <= 0x202E or >= 0x2066 and <= 0x2069 ? "?" : rune.ToString());
        }

        return line.ToString();
    }
}
