using System.Buffers.Binary;

namespace SandLabX.Integration.Runner;

/// <summary>What can happen to a qcow2 file, done to a real one.</summary>
internal static class Damage
{
    private const int TableOffsetField = 48;
    private const int ClusterBitsField = 20;

    /// <summary>All reference counts are gone: each cluster in use counts as free. <c>qemu-img check -r all</c> can count them anew.</summary>
    public static void LoseRefcounts(string path)
    {
        using FileStream file = Open(path);
        (long block, int cluster) = RefcountBlock(file);
        file.Position = block;
        file.Write(new byte[cluster]);
    }

    /// <summary>One cluster behind the last one counts as used and belongs to nothing.</summary>
    public static void Leak(string path)
    {
        using FileStream file = Open(path);
        (long block, int cluster) = RefcountBlock(file);
        long next = (file.Length + cluster - 1) / cluster;
        file.SetLength((next + 1) * cluster);
        file.Position = block + (next * 2);
        file.Write([0, 1]);
    }

    private static FileStream Open(string path) => new(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);

    private static (long Offset, int ClusterBytes) RefcountBlock(FileStream file)
    {
        byte[] header = new byte[104];
        file.ReadExactly(header);
        file.Position = BinaryPrimitives.ReadInt64BigEndian(header.AsSpan(TableOffsetField));
        byte[] entry = new byte[8];
        file.ReadExactly(entry);
        return (BinaryPrimitives.ReadInt64BigEndian(entry), 1 << BinaryPrimitives.ReadInt32BigEndian(header.AsSpan(ClusterBitsField)));
    }
}
