using System.Collections.Concurrent;
using System.ComponentModel;
using System.Net.Sockets;
using System.Runtime.InteropServices;
using System.Text;

namespace SandLabX.Runner.Posix;

/// <summary>
/// Starts and reaps processes. Not <see cref="System.Diagnostics.Process"/>: QEMU is handed open sockets and the disk's lock, and
/// as PID 1 the runner also reaps what others left behind.
/// </summary>
internal sealed class Children : IDisposable
{
    // Above every number a child is given a descriptor at, so that no dup2 overwrites the source of the next.
    private const int SafeDescriptor = 64;

    private readonly Lock _lock = new();
    private readonly Dictionary<int, TaskCompletionSource<int>> _running = [];
    private readonly BlockingCollection<Action> _starts = [];
    private readonly SemaphoreSlim _some = new(0);
    private volatile bool _over;

    internal Children()
    {
        // A thread that waits, and no handler of SIGCHLD: as PID 1 .NET's own handler reaps every child before a registered one
        // is asked, and its exit code is lost.
        new Thread(Reap, maxStackSize: 256 * 1024) { IsBackground = true, Name = "reaper" }.Start();

        // One thread starts all: PR_SET_PDEATHSIG strikes when the thread that started the child ends, and threads of the pool do end.
        new Thread(RunStarts, maxStackSize: 256 * 1024) { IsBackground = true, Name = "children" }.Start();
    }

    /// <summary>Starts a process in a group of its own (a Ctrl-C in the terminal is the runner's to pass on), with standard input empty.</summary>
    /// <param name="arguments">The program, found on PATH, and its arguments.</param>
    /// <param name="descriptors">Open descriptors and the numbers that the child sees them at, 1 and 2 for its output.</param>
    /// <exception cref="IOException">The program can't be started.</exception>
    internal async Task<Child> StartAsync(IReadOnlyList<string> arguments, IReadOnlyList<(int From, int To)> descriptors)
    {
        var started = new TaskCompletionSource<Child>(TaskCreationOptions.RunContinuationsAsynchronously);
        _starts.Add(() =>
        {
            try
            {
                started.SetResult(Start(arguments, descriptors));
            }
            catch (IOException e)
            {
                started.SetException(e);
            }
        });
        return await started.Task.ConfigureAwait(false);
    }

    /// <summary>Two ends of a stream: one for the runner, one (close it once the child has it) for a child.</summary>
    internal static unsafe (Socket Mine, Descriptor Theirs) Pair()
    {
        int* pair = stackalloc int[2];
        if (Native.SocketPair(Native.UnixDomain, Native.StreamCloseOnExec, 0, pair) != 0)
        {
            throw Failure("can't make a socket pair", Marshal.GetLastPInvokeError());
        }

        return (new Socket(new SafeSocketHandle(pair[0], ownsHandle: true)), new Descriptor(pair[1]));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _over = true;
        _some.Release();
        _starts.CompleteAdding();
    }

    private void RunStarts()
    {
        foreach (Action start in _starts.GetConsumingEnumerable())
        {
            start();
        }
    }

