using System.Globalization;

namespace SandLabX.Runner.Consoles;

/// <summary>One step of a console script: a line to send, or a text to wait for.</summary>
/// <param name="Send">True sends <paramref name="Text"/> as a line; false waits until it appears.</param>
/// <param name="Text">The line, or the text.</param>
internal sealed record ConsoleStep(bool Send, string Text);

/// <summary>What the verb <c>console</c> is to do.</summary>
/// <param name="Steps">A script; empty attaches to standard input and output.</param>
/// <param name="NoInput">Only shows the console.</param>
/// <param name="Timeout">The limit of a script, or of an attachment; null for none.</param>
/// <param name="UntilEof">Ends an attachment with its input: whoever is cut off leaves no attachment behind.</param>
internal sealed record ConsoleArguments(IReadOnlyList<ConsoleStep> Steps, bool NoInput, TimeSpan? Timeout, bool UntilEof = false)
{
    internal const string Usage = """
        usage: sandlabx-runner console [--no-input | --until-eof] [--timeout SECONDS]
                   shows the guest's serial console, its last 8 KiB first, and types what comes on standard input;
                   on a terminal Ctrl-] detaches. At the end of standard input it goes on showing, unless
                   --until-eof is given.
               sandlabx-runner console {--send LINE | --expect TEXT}... [--timeout SECONDS]
                   runs the steps in their order. --send types a line, then looks only at what comes after it (an echo of
                   the line, too: expect what the line does not contain); --expect waits until a text appears. A script that
                   begins with --expect also sees the last 8 KiB. Everything received is printed.
                   Exit code 0: all was seen; 1: not within the time (30 s, unless said otherwise).
        """;

    private static readonly TimeSpan s_scriptLimit = TimeSpan.FromSeconds(30);

    /// <summary>Reads them; null when they can't be meant.</summary>
    internal static ConsoleArguments? Parse(IReadOnlyList<string> arguments)
    {
        var steps = new List<ConsoleStep>();
        bool noInput = false;
        bool untilEof = false;
        TimeSpan? timeout = null;
        for (int i = 0; i < arguments.Count; i++)
        {
            string? value = i + 1 < arguments.Count ? arguments[i + 1] : null;
            switch (arguments[i])
            {
                case "--no-input":
                    noInput = true;
                    break;
                case "--until-eof":
                    untilEof = true;
                    break;
                case "--send" when value is not null:
                    steps.Add(new ConsoleStep(Send: true, value));
                    i++;
                    break;
                case "--expect" when value is { Length: > 0 }:
                    steps.Add(new ConsoleStep(Send: false, value));
                    i++;
                    break;
                case "--timeout" when double.TryParse(value, NumberStyles.AllowDecimalPoint, CultureInfo.InvariantCulture, out double seconds) && seconds is > 0 and < 1e6:
                    timeout = TimeSpan.FromSeconds(seconds);
                    i++;
                    break;
                default:
                    return null;
            }
        }

        return noInput && untilEof ? null : new ConsoleArguments(steps, noInput, timeout ?? (steps.Count > 0 ? s_scriptLimit : null), untilEof);
    }
}
