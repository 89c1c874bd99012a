using System.Net.Sockets;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Consoles;

/// <summary><c>sandlabx-runner console</c>: a person, or a script, at the guest's serial console.</summary>
internal static class ConsoleVerb
{
    private const byte Detach = 0x1D;                 // Ctrl-], as telnet and virsh have it
    private const int Usage = 2;
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(100);

    /// <summary>Runs it; gives the exit code.</summary>
    internal static async Task<int> RunAsync(IReadOnlyList<string> words, string directory)
    {
        if (ConsoleArguments.Parse(words) is not { } arguments)
        {
            await Console.Error.WriteLineAsync(ConsoleArguments.Usage).ConfigureAwait(false);
            return Usage;
        }

        bool isScript = arguments.Steps.Count > 0;
        string path = Path.Combine(directory, isScript && arguments.Steps[0].Send ? ConsoleHub.LiveSocketName : ConsoleHub.SocketName);
        using var limit = new CancellationTokenSource(arguments.Timeout ?? Timeout.InfiniteTimeSpan);
        try
        {
            using Socket socket = await ConnectAsync(path, isScript, limit.Token).ConfigureAwait(false);
            return isScript
                ? await RunScriptAsync(socket, new ConsoleScript(arguments.Steps), limit.Token).ConfigureAwait(false)
                : await AttachAsync(socket, arguments, path, limit.Token).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            await Console.Error.WriteLineAsync(File.Exists(path) ? $"no console at {path}: {e.Message}" : $"no console at {path}: no guest runs here").ConfigureAwait(false);
            return 1;
        }
        catch (OperationCanceledException) when (!isScript)
        {
            return 0;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync($"no console at {path} within the time").ConfigureAwait(false);
            return 1;
        }
    }

    private static async Task<Socket> ConnectAsync(string path, bool patient, CancellationToken limit)
    {
        while (true)
        {
            var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
            try
            {
                await socket.ConnectAsync(new UnixDomainSocketEndPoint(path), limit).ConfigureAwait(false);
                return socket;
            }
            catch (SocketException) when (patient)
            {
                // A script may come before the guest.
                socket.Dispose();
                await Task.Delay(s_retry, limit).ConfigureAwait(false);
            }
        }
    }

    private static async Task<int> RunScriptAsync(Socket socket, ConsoleScript script, CancellationToken limit)
    {
        await using Stream output = Console.OpenStandardOutput();
        byte[] buffer = new byte[4096];
        try
        {
            await SendAsync(socket, script.Advance([])).ConfigureAwait(false);
            while (!script.IsDone)
            {
                int count = await socket.ReceiveAsync(buffer, limit).ConfigureAwait(false);
                if (count == 0)
                {
                    await Console.Error.WriteLineAsync($"the console ended before it showed: {script.Expected}").ConfigureAwait(false);
                    return 1;
                }

                await output.WriteAsync(buffer.AsMemory(0, count), CancellationToken.None).ConfigureAwait(false);
                await SendAsync(socket, script.Advance(buffer.AsSpan(0, count))).ConfigureAwait(false);
            }

            return 0;
        }
        catch (OperationCanceledException)
        {
            await Console.Error.WriteLineAsync($"not seen within the time: {script.Expected}").ConfigureAwait(false);
            return 1;
        }
    }

    private static async Task<int> AttachAsync(Socket socket, ConsoleArguments arguments, string path, CancellationToken limit)
    {
        bool isTerminal = !arguments.NoInput && !Console.IsInputRedirected;
        using TerminalMode? raw = isTerminal ? TerminalMode.Raw() : null;
        if (isTerminal)
        {
            await Console.Error.WriteAsync($"[{path}: Ctrl-] detaches]\r\n").ConfigureAwait(false);
        }

        using var detached = CancellationTokenSource.CreateLinkedTokenSource(limit);
        if (!arguments.NoInput)
        {
            new Thread(() => Type(socket, isTerminal, arguments.UntilEof, detached)) { IsBackground = true, Name = "input" }.Start();
        }

        await using Stream output = Console.OpenStandardOutput();
        byte[] buffer = new byte[4096];
        while (await socket.ReceiveAsync(buffer, detached.Token).ConfigureAwait(false) is > 0 and int count)
        {
            await output.WriteAsync(buffer.AsMemory(0, count), CancellationToken.None).ConfigureAwait(false);
        }

        return 0;
    }

    private static void Type(Socket socket, bool isTerminal, bool untilEof, CancellationTokenSource detached)
    {
        // Not the console's own stream: on a terminal that reads whole lines, in a mode of its own.
        using var keys = new SafeFileHandle(0, ownsHandle: false);
        using var input = new FileStream(keys, FileAccess.Read, bufferSize: 0);
        byte[] buffer = new byte[1024];
        try
        {
            while (input.Read(buffer) is > 0 and int count)
            {
                int detach = isTerminal ? buffer.AsSpan(0, count).IndexOf(Detach) : -1;
                SendAsync(socket, buffer[..(detach < 0 ? count : detach)]).GetAwaiter().GetResult();
                if (detach >= 0)
                {
                    detached.Cancel();
                    return;
                }
            }

            if (untilEof)
            {
                detached.Cancel();
            }
        }
        catch (Exception e) when (e is IOException or SocketException or ObjectDisposedException)
        {
            // The console or the terminal is gone; the showing side notices.
        }
    }

    private static async Task SendAsync(Socket socket, byte[] bytes)
    {
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await socket.SendAsync(bytes.AsMemory(sent)).ConfigureAwait(false);
        }
    }

    /// <summary>The terminal in raw mode, so that Ctrl-C, too, is the guest's; restored at the end and on signals.</summary>
    private sealed unsafe class TerminalMode : IDisposable
    {
        private const int SettingsSize = 128;         // struct termios of glibc has 60 bytes
        private readonly byte[] _before = new byte[SettingsSize];
        private readonly PosixSignalRegistration _terminated;

        private TerminalMode() => _terminated = PosixSignalRegistration.Create(PosixSignal.SIGTERM, _ => Dispose());

        internal static TerminalMode? Raw()
        {
            var mode = new TerminalMode();
            byte[] raw = new byte[SettingsSize];
            fixed (byte* before = mode._before, after = raw)
            {
                if (Native.TerminalGet(0, before) != 0)
                {
                    mode._terminated.Dispose();
                    return null;
                }

                mode._before.CopyTo(raw, 0);
                Native.TerminalMakeRaw(after);
                _ = Native.TerminalSet(0, 0, after);
            }

            return mode;
        }

        public void Dispose()
        {
            fixed (byte* before = _before)
            {
                _ = Native.TerminalSet(0, 0, before);
            }

            _terminated.Dispose();
        }
    }
}
