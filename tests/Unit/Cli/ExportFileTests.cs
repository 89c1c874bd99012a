using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json.Nodes;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;

namespace SandLabX.Unit.Cli;

/// <summary>Exported files: what is written is read back byte by byte, and what a stranger wrote decides nothing.</summary>
public sealed class ExportFileTests : IDisposable
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-export-").FullName;
    private readonly byte[] _overlay = Bytes(3_000_001, 1);
    private readonly byte[] _base = Bytes(70_000, 2);

    private string Path => System.IO.Path.Combine(_folder, "vm.tar.gz");

    private string Target => Directory.CreateDirectory(System.IO.Path.Combine(_folder, "target")).FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_was_written_is_read_back_byte_by_byte(bool withBase)
    {
        ExportManifest manifest = Manifest(withBase);
        await WriteAsync(manifest);
        ExportManifest read = await ExportFile.ReadManifestAsync(Path, CancellationToken.None);
        (read.Node, read.DiskId, read.Overlay, read.Base, read.ImageSha256).ShouldBe((manifest.Node, manifest.DiskId, manifest.Overlay, manifest.Base, manifest.ImageSha256));
        read.Spec["cpus"]!.GetValue<int>().ShouldBe(2);
        await UnpackAsync();
        (await File.ReadAllBytesAsync(System.IO.Path.Combine(Target, "overlay.qcow2"))).SequenceEqual(_overlay).ShouldBeTrue();
        string unpackedBase = System.IO.Path.Combine(Target, "base.qcow2");
        File.Exists(unpackedBase).ShouldBe(withBase);
        if (withBase)
        {
            (await File.ReadAllBytesAsync(unpackedBase)).SequenceEqual(_base).ShouldBeTrue();
        }

        Directory.GetFiles(_folder).ShouldBe([Path]);
    }

    [Fact]
    public async Task An_ordinary_tar_reads_it()
    {
        await WriteAsync(Manifest(withBase: true));
        await using var file = new GZipStream(File.OpenRead(Path), CompressionMode.Decompress);
        await using var tar = new TarReader(file);
        var names = new List<string>();
        while (await tar.GetNextEntryAsync() is { } entry)
        {
            names.Add(entry.Name);
        }

        names.ShouldBe(["sandlabx.json", "overlay.qcow2", "base.qcow2"]);
    }

    [Fact]
    public async Task Bytes_that_are_others_than_told_leave_no_file()
    {
        ExportManifest manifest = Manifest(withBase: false) with { Overlay = new ExportedFile(new string('0', 64), _overlay.Length) };
        (await Should.ThrowAsync<CliException>(() => WriteAsync(manifest))).Message.ShouldContain("sha256");
        manifest = manifest with { Overlay = new ExportedFile(manifest.Overlay.Sha256, _overlay.Length + 1) };
        (await Should.ThrowAsync<CliException>(() => WriteAsync(manifest))).Message.ShouldContain("ended after");
        Directory.GetFiles(_folder).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("../overlay.qcow2")]
    [InlineData("/etc/passwd")]
    [InlineData("base.qcow2")]
    [InlineData("overlay.qcow2/../../x")]
    public async Task An_entry_of_another_name_is_refused(string name)
    {
        await ForgeAsync(Manifest(withBase: false), (name, _overlay, TarEntryType.RegularFile));
        (await Should.ThrowAsync<CliException>(UnpackAsync)).Message.ShouldContain("where overlay.qcow2 should be");
        Directory.GetFiles(_folder, "*", SearchOption.AllDirectories).ShouldBe([Path]);
    }

    [Theory]
    [InlineData(TarEntryType.SymbolicLink)]
    [InlineData(TarEntryType.HardLink)]
    [InlineData(TarEntryType.Directory)]
    public async Task An_entry_that_is_no_file_is_refused(TarEntryType type)
    {
        await ForgeAsync(Manifest(withBase: false), ("overlay.qcow2", [], type));
        (await Should.ThrowAsync<CliException>(UnpackAsync)).Message.ShouldContain("no ordinary file");
    }

    [Fact]
    public async Task Sizes_and_digests_that_lie_are_refused()
    {
        await ForgeAsync(Manifest(withBase: false), ("overlay.qcow2", _overlay[..1000], TarEntryType.RegularFile));
        (await Should.ThrowAsync<CliException>(UnpackAsync)).Message.ShouldContain("has 1000 bytes");
        byte[] other = [.. _overlay];
        other[^1]++;
        await ForgeAsync(Manifest(withBase: false), ("overlay.qcow2", other, TarEntryType.RegularFile));
        (await Should.ThrowAsync<CliException>(UnpackAsync)).Message.ShouldContain("sha256");
    }

    [Fact]
    public async Task A_file_that_is_cut_anywhere_is_refused()
    {
        await WriteAsync(Manifest(withBase: true));
        byte[] whole = await File.ReadAllBytesAsync(Path);
        foreach (int length in (int[])[0, 1, 10, 100, 500, 1000, whole.Length / 2, whole.Length * 9 / 10])
        {
            await File.WriteAllBytesAsync(Path, whole[..length]);
            Directory.Delete(Target, recursive: true);
            await Should.ThrowAsync<CliException>(UnpackAsync, $"cut at {length}");
        }
    }

    [Fact]
    public async Task What_is_no_export_is_refused()
    {
        await File.WriteAllTextAsync(Path, "no archive");
        await Should.ThrowAsync<CliException>(UnpackAsync);
    }

    [Theory]
    [InlineData("format", "\"other\"")]
    [InlineData("node", "\"../x\"")]
    [InlineData("node", "\"UPPER\"")]
    [InlineData("node", "null")]
    [InlineData("image", "\"a/b\"")]
    [InlineData("diskId", "\"../../etc\"")]
    [InlineData("imageSha256", "\"short\"")]
    [InlineData("virtualSizeBytes", "-1")]
    [InlineData("overlay", """{"sha256": "x", "bytes": 5}""")]
    [InlineData("overlay", "null")]
    [InlineData("spec", "[]")]
    public void A_manifest_that_can_not_be_meant_is_refused(string member, string value)
    {
        JsonObject json = JsonNode.Parse(Manifest(withBase: false).Write())!.AsObject();
        ExportManifest.Read(Encoding.UTF8.GetBytes(json.ToJsonString()));
        json[member] = JsonNode.Parse(value);
        Should.Throw<CliException>(() => ExportManifest.Read(Encoding.UTF8.GetBytes(json.ToJsonString())));
        json.Remove(member);
        Should.Throw<CliException>(() => ExportManifest.Read(Encoding.UTF8.GetBytes(json.ToJsonString())));
    }

    private ExportManifest Manifest(bool withBase) => new()
    {
        Format = ExportManifest.Version,
        Node = "web",
        Spec = new JsonObject { ["image"] = "debian-13", ["cpus"] = 2 },
        DiskId = MigrationGiven.Id,
        VirtualSizeBytes = 1 << 28,
        Overlay = Describe(_overlay),
        Image = "debian-13",
        ImageSha256 = new string('d', 64),
        Base = withBase ? Describe(_base) : null,
    };

    private Task WriteAsync(ExportManifest manifest) =>
        ExportFile.WriteAsync(Path, manifest, name => new MemoryStream(name == "overlay.qcow2" ? _overlay : _base), (_, _) => { }, CancellationToken.None);

    private Task UnpackAsync() => ExportFile.UnpackAsync(Path, Target, withBase: true, (_, _) => { }, CancellationToken.None);

    private async Task ForgeAsync(ExportManifest manifest, params (string Name, byte[] Bytes, TarEntryType Type)[] entries)
    {
        await using var packed = new GZipStream(File.Create(Path), CompressionLevel.Fastest);
        await using var tar = new TarWriter(packed, TarEntryFormat.Pax);
        (string, byte[], TarEntryType) head = ("sandlabx.json", manifest.Write(), TarEntryType.RegularFile);
        foreach ((string name, byte[] bytes, TarEntryType type) in entries.Prepend(head))
        {
            var entry = new PaxTarEntry(type, name);
            if (type == TarEntryType.RegularFile)
            {
                entry.DataStream = new MemoryStream(bytes);
            }
            else if (type is TarEntryType.SymbolicLink or TarEntryType.HardLink)
            {
                entry.LinkName = "/etc/passwd";
            }

            await tar.WriteEntryAsync(entry);
        }
    }

    private static ExportedFile Describe(byte[] bytes) => new(Convert.ToHexStringLower(SHA256.HashData(bytes)), bytes.Length);

    private static byte[] Bytes(int count, int seed)
    {
        byte[] bytes = new byte[count];
#pragma warning disable CA5394
        new Random(seed).NextBytes(bytes);
#pragma warning restore CA5394
        return bytes;
    }
}
