using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;
using SandLabX.Runner.Qemu;

namespace SandLabX.Runner.Adopt;

/// <summary>
/// Makes a LabNode's disk of an overlay that was sent or copied. It gets another backing path and, where it was not closed well, its reference counts put right. Both
/// are done in a copy first: a file that holds the changed clusters alone, so that the copy costs no room and no time, while the original stays as it
/// came. The copy is checked and compared with the original, byte by byte as their guests see them, and only then are the changes written.
/// </summary>
/// <param name="config">What was announced.</param>
/// <param name="disk">The disk that is to be.</param>
/// <param name="tool">Runs qemu-img.</param>
/// <param name="clock">Dates the marker.</param>
internal sealed class Adoption(AdoptConfig config, RunnerConfig disk, Tool tool, TimeProvider clock)
{
    // qemu-img reads bytes here that nobody vouches for. Tables of a sound disk of 1 TiB need 32 MiB, twice in a comparison.
    private const long ToolMemory = 1024L * 1024 * 1024;

    // A comparison reads all that the guest has, and all of the base, unpacking it: 100 MiB a second at the slowest, some TiB at the most.
    private const int ToolCpuSeconds = 6 * 3600;
    private static readonly TimeSpan s_toolLimit = TimeSpan.FromHours(12);

    // What a repair may append: new reference counts are two bytes a cluster of 64 KiB.
    private const long RepairRoom = 16L * 1024 * 1024;

    /// <summary>Whether the disk is there from an earlier adoption. Finishes or clears away what one that was cut off has left.</summary>
    internal bool IsThere()
    {
        DiskBirth.FinishInterrupted(disk);
        File.Delete(OverlayNames.Changes(disk));
        if (!File.Exists(disk.OverlayPath))
        {
            return false;
        }

        File.Delete(OverlayNames.Upload(disk));
        return true;
    }

    /// <summary>The disk that is there; it is only looked at.</summary>
    internal DiskReport Found()
    {
        DiskFindings found = Look(disk.OverlayPath, Files.ReadJson(OverlayNames.Marker(disk), ContractJson.Default.OverlayMarker));
        Refuse(OverlayVerdicts.JudgeFound(disk, found));
        return new DiskReport(found.Overlay!.VirtualSizeBytes, Files.AllocatedBytes(disk.OverlayPath), Created: false) { Revision = found.Marker!.Revision };
    }

    /// <summary>Refuses a base that no disk can stand on, before anything is received.</summary>
    internal void JudgeBase()
    {
        if (File.Exists(OverlayNames.Marker(disk)))
        {
            throw new RunnerEndException(TerminationReasons.OverlayMissing, $"{disk.OverlayPath} was there once, as its marker says, and is not now. Restore it, or delete the claim.");
        }

        Refuse(OverlayVerdicts.JudgeBase(disk, Look(disk.OverlayPath, marker: null)));
    }

    /// <summary>Clears away what was made of a disk that is refused.</summary>
    internal void Discard()
    {
        File.Delete(OverlayNames.Changes(disk));
        File.Delete(OverlayNames.NewOverlay(disk));
        File.Delete(OverlayNames.NewMarker(disk));
    }

    /// <summary>Makes the disk of what was received; its digest is right.</summary>
    internal async Task<DiskReport> TakeAsync(CancellationToken stop)
    {
        string upload = OverlayNames.Upload(disk);
        Qcow2Header? header = Qcow2Header.Parse(Qcow2Header.ReadStart(upload));
        Refuse(AdoptVerdicts.JudgeHeader(config, header));
        long length = await ChangeAsync(upload, header!, stop).ConfigureAwait(false);

        // From here on the bytes are written, and what is cut off here is sent again.
        string draft = OverlayNames.NewOverlay(disk);
        File.Move(upload, draft);
        await RunAsync(QemuImg.CommitChanges(OverlayNames.Changes(disk), draft), "write the changes to", stop).ConfigureAwait(false);
        using (var file = new FileStream(draft, FileMode.Open, FileAccess.Write))
        {
            file.SetLength(length);
        }

        var marker = new OverlayMarker(disk.DiskId, disk.Node, disk.BackingPath, disk.BackingSha256, config.CreatedAt ?? clock.GetUtcNow())
        {
            Revision = disk.DiskRevision.Length > 0 ? disk.DiskRevision : OverlayMarker.Initial,
        };
        Refuse(OverlayVerdicts.JudgeFound(disk, Look(draft, marker)));
        ToolResult check = await RunAsync(QemuImg.Check(draft), stop).ConfigureAwait(false);
        Refuse(OverlayVerdicts.JudgeCheck(disk, check, length, header!.ClusterBytes, lastEndWasClean: false));
        Files.Sync(draft);
        Files.WriteJson(OverlayNames.NewMarker(disk), marker, ContractJson.Default.OverlayMarker);
        Files.SyncFolder(OverlayNames.Folder(disk));
        DiskBirth.Complete(disk);
        File.Delete(OverlayNames.Changes(disk));
        return new DiskReport(header.VirtualSizeBytes, Files.AllocatedBytes(disk.OverlayPath), Created: true) { Revision = marker.Revision };
    }

