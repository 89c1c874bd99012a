using System.Globalization;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>The disks that gave way to others, and how one gives way: a journal first, then renames that whoever finds the journal can finish.</summary>
/// <param name="config">What is wished.</param>
internal sealed class DiskHistory(RunnerConfig config)
{
    /// <summary>The number of the newest kept disk of a revision; null when there is none.</summary>
    internal int? Find(string revision) => Kept().Where(kept => kept.Marker?.Revision == revision).Select(kept => (int?)kept.Number).FirstOrDefault();

    /// <summary>Keeps the present disk and gives its name to another one: a kept one, or the one that lies ready as a draft, synced.</summary>
    internal void Swap(int? restore)
    {
        int number = Kept().Select(kept => kept.Number).FirstOrDefault() + 1;
        string draft = OverlayNames.Swap(config) + ".new";
        Files.WriteJson(draft, new DiskSwap(number, restore), ContractJson.Default.DiskSwap);
        File.Move(draft, OverlayNames.Swap(config), overwrite: true);
        Files.SyncFolder(OverlayNames.Folder(config));
        Finish();
    }

    /// <summary>Finishes what was begun; each step sees whether it is done.</summary>
    /// <exception cref="RunnerEndException">The journal can't be read.</exception>
    internal void Finish()
    {
        File.Delete(OverlayNames.Swap(config) + ".new");
        if (!File.Exists(OverlayNames.Swap(config)))
        {
            return;
        }

        DiskSwap swap = Files.ReadJson(OverlayNames.Swap(config), ContractJson.Default.DiskSwap) ?? throw new RunnerEndException(
            TerminationReasons.OverlayCorrupt, $"{OverlayNames.Swap(config)}, which says which disk takes the other's place, can't be read. Nothing was changed; restore the disk from a backup.");
        MoveOnce(config.OverlayPath, OverlayNames.Kept(config, swap.Keep));
        MoveOnce(OverlayNames.Marker(config), OverlayNames.KeptMarker(config, swap.Keep));
        Files.SyncFolder(OverlayNames.Folder(config));
        MoveOnce(swap.Restore is { } disk ? OverlayNames.Kept(config, disk) : OverlayNames.NewOverlay(config), config.OverlayPath);
        MoveOnce(swap.Restore is { } marker ? OverlayNames.KeptMarker(config, marker) : OverlayNames.NewMarker(config), OverlayNames.Marker(config));
        Files.SyncFolder(OverlayNames.Folder(config));
        File.Delete(OverlayNames.Swap(config));
        Files.SyncFolder(OverlayNames.Folder(config));
    }

    /// <summary>Deletes the oldest of those that are more than is wished; gives those that stay, for the record, or null when there are none.</summary>
    internal IReadOnlyList<KeptDisk>? Prune()
    {
        List<(int Number, OverlayMarker? Marker)> all = Kept();
        foreach ((int number, OverlayMarker? marker) in all.Skip(config.KeepWiped))
        {
            Log.Line("disk.dropped", ("revision", marker?.Revision ?? "unknown"), ("made", $"{marker?.CreatedAt:u}"));
            File.Delete(OverlayNames.Kept(config, number));
            File.Delete(OverlayNames.KeptMarker(config, number));
        }

        KeptDisk[] kept = [.. all.Take(config.KeepWiped).Select(kept => new KeptDisk(
            kept.Marker?.Revision ?? "", kept.Marker?.CreatedAt, Files.AllocatedBytes(OverlayNames.Kept(config, kept.Number))))];
        return kept.Length == 0 ? null : kept;
    }

    /// <summary>Newest first.</summary>
    private List<(int Number, OverlayMarker? Marker)> Kept()
    {
        string prefix = $"node_{config.DiskId}.kept-";
        return [.. Directory.EnumerateFiles(OverlayNames.Folder(config), prefix + "*.qcow2")
            .Select(path => int.TryParse(Path.GetFileNameWithoutExtension(path).AsSpan(prefix.Length), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : 0)
            .Where(number => number > 0)
            .OrderDescending()
            .Select(number => (number, Files.ReadJson(OverlayNames.KeptMarker(config, number), ContractJson.Default.OverlayMarker)))];
    }

    private static void MoveOnce(string from, string to)
    {
        if (File.Exists(from) && !File.Exists(to))
        {
            File.Move(from, to);
        }
    }
}
