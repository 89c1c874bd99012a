using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>Why a disk can't be used.</summary>
/// <param name="Reason">One of <see cref="TerminationReasons"/>.</param>
/// <param name="Message">What was found, what was expected, and the way out.</param>
internal sealed record DiskFault(string Reason, string Message);

/// <summary>What is known of a node's disk before anything is decided on it.</summary>
/// <param name="Overlay">The overlay's header; null when the file is there and has none.</param>
/// <param name="OverlayBytes">The overlay file's size; null when there is no such file.</param>
/// <param name="Marker">The marker beside the overlay; null when there is none that can be read.</param>
/// <param name="Base">The base image's header; null when the file is there and has none.</param>
/// <param name="BaseBytes">The base image file's size; null when there is no such file.</param>
/// <param name="BaseReport">What its import wrote beside it; null when there is none that can be read.</param>
internal sealed record DiskFindings(
    Qcow2Header? Overlay,
    long? OverlayBytes,
    OverlayMarker? Marker,
    Qcow2Header? Base,
    long? BaseBytes,
    ImageReport? BaseReport)
{
    /// <summary>Looks at the files; changes nothing.</summary>
    /// <param name="config">What is wished.</param>
    /// <param name="overlay">The overlay's path.</param>
    /// <param name="marker">What its marker says; null when there is none that can be read.</param>
    internal static DiskFindings Look(RunnerConfig config, string overlay, OverlayMarker? marker)
    {
        FileInfo disk = new(overlay), backing = new(config.BackingPath);
        return new DiskFindings(
            disk.Exists ? Qcow2Header.Parse(Qcow2Header.ReadStart(overlay)) : null,
            disk.Exists ? disk.Length : null,
            marker,
            backing.Exists ? Qcow2Header.Parse(Qcow2Header.ReadStart(config.BackingPath)) : null,
            backing.Exists ? backing.Length : null,
            Files.ReadJson(Path.Combine(Path.GetDirectoryName(config.BackingPath) ?? "/", ContractNames.ImageReportFile), ContractJson.Default.ImageReport));
    }
}

/// <summary>Judges disks; touches nothing.</summary>
internal static class OverlayVerdicts
{
    private const string Qcow2 = "qcow2";

    /// <summary>What a person can do about a damaged disk.</summary>
    internal const string WayOut =
        "Nothing was changed. Ways out: spec.disk.repair: All mends a copy and keeps this disk; a new spec.disk.revision asks for a fresh disk, that of a kept one for that; or restore a backup.";

    /// <summary>Errors of a check that are quoted: of each damaged table there can be thousands.</summary>
    private const int QuotedErrors = 2;

    /// <summary>Member of <c>qemu-img check</c>'s JSON: clusters that belong to nothing.</summary>
    internal const string Leaks = "leaks";

    /// <summary>Member of <c>qemu-img check</c>'s JSON: wrong entries of tables.</summary>
    internal const string Corruptions = "corruptions";

    // What qemu-img check returns: 0 clean, 2 corrupt, 3 leaked clusters only (wasted room, no harm), 1 could not check.
    private const int Clean = 0;
    private const int LeaksOnly = 3;

    /// <summary>The base image's faults; null when an overlay may stand on it.</summary>
    internal static DiskFault? JudgeBase(RunnerConfig config, DiskFindings found)
    {
        if (found.BaseBytes is not { } bytes)
        {
            return new(TerminationReasons.BackingMissing, config.BackingFileBytes is null
                ? $"The base image {config.BackingPath} is not there. Import the image again, or restore its claim."
                : $"The base image {config.BackingPath} is not there: the container image that holds it was not mounted. That takes a cluster with image volumes (Kubernetes 1.35 or later).");
        }

        return (config.BackingFileBytes is { } verified ? JudgeSize(config, bytes, verified) : JudgeReport(config, found)) ?? JudgeHeader(config, found);
    }

    /// <summary>In a container image: no report lies there, and what its digest names can't be other bytes; but a mount can be another than was asked for.</summary>
    private static DiskFault? JudgeSize(RunnerConfig config, long bytes, long verified) => bytes == verified ? null : new(
        TerminationReasons.BackingMismatch, $"The base image {config.BackingPath} in its container image has {bytes} bytes, not {verified} as when it was verified. Restore the container image of that digest.");