    /// <summary>Changes a copy, and proves that it reads as the original does; gives the length that the file gets.</summary>
    private async Task<long> ChangeAsync(string upload, Qcow2Header header, CancellationToken stop)
    {
        string changes = OverlayNames.Changes(disk);
        File.Delete(changes);
        long length = new FileInfo(upload).Length;
        await RunAsync(QemuImg.CreateChanges(changes, upload, header.Dirty ? length + RepairRoom + (length / 512) : length), "make a copy of", stop).ConfigureAwait(false);
        string copy = BlockNodes.OverChanges(changes, upload, backing: null);
        if (header.Dirty)
        {
            Log.Line("adopt.repair", ("disk", disk.OverlayPath));
            await RunAsync(QemuImg.Repair(copy), "repair a copy of", stop).ConfigureAwait(false);
        }

        await RunAsync(QemuImg.Rename(copy, disk.BackingPath), "rebase a copy of", stop).ConfigureAwait(false);
        ToolResult check = await RunAsync(QemuImg.CheckNode(copy), stop).ConfigureAwait(false);
        Refuse(OverlayVerdicts.JudgeCheck(disk, check, length, header.ClusterBytes, lastEndWasClean: false));
        ToolResult compared = await RunAsync(
            QemuImg.Compare(BlockNodes.Over(upload, disk.BackingPath), BlockNodes.OverChanges(changes, upload, disk.BackingPath)), stop).ConfigureAwait(false);
        return compared.ExitCode switch
        {
            0 => header.Dirty ? Math.Max(length, End(check)) : length,
            1 => throw new RunnerEndException(TerminationReasons.ContentDiffers, $"On its new base the disk does not read as it does on {config.SourceBacking}; it was not taken. This is a fault: keep the source and report it."),
            _ => throw Failed("compare a copy with", compared),
        };
    }

    private DiskFindings Look(string path, OverlayMarker? marker) => DiskFindings.Look(disk, path, marker);

    private async Task RunAsync(IReadOnlyList<string> command, string what, CancellationToken stop)
    {
        ToolResult result = await RunAsync(command, stop).ConfigureAwait(false);
        if (result.ExitCode != 0)
        {
            throw Failed(what, result);
        }
    }

    private Task<ToolResult> RunAsync(IReadOnlyList<string> command, CancellationToken stop) =>
        tool.RunAsync(QemuImg.Limited(command, ToolMemory, ToolCpuSeconds), s_toolLimit, stop);

    private RunnerEndException Failed(string what, ToolResult result) => OverlayVerdicts.IsNoSpace(result.Errors)
        ? new(TerminationReasons.NoSpace, "The claim has no room for the disk. Make the claim larger, or free room on it.")
        : new(TerminationReasons.OverlayCorrupt, $"qemu-img can't {what} {disk.OverlayPath}: {(result.ExitCode is null ? "it took too long." : OverlayVerdicts.OneLine(result.Errors))}");

    /// <summary>Where the file's last cluster ends.</summary>
    private static long End(ToolResult check)
    {
        using JsonDocument document = JsonDocument.Parse(check.Output);
        return document.RootElement.TryGetProperty("image-end-offset", out JsonElement end) ? end.GetInt64() : 0;
    }

    private static void Refuse(DiskFault? fault)
    {
        if (fault is not null)
        {
            throw new RunnerEndException(fault.Reason, fault.Message);
        }
    }
}
