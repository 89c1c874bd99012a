using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>Copies a file of another claim. Whoever writes there may put a link or a pipe in its place at any moment: what was opened is judged, not its name.</summary>
internal static class ClaimFile
{
    /// <summary>Copies it.</summary>
    /// <param name="source">Where it is.</param>
    /// <param name="target">The file that it becomes; one that is there is overwritten.</param>
    /// <param name="wayOut">The sentence that says what to do when the claim does not have it.</param>
    /// <param name="limits">What the copy may take.</param>
    /// <param name="progress">Told now and then: bytes copied; bytes in all.</param>
    /// <param name="clock">Measures how often.</param>
    /// <param name="stop">Ends it early.</param>
    /// <returns>Its digest, in lower-case hexadecimal digits.</returns>
    /// <exception cref="RunnerEndException">It is not there, is no file of the claim, may not be read, or there is no room.</exception>
    internal static async Task<string> CopyAsync(
        FileSource source, string target, string wayOut, UnpackLimits limits, Action<long, long?> progress, TimeProvider clock, CancellationToken stop)
    {
        await using FileStream file = Open(source, "on the source's claim", TerminationReasons.SourceUnusable, wayOut);
        using var digest = new PassingDigest(progress, clock, file.Length);
        await SparseFile.WriteAsync(file, target, limits, digest.Append, stop).ConfigureAwait(false);
        return digest.End();
    }

    /// <summary>Opens it for reading.</summary>
    /// <param name="source">Where it is.</param>
    /// <param name="where">Where that is, in words.</param>
    /// <param name="reason">The reason of a refusal.</param>
    /// <param name="wayOut">The sentence that says what to do when it is not there.</param>
    /// <exception cref="RunnerEndException">It is not there, is no file of the source, or may not be read.</exception>
    internal static FileStream Open(FileSource source, string where, string reason, string wayOut)
    {
        string path = Path.Combine(source.Root, source.Path), shown = $"{ImageVerdicts.Shortened(source.Path)} {where}";
        int descriptor = Native.Open(path, Native.CloseOnExec | Native.NonBlocking, 0);
        if (descriptor < 0)
        {
            int error = Marshal.GetLastPInvokeError();
            throw error == Native.AccessDenied
                ? new RunnerEndException(reason, $"{shown} may not be read by this pod, which is not root: make it readable for others (chmod o+r, and o+x on the folders above it).")
                : Unusable($"can't be opened: {Marshal.GetPInvokeErrorMessage(error)}");
        }

        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        try
        {
            string opened = new FileInfo($"/proc/self/fd/{descriptor}").LinkTarget ?? "";
            if (!opened.StartsWith(source.Root + "/", StringComparison.Ordinal))
            {
                throw Unusable("leads out of it");
            }

            // Not a device either: some give bytes without end.
            return Files.IsRegular(handle) ? new FileStream(handle, FileAccess.Read, bufferSize: 0) : throw Unusable("is no file");
        }
        catch
        {
            handle.Dispose();
            throw;
        }

        RunnerEndException Unusable(string why) => new(reason, $"{shown} {why}. {wayOut}");
    }
}