    private static DiskFault? JudgeReport(RunnerConfig config, DiskFindings found)
    {
        if (found.BaseReport is null)
        {
            return new(
                TerminationReasons.BackingMissing,
                $"The base image {config.BackingPath} has no {ContractNames.ImageReportFile} beside it, so its import never ended well. Import the image again.");
        }

        return SameDigest(found.BaseReport.Sha256, config.BackingSha256) ? null : new(
            TerminationReasons.BackingMismatch,
            $"The base image {config.BackingPath} has sha256 {found.BaseReport.Sha256}, not {config.BackingSha256} as configured. Restore the image of that digest.");
    }

    private static DiskFault? JudgeHeader(RunnerConfig config, DiskFindings found) => found.Base switch
    {
        null or { UnknownFeatures: true } or { MarkedCorrupt: true } or { Encrypted: true } =>
            new(TerminationReasons.BackingMismatch, $"The base image {config.BackingPath} is not the qcow2 file that was imported. Import the image again."),
        { BackingName: not null } or { HasDataFile: true } =>
            new(TerminationReasons.OverlayChainUnexpected, $"The base image {config.BackingPath} names a further file; a base image must stand alone."),
        _ => null,
    };

    /// <summary>What speaks against making a new overlay; null when nothing does.</summary>
    internal static DiskFault? JudgeNew(RunnerConfig config, DiskFindings found)
    {
        if (config.OverlayExpected || found.Marker is not null)
        {
            string known = found.Marker is { } marker ? $"was made at {marker.CreatedAt:u}" : "is known to have been made";
            return new(
                TerminationReasons.OverlayMissing,
                $"The disk {config.OverlayPath} {known} and is not there now. Restore it from a backup; for a fresh disk, ask for one in the LabNode.");
        }

        return JudgeFresh(config, found);
    }

    /// <summary>What speaks against a fresh overlay on the base image; null when nothing does.</summary>
    internal static DiskFault? JudgeFresh(RunnerConfig config, DiskFindings found) =>
        JudgeBase(config, found) ?? (config.DiskSizeBytes is { } wished && wished < found.Base!.VirtualSizeBytes
            ? new(
                TerminationReasons.SizeBelowImage,
                $"The disk's size of {wished} bytes is below the image's {found.Base.VirtualSizeBytes}. Ask for at least {found.Base.VirtualSizeBytes} bytes.")
            : null);

    /// <summary>What speaks against using the overlay that is there; null when nothing does.</summary>
    internal static DiskFault? JudgeFound(RunnerConfig config, DiskFindings found)
    {
        if (JudgeBase(config, found) is { } fault)
        {
            return fault;
        }

        string overlay = config.OverlayPath;
        switch (found.Overlay)
        {
            case null:
                return new(TerminationReasons.OverlayCorrupt, $"{overlay} has no readable qcow2 header, so it can't be repaired. {WayOut}");
            case { MarkedCorrupt: true }:
                return new(
                    TerminationReasons.OverlayCorrupt,
                    $"{overlay} is marked corrupt by QEMU, which found damage while its guest ran. {WayOut}");
            case { HasDataFile: true } or { Encrypted: true } or { UnknownFeatures: true }:
                return new(TerminationReasons.OverlayChainUnexpected, $"{overlay} has a data file, encryption or features that no disk made here has.");
            case { BackingName: var name, BackingFormat: var format } when name != config.BackingPath || format != Qcow2:
                return new(
                    TerminationReasons.OverlayChainUnexpected,
                    $"{overlay} stands on {Shown(name)} of format {Shown(format)}, not on {config.BackingPath} of format {Qcow2}. Nothing was opened or changed.");
        }

        if (found.Marker is null)
        {
            return new(
                TerminationReasons.BackingMismatch,
                $"{overlay} has no {Path.GetFileName(OverlayNames.Marker(config))} beside it that says which image's bytes it was made on. Restore that file with the disk.");
        }

        return !SameDigest(found.Marker.BackingSha256, config.BackingSha256)
            ? new(
                TerminationReasons.BackingMismatch,
                $"{overlay} was made on an image with sha256 {found.Marker.BackingSha256}, not {config.BackingSha256}. Give the LabNode that image back, or a fresh disk.")
            : null;
    }

