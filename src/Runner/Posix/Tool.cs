using System.Net.Sockets;
using System.Text;

namespace SandLabX.Runner.Posix;

/// <summary>What a tool said and how it ended.</summary>
/// <param name="ExitCode">Its exit code, or 128 plus the signal that ended it; null when it ran out of time and was killed.</param>
/// <param name="Output">The beginning of its standard output.</param>
/// <param name="Errors">The end of its standard error.</param>
internal sealed record ToolResult(int? ExitCode, string Output, string Errors);

/// <summary>Runs a small program to its end, within a time limit, and takes bounded amounts of what it says.</summary>
internal sealed class Tool(Children children)
{
    // The JSON of `qemu-img info` is a few KiB; messages of a hostile image's check may be endless.
    private const int KeptOutput = 256 * 1024;
    internal const int KeptErrors = 2 * 1024;

    /// <summary>Runs it; a cancellation kills it.</summary>
    internal async Task<ToolResult> RunAsync(IReadOnlyList<string> arguments, TimeSpan limit, CancellationToken stop)
    {
        (Socket output, Descriptor outputEnd) = Children.Pair();
        (Socket errors, Descriptor errorsEnd) = Children.Pair();
        using Socket outputSocket = output, errorsSocket = errors;
        Child child;
        using (outputEnd)
        using (errorsEnd)
        {
            child = await children.StartAsync(arguments, [(outputEnd.Number, 1), (errorsEnd.Number, 2)]).ConfigureAwait(false);
        }

        Task<string> said = ReadAsync(output, KeptOutput, fromStart: true);
        Task<string> complained = ReadAsync(errors, KeptErrors, fromStart: false);
        try
        {
            int code = await child.Exited.WaitAsync(limit, stop).ConfigureAwait(false);
            return new ToolResult(code, await said.ConfigureAwait(false), await complained.ConfigureAwait(false));
        }
        catch (TimeoutException)
        {
            // Not waited for: a process stuck in the kernel ends when it ends.
            child.Signal(Native.Kill);
            return new ToolResult(null, "", "");
        }
        catch (OperationCanceledException)
        {
            child.Signal(Native.Kill);
            throw;
        }
    }

    /// <summary>All that is said until the other side hangs up, of which a bounded part is kept.</summary>
    internal static async Task<string> ReadAsync(Socket socket, int keep, bool fromStart)
    {
        var kept = new List<byte>();
        byte[] buffer = new byte[4096];
        try
        {
            while (await socket.ReceiveAsync(buffer).ConfigureAwait(false) is > 0 and int count)
            {
                int wanted = fromStart ? Math.Min(count, keep - kept.Count) : count;
                kept.AddRange(buffer.AsSpan(0, wanted));
                if (kept.Count > keep)
                {
                    kept.RemoveRange(0, kept.Count - keep);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Given up by a time limit; what came so far is what there is.
        }

        return Encoding.UTF8.GetString(kept.ToArray());
    }
}
