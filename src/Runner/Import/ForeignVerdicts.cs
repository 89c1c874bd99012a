using System.Buffers.Binary;
using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Disk;

namespace SandLabX.Runner.Import;

/// <summary>
/// Judges the headers of formats other than qcow2 before QEMU opens them: whatever in them can name another file is refused. Read by
/// code of ours, because a tool that opens such a file follows the name.
/// </summary>
internal static class ForeignVerdicts
{
    /// <summary>Judges a file; null when nothing speaks against it. What is wrong otherwise QEMU itself finds.</summary>
    /// <param name="kind">What it was recognised as.</param>
    /// <param name="file">The file.</param>
    internal static DiskFault? Judge(ImageKind kind, FileStream file)
    {
        byte[] start = Read(file, 0, 512);
        return kind switch
        {
            ImageKind.Raw => start.AsSpan().StartsWith("LUKS"u8) || start.AsSpan().StartsWith("SKUL"u8) ? Encrypted() : null,
            ImageKind.Vmdk => VmdkHeader.Judge(file),
            ImageKind.Vdi => JudgeVdi(start),
            ImageKind.Vhdx => VhdxHeader.Judge(file),
            _ => null,
        };
    }

    /// <summary>Bytes of a file, fewer where it ends.</summary>
    internal static byte[] Read(FileStream file, long offset, int length)
    {
        byte[] bytes = new byte[length];
        file.Position = offset;
        int count = file.ReadAtLeast(bytes, length, throwOnEndOfStream: false);
        return bytes[..count];
    }

    internal static DiskFault Parent(string what, string name) => new(
        TerminationReasons.HasBackingFile,
        $"The {what} stands on another image{(name.Length > 0 ? $", {ImageVerdicts.Shortened(name)}," : ",")} which a base image must not. Make it stand alone: qemu-img convert -O qcow2 <image> <new image>.");

    internal static DiskFault OtherFiles(string what, string name) => new(
        TerminationReasons.HasDataFile,
        $"The {what} keeps its data in other files{(name.Length > 0 ? $", such as {ImageVerdicts.Shortened(name)}" : "")}, which a base image must not. Make it one file: qemu-img convert -O qcow2 <image> <new image>.");

    internal static DiskFault Damaged(string what, string how) => new(TerminationReasons.ImageCorrupt, $"The {what} is damaged: {how}. Make or fetch it anew.");

    private static DiskFault Encrypted() => new(TerminationReasons.Encrypted, "The image is a LUKS volume. Decrypt it: qemu-img convert -O qcow2, from the opened volume.");

    /// <summary>VirtualBox' header: type at 0x4C (1 dynamic, 2 fixed, 4 differencing), UUIDs of a parent at 0x1A8 and 0x1B8.</summary>
    private static DiskFault? JudgeVdi(ReadOnlySpan<byte> start)
    {
        if (start.Length < 0x1C8)
        {
            return Damaged("VDI image", "it ends within its header");
        }

        uint type = BinaryPrimitives.ReadUInt32LittleEndian(start[0x4C..]);
        return type is not (1 or 2) || start[0x1A8..0x1C8].ContainsAnyExcept((byte)0) ? Parent("VDI image", "") : null;
    }
}

/// <summary>VMDK, in one file: a sparse extent whose descriptor, where it has one, is embedded.</summary>
internal static class VmdkHeader
{
    private const string What = "VMDK image";
    private const int Sector = 512;
    private const int DescriptorRoom = 20 * Sector;     // what QEMU reads of an embedded descriptor, at sector 1, to find a parent
    private const long MaxDescriptor = 1024 * 1024;

    internal static DiskFault? Judge(FileStream file)
    {
        byte[] start = ForeignVerdicts.Read(file, 0, Sector);
        if (!start.AsSpan().StartsWith("KDMV"u8))
        {
            // A descriptor by itself: all its data are elsewhere, wherever its lines say.
            return ForeignVerdicts.OtherFiles(What, FirstExtent(Encoding.Latin1.GetString(ForeignVerdicts.Read(file, 0, DescriptorRoom))));
        }

        if (start.Length < Sector)
        {
            return ForeignVerdicts.Damaged(What, "it ends within its header");
        }

        // Without a capacity QEMU takes the file for a mere carrier of a descriptor, and opens the extents that it names.
        if (BinaryPrimitives.ReadUInt64LittleEndian(start.AsSpan(12)) == 0)
        {
            return ForeignVerdicts.OtherFiles(What, "");
        }

        ulong sector = BinaryPrimitives.ReadUInt64LittleEndian(start.AsSpan(28));
        ulong sectors = BinaryPrimitives.ReadUInt64LittleEndian(start.AsSpan(36));
        if (sectors > MaxDescriptor / Sector || sector > (ulong)file.Length / Sector)
        {
            return ForeignVerdicts.Damaged(What, "its descriptor is too large or out of place");
        }

        // Both where the header says that a descriptor is, and where QEMU looks whatever it says.
        return JudgeDescriptor(Encoding.Latin1.GetString(ForeignVerdicts.Read(file, Sector, DescriptorRoom)))
            ?? (sector == 0 ? null : JudgeDescriptor(Encoding.Latin1.GetString(ForeignVerdicts.Read(file, (long)sector * Sector, (int)sectors * Sector))));
    }

