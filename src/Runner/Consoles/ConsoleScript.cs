using System.Text;

namespace SandLabX.Runner.Consoles;

/// <summary>Where a console script is; fed with what the guest writes. Pure.</summary>
internal sealed class ConsoleScript(IReadOnlyList<ConsoleStep> steps)
{
    private readonly List<byte> _unseen = [];
    private int _next;

    /// <summary>True when all steps were done.</summary>
    internal bool IsDone => _next >= steps.Count;

    /// <summary>The text that is waited for; null when none is.</summary>
    internal string? Expected => !IsDone && !steps[_next].Send ? steps[_next].Text : null;

    /// <summary>Takes what the guest wrote and goes as far as it can.</summary>
    /// <returns>The bytes to type now, in their order; a line ends as the Enter key does.</returns>
    internal byte[] Advance(ReadOnlySpan<byte> received)
    {
        var typed = new List<byte>();
        _unseen.AddRange(received);
        for (; !IsDone; _next++)
        {
            ConsoleStep step = steps[_next];
            byte[] text = Encoding.UTF8.GetBytes(step.Text);
            if (step.Send)
            {
                // What came before the line is no answer to it.
                _unseen.Clear();
                typed.AddRange(text);
                typed.Add((byte)'\r');
                continue;
            }

            int at = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(_unseen).IndexOf(text);
            if (at < 0)
            {
                // Only the beginning of the text can still be in there.
                _unseen.RemoveRange(0, Math.Max(0, _unseen.Count - text.Length + 1));
                break;
            }

            _unseen.RemoveRange(0, at + text.Length);
        }

        return [.. typed];
    }
}
