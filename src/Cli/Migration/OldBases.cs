namespace SandLabX.Cli.Migration;

/// <summary>Which file of the old installation was a node's base. Names say where a file is, never what it is: that is for its digest.</summary>
internal static class OldBases
{
    private const string Custom = "custom";

    /// <summary>What the platform ran an osType on; anything else was ubuntu.</summary>
    private static readonly Dictionary<string, string> s_files = new(StringComparer.Ordinal)
    {
        ["ubuntu"] = "ubuntu-24-lts.qcow2",
        ["alpine"] = "alpine-3.qcow2",
        ["debian"] = "debian-13.qcow2",
        ["bazzite"] = "bazzite-gnome.qcow2",
        ["router"] = "router.qcow2",
    };

    /// <summary>Whether the platform knew this osType.</summary>
    internal static bool Knows(string osType) => s_files.ContainsKey(osType);

    /// <summary>The base of a node that has no overlay: the one on its record, else the one of its osType.</summary>
    internal static string FileFor(OldNode node) => FileOf(node.ImagePath) ?? s_files.GetValueOrDefault(node.OsType, s_files[OldNode.DefaultOsType]);

    /// <summary>
    /// A base's name in the images' folder, from the path that an overlay's header has for it; null when that names none. The path is a guest's or a stranger's
    /// word: all that is taken of it is its last part, and whether that lay in the folder of uploaded images.
    /// </summary>
    internal static string? FileOf(string? path)
    {
        string[] parts = path?.Split('/') ?? [];
        string name = parts.Length > 0 ? parts[^1] : "";
        if (name.Length is 0 or > 255 || name is "." or ".." || name.Any(char.IsControl) || path!.Contains(':', StringComparison.Ordinal))
        {
            // A colon makes a protocol of what stands before it: nbd:, json:, https:.
            return null;
        }

        return parts.Length > 1 && parts[^2] == Custom ? $"{Custom}/{name}" : name;
    }

    /// <summary>An overlay's name in the overlays' folder.</summary>
    internal static string OverlayFile(OldNode node)
    {
        string recorded = node.OverlayPath?.Split('/')[^1] ?? "";
        return recorded.EndsWith(".qcow2", StringComparison.Ordinal) && !recorded.Any(char.IsControl) ? recorded : $"node_{node.Id}.qcow2";
    }
}