    private static DiskFault? JudgeDescriptor(string text)
    {
        if (text.IndexOf("parentFileNameHint", StringComparison.OrdinalIgnoreCase) is >= 0 and int hint)
        {
            string line = text[hint..].Split('\n', 2)[0];
            return ForeignVerdicts.Parent(What, line[(line.IndexOf('=', StringComparison.Ordinal) + 1)..].Trim().Trim('"'));
        }

        if (!text.Contains("# Disk DescriptorFile", StringComparison.Ordinal))
        {
            return null;
        }

        string? parent = Value(text, "parentCID");
        if (parent is not null && !parent.Equals("ffffffff", StringComparison.OrdinalIgnoreCase))
        {
            return ForeignVerdicts.Parent(What, "");
        }

        string type = Value(text, "createType") ?? "";
        return type is "monolithicSparse" or "streamOptimized" && Extents(text).Count() <= 1 ? null : ForeignVerdicts.OtherFiles(What, FirstExtent(text));
    }

    private static string? Value(string text, string key) => text.Split('\n')
        .Select(line => line.Trim().Split('=', 2))
        .FirstOrDefault(parts => parts.Length == 2 && parts[0].Trim().Equals(key, StringComparison.OrdinalIgnoreCase))?[1].Trim().Trim('"', '\0');

    // RW 16384 SPARSE "disk.vmdk"
    private static IEnumerable<string> Extents(string text) =>
        text.Split('\n').Select(line => line.Trim()).Where(line => line.StartsWith("RW ", StringComparison.Ordinal) || line.StartsWith("RDONLY ", StringComparison.Ordinal) || line.StartsWith("NOACCESS ", StringComparison.Ordinal));

    private static string FirstExtent(string text) => Extents(text).FirstOrDefault()?.Split('"') is [_, { } name, ..] ? name : "";
}

/// <summary>VHDX: two region tables point to the metadata, which say whether there is a parent.</summary>
internal static class VhdxHeader
{
    private const string What = "VHDX image";
    private const int TableBytes = 64 * 1024;
    private const int EntryBytes = 32;
    private const uint HasParent = 2;

    private static readonly long[] s_regionTables = [192 * 1024, 256 * 1024];
    private static readonly Guid s_metadataRegion = new("8B7CA206-4790-4B9A-B8FE-575F050F886E");
    private static readonly Guid s_fileParameters = new("CAA16737-FA36-4D43-B3B6-33F0AA44E76B");
    private static readonly Guid s_parentLocator = new("A8D35F2D-B30B-454D-ABF7-D3D84834AB0C");

    internal static DiskFault? Judge(FileStream file)
    {
        bool seen = false;
        foreach (long place in s_regionTables)
        {
            byte[] regions = ForeignVerdicts.Read(file, place, TableBytes);
            if (regions.Length < TableBytes || !regions.AsSpan().StartsWith("regi"u8))
            {
                continue;
            }

            foreach (int entry in Entries(regions, first: 16, BinaryPrimitives.ReadUInt32LittleEndian(regions.AsSpan(8))))
            {
                if (new Guid(regions.AsSpan(entry, 16)) == s_metadataRegion)
                {
                    seen = true;
                    if (JudgeMetadata(file, (long)Math.Min(BinaryPrimitives.ReadUInt64LittleEndian(regions.AsSpan(entry + 16)), long.MaxValue / 2)) is { } fault)
                    {
                        return fault;
                    }
                }
            }
        }

        return seen ? null : ForeignVerdicts.Damaged(What, "it has no metadata");
    }

    private static DiskFault? JudgeMetadata(FileStream file, long place)
    {
        byte[] table = ForeignVerdicts.Read(file, place, TableBytes);
        if (table.Length < TableBytes || !table.AsSpan().StartsWith("metadata"u8))
        {
            return ForeignVerdicts.Damaged(What, "its metadata are not where it says");
        }

        foreach (int entry in Entries(table, first: 32, BinaryPrimitives.ReadUInt16LittleEndian(table.AsSpan(10))))
        {
            var item = new Guid(table.AsSpan(entry, 16));
            if (item == s_parentLocator)
            {
                return ForeignVerdicts.Parent(What, "");
            }

            if (item == s_fileParameters)
            {
                byte[] parameters = ForeignVerdicts.Read(file, place + BinaryPrimitives.ReadUInt32LittleEndian(table.AsSpan(entry + 16)), 8);
                if (parameters.Length < 8)
                {
                    return ForeignVerdicts.Damaged(What, "its file parameters are not where it says");
                }

                if ((BinaryPrimitives.ReadUInt32LittleEndian(parameters.AsSpan(4)) & HasParent) != 0)
                {
                    return ForeignVerdicts.Parent(What, "");
                }
            }
        }

        return null;
    }

    private static IEnumerable<int> Entries(byte[] table, int first, uint count) =>
        Enumerable.Range(0, (int)Math.Min(count, (TableBytes - (uint)first) / EntryBytes)).Select(i => first + (i * EntryBytes));
}
