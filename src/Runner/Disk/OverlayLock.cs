using System.Runtime.InteropServices;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>
/// One process works on a disk at a time. The lock belongs to the open file, which QEMU inherits: while either the runner or its QEMU
/// lives, no second runner begins. (QEMU's own image lock stays on beside it, but is only taken once QEMU opens the image.)
/// </summary>
internal static class OverlayLock
{
    // Short against a start, long against the cost of one system call.
    private static readonly TimeSpan s_retry = TimeSpan.FromMilliseconds(50);

    /// <summary>Takes the lock; null when another holds it.</summary>
    internal static Descriptor? TryTake(string path)
    {
        // Through .NET for its errors; the descriptor must outlive the handle that .NET would close.
        using Microsoft.Win32.SafeHandles.SafeFileHandle file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        var own = new Descriptor(Native.Control((int)file.DangerousGetHandle(), Native.DuplicateCloseOnExec, 0));
        if (own.Number >= 0 && Native.Lock(own.Number, Native.LockExclusiveNonBlocking) == 0)
        {
            return own;
        }

        int error = Marshal.GetLastPInvokeError();
        own.Dispose();
        return error == Native.WouldBlock ? null : throw new IOException($"can't lock {path}: error {error}", error);
    }

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
