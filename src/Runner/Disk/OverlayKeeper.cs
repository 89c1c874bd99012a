using SandLabX.Contract;
using SandLabX.Runner.Http;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>Makes a node's overlay, or checks the one that is there.</summary>
/// <param name="config">What is wished.</param>
/// <param name="held">The disk's lock.</param>
/// <param name="tool">Runs qemu-img.</param>
/// <param name="states">Is told of checks.</param>
/// <param name="clock">Dates the marker.</param>
internal sealed class OverlayKeeper(RunnerConfig config, OverlayLock held, Tool tool, StateHub states, TimeProvider clock)
{
    private static readonly TimeSpan s_createLimit = TimeSpan.FromSeconds(60);

    private readonly DiskChecker _checker = new(config, tool, clock);

    private DateTimeOffset? _wipedAt;

    /// <summary>Sees to the disk. Null when another process has it open.</summary>
    /// <exception cref="RunnerEndException">There is something about the disk that a person must decide on.</exception>
    internal async Task<DiskReport?> PrepareAsync(CancellationToken stop)
    {
        var history = new DiskHistory(config);
        history.Finish();
        DiskBirth.FinishInterrupted(config);
        if (BaseCopy.IsMissing(config))
        {
            states.Change(state => state with { Phase = RunnerPhases.Copying });
            RunnerConfig source = config with { BackingPath = config.BackingCopyFrom! };
            Refuse(OverlayVerdicts.JudgeBase(source, Look(source, config.OverlayPath, OverlayNames.Marker(config))));
            await BaseCopy.MakeAsync(config, stop).ConfigureAwait(false);
            states.Change(state => state with { Phase = RunnerPhases.Preparing });
        }

        DiskFindings found = Look(config, config.OverlayPath, OverlayNames.Marker(config));
        try
        {
            return await PrepareAsync(history, found, stop).ConfigureAwait(false);
        }
        catch (RunnerEndException e) when (e.Reason is TerminationReasons.BackingMismatch or TerminationReasons.OverlayChainUnexpected && found is { Overlay: not null, Marker: not null })
        {
            // Nothing was changed; who reads on what the disks stand can give them that the next time.
            long size = found.Overlay.VirtualSizeBytes;
            states.Change(state => state with { Disk = Describe(new DiskReport(size, Files.AllocatedBytes(config.OverlayPath), Created: false), history, found) });
            throw;
        }
    }

    private async Task<DiskReport?> PrepareAsync(DiskHistory history, DiskFindings found, CancellationToken stop)
    {
        bool other = found.Marker?.Revision != config.DiskRevision;
        if (other && (config.Wipe || (found.OverlayBytes is not null && history.Find(config.DiskRevision) is not null)))
        {
            // (Not asked for and yet kept under the wished name: a wipe was done, and its wish taken back before anybody heard that.)
            await SwapAsync(history, found, stop).ConfigureAwait(false);
            _wipedAt = clock.GetUtcNow();
            found = Look(config, config.OverlayPath, OverlayNames.Marker(config));
        }
        else if (other && config.DiskRevision.Length > 0 && found is { OverlayBytes: not null, Marker: { } marker } && BackingOf(marker) == Wanted)
        {
            // A LabNode that finds a disk calls it as its spec does: only a change asks for another disk.
            found = found with { Marker = marker with { Revision = config.DiskRevision } };
            Files.WriteJson(OverlayNames.NewMarker(config), found.Marker, ContractJson.Default.OverlayMarker);
            File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config), overwrite: true);
            Files.SyncFolder(OverlayNames.Folder(config));
        }

        if (!config.CheckOnly)
        {
            history.Prune();
            BaseCopy.Prune(config);
        }

        DiskReport? report = found.OverlayBytes is null ? await MakeAsync(found, stop).ConfigureAwait(false) : await CheckAsync(history, found, stop).ConfigureAwait(false);
        return report is null ? null : Describe(report, history, found);
    }

    private BackingReport Wanted => new(config.BackingPath, config.BackingSha256);

    private DiskReport Describe(DiskReport report, DiskHistory history, DiskFindings found) => report with
    {
        Revision = found.Marker?.Revision ?? Revision,
        WipedAt = _wipedAt,
        Backing = BackingOf(found.Marker) ?? Wanted,
        Kept = history.List(),
        Strays = StrayOverlays.Find(config),
    };

    /// <summary>What a marker says of the base.</summary>
    internal static BackingReport? BackingOf(OverlayMarker? marker) => marker is null ? null : new BackingReport(marker.BackingPath, marker.BackingSha256);

    private string Revision => config.DiskRevision.Length > 0 ? config.DiskRevision : OverlayMarker.Initial;

    /// <summary>Lets the present disk give way. Nothing is touched before the base is known to be there and the other disk to be whole.</summary>
    private async Task SwapAsync(DiskHistory history, DiskFindings found, CancellationToken stop)
    {
        int? restore = history.Find(config.DiskRevision);
        Refuse(restore is null ? OverlayVerdicts.JudgeFresh(config, found) : OverlayVerdicts.JudgeBase(config, found));
        if (restore is { } number)
        {
            Refuse(OverlayVerdicts.JudgeFound(config, Look(config, OverlayNames.Kept(config, number), OverlayNames.KeptMarker(config, number))));
        }
        else
        {
            await DraftAsync(found, stop).ConfigureAwait(false);
        }

        Log.Line("disk.swap", ("from", found.Marker?.Revision ?? "unknown"), ("to", config.DiskRevision), ("restored", restore is null ? "no" : "yes"));
        history.Swap(restore);
    }

    private static DiskFindings Look(RunnerConfig config, string path, string marker) => DiskFindings.Look(config, path, Files.ReadJson(marker, ContractJson.Default.OverlayMarker));

    private async Task<DiskReport?> MakeAsync(DiskFindings found, CancellationToken stop)
    {
        // A marker that can't be read was written by someone: as good a sign of a former disk as one that can.
        bool marked = found.Marker is not null || File.Exists(OverlayNames.Marker(config));
        Refuse(OverlayVerdicts.JudgeNew(marked ? config with { OverlayExpected = true } : config, found));
        long size = await DraftAsync(found, stop).ConfigureAwait(false);

        DiskBirth.Complete(config);
        Tell(_checker.New() with { Revision = config.FullCheck });
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

    private async Task<DiskReport?> CheckAsync(DiskHistory history, DiskFindings found, CancellationToken stop)
    {
        if (config.FullCheck is not null)
        {
            states.Change(state => state with { Phase = RunnerPhases.Checking });
        }

        if (await _checker.CheckAsync(found, held.LastEndWasClean, stop).ConfigureAwait(false) is not { } verdict)
        {
            return null;
        }

        Tell(verdict.Report);
        if (DiskRepair.IsWished(config.Repair, verdict.Report))
        {
            states.Change(state => state with { Phase = RunnerPhases.Checking });
            verdict = await new DiskRepair(config, tool, clock).MendAsync(history, found, verdict, stop).ConfigureAwait(false);
            Tell(verdict.Report);
        }

        Refuse(verdict.Fault);
        long size = await GrowAsync(found.Overlay!.VirtualSizeBytes, stop).ConfigureAwait(false);
        return new DiskReport(size, Files.AllocatedBytes(config.OverlayPath), Created: false);
    }

    private void Tell(DiskCheckReport report)
    {
        Log.Line("disk.check", ("kind", report.Kind), ("result", report.Result), ("leaks", $"{report.Leaks}"), ("corruptions", $"{report.Corruptions}"));
        states.Change(state => state with { Check = report });
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
