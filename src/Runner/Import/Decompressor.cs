using System.Globalization;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>
/// Decompresses what nobody vouches for: by Debian's own programs, each a process of its own under limits of memory and time, its output
/// counted as it comes.
/// </summary>
internal static class Decompressor
{
    // The largest window of xz -9 is 64 MiB, of zstd -22 128 MiB.
    private const int WindowMiB = 128;
    private const long Memory = 512L * 1024 * 1024;
    private const int CpuSeconds = 4 * 3600;

    /// <summary>Starts to decompress a file.</summary>
    internal static Task<Filter> StartAsync(ImageKind kind, FileStream file, Children children) =>
        Filter.StartAsync(children, QemuImg.Limited(Command(kind), Memory, CpuSeconds), file.SafeFileHandle);

    /// <summary>Waits for its end and judges it.</summary>
    /// <exception cref="RunnerEndException">The file is damaged, or its window is too large.</exception>
    internal static async Task EndAsync(ImageKind kind, Filter filter, CancellationToken stop)
    {
        ToolResult result = await filter.EndAsync(stop).ConfigureAwait(false);
        if (result.ExitCode == 0)
        {
            return;
        }

        if (result.Errors.Contains("emory", StringComparison.Ordinal))
        {
            throw new RunnerEndException(
                TerminationReasons.DecompressedTooLarge, $"To decompress the file takes more than {WindowMiB} MiB of memory. Compress it with a smaller window: a lower level, or without --long and --ultra.");
        }

        throw new RunnerEndException(
            TerminationReasons.ImageCorrupt, $"The {ImageKinds.Word(kind)} file is damaged: {OverlayVerdicts.OneLine(result.Errors)} Make or fetch it anew.");
    }

    private static string[] Command(ImageKind kind) => kind switch
    {
        ImageKind.Gzip => ["gzip", "-dc"],
        ImageKind.Xz => ["xz", "-dc", "-T1", string.Create(CultureInfo.InvariantCulture, $"--memlimit-decompress={WindowMiB}MiB")],
        ImageKind.Zstd => ["zstd", "-dc", "-q", string.Create(CultureInfo.InvariantCulture, $"--memory={WindowMiB}MB")],
        _ => throw new ArgumentOutOfRangeException(nameof(kind)),
    };
}
