using System.Net.Sockets;
using Microsoft.Win32.SafeHandles;

namespace SandLabX.Runner.Posix;

/// <summary>A program that reads a file and whose output is taken as it comes. Killed when it is disposed of before its end.</summary>
internal sealed class Filter : IDisposable
{
    private readonly Child _child;
    private readonly Task<string> _errors;
    private readonly Socket _errorsSocket;

    private Filter(Child child, Socket output, Socket errors)
    {
        _child = child;
        _errorsSocket = errors;
        Output = new NetworkStream(output, ownsSocket: true);
        _errors = Tool.ReadAsync(errors, Tool.KeptErrors, fromStart: false);
    }

    /// <summary>What it says.</summary>
    internal Stream Output { get; }

    /// <summary>Starts it.</summary>
    /// <param name="children">Who starts it.</param>
    /// <param name="arguments">The program, found on PATH, and its arguments.</param>
    /// <param name="input">Its standard input.</param>
    internal static async Task<Filter> StartAsync(Children children, IReadOnlyList<string> arguments, SafeFileHandle input)
    {
        (Socket output, Descriptor outputEnd) = Children.Pair();
        (Socket errors, Descriptor errorsEnd) = Children.Pair();
        using (outputEnd)
        using (errorsEnd)
        {
            try
            {
                return new Filter(
                    await children.StartAsync(arguments, [((int)input.DangerousGetHandle(), 0), (outputEnd.Number, 1), (errorsEnd.Number, 2)]).ConfigureAwait(false), output, errors);
            }
            catch
            {
                output.Dispose();
                errors.Dispose();
                throw;
            }
        }
    }

    /// <summary>Waits for its end, once its output was read.</summary>
    internal async Task<ToolResult> EndAsync(CancellationToken stop) =>
        new(await _child.Exited.WaitAsync(stop).ConfigureAwait(false), "", await _errors.ConfigureAwait(false));

    /// <inheritdoc/>
    public void Dispose()
    {
        _child.Signal(Native.Kill);
        Output.Dispose();
        _errorsSocket.Dispose();
    }
}
