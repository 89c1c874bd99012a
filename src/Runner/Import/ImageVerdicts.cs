using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>Judges bytes that came from somewhere: what is not shown to be harmless is refused (law 8).</summary>
internal static class ImageVerdicts
{
    // Ended by SIGXFSZ: it wrote more than it was allowed to.
    private const int FileTooLarge = 128 + 25;

    /// <summary>Judges a qcow2 header, before any tool opens the file and follows a name in it; null when nothing speaks against it.</summary>
    /// <param name="start">The file's first <see cref="Qcow2Header.Wanted"/> bytes.</param>
    /// <param name="maxVirtualSize">The largest virtual size accepted, in bytes.</param>
    internal static DiskFault? JudgeHeader(ReadOnlySpan<byte> start, long maxVirtualSize)
    {
        return Qcow2Header.Parse(start) switch
        {
            null => new(TerminationReasons.ImageCorrupt, "The image's qcow2 header is damaged. Make the image anew."),
            { BackingName: { } name } => BackingFile(name),
            { HasDataFile: true } => DataFile(),
            { Encrypted: true } => new(TerminationReasons.Encrypted, "The image is encrypted. Convert it: qemu-img convert without encryption."),
            { MarkedCorrupt: true } => new(TerminationReasons.ImageCorrupt, "The image is marked corrupt by QEMU. Repair it with qemu-img check -r all, or make it anew."),
            { UnknownFeatures: true } => new(TerminationReasons.ImageCorrupt, "The image uses features that QEMU 7.2 does not know. Convert it with an older qemu-img."),
            { VirtualSizeBytes: 0 } => new(TerminationReasons.ImageCorrupt, "The image's virtual size is 0. Make the image anew."),
            { VirtualSizeBytes: var size } when size > maxVirtualSize => TooLarge(size, maxVirtualSize),
            _ => null,
        };
    }

    /// <summary>Judges what <c>qemu-img info</c> says, the authority on the format; null when nothing speaks against it.</summary>
    /// <param name="info">What it said.</param>
    /// <param name="format">The format that it was told to open the file as.</param>
    /// <param name="maxVirtualSize">The largest virtual size accepted, in bytes.</param>
    /// <param name="virtualSize">What a guest would see, in bytes.</param>
    internal static DiskFault? JudgeInfo(ToolResult info, string format, long maxVirtualSize, out long virtualSize)
    {
        virtualSize = 0;
        if (info.ExitCode != 0)
        {
            return new(TerminationReasons.ImageCorrupt, $"qemu-img can't open the image: {Said(info)}");
        }

        try
        {
            using JsonDocument document = JsonDocument.Parse(info.Output);
            JsonElement root = document.RootElement;
            if (root.GetProperty("format").GetString() != format)
            {
                return new(TerminationReasons.UnknownFormat, $"qemu-img does not take the image for {format}.");
            }

            if (root.TryGetProperty("backing-filename", out JsonElement backing))
            {
                return BackingFile(backing.GetString() ?? "");
            }

            if (root.TryGetProperty("encrypted", out JsonElement encrypted) && encrypted.GetBoolean())
            {
                return new(TerminationReasons.Encrypted, "The image is encrypted. Convert it: qemu-img convert without encryption.");
            }

            JsonElement data = format == "qcow2" ? root.GetProperty("format-specific").GetProperty("data") : root;
            if (data.TryGetProperty("data-file", out _))
            {
                return DataFile();
            }

            if (data.TryGetProperty("corrupt", out JsonElement corrupt) && corrupt.GetBoolean())
            {
                return new(TerminationReasons.ImageCorrupt, "The image is marked corrupt by QEMU. Repair it with qemu-img check -r all, or make it anew.");
            }

            virtualSize = root.GetProperty("virtual-size").GetInt64();
            return virtualSize > maxVirtualSize ? TooLarge(virtualSize, maxVirtualSize)
                : virtualSize <= 0 ? new(TerminationReasons.ImageCorrupt, "The image's virtual size is 0. Make the image anew.")
                : null;
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            return new(TerminationReasons.ImageCorrupt, $"What qemu-img says of the image can't be read: {e.Message}");
        }
    }

    /// <summary>Judges <c>qemu-img check</c>; null when the image is sound.</summary>
    internal static DiskFault? JudgeCheck(ToolResult check, long fileBytes, long clusterBytes)
    {
        // 3: leaked clusters only, which waste room and harm nothing.
        if (check.ExitCode is not (0 or 3))
        {
            return new(TerminationReasons.ImageCorrupt, $"qemu-img check found the image damaged: {Said(check)} Make or fetch it anew.");
        }

        return OverlayVerdicts.IsCut(check.Output, fileBytes, clusterBytes)
            ? new(TerminationReasons.ImageCorrupt, $"The image was cut: it has {fileBytes} bytes, fewer than its tables tell of. Make or fetch it anew.")
            : null;
    }

    /// <summary>Judges <c>qemu-img convert</c>; null when it ended well.</summary>
    internal static DiskFault? JudgeConvert(ToolResult convert) => convert switch
    {
        { ExitCode: 0 } => null,
        { ExitCode: FileTooLarge } => NoRoom(),
        _ when convert.Errors.Contains("No space left", StringComparison.Ordinal) || convert.Errors.Contains("quota exceeded", StringComparison.Ordinal) || convert.Errors.Contains("File too large", StringComparison.Ordinal) => NoRoom(),
        _ => new(TerminationReasons.ImageCorrupt, $"qemu-img can't convert the image: {Said(convert)} Make or fetch it anew."),
    };

    private static DiskFault NoRoom() => new(TerminationReasons.NoSpace, "The claim has no room for the converted image beside the file that it is made of. Make the claim larger.");

    private static DiskFault BackingFile(string name) => new(
        TerminationReasons.HasBackingFile,
        $"The image stands on a backing file, {Shortened(name)}, which a base image must not. Make it stand alone: qemu-img convert -O qcow2 <image> <new image>.");

    private static DiskFault DataFile() => new(
        TerminationReasons.HasDataFile, "The image keeps its data in another file, which a base image must not. Make it stand alone: qemu-img convert -O qcow2 <image> <new image>.");

    private static DiskFault TooLarge(long size, long limit) => new(
        TerminationReasons.VirtualSizeTooLarge, $"The image's virtual size is {size} bytes, above the limit of {limit}. Use a smaller image, or have the operator's limit raised.");

    private static string Said(ToolResult result) =>
        result.ExitCode is null ? "it took too long." : result.Errors.Length > 0 ? OverlayVerdicts.OneLine(result.Errors) : $"exit code {result.ExitCode}.";

    /// <summary>A name out of an image as it may be shown.</summary>
    internal static string Shortened(string name)
    {
        string printable = Consoles.ConsoleText.Printable(name);
        return printable.Length > 120 ? printable[..120] + "…" : printable;
    }
}
