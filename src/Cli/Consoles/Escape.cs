using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Consoles;

/// <summary>The key that leaves a console: a control character, or none.</summary>
/// <param name="Code">Its code, 0 to 31; null when no key does.</param>
internal readonly record struct Escape(byte? Code)
{
    /// <summary>Ctrl-], as telnet and virsh have it.</summary>
    internal static Escape Default { get; } = new(0x1D);

    /// <summary>Reads <c>^X</c> (Ctrl-X) or <c>none</c>.</summary>
    /// <exception cref="CliException">It is neither.</exception>
    internal static Escape Parse(string text) => text switch
    {
        "none" => new Escape(null),
        ['^', >= '@' and <= '_' and var key] => new Escape((byte)(key - '@')),
        ['^', >= 'a' and <= 'z' and var key] => new Escape((byte)(key - 'a' + 1)),
        _ => throw new CliException(ExitCodes.Usage, $"--escape is {text}: give a control key as ^ and a letter or one of [ \\ ] _, such as ^] or ^b, or none."),
    };

    /// <summary>As people write it.</summary>
    public override string ToString() => Code is { } code ? $"Ctrl-{(char)(code + '@')}" : "none";

    /// <summary>What to send of a piece of input, and whether it ends the session.</summary>
    internal (int Length, bool Ends) Cut(ReadOnlySpan<byte> typed)
    {
        int at = Code is { } code ? typed.IndexOf(code) : -1;
        return at < 0 ? (typed.Length, false) : (at, true);
    }
}
