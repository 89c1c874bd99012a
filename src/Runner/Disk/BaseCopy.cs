using System.IO.Hashing;
using SandLabX.Contract;
using SandLabX.Runner.Import;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>Copies of base images on a LabNode's claim, a folder each beside the overlays: whole once they have their name, and there while a disk stands on them.</summary>
internal static class BaseCopy
{
    /// <summary>Makes the copy that the configuration asks for, when it is not there; its source was judged.</summary>
    /// <exception cref="RunnerEndException">There is no room for it, or it did not come out right.</exception>
    internal static async Task MakeAsync(RunnerConfig config, CancellationToken stop)
    {
        string folder = FolderOf(config), draft = DraftOf(folder), source = config.BackingCopyFrom!;
        Log.Line("base.copy", ("from", source), ("to", folder));
        Discard(draft);
        Directory.CreateDirectory(draft);
        string file = Path.Combine(draft, ContractNames.ImageFile);
        try
        {
            var sent = new XxHash128();
            await using (FileStream image = File.OpenRead(source))
            {
                await SparseFile.WriteAsync(image, file, new UnpackLimits(image.Length, long.MaxValue), piece => sent.Append(piece.Span), stop).ConfigureAwait(false);
            }

            var there = new XxHash128();
            await using (FileStream copy = File.OpenRead(file))
            {
                await there.AppendAsync(copy, stop).ConfigureAwait(false);
            }

            if (!sent.GetCurrentHash().AsSpan().SequenceEqual(there.GetCurrentHash()))
            {
                throw new RunnerEndException(TerminationReasons.InternalError, $"The copy of {source} on the claim differs from it. Nothing was made of it; look at the volume.");
            }

            Files.Sync(file);
            ImageReport report = Files.ReadJson(Path.Combine(Path.GetDirectoryName(source)!, ContractNames.ImageReportFile), ContractJson.Default.ImageReport)!;
            Files.WriteJson(Path.Combine(draft, ContractNames.ImageReportFile), report, ContractJson.Default.ImageReport);
        }
        catch (RunnerEndException e) when (e.Reason == TerminationReasons.NoSpace)
        {
            Discard(draft);
            throw new RunnerEndException(
                TerminationReasons.NoSpace, $"The claim has no room for a copy of the base image, {new FileInfo(source).Length >> 20} MiB (spec.delivery of its LabImage is Copy). Raise spec.disk.size.");
        }

        Files.SyncFolder(draft);
        Directory.Move(draft, folder);
        Files.SyncFolder(OverlayNames.Folder(config));
    }

    /// <summary>Whether it is to be made.</summary>
    internal static bool IsMissing(RunnerConfig config) => config.BackingCopyFrom is not null && !Directory.Exists(FolderOf(config));

    /// <summary>Deletes copies that no disk stands on, and what is left of one that was cut off. Where a disk can't be read, all stay.</summary>
    internal static void Prune(RunnerConfig config)
    {
        string home = OverlayNames.Folder(config);
        foreach (string draft in Directory.EnumerateDirectories(home, $".{ContractNames.BaseCopyPrefix}*.new"))
        {
            Discard(draft);
        }

        string[] copies = [.. Directory.EnumerateDirectories(home, ContractNames.BaseCopyPrefix + "*").Where(folder => folder != FolderOf(config))];
        if (copies.Length == 0)
        {
            return;
        }

        Qcow2Header?[] disks = [.. Directory.EnumerateFiles(home, "*.qcow2").Select(path => Qcow2Header.Parse(Qcow2Header.ReadStart(path)))];
        foreach (string copy in copies.Where(copy => disks.All(disk => disk is not null && (disk.BackingName is null || Path.GetDirectoryName(disk.BackingName) != copy))))
        {
            Log.Line("base.dropped", ("folder", copy));
            Discard(copy);
        }
    }

    private static string FolderOf(RunnerConfig config) => Path.GetDirectoryName(config.BackingPath)!;

    private static string DraftOf(string folder) => Path.Combine(Path.GetDirectoryName(folder)!, $".{Path.GetFileName(folder)}.new");

    private static void Discard(string folder)
    {
        if (Directory.Exists(folder))
        {
            Directory.Delete(folder, recursive: true);
        }
    }
}
