using System.Buffers.Binary;
using System.Text;

namespace SandLabX.Contract;

/// <summary>A table of a qcow2 file that lists further tables.</summary>
/// <param name="Offset">Its place in the file, in bytes.</param>
/// <param name="Entries">Its number of 8-byte entries.</param>
public readonly record struct Qcow2Table(long Offset, int Entries)
{
    // Bits 9 to 55 of an entry are the place of what it lists; 0 means none.
    private const ulong PlaceBits = 0x00FFFFFFFFFFFE00;

    /// <summary>Where the table, and all tables that it lists, end.</summary>
    /// <param name="file">The qcow2 file.</param>
    /// <param name="clusterBytes">The size of each listed table.</param>
    public long Reach(FileStream file, long clusterBytes)
    {
        long end = Offset + Entries * sizeof(ulong);
        if (end > file.Length)
        {
            return end;
        }

        byte[] entries = new byte[Entries * sizeof(ulong)];
        file.Position = Offset;
        file.ReadExactly(entries);
        for (int at = 0; at < entries.Length; at += sizeof(ulong))
        {
            long place = (long)(BinaryPrimitives.ReadUInt64BigEndian(entries.AsSpan(at)) & PlaceBits);
            end = place == 0 ? end : Math.Max(end, place + clusterBytes);
        }

        return end;
    }
}

