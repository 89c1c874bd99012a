using System.Text;

namespace SandLabX.Runner.Consoles;

/// <summary>Makes what a guest wrote to its terminal fit for logs, JSON and people.</summary>
internal static class ConsoleText
{
    private const char Escape = '\x1b';

    /// <summary>Plain text of a terminal's bytes: control sequences gone, line ends <c>\n</c>, bytes that are no UTF-8 replaced.</summary>
    internal static string Plain(ReadOnlySpan<byte> bytes)
    {
        string text = Encoding.UTF8.GetString(bytes);
        var plain = new StringBuilder(text.Length);
        for (int i = 0; i < text.Length; i++)
        {
            char c = text[i];
            if (c == Escape)
            {
                i = EndOfSequence(text, i);
            }
            else if (c is '\n' or '\t' || !char.IsControl(c))
            {
                plain.Append(c);
            }
            else if (c == '\b' && plain.Length > 0 && plain[^1] != '\n')
            {
                plain.Length--;
            }
        }

        return plain.ToString();
    }

    /// <summary>The last lines of a text: as many as a record of an end keeps.</summary>
    internal static string LastLines(string text, int lines = 50, int characters = 8192)
    {
        text = text.Trim('\n');
        int start = text.Length;
        for (int line = 0; line < lines && start > 0; line++)
        {
            start = text.LastIndexOf('\n', start - 1);
            start = start < 0 ? 0 : start;
        }

        text = text[start..].TrimStart('\n');
        if (text.Length <= characters)
        {
            return text;
        }

        text = text[^characters..];
        int cut = text.IndexOf('\n', StringComparison.Ordinal);
        text = cut >= 0 && cut < text.Length - 1 ? text[(cut + 1)..] : text;

        // Half of a surrogate pair is not a character.
        return char.IsLowSurrogate(text[0]) ? text[1..] : text;
    }

    /// <summary>A text in one line without control characters.</summary>
    internal static string Printable(string text)
    {
        var plain = new StringBuilder(text.Length);
        foreach (char c in text)
        {
            plain.Append(char.IsControl(c) ? ' ' : c);
        }

        return plain.ToString().Trim();
    }

    /// <summary>The index of the sequence's last character (ECMA-48: CSI ends at @ to ~, OSC and its kin at BEL or ESC \).</summary>
    private static int EndOfSequence(string text, int escape)
    {
        int i = escape + 1;
        if (i >= text.Length)
        {
            return text.Length - 1;
        }

        switch (text[i])
        {
            case '[':
                for (i++; i < text.Length && text[i] is >= ' ' and < '@'; i++)
                {
                }

                // A control character is not part of any sequence: the line end after a cut one stays.
                return i < text.Length && text[i] < ' ' ? i - 1 : Math.Min(i, text.Length - 1);
            case ']' or 'P' or 'X' or '^' or '_':
                for (i++; i < text.Length && text[i] is not ('\a' or Escape or '\n'); i++)
                {
                }

                return i >= text.Length ? text.Length - 1 : text[i] switch { '\a' => i, '\n' => i - 1, _ => Math.Min(i + 1, text.Length - 1) };
            default:
                // ESC, intermediates from space to /, one final character.
                for (; i < text.Length && text[i] is >= ' ' and <= '/'; i++)
                {
                }

                return Math.Min(i, text.Length - 1);
        }
    }
}