    private unsafe Child Start(IReadOnlyList<string> arguments, IReadOnlyList<(int From, int To)> descriptors)
    {
        // Opaque types of glibc: 336, 80 and 128 bytes on 64-bit machines.
        byte* actions = stackalloc byte[512];
        byte* attributes = stackalloc byte[512];
        byte* signals = stackalloc byte[256];
        var copies = new List<int>();
        using var texts = new NativeTexts();
        _ = Native.ActionsInit(actions);
        _ = Native.AttributesInit(attributes);
        try
        {
            _ = Native.AttributesFlags(attributes, Native.SpawnSetProcessGroup | Native.SpawnDefaultSignals | Native.SpawnSignalMask);
            _ = Native.FillSignals(signals);
            _ = Native.AttributesDefaultSignals(attributes, signals);
            _ = Native.EmptySignals(signals);
            _ = Native.AttributesSignalMask(attributes, signals);
            byte* nothing = texts.Add("/dev/null");
            for (int standard = 0; standard < 3; standard++)
            {
                _ = Native.ActionsOpen(actions, standard, nothing, Native.ReadWrite, 0);
            }

            foreach ((int from, int to) in descriptors)
            {
                int copy = Native.Control(from, Native.DuplicateCloseOnExec, SafeDescriptor);
                if (copy < 0)
                {
                    throw Failure("can't pass a descriptor on", Marshal.GetLastPInvokeError());
                }

                copies.Add(copy);
                _ = Native.ActionsDuplicate(actions, copy, to);
            }

            byte** argumentTexts = texts.AddAll(arguments);

            // The runner's own environment holds its configuration, which is nobody else's. One heap for all threads spares QEMU 3 MiB.
            byte** environment = texts.AddAll([$"PATH={Environment.GetEnvironmentVariable("PATH")}", "LC_ALL=C", "MALLOC_ARENA_MAX=1"]);
            int process;
            lock (_lock)
            {
                int error = Native.Spawn(&process, argumentTexts[0], actions, attributes, argumentTexts, environment);
                if (error != 0)
                {
                    throw Failure($"can't start {arguments[0]}", error);
                }

                var exited = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
                _running[process] = exited;
                _some.Release();
                return new Child(process, exited.Task);
            }
        }
        finally
        {
            _ = Native.ActionsDestroy(actions);
            _ = Native.AttributesDestroy(attributes);
            copies.ForEach(copy => _ = Native.Close(copy));
        }
    }

    private unsafe void Reap()
    {
        while (!_over)
        {
            int status;
            int process = Native.Wait(-1, &status, 0);
            if (process < 0)
            {
                // No child is left: the next start wakes this. A signal that came between says nothing about the children.
                if (Marshal.GetLastPInvokeError() != Native.Interrupted)
                {
                    _some.Wait();
                }

                continue;
            }

            // Under the lock: a child that ends before its start returned is found by its number only then.
            lock (_lock)
            {
                if (_running.Remove(process, out TaskCompletionSource<int>? exited))
                {
                    exited.SetResult(ExitCode(status));
                }
            }
        }
    }

    /// <summary>The shell's convention: the exit code, or 128 plus the signal that ended the process.</summary>
    internal static int ExitCode(int status) => (status & 0x7F) == 0 ? (status >> 8) & 0xFF : 128 + (status & 0x7F);

    private static IOException Failure(string what, int error) => new($"{what}: {new Win32Exception(error).Message}", error);

    /// <summary>Zero-ended texts and lists of them, for the time of one call.</summary>
    private sealed unsafe class NativeTexts : IDisposable
    {
        private readonly List<nint> _allocated = [];

        internal byte* Add(string text)
        {
            byte[] bytes = Encoding.UTF8.GetBytes(text);
            byte* copy = (byte*)Allocate(bytes.Length + 1);
            bytes.CopyTo(new Span<byte>(copy, bytes.Length));
            copy[bytes.Length] = 0;
            return copy;
        }

        internal byte** AddAll(IReadOnlyList<string> texts)
        {
            byte** list = (byte**)Allocate((texts.Count + 1) * sizeof(byte*));
            for (int i = 0; i < texts.Count; i++)
            {
                list[i] = Add(texts[i]);
            }

            list[texts.Count] = null;
            return list;
        }

        public void Dispose() => _allocated.ForEach(Marshal.FreeHGlobal);

        private nint Allocate(int bytes)
        {
            nint memory = Marshal.AllocHGlobal(bytes);
            _allocated.Add(memory);
            return memory;
        }
    }
}

/// <summary>A process that was started.</summary>
/// <param name="Id">Its number.</param>
/// <param name="Exited">Its exit code, or 128 plus the signal that ended it.</param>
internal sealed record Child(int Id, Task<int> Exited)
{
    /// <summary>Sends a signal, unless it was reaped already and its number may be another's.</summary>
    internal void Signal(int signal)
    {
        if (!Exited.IsCompleted)
        {
            _ = Native.Signal(Id, signal);
        }
    }
}

/// <summary>An open descriptor that is to be given to a child.</summary>
internal sealed class Descriptor(int number) : IDisposable
{
    private int _number = number;

    internal int Number => _number;

    /// <inheritdoc/>
    public void Dispose()
    {
        int number = Interlocked.Exchange(ref _number, -1);
        if (number >= 0)
        {
            _ = Native.Close(number);
        }
    }
}
