using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>
/// Mends a disk, where that is wished: a copy of it, which takes its place when it is found sound. The damaged disk is kept; nothing in it is changed.
/// </summary>
/// <param name="config">What is wished.</param>
/// <param name="tool">Runs qemu-img.</param>
/// <param name="clock">Dates the report.</param>
internal sealed class DiskRepair(RunnerConfig config, Tool tool, TimeProvider clock)
{
    private string Draft => OverlayNames.NewOverlay(config);

    /// <summary>
    /// Whether what was found is to be mended. Leaks, which harm nothing, only when a full check found them: after a power cut there are some, and a start should
    /// not wait for a copy of the disk.
    /// </summary>
    internal static bool IsWished(string? repair, DiskCheckReport found) => found.Result switch
    {
        DiskCheckResults.Corrupt => repair == DiskRepairs.All,
        DiskCheckResults.Leaks => repair is not null && found.Kind == DiskCheckKinds.Full,
        _ => false,
    };

    /// <summary>Mends a copy and lets the disk give way to it; gives the verdict on what is the disk then.</summary>
    /// <exception cref="RunnerEndException">The claim has no room for the copy of a damaged disk.</exception>
    internal async Task<DiskVerdict> MendAsync(DiskHistory history, DiskFindings found, DiskVerdict verdict, CancellationToken stop)
    {
        // A header that is marked corrupt can be mended; one that can't be read, or that names what no disk here names, can't.
        if (found.Overlay is not { } header || OverlayVerdicts.JudgeFound(config, found with { Overlay = header with { MarkedCorrupt = false } }) is not null)
        {
            return verdict;
        }

        Log.Line("disk.repair", ("wished", config.Repair), ("found", verdict.Report.Message));
        try
        {
            string? why = await CopyAsync(verdict, stop).ConfigureAwait(false) ?? await MendCopyAsync(found, stop).ConfigureAwait(false);
            if (why is not null)
            {
                Log.Line("disk.unrepaired", ("because", why));
                string told = $"{verdict.Report.Message} spec.disk.repair: {config.Repair} was tried and changed nothing: {why}";
                return new DiskVerdict(verdict.Report with { Message = told }, verdict.Fault is null ? null : verdict.Fault with { Message = told });
            }

            Files.Sync(Draft);
            Files.WriteJson(OverlayNames.NewMarker(config), found.Marker! with { Damaged = false }, ContractJson.Default.OverlayMarker);
            Files.SyncFolder(OverlayNames.Folder(config));
            string name = history.Swap(restore: null, damaged: true)!;
            string what = verdict.Report.Corruptions > 0 || verdict.Fault is not null ? $"{verdict.Report.Corruptions} wrong entries" : $"{verdict.Report.Leaks} leaked clusters";
            return new DiskVerdict(
                verdict.Report with
                {
                    At = clock.GetUtcNow(),
                    Result = DiskCheckResults.Repaired,
                    Message = $"The disk was damaged ({what}) and was repaired ({config.Repair}); a check of it finds nothing wrong. The damaged one is kept as {name}: as spec.disk.revision that name brings it back.",
                },
                null);
        }
        finally
        {
            File.Delete(Draft);
        }
    }

    /// <summary>Copies the disk, holes and all; null when that is done, else why not.</summary>
    private async Task<string?> CopyAsync(DiskVerdict verdict, CancellationToken stop)
    {
        long needed = Files.AllocatedBytes(config.OverlayPath);
        long free = new DriveInfo(config.OverlayPath).AvailableFreeSpace;
        string full = $"the claim has no room for a copy: {needed >> 20} MiB are needed, {free >> 20} MiB are free. Raise spec.disk.size by as much.";
        ToolResult? copy = free < needed ? null
            : await tool.RunAsync(QemuImg.Copy(config.OverlayPath, Draft), DiskChecker.FullLimit, stop).ConfigureAwait(false);
        if (copy is null || OverlayVerdicts.IsNoSpace(copy.Errors))
        {
            return verdict.Fault is null ? full
                : throw new RunnerEndException(TerminationReasons.NoSpace, $"The disk is damaged, and spec.disk.repair can't mend it: {full} Nothing was changed. {verdict.Report.Message}");
        }

        return copy.ExitCode == 0 ? null : $"it can't be copied: {OverlayVerdicts.OneLine(copy.Errors)}";
    }

    /// <summary>Mends the copy and looks it through; null when nothing is wrong with it any more, else what is.</summary>
    private async Task<string?> MendCopyAsync(DiskFindings found, CancellationToken stop)
    {
        ToolResult mended = await tool.RunAsync(QemuImg.Repair(Draft, config.Repair!), DiskChecker.FullLimit, stop).ConfigureAwait(false);
        if (mended.ExitCode is null)
        {
            return "the repair took longer than an hour.";
        }

        // As if it had been closed well: a mended disk must not end before its clusters do.
        RunnerConfig copy = config with { OverlayPath = Draft, FullCheck = config.FullCheck ?? "" };
        DiskFindings now = found with { Overlay = Qcow2Header.Parse(Qcow2Header.ReadStart(Draft)), OverlayBytes = new FileInfo(Draft).Length };
        DiskVerdict? after = await new DiskChecker(copy, tool, clock).CheckAsync(now, lastEndWasClean: true, stop).ConfigureAwait(false);
        return after is { Report.Result: DiskCheckResults.Clean } ? null : $"the repaired copy is not sound either ({after?.Report.Corruptions} wrong entries, {after?.Report.Leaks} leaked clusters left).";
    }
}
