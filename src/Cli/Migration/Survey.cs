using SandLabX.Cli.Images;
using SandLabX.Contract;

namespace SandLabX.Cli.Migration;

/// <summary>An overlay as it lies in the old installation.</summary>
/// <param name="File">Its name in the overlays' folder.</param>
/// <param name="Path">The file behind that name.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="MadeBefore">It was made at this time or earlier: its birth on this file system, or its last write.</param>
/// <param name="Header">What it says of itself; null when it is no whole qcow2 file.</param>
/// <param name="InUse">Whether a QEMU has it open.</param>
/// <param name="Trouble">Why it can't be read at all; null when it can.</param>
internal sealed record OverlayFacts(string File, string Path, long Bytes, DateTimeOffset MadeBefore, Qcow2Header? Header, bool InUse = false, string? Trouble = null);

/// <summary>A base image as it lies in the old installation.</summary>
/// <param name="File">Its name in the images' folder; <c>custom/…</c> for an uploaded one.</param>
/// <param name="Path">The file behind that name.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="WrittenAt">When its bytes last changed.</param>
/// <param name="Header">What it says of itself; null when it is no whole qcow2 file.</param>
/// <param name="Sha256">What it is: 64 hexadecimal digits; empty when it could not be read.</param>
/// <param name="Trouble">Why it can't be read at all; null when it can.</param>
internal sealed record BaseFacts(string File, string Path, long Bytes, DateTimeOffset WrittenAt, Qcow2Header? Header, string Sha256, string? Trouble = null);

/// <summary>The files of the old installation.</summary>
/// <param name="Overlays">All that lies in the overlays' folder and ends in .qcow2.</param>
/// <param name="Bases">The base images that an overlay or a node asks for and that are there, by <see cref="BaseFacts.File"/>.</param>
internal sealed record Survey(IReadOnlyList<OverlayFacts> Overlays, IReadOnlyDictionary<string, BaseFacts> Bases)
{
    private const string Suffix = ".qcow2";

    /// <summary>Looks at all files that matter; reads the overlays' headers and the whole of each base, once.</summary>
    /// <param name="state">The nodes, as those without a disk have a base, too.</param>
    /// <param name="overlayFolder">The overlays' folder.</param>
    /// <param name="imageFolder">The images' folder.</param>
    /// <param name="hashing">Told of each base that is about to be read whole.</param>
    /// <param name="stop">Ends it.</param>
    internal static async Task<Survey> TakeAsync(OldState state, string overlayFolder, string imageFolder, Action<string, long> hashing, CancellationToken stop)
    {
        OverlayFacts[] overlays = [.. Directory.EnumerateFileSystemEntries(overlayFolder, "*" + Suffix).Order(StringComparer.Ordinal).Select(path => Overlay(overlayFolder, System.IO.Path.GetFileName(path)))];
        var wanted = new SortedSet<string>(StringComparer.Ordinal);
        var disks = overlays.Select(o => o.File).ToHashSet(StringComparer.Ordinal);
        wanted.UnionWith(overlays.Select(o => OldBases.FileOf(o.Header?.BackingName)).OfType<string>());
        wanted.UnionWith(state.Nodes.Where(n => !disks.Contains(OldBases.OverlayFile(n))).Select(n => OldBases.FileFor(n)));
        var bases = new Dictionary<string, BaseFacts>(StringComparer.Ordinal);
        foreach (string file in wanted)
        {
            if (await BaseAsync(imageFolder, file, hashing, stop).ConfigureAwait(false) is { } found)
            {
                bases.Add(file, found);
            }
        }

        return new Survey(overlays, bases);
    }

    private static OverlayFacts Overlay(string folder, string name)
    {
        try
        {
            (string? path, string? trouble) = SourceFile.Resolve(folder, name);
            if (path is null)
            {
                return new OverlayFacts(name, "", 0, default, null, Trouble: trouble ?? "it went away");
            }

            SourceFacts facts = SourceFile.Look(path);
            using FileStream file = SourceFile.Open(path);
            DateTimeOffset before = facts.BornAt is { } born && born < facts.WrittenAt ? born : facts.WrittenAt;
            return new OverlayFacts(name, path, facts.Bytes, before, Header(file), SourceFile.IsInUse(file.SafeFileHandle));
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new OverlayFacts(name, "", 0, default, null, Trouble: e.Message);
        }
    }

    private static async Task<BaseFacts?> BaseAsync(string folder, string name, Action<string, long> hashing, CancellationToken stop)
    {
        try
        {
            (string? path, string? trouble) = SourceFile.Resolve(folder, name);
            if (path is null)
            {
                return trouble is null ? null : new BaseFacts(name, "", 0, default, null, "", trouble);
            }

            SourceFacts facts = SourceFile.Look(path);
            hashing(name, facts.Bytes);
            await using FileStream file = SourceFile.Open(path);
            Qcow2Header? header = Header(file);
            string sha256 = await Digest.Sha256Async(file, _ => { }, stop).ConfigureAwait(false);
            return new BaseFacts(name, path, facts.Bytes, facts.WrittenAt, header, sha256);
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return new BaseFacts(name, "", 0, default, null, "", e.Message);
        }
    }

    private static Qcow2Header? Header(FileStream file)
    {
        byte[] start = new byte[(int)Math.Min(Qcow2Header.Wanted, file.Length)];
        int read = file.ReadAtLeast(start, start.Length, throwOnEndOfStream: false);
        return Qcow2Header.Parse(start.AsSpan(0, read));
    }
}
