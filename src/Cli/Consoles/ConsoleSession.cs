using System.Net.WebSockets;
using Microsoft.Win32.SafeHandles;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Consoles;

/// <summary>A person, or a script's bytes, at a guest's serial console.</summary>
internal static class ConsoleSession
{
    /// <summary>Joins standard input and output to the console until the escape key, the guest's end, or Ctrl-C where the input is no terminal.</summary>
    /// <returns>The exit code.</returns>
    internal static async Task<int> RunAsync(Call call, PodExec exec, string node, Escape escape)
    {
        bool typed = !Console.IsInputRedirected;
        using var left = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        // Its continuations must not run on the thread that reads the keys, within the very call that ends the connection.
        var escaped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        int? code = 0;
        await using Stream output = Console.OpenStandardOutput();
        await using Stream errors = Console.OpenStandardError();
        if (typed)
        {
            string size = RawTerminal.Size() is var (columns, rows) ? $"; a serial line knows no window, so for full screens: stty rows {rows} cols {columns}" : "";
            call.Out.Note($"[{node}: {(escape.Code is null ? "no key leaves; close the terminal" : $"{escape} leaves")}{size}]");
        }

        using (RawTerminal? raw = typed ? RawTerminal.Enter() : null)
        {
            new Thread(() => Type(exec, raw is null ? new Escape(null) : escape, escaped, left.Token)) { IsBackground = true, Name = "input" }.Start();
            Task<int?> shown = exec.PumpAsync(output, errors, left.Token);
            if (await Task.WhenAny(shown, escaped.Task).ConfigureAwait(false) == shown)
            {
                code = await shown.ConfigureAwait(false);
            }
            else
            {
                await left.CancelAsync().ConfigureAwait(false);
                await Task.WhenAny(shown).ConfigureAwait(false);
            }
        }

        if (typed)
        {
            await Console.Error.WriteLineAsync().ConfigureAwait(false);
        }

        if (!escaped.Task.IsCompleted)
        {
            call.Out.Note($"[{node}: the console ended, as its guest or pod did; 'kubectl sandlabx status {node}' tells why]");
        }

        return code ?? ExitCodes.Failed;
    }

    /// <summary>Sends what is typed, until the escape key. At the end of the input the console goes on showing.</summary>
    private static void Type(PodExec exec, Escape escape, TaskCompletionSource escaped, CancellationToken left)
    {
        // Not the console's own stream: on a terminal that reads whole lines, in a mode of its own.
        using var keys = new SafeFileHandle(0, ownsHandle: false);
        using var input = new FileStream(keys, FileAccess.Read, bufferSize: 0);
        byte[] buffer = new byte[4096];
        try
        {
            while (input.Read(buffer) is > 0 and int count)
            {
                (int length, bool ends) = escape.Cut(buffer.AsSpan(0, count));
                exec.SendAsync(buffer.AsMemory(0, length), left).GetAwaiter().GetResult();
                if (ends)
                {
                    escaped.SetResult();
                    return;
                }
            }
        }
        catch (Exception e) when (e is IOException or WebSocketException or OperationCanceledException or ObjectDisposedException)
        {
            // The console or the terminal is gone; the showing side notices.
        }
    }
}
