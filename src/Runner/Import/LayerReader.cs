using System.Formats.Tar;
using System.Security.Cryptography;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>Takes the one disk out of a layer of a container image. Nothing else of it is written; its names are compared and never used.</summary>
internal static class LayerReader
{
    private const int MaxEntries = 1_000_000;
    private const string DiskFolder = "disk/";

    /// <summary>Looks for the disk.</summary>
    /// <param name="layer">The layer's file, an archive that may be compressed.</param>
    /// <param name="wanted">The disk's path; null for the only file in <c>/disk</c>.</param>
    /// <param name="target">Where it goes.</param>
    /// <param name="limits">What it may take.</param>
    /// <param name="stop">Ends it early.</param>
    /// <returns>Its digest, in lower-case hexadecimal digits; null when the layer has none.</returns>
    /// <exception cref="RunnerEndException">The layer can't be used, or there is no room.</exception>
    internal static async Task<string?> ExtractAsync(string layer, string? wanted, string target, UnpackLimits limits, CancellationToken stop)
    {
        await using var file = new FileStream(layer, FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        (ImageKind kind, _) = ImageKinds.Of(Qcow2Header.ReadStart(layer));
        if (!ImageKinds.IsCompressed(kind))
        {
            return await ReadAsync(file, wanted, target, limits, stop).ConfigureAwait(false);
        }

        using var children = new Children();
        using Filter filter = await Decompressor.StartAsync(kind, file, children).ConfigureAwait(false);
        string? digest = await ReadAsync(filter.Output, wanted, target, limits, stop).ConfigureAwait(false);

        // What follows the archive's end is nobody's, but a decompressor that can't write it would take it for an error.
        await filter.Output.CopyToAsync(Stream.Null, stop).ConfigureAwait(false);
        await Decompressor.EndAsync(kind, filter, stop).ConfigureAwait(false);
        return digest;
    }

    private static async Task<string?> ReadAsync(Stream archive, string? wanted, string target, UnpackLimits limits, CancellationToken stop)
    {
        string? digest = null, found = null;
        try
        {
            await using var tar = new TarReader(archive, leaveOpen: true);
            for (int entries = 0; await tar.GetNextEntryAsync(copyData: false, stop).ConfigureAwait(false) is { } entry; entries++)
            {
                if (entries > MaxEntries)
                {
                    throw OciManifest.Unusable($"a layer of it has more than {MaxEntries} entries");
                }

                string name = Plain(entry.Name);
                if (!IsWanted(name, wanted) || entry.EntryType is TarEntryType.Directory or TarEntryType.GlobalExtendedAttributes)
                {
                    continue;
                }

                if (found is not null)
                {
                    throw OciManifest.Unusable($"a layer of it has several disks, {Shown(found)} and {Shown(name)}. Name one in spec.source.oci.path");
                }

                found = name;
                Check(entry, name);
                using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
                await SparseFile.WriteAsync(entry.DataStream ?? Stream.Null, target, limits, piece => hash.AppendData(piece.Span), stop).ConfigureAwait(false);
                digest = Convert.ToHexStringLower(hash.GetHashAndReset());
            }
        }
        catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException or ArgumentException or OutOfMemoryException or NotSupportedException)
        {
            throw OciManifest.Unusable($"a layer of it is no sound archive: {OverlayVerdicts.OneLine(e.Message)[..^1]}");
        }

        return digest;
    }

    private static void Check(TarEntry entry, string name)
    {
        if (entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile or TarEntryType.ContiguousFile))
        {
            throw OciManifest.Unusable($"{Shown(name)} in a layer of it is no file but a {entry.EntryType}");
        }

        if (entry is PaxTarEntry pax && pax.ExtendedAttributes.Keys.Any(key => key.StartsWith("GNU.sparse", StringComparison.Ordinal)))
        {
            throw OciManifest.Unusable($"{Shown(name)} in a layer of it was archived as a sparse file. Make the layer without tar's --sparse");
        }
    }

    private static bool IsWanted(string name, string? wanted) => wanted is not null
        ? name == Plain(wanted)
        : name.StartsWith(DiskFolder, StringComparison.Ordinal) && name.Length > DiskFolder.Length && !name[DiskFolder.Length..].Contains('/', StringComparison.Ordinal)
            && !name[DiskFolder.Length..].StartsWith(".wh.", StringComparison.Ordinal);

    private static string Plain(string name) => (name.StartsWith("./", StringComparison.Ordinal) ? name[1..] : name).TrimStart('/');

    private static string Shown(string name) => ImageVerdicts.Shortened(name);
}