/// <summary>
/// What a qcow2 file says of itself in its first cluster, as QEMU's docs/interop/qcow2.txt lays it out. Read by code of ours before any
/// tool opens the file, because a tool follows the names in it; and on each start, because it spares a process.
/// </summary>
/// <param name="Version">2 or 3.</param>
/// <param name="VirtualSizeBytes">What the guest sees.</param>
/// <param name="Encrypted">Any encryption method but none, or a place of keys.</param>
/// <param name="BackingName">The backing file as written there; null when there is none.</param>
/// <param name="BackingFormat">Its format as written there; null when it is left to guessing.</param>
/// <param name="Dirty">Reference counts are stale (only with lazy refcounts); QEMU repairs them when it opens the file.</param>
/// <param name="MarkedCorrupt">QEMU found damage once and refuses to write.</param>
/// <param name="HasDataFile">Its data are in another file, or one is named.</param>
/// <param name="UnknownFeatures">Incompatible features that QEMU 7.2 doesn't know.</param>
/// <param name="ClusterBytes">The unit of allocation.</param>
/// <param name="Level1">Where the first table of the guest's clusters is.</param>
/// <param name="RefcountTable">Where the first table of the reference counts is.</param>
public sealed record Qcow2Header(
    int Version,
    long VirtualSizeBytes,
    bool Encrypted,
    string? BackingName,
    string? BackingFormat,
    bool Dirty,
    bool MarkedCorrupt,
    bool HasDataFile,
    bool UnknownFeatures,
    long ClusterBytes,
    Qcow2Table Level1,
    Qcow2Table RefcountTable)
{
    /// <summary>Bytes of the file's beginning that <see cref="Parse"/> wants, or all of a shorter file: the largest cluster is 2 MiB, but what is read here is within 4 KiB in all that qemu-img writes.</summary>
    public const int Wanted = 64 * 1024;

    private const uint Magic = 0x514649FB;   // "QFI" 0xFB
    private const int Version2Length = 72;
    private const int Version3Length = 104;
    private const int MaxBackingName = 1023;
    private const uint MaxLevel1Entries = 32 * 1024 * 1024 / sizeof(ulong);
    private const ulong MaxRefcountTable = 8 * 1024 * 1024;
    private const ulong MaxOffset = 1UL << 56;
    private const uint EndOfExtensions = 0;
    private const uint BackingFormatExtension = 0xE2792ACA;
    private const uint DataFileExtension = 0x44415441;
    private const uint EncryptionExtension = 0x0537BE77;
    private const ulong DirtyBit = 1;
    private const ulong CorruptBit = 2;
    private const ulong DataFileBit = 4;
    private const ulong KnownBits = DirtyBit | CorruptBit | DataFileBit | 8 /* compression type */ | 16 /* extended L2 entries */;

    /// <summary>True when the file begins as a qcow2 file does.</summary>
    public static bool HasMagic(ReadOnlySpan<byte> start) =>
        start.Length >= 8 && BinaryPrimitives.ReadUInt32BigEndian(start) == Magic && BinaryPrimitives.ReadUInt32BigEndian(start[4..]) is 2 or 3;

    /// <summary>Reads a file's first bytes.</summary>
    public static byte[] ReadStart(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        byte[] start = new byte[Math.Min(Wanted, file.Length)];
        file.ReadExactly(start);
        return start;
    }

    /// <summary>Where the file's tables end: a file that ends before lost some of them.</summary>
    public long TablesReach(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite | FileShare.Delete, bufferSize: 0);
        return Math.Max(Level1.Reach(file, ClusterBytes), RefcountTable.Reach(file, ClusterBytes));
    }

    /// <summary>Reads the header; null when these bytes are not a whole qcow2 header.</summary>
    /// <param name="start">The file's first <see cref="Wanted"/> bytes.</param>
    public static Qcow2Header? Parse(ReadOnlySpan<byte> start)
    {
        if (!HasMagic(start) || start.Length < Version2Length)
        {
            return null;
        }

        int version = (int)BinaryPrimitives.ReadUInt32BigEndian(start[4..]);
        ulong backingOffset = BinaryPrimitives.ReadUInt64BigEndian(start[8..]);
        uint backingLength = BinaryPrimitives.ReadUInt32BigEndian(start[16..]);
        ulong size = BinaryPrimitives.ReadUInt64BigEndian(start[24..]);
        int clusterBits = (int)BinaryPrimitives.ReadUInt32BigEndian(start[20..]);
        uint level1Entries = BinaryPrimitives.ReadUInt32BigEndian(start[36..]);
        ulong level1Offset = BinaryPrimitives.ReadUInt64BigEndian(start[40..]);
        ulong refcountOffset = BinaryPrimitives.ReadUInt64BigEndian(start[48..]);
        uint refcountClusters = BinaryPrimitives.ReadUInt32BigEndian(start[56..]);
        uint encryption = BinaryPrimitives.ReadUInt32BigEndian(start[32..]);
        ulong features = 0;
        uint headerLength = Version2Length;
        if (version == 3)
        {
            if (start.Length < Version3Length)
            {
                return null;
            }

            features = BinaryPrimitives.ReadUInt64BigEndian(start[72..]);
            headerLength = BinaryPrimitives.ReadUInt32BigEndian(start[100..]);
        }

        // The limits are QEMU's own: clusters of 512 bytes to 2 MiB, tables of at most 32 and 8 MiB.
        if (clusterBits is < 9 or > 21 || level1Entries > MaxLevel1Entries || (ulong)refcountClusters << clusterBits > MaxRefcountTable || level1Offset > MaxOffset || refcountOffset > MaxOffset)
        {
            return null;
        }

        if (size > long.MaxValue || headerLength < Version2Length || headerLength > start.Length)
        {
            return null;
        }

        string? backing = null;
        if (backingOffset != 0)
        {
            if (backingLength is 0 or > MaxBackingName || backingLength > start.Length || backingOffset > (ulong)(start.Length - (int)backingLength))
            {
                return null;
            }

            backing = Encoding.UTF8.GetString(start.Slice((int)backingOffset, (int)backingLength));
        }

        return !TryExtensions(start, (int)headerLength, out string? format, out bool dataFileNamed, out bool keyNamed)
            ? null
            : new Qcow2Header(
                version,
                (long)size,
                encryption != 0 || keyNamed,
                backing,
                format,
                (features & DirtyBit) != 0,
                (features & CorruptBit) != 0,
                (features & DataFileBit) != 0 || dataFileNamed,
                (features & ~KnownBits) != 0,
                1L << clusterBits,
                new Qcow2Table((long)level1Offset, (int)level1Entries),
                new Qcow2Table((long)refcountOffset, (int)((refcountClusters << clusterBits) / sizeof(ulong))));
    }

    private static bool TryExtensions(ReadOnlySpan<byte> start, int offset, out string? format, out bool dataFileNamed, out bool keyNamed)
    {
        format = null;
        dataFileNamed = keyNamed = false;
        while (offset + 8 <= start.Length)
        {
            uint type = BinaryPrimitives.ReadUInt32BigEndian(start[offset..]);
            uint length = BinaryPrimitives.ReadUInt32BigEndian(start[(offset + 4)..]);
            offset += 8;
            if (type == EndOfExtensions)
            {
                return true;
            }

            if (length > start.Length - offset)
            {
                return false;
            }

            if (type == BackingFormatExtension)
            {
                format = Encoding.UTF8.GetString(start.Slice(offset, (int)length));
            }

            dataFileNamed |= type == DataFileExtension;
            keyNamed |= type == EncryptionExtension;

            // Each extension is padded to 8 bytes.
            offset += (int)((length + 7) & ~7u);
        }

        return false;
    }
}
