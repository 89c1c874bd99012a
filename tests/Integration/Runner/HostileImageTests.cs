using System.Buffers.Binary;
using System.Text;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>
/// Images that were made to harm: each is refused with its reason and leaves nothing, and the file that it names, a canary, is not opened
/// by anybody. Made here, by the tools that make the like or by their bytes.
/// </summary>
public sealed class HostileImageTests
{
    private const int Qcow2Size = 24, Qcow2Encryption = 32, Qcow2Features = 72;

    private delegate Task<byte[]> Maker(ImportLab lab, string canary);

    private static readonly Dictionary<string, (string Reason, Maker Make)> s_corpus = new()
    {
        ["qcow2 on a backing file"] = (TerminationReasons.HasBackingFile, (lab, canary) => lab.QemuImgAsync("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", canary, "{0}", "8M")),
        ["qcow2 on a backing file in JSON"] = (TerminationReasons.HasBackingFile, (lab, canary) =>
            lab.QemuImgAsync("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", $"json:{{\"driver\":\"raw\",\"file\":{{\"driver\":\"file\",\"filename\":\"{canary}\"}}}}", "{0}", "8M")),
        ["qcow2 of version 2 on a backing file without a format"] = (TerminationReasons.HasBackingFile, async (lab, canary) =>
            await Patched(lab, "compat=0.10", header =>
            {
                BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(8), 1024);
                BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(16), (uint)canary.Length);
                Encoding.UTF8.GetBytes(canary).CopyTo(header, 1024);
            })),
        ["qcow2 with a data file"] = (TerminationReasons.HasDataFile, (lab, canary) => DataFile(lab, canary)),
        ["qcow2 that names a data file and does not say that it has one"] = (TerminationReasons.HasDataFile, async (lab, canary) =>
        {
            byte[] image = await DataFile(lab, canary);
            BinaryPrimitives.WriteUInt64BigEndian(image.AsSpan(Qcow2Features), 0);
            return image;
        }),
        ["qcow2 encrypted by AES"] = (TerminationReasons.Encrypted, (lab, _) => Patched(lab, "compat=1.1", header => BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan(Qcow2Encryption), 1))),
        ["qcow2 encrypted by LUKS"] = (TerminationReasons.Encrypted, (lab, _) => EncryptedAsync(lab)),
        ["qcow2 of an absurd size"] = (TerminationReasons.VirtualSizeTooLarge, (lab, _) => Patched(lab, "compat=1.1", header => BinaryPrimitives.WriteInt64BigEndian(header.AsSpan(Qcow2Size), 1L << 62))),
        ["qcow2 larger than the limit"] = (TerminationReasons.VirtualSizeTooLarge, (lab, _) => lab.QemuImgAsync("create", "-q", "-f", "qcow2", "{0}", "2G")),
        ["qcow2 with a feature of the future"] = (TerminationReasons.ImageCorrupt, (lab, _) => Patched(lab, "compat=1.1", header => BinaryPrimitives.WriteUInt64BigEndian(header.AsSpan(Qcow2Features), 1 << 10))),
        ["qcow2 whose header extension never ends"] = (TerminationReasons.ImageCorrupt, (lab, _) => Patched(lab, "compat=1.1", header => BinaryPrimitives.WriteUInt32BigEndian(header.AsSpan((int)BinaryPrimitives.ReadUInt32BigEndian(header.AsSpan(100)) + 4), 0x7FFFFFF0))),
        ["qcow2 on a backing file, compressed by gzip"] = (TerminationReasons.HasBackingFile, async (lab, canary) =>
            await lab.CompressAsync("gzip", await lab.QemuImgAsync("create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", canary, "{0}", "8M"))),
        ["raw LUKS"] = (TerminationReasons.Encrypted, (_, _) => Task.FromResult(Raw(_ => { }, luks: "LUKS"))),
        ["raw LUKS, its second header"] = (TerminationReasons.Encrypted, (_, _) => Task.FromResult(Raw(_ => { }, luks: "SKUL"))),
        ["VMDK descriptor of a flat extent"] = (TerminationReasons.HasDataFile, (_, canary) => Task.FromResult(Encoding.ASCII.GetBytes(Descriptor("monolithicFlat", $"RW 2048 FLAT \"{canary}\" 0")))),
        ["VMDK descriptor of several extents"] = (TerminationReasons.HasDataFile, (_, canary) => Task.FromResult(Encoding.ASCII.GetBytes(Descriptor("twoGbMaxExtentFlat", $"RW 1024 FLAT \"{canary}\" 0\nRW 1024 FLAT \"{canary}\" 0")))),
        ["VMDK descriptor of a sparse extent"] = (TerminationReasons.HasDataFile, (_, canary) => Task.FromResult(Encoding.ASCII.GetBytes(Descriptor("monolithicSparse", $"RW 2048 SPARSE \"{canary}\"")))),
        ["VMDK that only carries a descriptor"] = (TerminationReasons.HasDataFile, async (lab, canary) => await Vmdk(lab, image =>
        {
            BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(12), 0);
            Put(image, Descriptor("monolithicFlat", $"RW 2048 FLAT \"{canary}\" 0"));
        })),
        ["VMDK with a descriptor of other extents"] = (TerminationReasons.HasDataFile, async (lab, canary) => await Vmdk(lab, image => Put(image, Descriptor("monolithicFlat", $"RW 2048 FLAT \"{canary}\" 0")))),
        ["VMDK on a parent"] = (TerminationReasons.HasBackingFile, async (lab, canary) => await Vmdk(lab, image => Put(image, Descriptor("monolithicSparse", "RW 16384 SPARSE \"a.vmdk\"") + $"parentFileNameHint=\"{canary}\"\n"))),
        ["VMDK on a parent, its descriptor said to be elsewhere"] = (TerminationReasons.HasBackingFile, async (lab, canary) => await Vmdk(lab, image =>
        {
            BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(28), 0);
            BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(36), 0);
            Put(image, Descriptor("monolithicSparse", "RW 16384 SPARSE \"a.vmdk\"") + $"parentFileNameHint=\"{canary}\"\n");
        })),
        ["VMDK of a changed parent"] = (TerminationReasons.HasBackingFile, async (lab, _) => await Vmdk(lab, image => Put(image, Descriptor("monolithicSparse", "RW 16384 SPARSE \"a.vmdk\"").Replace("parentCID=ffffffff", "parentCID=12345678", StringComparison.Ordinal)))),
        ["VMDK larger than the limit"] = (TerminationReasons.VirtualSizeTooLarge, (lab, _) => lab.QemuImgAsync("create", "-q", "-f", "vmdk", "{0}", "2G")),
        ["VMDK that unfolds beyond its claim"] = (TerminationReasons.NoSpace, async (lab, _) =>
        {
            await File.WriteAllBytesAsync(lab.At("full"), Raw(disk => disk.Fill(0x5A), length: 200 << 20));
            return await lab.QemuImgAsync("convert", "-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized", lab.At("full"), "{0}");
        }),
        ["VDI that is a difference"] = (TerminationReasons.HasBackingFile, async (lab, _) => await Vdi(lab, image => BinaryPrimitives.WriteUInt32LittleEndian(image.AsSpan(0x4C), 4))),
        ["VDI with a parent"] = (TerminationReasons.HasBackingFile, async (lab, _) => await Vdi(lab, image => image.AsSpan(0x1B8, 16).Fill(7))),
        ["VDI of an absurd size"] = (TerminationReasons.ImageCorrupt, async (lab, _) => await Vdi(lab, image => BinaryPrimitives.WriteUInt64LittleEndian(image.AsSpan(0x170), 1UL << 60))),
        ["VHDX with a parent"] = (TerminationReasons.HasBackingFile, async (lab, _) =>
        {
            byte[] image = await lab.QemuImgAsync("create", "-q", "-f", "vhdx", "{0}", "8M");
            int item = image.AsSpan().IndexOf(new Guid("CAA16737-FA36-4D43-B3B6-33F0AA44E76B").ToByteArray());
            int metadata = image.AsSpan().IndexOf("metadata"u8);
            image[metadata + BinaryPrimitives.ReadInt32LittleEndian(image.AsSpan(item + 16)) + 4] |= 2;
            return image;
        }),
        ["VHDX without metadata"] = (TerminationReasons.ImageCorrupt, async (lab, _) =>
        {
            byte[] image = await lab.QemuImgAsync("create", "-q", "-f", "vhdx", "{0}", "8M");
            image.AsSpan(192 * 1024, 128 * 1024).Clear();
            return image;
        }),
        ["VHD that is a difference"] = (TerminationReasons.UnknownFormat, (_, _) => Task.FromResult(Raw(disk => "conectix"u8.CopyTo(disk)))),
        ["a bomb of gzip"] = (TerminationReasons.DecompressedTooLarge, (lab, _) => lab.CompressAsync("gzip", new byte[ImportLab.MaxVirtualSize + 512])),
        ["a bomb of xz"] = (TerminationReasons.DecompressedTooLarge, (lab, _) => lab.CompressAsync("xz", new byte[ImportLab.MaxVirtualSize + 512], "-0")),
        ["a bomb of zstd"] = (TerminationReasons.DecompressedTooLarge, (lab, _) => lab.CompressAsync("zstd", new byte[ImportLab.MaxVirtualSize + 512], "-1")),
        ["a bomb of zstd that wants a window of 1 GiB"] = (TerminationReasons.DecompressedTooLarge, (lab, _) => lab.CompressAsync("zstd", Raw(_ => { }), "-1", "--long=30")),
        ["a bomb that would fill its claim"] = (TerminationReasons.NoSpace, (lab, _) => lab.CompressAsync("zstd", Raw(disk => disk.Fill(0x5A), length: 200 << 20))),
        ["gzip in gzip"] = (TerminationReasons.UnknownFormat, async (lab, _) => await lab.CompressAsync("gzip", await lab.CompressAsync("gzip", Raw(_ => { })))),
        ["gzip that was cut"] = (TerminationReasons.ImageCorrupt, async (lab, _) => (await lab.CompressAsync("gzip", Raw(Noise)))[..^1000]),
        ["xz that was cut"] = (TerminationReasons.ImageCorrupt, async (lab, _) => (await lab.CompressAsync("xz", Raw(Noise), "-0"))[..^1000]),
        ["zstd that was cut"] = (TerminationReasons.ImageCorrupt, async (lab, _) => (await lab.CompressAsync("zstd", Raw(Noise)))[..^1000]),
    };

    private delegate void Fill(Span<byte> disk);

    public static TheoryData<string> Names => [.. s_corpus.Keys];

    [Theory]
    [MemberData(nameof(Names))]
    public async Task Each_is_refused_with_its_reason_and_opens_nothing(string name)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        string path = lab.At("canary");
        byte[] file = await s_corpus[name].Make(lab, path);
        using var canary = new Canary(path);
        TerminationReport report = await lab.ImportAsync(file, config => config with { ClaimBytes = 64 << 20 });

        report.Reason.ShouldBe(s_corpus[name].Reason, report.Message);
        report.Message.ShouldNotContain("CCCC");
        canary.WasOpened().ShouldBeFalse(report.Message);
        lab.IsEmpty();
    }

    [Theory]
    [InlineData("VMDK descriptor of a flat extent")]
    [InlineData("VMDK that only carries a descriptor")]
    public async Task The_canary_sings_when_a_tool_is_let_loose(string name)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        byte[] file = await s_corpus[name].Make(lab, lab.At("canary"));
        using var canary = new Canary(lab.At("canary"));
        await File.WriteAllBytesAsync(lab.At("loose"), file);
        canary.WasOpened().ShouldBeFalse();
        await Machine.RunAsync("qemu-img", "info", "-f", "vmdk", lab.At("loose"));

        canary.WasOpened().ShouldBeTrue();
    }

    private static byte[] Raw(Fill fill, int length = 1 << 20, string? luks = null)
    {
        byte[] disk = new byte[length];
        fill(disk);
        disk[510] = 0x55;
        disk[511] = 0xAA;
        if (luks is not null)
        {
            Encoding.Latin1.GetBytes(luks + "\u00BA\u00BE\0\u0002").CopyTo(disk, 0);
        }

        return disk;
    }

    private static void Noise(Span<byte> disk) => new Random(3).NextBytes(disk);

    private static async Task<byte[]> Patched(ImportLab lab, string options, Action<byte[]> patch)
    {
        byte[] image = await lab.QemuImgAsync("create", "-q", "-f", "qcow2", "-o", options, "{0}", "8M");
        patch(image);
        return image;
    }

    private static Task<byte[]> DataFile(ImportLab lab, string canary) => lab.QemuImgAsync("create", "-q", "-f", "qcow2", "-o", $"data_file={canary}", "{0}", "1M");

    private static async Task<byte[]> Vmdk(ImportLab lab, Action<byte[]> patch)
    {
        byte[] image = await lab.QemuImgAsync("create", "-q", "-f", "vmdk", "{0}", "8M");
        patch(image);
        return image;
    }

    private static async Task<byte[]> Vdi(ImportLab lab, Action<byte[]> patch)
    {
        byte[] image = await lab.QemuImgAsync("create", "-q", "-f", "vdi", "{0}", "8M");
        patch(image);
        return image;
    }

    private static string Descriptor(string type, string extents) =>
        $"# Disk DescriptorFile\nversion=1\nCID=fffffffe\nparentCID=ffffffff\ncreateType=\"{type}\"\n\n# Extent description\n{extents}\n\n# The Disk Data Base\n#DDB\n\nddb.virtualHWVersion = \"4\"\nddb.adapterType = \"ide\"\n";

    /// <summary>In place of the embedded descriptor, 20 sectors from sector 1 on.</summary>
    private static void Put(byte[] image, string descriptor)
    {
        image.AsSpan(512, 20 * 512).Clear();
        Encoding.ASCII.GetBytes(descriptor).CopyTo(image, 512);
    }

    /// <summary>qemu-img times itself to choose the rounds of the key's derivation, and gives up when the kernel counted no CPU time for it, which says nothing about the image.</summary>
    private static async Task<byte[]> EncryptedAsync(ImportLab lab)
    {
        for (int tries = 1; ; tries++)
        {
            try
            {
                return await lab.QemuImgAsync(
                    "create", "-q", "-f", "qcow2", "--object", "secret,id=s,data=abc", "-o", "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10", "{0}", "8M");
            }
            catch (InvalidOperationException e) when (tries < 20 && e.Message.Contains("CPU usage", StringComparison.Ordinal))
            {
            }
        }
    }
}
