using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>Makes a node's overlay, or checks the one that is there.</summary>
/// <param name="config">What is wished.</param>
/// <param name="held">The disk's lock.</param>
/// <param name="tool">Runs qemu-img.</param>
/// <param name="clock">Dates the marker.</param>
internal sealed class OverlayKeeper(RunnerConfig config, OverlayLock held, Tool tool, TimeProvider clock)
{
    private static readonly TimeSpan s_createLimit = TimeSpan.FromSeconds(60);

    // Reads all tables: 5 MiB of them for a full disk of 20 GiB. A check that takes longer is given up, not the start.
    private static readonly TimeSpan s_checkLimit = TimeSpan.FromSeconds(60);

    private DateTimeOffset? _wipedAt;

    /// <summary>Sees to the disk. Null when another process has it open.</summary>
    /// <exception cref="RunnerEndException">There is something about the disk that a person must decide on.</exception>
    internal async Task<DiskReport?> PrepareAsync(CancellationToken stop)
    {
        var history = new DiskHistory(config);
        history.Finish();
        FinishInterrupted();
        DiskFindings found = Look(config.OverlayPath, OverlayNames.Marker(config));
        if (config.Wipe && found.Marker?.Revision != config.DiskRevision)
        {
            await SwapAsync(history, found, stop).ConfigureAwait(false);
            _wipedAt = clock.GetUtcNow();
            found = Look(config.OverlayPath, OverlayNames.Marker(config));
        }
        else if (config.DiskRevision.Length > 0 && found is { OverlayBytes: not null, Marker: { } marker } && marker.Revision != config.DiskRevision)
        {
            // A LabNode that finds a disk calls it as its spec does: only a change asks for another disk.
            found = found with { Marker = marker with { Revision = config.DiskRevision } };
            Files.WriteJson(OverlayNames.NewMarker(config), found.Marker, ContractJson.Default.OverlayMarker);
            File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config), overwrite: true);
            Files.SyncFolder(OverlayNames.Folder(config));
        }

        IReadOnlyList<KeptDisk>? kept = history.Prune();
        DiskReport? report = await MakeOrCheckAsync(found, stop).ConfigureAwait(false);
        return report is null ? null : report with { Revision = found.Marker?.Revision ?? Revision, WipedAt = _wipedAt, Kept = kept };
    }

    private string Revision => config.DiskRevision.Length > 0 ? config.DiskRevision : OverlayMarker.Initial;

    private async Task<DiskReport?> MakeOrCheckAsync(DiskFindings found, CancellationToken stop) =>
        found.OverlayBytes is null ? await MakeAsync(found, stop).ConfigureAwait(false) : await CheckAsync(found, stop).ConfigureAwait(false);

    /// <summary>Lets the present disk give way. Nothing is touched before the base is known to be there and the other disk to be whole.</summary>
    private async Task SwapAsync(DiskHistory history, DiskFindings found, CancellationToken stop)
    {
        Refuse(OverlayVerdicts.JudgeBase(config, found));
        int? restore = history.Find(config.DiskRevision);
        if (restore is { } number)
        {
            Refuse(OverlayVerdicts.JudgeFound(config, Look(OverlayNames.Kept(config, number), OverlayNames.KeptMarker(config, number))));
        }
        else
        {
            await DraftAsync(found, stop).ConfigureAwait(false);
        }

        Log.Line("disk.swap", ("from", found.Marker?.Revision ?? "unknown"), ("to", config.DiskRevision), ("restored", restore is null ? "no" : "yes"));
        history.Swap(restore);
    }

    /// <summary>Looks at the files; changes nothing.</summary>
    private DiskFindings Look(string path, string marker)
    {
        var overlay = new FileInfo(path);
        bool baseExists = File.Exists(config.BackingPath);
        string report = Path.Combine(Path.GetDirectoryName(config.BackingPath) ?? "/", ContractNames.ImageReportFile);
        return new DiskFindings(
            overlay.Exists ? Qcow2Header.Parse(Qcow2Header.ReadStart(path)) : null,
            overlay.Exists ? overlay.Length : null,
            Files.ReadJson(marker, ContractJson.Default.OverlayMarker),
            baseExists ? Qcow2Header.Parse(Qcow2Header.ReadStart(config.BackingPath)) : null,
            baseExists,
            Files.ReadJson(report, ContractJson.Default.ImageReport));
    }

    /// <summary>
    /// A start that was interrupted left a half-made overlay, which never had the disk's name and goes; or an overlay whose marker
    /// was already whole on the disk and only lacks its name, which it gets.
    /// </summary>
    private void FinishInterrupted()
    {
        bool wasNamed = File.Exists(config.OverlayPath) && !File.Exists(OverlayNames.NewOverlay(config));
        if (wasNamed && File.Exists(OverlayNames.NewMarker(config)) && !File.Exists(OverlayNames.Marker(config)))
        {
            File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config));
            Files.SyncFolder(OverlayNames.Folder(config));
        }

        File.Delete(OverlayNames.NewOverlay(config));
        File.Delete(OverlayNames.NewMarker(config));
    }

    private async Task<DiskReport?> MakeAsync(DiskFindings found, CancellationToken stop)
    {
        // A marker that can't be read was written by someone: as good a sign of a former disk as one that can.
        bool marked = found.Marker is not null || File.Exists(OverlayNames.Marker(config));
        Refuse(OverlayVerdicts.JudgeNew(marked ? config with { OverlayExpected = true } : config, found));
        long size = await DraftAsync(found, stop).ConfigureAwait(false);

        // The marker is whole on the disk before the overlay gets its name, and gets its own after: whatever is cut off between, the
        // next start either finds no disk at all or a disk with its marker (see FinishInterrupted).
        File.Move(OverlayNames.NewOverlay(config), config.OverlayPath);
        Files.SyncFolder(OverlayNames.Folder(config));
        File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config));
        Files.SyncFolder(OverlayNames.Folder(config));
        return new DiskReport(size, Files.AllocatedBytes(config.OverlayPath), Created: true);
    }

    /// <summary>Makes a fresh disk and its marker, whole and synced, under names that count for nothing; gives its virtual size.</summary>
    private async Task<long> DraftAsync(DiskFindings found, CancellationToken stop)
    {
        long size = config.DiskSizeBytes ?? found.Base!.VirtualSizeBytes;
        string draft = OverlayNames.NewOverlay(config);
        ToolResult made = await tool.RunAsync(QemuImg.Create(draft, config.BackingPath, size), s_createLimit, stop).ConfigureAwait(false);
        if (made.ExitCode != 0)
        {
            File.Delete(draft);
            throw OverlayVerdicts.IsNoSpace(made.Errors)
                ? NoSpace()
                : new RunnerEndException(TerminationReasons.InternalError, $"qemu-img create of {config.OverlayPath} failed: {OverlayVerdicts.OneLine(made.Errors)}");
        }

        var marker = new OverlayMarker(config.DiskId, config.Node, config.BackingPath, config.BackingSha256, clock.GetUtcNow()) { Revision = Revision };
        DiskFindings draftFound = found with { Overlay = Qcow2Header.Parse(Qcow2Header.ReadStart(draft)), OverlayBytes = new FileInfo(draft).Length, Marker = marker };
        Refuse(OverlayVerdicts.JudgeFound(config, draftFound));

        Files.Sync(draft);
        Files.WriteJson(OverlayNames.NewMarker(config), marker, ContractJson.Default.OverlayMarker);
        Files.SyncFolder(OverlayNames.Folder(config));
        return draftFound.Overlay!.VirtualSizeBytes;
    }

    private async Task<DiskReport?> CheckAsync(DiskFindings found, CancellationToken stop)
    {
        Refuse(OverlayVerdicts.JudgeFound(config, found));
        Refuse(OverlayVerdicts.JudgeTables(config, found.Overlay!.TablesReach(config.OverlayPath), found.OverlayBytes!.Value));

        // A dirty overlay (lazy refcounts, so none of ours) fails any check until QEMU has repaired it, which QEMU does as it opens it.
        if (!found.Overlay.Dirty)
        {
            ToolResult check = await tool.RunAsync(QemuImg.Check(config.OverlayPath), s_checkLimit, stop).ConfigureAwait(false);
            if (OverlayVerdicts.IsLocked(check.Errors))
            {
                return null;
            }

            if (check.ExitCode is null)
            {
                Log.Line("disk.check", ("result", "gave up"), ("after", $"{s_checkLimit.TotalSeconds:0}s"));
            }
            else
            {
                Refuse(OverlayVerdicts.JudgeCheck(config, check, found.OverlayBytes.Value, found.Overlay.ClusterBytes, held.LastEndWasClean));
            }
        }

        long size = await GrowAsync(found.Overlay.VirtualSizeBytes, stop).ConfigureAwait(false);
        return new DiskReport(size, Files.AllocatedBytes(config.OverlayPath), Created: false);
    }

    /// <summary>A disk follows its wished size upwards; down would cut off what the guest has there.</summary>
    private async Task<long> GrowAsync(long size, CancellationToken stop)
    {
        if (config.DiskSizeBytes is not { } wished || wished <= size)
        {
            return size;
        }

        Log.Line("disk.grow", ("from", $"{size}"), ("to", $"{wished}"));
        ToolResult grown = await tool.RunAsync(QemuImg.Grow(config.OverlayPath, wished), s_createLimit, stop).ConfigureAwait(false);
        return grown.ExitCode == 0 ? wished
            : throw (OverlayVerdicts.IsNoSpace(grown.Errors)
                ? NoSpace()
                : new RunnerEndException(
                    TerminationReasons.InternalError, $"qemu-img resize of {config.OverlayPath} to {wished} bytes failed: {OverlayVerdicts.OneLine(grown.Errors)}"));
    }

    /// <summary>The claim is full.</summary>
    private static RunnerEndException NoSpace() =>
        new(TerminationReasons.NoSpace, "The claim has no room for the disk. Make the claim larger, or free room on it.");

    private static void Refuse(DiskFault? fault)
    {
        if (fault is not null)
        {
            throw new RunnerEndException(fault.Reason, fault.Message);
        }
    }
}
