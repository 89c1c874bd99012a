using SandLabX.Contract;

namespace SandLabX.Runner.Disk;

/// <summary>Finds disks in a disk's folder that are none of its own: a claim that was copied, or used for two. They are told of and left alone.</summary>
internal static class StrayOverlays
{
    /// <summary>Enough to see what happened, few enough for a termination message.</summary>
    private const int AtMost = 10;

    /// <summary>A name of this length is told in full; what is longer is none of ours anyway.</summary>
    private const int LongestName = 100;

    /// <summary>The names of such files, sorted; null when there are none.</summary>
    internal static IReadOnlyList<string>? Find(RunnerConfig config)
    {
        string own = Path.GetFileName(config.OverlayPath);
        string kept = $"node_{config.DiskId}.kept-";
        string[] strays = [.. Directory.EnumerateFiles(OverlayNames.Folder(config), "node_*.qcow2")
            .Select(path => Path.GetFileName(path))
            .Where(name => name != own && !name.StartsWith(kept, StringComparison.Ordinal))
            .Order(StringComparer.Ordinal)
            .Take(AtMost)
            .Select(name => name.Length > LongestName ? name[..LongestName] : name)];
        return strays.Length == 0 ? null : strays;
    }
}
