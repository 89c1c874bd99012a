using System.Globalization;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>The disks that gave way to others, and how one gives way: a journal first, then renames that whoever finds the journal can finish.</summary>
/// <param name="config">What is wished.</param>
internal sealed class DiskHistory(RunnerConfig config)
{
    /// <summary>The number of the newest kept disk of a revision; null when there is none, and for no name.</summary>
    internal int? Find(string revision) => revision.Length == 0 ? null : Kept().Where(kept => kept.Marker?.Revision == revision).Select(kept => (int?)kept.Number).FirstOrDefault();

    /// <summary>Keeps the present disk and gives its name to another one: a kept one, or the one that lies ready as a draft, synced.</summary>
    /// <param name="restore">The kept one's number; null for the draft.</param>
    /// <param name="damaged">Whether the present disk gives way to a mended copy, which takes over its name.</param>
    /// <returns>What the present disk is called from now on, when it is damaged.</returns>
    internal string? Swap(int? restore, bool damaged = false)
    {
        int number = Kept().Select(kept => kept.Number).FirstOrDefault() + 1;
        string? name = damaged ? DamagedName(Files.ReadJson(OverlayNames.Marker(config), ContractJson.Default.OverlayMarker)?.Revision ?? "", number) : null;
        string draft = OverlayNames.Swap(config) + ".new";
        Files.WriteJson(draft, new DiskSwap(number, restore) { DamagedAs = name }, ContractJson.Default.DiskSwap);
        File.Move(draft, OverlayNames.Swap(config), overwrite: true);
        Files.SyncFolder(OverlayNames.Folder(config));
        Finish();
        return name;
    }

    /// <summary>What a damaged disk is called: after the revision whose name the mended one takes over, within what a revision can be.</summary>
    internal static string DamagedName(string revision, int number)
    {
        const int longest = 64;
        string suffix = string.Create(CultureInfo.InvariantCulture, $".damaged-{number}");
        return revision[..Math.Min(revision.Length, longest - suffix.Length)] + suffix;
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
        if (swap.DamagedAs is { } name)
        {
            CallDamaged(OverlayNames.KeptMarker(config, swap.Keep), name);
        }

        MoveOnce(swap.Restore is { } disk ? OverlayNames.Kept(config, disk) : OverlayNames.NewOverlay(config), config.OverlayPath);
        MoveOnce(swap.Restore is { } marker ? OverlayNames.KeptMarker(config, marker) : OverlayNames.NewMarker(config), OverlayNames.Marker(config));
        Files.SyncFolder(OverlayNames.Folder(config));
        File.Delete(OverlayNames.Swap(config));
        Files.SyncFolder(OverlayNames.Folder(config));
    }

    /// <summary>Deletes the oldest of those that are more than is wished.</summary>
    internal void Prune()
    {
        ILookup<bool, (int Number, OverlayMarker? Marker)> all = Kept().ToLookup(kept => kept.Marker?.Damaged == true);
        foreach ((int number, OverlayMarker? marker) in all[false].Skip(config.KeepWiped).Concat(all[true].Skip(config.KeepDamaged)))
        {
            Log.Line("disk.dropped", ("revision", marker?.Revision ?? "unknown"), ("made", $"{marker?.CreatedAt:u}"));
            File.Delete(OverlayNames.Kept(config, number));
            File.Delete(OverlayNames.KeptMarker(config, number));
        }
    }

    /// <summary>Those that are kept, newest first, for the record; null when there are none.</summary>
    internal IReadOnlyList<KeptDisk>? List()
    {
        KeptDisk[] kept = [.. Kept().Select(kept => new KeptDisk(kept.Marker?.Revision ?? "", kept.Marker?.CreatedAt, Files.AllocatedBytes(OverlayNames.Kept(config, kept.Number)))
        {
            Damaged = kept.Marker?.Damaged == true,
            Backing = OverlayKeeper.BackingOf(kept.Marker),
        })];
        return kept.Length == 0 ? null : kept;
    }

    private void CallDamaged(string marker, string name)
    {
        if (Files.ReadJson(marker, ContractJson.Default.OverlayMarker) is { } kept && kept.Revision != name)
        {
            string draft = OverlayNames.Swap(config) + ".new";
            Files.WriteJson(draft, kept with { Revision = name, Damaged = true }, ContractJson.Default.OverlayMarker);
            File.Move(draft, marker, overwrite: true);
            Files.SyncFolder(OverlayNames.Folder(config));
        }
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
