using System.Buffers.Binary;
using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Unit.Runner;

/// <summary>Sane defaults for the runner's tests.</summary>
internal static class RunnerGiven
{
    public const string Digest = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    public const long BaseSize = 1L << 30;

    public static RunnerConfig Config() => new()
    {
        Node = "labs/r1",
        DiskId = "k3v9x2",
        OverlayPath = "/overlays/node_k3v9x2.qcow2",
        BackingPath = "/images/debian-12/disk.qcow2",
        BackingSha256 = Digest,
        Cpus = 2,
        MemoryBytes = 512L << 20,
        Accelerator = Accelerators.Auto,
        GracePeriodSeconds = 30,
    };

    public static Qcow2Header Base() => Qcow2Header.Parse(Header())!;

    public static Qcow2Header Overlay() => Qcow2Header.Parse(Header(backing: Config().BackingPath, format: "qcow2"))!;

    public static DiskFindings Findings() => new(
        Overlay(),
        393216,
        new OverlayMarker("k3v9x2", "labs/r1", Config().BackingPath, Digest, DateTimeOffset.UnixEpoch),
        Base(),
        BaseBytes: 1000,
        new ImageReport(Digest, "qcow2", BaseSize, 1000));

    public static DiskFindings NothingYet() => Findings() with { Overlay = null, OverlayBytes = null, Marker = null };

    public static ToolResult Tool(int? exitCode = 0, string output = "", string errors = "") => new(exitCode, output, errors);

    /// <summary>The first bytes of a qcow2 file of version 3.</summary>
    public static byte[] Header(
        string? backing = null, string? format = null, long size = BaseSize, uint encryption = 0, ulong features = 0, int clusterBits = 16, uint version = 3)
    {
        byte[] start = new byte[4096];
        Span<byte> at = start;
        "QFI"u8.CopyTo(at);
        at[3] = 0xFB;
        BinaryPrimitives.WriteUInt32BigEndian(at[4..], version);
        BinaryPrimitives.WriteUInt32BigEndian(at[20..], (uint)clusterBits);
        BinaryPrimitives.WriteUInt64BigEndian(at[24..], (ulong)size);
        BinaryPrimitives.WriteUInt32BigEndian(at[32..], encryption);
        BinaryPrimitives.WriteUInt32BigEndian(at[36..], 2);
        BinaryPrimitives.WriteUInt64BigEndian(at[40..], 0x30000);
        BinaryPrimitives.WriteUInt64BigEndian(at[48..], 0x10000);
        BinaryPrimitives.WriteUInt32BigEndian(at[56..], 1);
        BinaryPrimitives.WriteUInt64BigEndian(at[72..], features);
        BinaryPrimitives.WriteUInt32BigEndian(at[100..], 104);
        int extension = version == 3 ? 104 : 72;
        if (format is not null)
        {
            BinaryPrimitives.WriteUInt32BigEndian(at[extension..], 0xE2792ACA);
            BinaryPrimitives.WriteUInt32BigEndian(at[(extension + 4)..], (uint)format.Length);
            Encoding.UTF8.GetBytes(format).CopyTo(at[(extension + 8)..]);
        }

        if (backing is not null)
        {
            byte[] name = Encoding.UTF8.GetBytes(backing);
            BinaryPrimitives.WriteUInt64BigEndian(at[8..], 512);
            BinaryPrimitives.WriteUInt32BigEndian(at[16..], (uint)name.Length);
            name.CopyTo(at[512..]);
        }

        return start;
    }
}
