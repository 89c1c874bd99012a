using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>
/// One process works on a disk at a time. The lock belongs to the open file, which QEMU inherits: while either the runner or its QEMU
/// lives, no second runner begins. (QEMU's own image lock stays on beside it, but is only taken once QEMU opens the image.)
/// The locked file also remembers whether the disk was closed well: it then is not empty.
/// </summary>
internal sealed class OverlayLock : IDisposable
{
    // Short against a start, long against the cost of one system call.
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(50);

    private const int Mode = 0x1B4;      // rw-rw-r--: the claim's group may take the disk over

    private readonly FileStream _file;

    private OverlayLock(FileStream file)
    {
        _file = file;
        LastEndWasClean = file.Length > 0;
    }

    /// <summary>The open file, for QEMU to inherit.</summary>
    internal int Descriptor => (int)_file.SafeFileHandle.DangerousGetHandle();

    /// <summary>Whether QEMU closed the disk itself when it was last in use.</summary>
    internal bool LastEndWasClean { get; }

    /// <summary>Takes the lock; null when another holds it.</summary>
    internal static OverlayLock? TryTake(string path)
    {
        // Not through .NET, which takes a lock of its own on each file it opens.
        int descriptor = Native.Open(path, Native.ReadWrite | Native.Create | Native.CloseOnExec, Mode);
        if (descriptor < 0)
        {
            throw Failure(path, Marshal.GetLastPInvokeError());
        }

        var file = new FileStream(new SafeFileHandle(descriptor, ownsHandle: true), FileAccess.ReadWrite, bufferSize: 0);
        if (Native.Lock(descriptor, Native.LockExclusiveNonBlocking) == 0)
        {
            return new OverlayLock(file);
        }

        int error = Marshal.GetLastPInvokeError();
        file.Dispose();
        return error == Native.WouldBlock ? null : throw Failure(path, error);
    }

    /// <summary>The disk is about to be written.</summary>
    internal void MarkInUse()
    {
        if (_file.Length > 0)
        {
            _file.SetLength(0);
            _file.Flush(flushToDisk: true);
        }
    }

    /// <summary>QEMU closed the disk, and flushed it.</summary>
    internal void MarkClean()
    {
        try
        {
            _file.Position = 0;
            _file.Write("closed\n"u8);
            _file.Flush(flushToDisk: true);
        }
        catch (IOException e)
        {
            // On a full claim the mark has no room; without it the next check is milder, no more.
            Log.Line("disk.unmarked", ("error", e.Message));
        }
    }

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private static IOException Failure(string path, int error) => error == Native.NoSuchEntry
        ? new DirectoryNotFoundException($"there is no folder for {path}")
        : new IOException($"can't lock {path}: {new Win32Exception(error).Message}", error);

    /// <summary>Waits until <paramref name="attempt"/> gives something.</summary>
    /// <param name="attempt">One try.</param>
    /// <param name="waiting">Called once, when the first try gave nothing.</param>
    /// <param name="limit">How long to wait in all.</param>
    /// <param name="what">What is waited for, for the message.</param>
    /// <param name="clock">Measures the waiting.</param>
    /// <param name="stop">Ends the waiting.</param>
    /// <exception cref="RunnerEndException">It took too long: <see cref="TerminationReasons.OverlayLocked"/>.</exception>
    internal static async Task<T> WaitAsync<T>(
        Func<Task<T?>> attempt, Action waiting, TimeSpan limit, string what, TimeProvider clock, CancellationToken stop) where T : class
    {
        long began = clock.GetTimestamp();
        for (bool first = true; ; first = false)
        {
            if (await attempt().ConfigureAwait(false) is { } taken)
            {
                return taken;
            }

            if (first)
            {
                waiting();
            }

            if (clock.GetElapsedTime(began) >= limit)
            {
                throw new RunnerEndException(
                    TerminationReasons.OverlayLocked,
                    $"Another process kept {what} for {limit.TotalSeconds:0} s. Find the pod that uses this claim and end it.");
            }

            await Task.Delay(s_retry, clock, stop).ConfigureAwait(false);
        }
    }
}