    /// <summary>What <c>qemu-img check</c> found; null when the overlay may be used.</summary>
    /// <param name="config">What is wished.</param>
    /// <param name="check">What the tool said.</param>
    /// <param name="fileBytes">The overlay file's size.</param>
    /// <param name="clusterBytes">The overlay's unit of allocation.</param>
    /// <param name="lastEndWasClean">Whether QEMU closed the overlay itself last time.</param>
    internal static DiskFault? JudgeCheck(RunnerConfig config, ToolResult check, long fileBytes, long clusterBytes, bool lastEndWasClean)
    {
        if (check.ExitCode is not (Clean or LeaksOnly))
        {
            return new(
                TerminationReasons.OverlayCorrupt,
                $"qemu-img check of {config.OverlayPath} ended with {check.ExitCode}: {Number(check.Output, Corruptions)} wrong entries, {Number(check.Output, Leaks)} leaked clusters; {Quoted(check.Errors)} {WayOut}");
        }

        return lastEndWasClean && IsCut(check.Output, fileBytes, clusterBytes)
            ? new(
                TerminationReasons.OverlayCorrupt,
                $"{config.OverlayPath} was cut: it has {fileBytes} bytes, its clusters reach to {Number(check.Output, "image-end-offset")}. What it lost no repair brings back. {WayOut}")
            : null;
    }

    /// <summary>The fault of an overlay that lost some of its tables; null when it has them all. QEMU flushes a table before it points to it, so no power cut explains this.</summary>
    internal static DiskFault? JudgeTables(RunnerConfig config, long tablesReach, long fileBytes) => tablesReach > fileBytes
        ? new(
            TerminationReasons.OverlayCorrupt,
            $"{config.OverlayPath} was cut: it has {fileBytes} bytes, its tables reach to {tablesReach}. What it lost no repair brings back. {WayOut}")
        : null;

    /// <summary>
    /// True when a file that was closed well ends before its clusters do; QEMU would read the lost ones as zeros. The last cluster need not be
    /// written to its end, and leaked ones not at all. After a power cut clusters that no guest ever flushed may be missing too: no fault.
    /// </summary>
    internal static bool IsCut(string checkJson, long fileBytes, long clusterBytes) =>
        Number(checkJson, "image-end-offset") - fileBytes >= (Number(checkJson, Leaks) + 1) * clusterBytes;

    /// <summary>True when a tool of QEMU's failed because another process has the image open.</summary>
    internal static bool IsLocked(string errors) => errors.Contains("Failed to get", StringComparison.Ordinal) && errors.Contains("lock", StringComparison.Ordinal);

    /// <summary>True when a tool failed for want of room.</summary>
    internal static bool IsNoSpace(string errors) =>
        errors.Contains("No space left on device", StringComparison.Ordinal) || errors.Contains("Disk quota exceeded", StringComparison.Ordinal);

    /// <summary>A tool's words in one line of bounded length.</summary>
    internal static string OneLine(string text)
    {
        const int limit = 500;
        string line = string.Join("; ", text.Split('\n', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries));
        line = line.Length > limit ? line[^limit..] : line;
        return line.Length == 0 || line[^1] == '.' ? line : line + ".";
    }

    private static string Quoted(string errors) => OneLine(string.Join('\n', errors.Split('\n', StringSplitOptions.RemoveEmptyEntries).TakeLast(QuotedErrors)));

    private static bool SameDigest(string left, string right) => string.Equals(left, right, StringComparison.OrdinalIgnoreCase);

    private static string Shown(string? name) => name is null ? "nothing" : Consoles.ConsoleText.Printable(name);

    /// <summary>A number of <c>qemu-img check</c>'s JSON; 0 when it is not said.</summary>
    internal static long Number(string json, string name)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            return document.RootElement.TryGetProperty(name, out JsonElement number) ? number.GetInt64() : 0;
        }
        catch (JsonException)
        {
            return 0;
        }
    }
}
