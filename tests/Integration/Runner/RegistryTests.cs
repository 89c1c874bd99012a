using System.Formats.Tar;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Imports from a real registry: container disks and artifacts, with and without a password, and what a hostile one may send.</summary>
public sealed class RegistryTests
{
    private const string Gzipped = "application/vnd.oci.image.layer.v1.tar+gzip";
    private const string File = "application/octet-stream";

    private delegate void Fill(TarWriter tar, byte[] disk);

    private static readonly Dictionary<string, (string Words, Fill Fill)> s_hostile = new()
    {
        ["a link for a disk"] = ("no file but a SymbolicLink", (tar, _) => tar.WriteEntry(new PaxTarEntry(TarEntryType.SymbolicLink, "disk/disk.img") { LinkName = "/etc/passwd" })),
        ["a hard link for a disk"] = ("no file but a HardLink", (tar, disk) =>
        {
            Put(tar, "etc/passwd", disk);
            tar.WriteEntry(new PaxTarEntry(TarEntryType.HardLink, "disk/disk.img") { LinkName = "etc/passwd" });
        }),
        ["a pipe for a disk"] = ("no file but a Fifo", (tar, _) => tar.WriteEntry(new PaxTarEntry(TarEntryType.Fifo, "disk/disk.img"))),
        ["a disk that leads elsewhere"] = ("no sound archive|has a file in /disk", (tar, disk) => Put(tar, "disk/../../../tmp/disk.img", disk)),
        ["a sparse disk"] = ("sparse", (tar, disk) => tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, "disk/disk.img", new Dictionary<string, string> { ["GNU.sparse.major"] = "1", ["GNU.sparse.realsize"] = "9999999999999" }) { DataStream = new MemoryStream(disk) })),
        ["two disks"] = ("several disks, disk/a.img and disk/b.img", (tar, disk) =>
        {
            Put(tar, "disk/a.img", disk);
            Put(tar, "disk/b.img", disk);
        }),
        ["no disk"] = ("has a file in /disk", (tar, disk) => Put(tar, "var/disk.img", disk)),
    };

    public static TheoryData<string> Hostile => [.. s_hostile.Keys];

    [Theory]
    [InlineData("application/vnd.oci.image.layer.v1.tar", "")]
    [InlineData(Gzipped, "gzip")]
    [InlineData("application/vnd.oci.image.layer.v1.tar+zstd", "zstd")]
    [InlineData("application/vnd.docker.image.rootfs.diff.tar.gzip", "gzip")]
    public async Task A_container_disk_is_found_in_its_layer(string mediaType, string compressor)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] disk = await System.IO.File.ReadAllBytesAsync(await lab.RawAsync());
        byte[] layer = await LayerAsync(lab, compressor, tar => Put(tar, "disk/debian.img", disk));
        string below = await registry.PushBlobAsync("lab/debian", await LayerAsync(lab, "gzip", tar => Put(tar, "etc/motd", "hello"u8.ToArray())), Gzipped);
        string manifest = await registry.PushManifestAsync("lab/debian", "amd", below, await registry.PushBlobAsync("lab/debian", layer, mediaType));
        string other = await registry.PushManifestAsync("lab/debian", "arm", below);
        await registry.PushIndexAsync("lab/debian", "12", (other, "arm64"), (manifest, "amd64"));
        TerminationReport report = await PullAsync(lab, registry, "lab/debian:12", disk);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.SourceFormat.ShouldBe("raw");
        await Machine.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "qcow2", lab.At("raw"), lab.Target);
        Directory.GetFiles(lab.Claim).Select(Path.GetFileName).Order().ShouldBe([".import.lock", "disk.json", "disk.qcow2"]);

        // By its digest as well, and by the disk's path.
        await AgainAsync(lab);
        (await PullAsync(lab, registry, $"lab/debian@{manifest}", disk, oci => oci with { Path = "/disk/debian.img" })).Reason.ShouldBe(TerminationReasons.Imported);
    }

    [Fact]
    public async Task An_artifact_of_one_file_is_that_file()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] image = await lab.QemuImgAsync("convert", "-f", "raw", "-O", "vmdk", await lab.RawAsync(), "{0}");
        string blob = await registry.PushBlobAsync("lab/artifact", image, File, "debian.vmdk");
        await registry.PushManifestAsync("lab/artifact", "one", blob);
        await registry.PushManifestAsync("lab/artifact", "two", blob, await registry.PushBlobAsync("lab/artifact", "hello"u8.ToArray(), File, "readme"));

        (await PullAsync(lab, registry, "lab/artifact:one", image)).Image!.SourceFormat.ShouldBe("vmdk");
        await AgainAsync(lab);
        (await PullAsync(lab, registry, "lab/artifact:two", image, oci => oci with { Path = "debian.vmdk" })).Reason.ShouldBe(TerminationReasons.Imported);
        await AgainAsync(lab);
        TerminationReport unclear = await PullAsync(lab, registry, "lab/artifact:two", image);
        unclear.Reason.ShouldBe(TerminationReasons.ArtifactUnusable);
        unclear.Message.ShouldContain("debian.vmdk, readme");
        unclear.Message.ShouldContain("spec.source.oci.path");
        (await PullAsync(lab, registry, "lab/artifact:one", "other"u8.ToArray())).Reason.ShouldBe(TerminationReasons.DigestMismatch);
        TerminationReport nothing = await PullAsync(lab, registry, "lab/artifact:none", image);
        nothing.Reason.ShouldBe(TerminationReasons.DownloadFailed);
        nothing.Message.ShouldContain("404");
    }

    [Fact]
    public async Task A_registry_with_a_password_lets_in_who_has_it()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Password);
        byte[] image = await lab.QemuImgAsync("convert", "-f", "raw", "-O", "qcow2", await lab.RawAsync(), "{0}");
        await registry.PushManifestAsync("lab/locked", "1", await registry.PushBlobAsync("lab/locked", image, File));

        (await PullAsync(lab, registry, "lab/locked:1", image, oci => oci with { AuthPath = registry.AuthFile() })).Reason.ShouldBe(TerminationReasons.Imported);
        await AgainAsync(lab);
        await IsRefusedAsync(lab, registry, "lab/locked:1", image);
    }

    [Fact]
    public async Task A_registry_that_wants_tokens_gets_one_for_the_name_and_password()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Token);
        byte[] image = await lab.QemuImgAsync("convert", "-f", "raw", "-O", "qcow2", await lab.RawAsync(), "{0}");
        await registry.PushManifestAsync("lab/locked", "1", await registry.PushBlobAsync("lab/locked", image, File));

        TerminationReport report = await PullAsync(lab, registry, "lab/locked:1", image, oci => oci with { AuthPath = registry.AuthFile() });
        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        registry.TokenRequests.ShouldAllBe(r => r.Contains("repository:lab/locked:pull", StringComparison.Ordinal) || r.Contains("repository%3Alab%2Flocked%3Apull", StringComparison.Ordinal));
        registry.TokenRequests.ShouldAllBe(r => r.EndsWith(" known", StringComparison.Ordinal));
        registry.TokenRequests.ShouldNotBeEmpty();
        await AgainAsync(lab);
        await IsRefusedAsync(lab, registry, "lab/locked:1", image);
    }

    [Theory]
    [MemberData(nameof(Hostile))]
    public async Task A_hostile_layer_is_refused(string name)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] disk = await System.IO.File.ReadAllBytesAsync(await lab.RawAsync());
        byte[] layer = await LayerAsync(lab, "gzip", tar => s_hostile[name].Fill(tar, disk));
        await registry.PushManifestAsync("lab/hostile", "1", await registry.PushBlobAsync("lab/hostile", layer, Gzipped));
        TerminationReport report = await PullAsync(lab, registry, "lab/hostile:1", disk);

        report.Reason.ShouldBe(TerminationReasons.ArtifactUnusable, report.Message);
        report.Message.ShouldMatch(s_hostile[name].Words);
        lab.IsEmpty();
    }

    [Theory]
    [InlineData("noise")]
    [InlineData("cut")]
    public async Task A_layer_that_is_no_archive_is_refused(string what)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] disk = await System.IO.File.ReadAllBytesAsync(await lab.RawAsync());
        byte[] layer = what == "noise" ? disk[..100_000] : (await LayerAsync(lab, "", tar => Put(tar, "disk/disk.img", disk)))[..100_000];
        await registry.PushManifestAsync("lab/hostile", "1", await registry.PushBlobAsync("lab/hostile", layer, Gzipped));
        TerminationReport report = await PullAsync(lab, registry, "lab/hostile:1", disk);

        report.Reason.ShouldBe(TerminationReasons.ArtifactUnusable, report.Message);
        lab.IsEmpty();
    }

    [Fact]
    public async Task A_bomb_in_a_layer_does_not_fill_the_claim()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] disk = [.. Enumerable.Repeat((byte)0x5A, 200 << 20)];
        byte[] layer = await LayerAsync(lab, "gzip", tar => Put(tar, "disk/disk.img", disk));
        await registry.PushManifestAsync("lab/hostile", "1", await registry.PushBlobAsync("lab/hostile", layer, Gzipped));
        TerminationReport report = await PullAsync(lab, registry, "lab/hostile:1", disk, claimBytes: 64 << 20);

        report.Reason.ShouldBe(TerminationReasons.NoSpace, report.Message);
        lab.IsEmpty();
    }

    [Fact]
    public async Task A_registry_that_gives_other_bytes_than_it_names_is_caught()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] disk = await System.IO.File.ReadAllBytesAsync(await lab.RawAsync());
        byte[] layer = await LayerAsync(lab, "gzip", tar => Put(tar, "disk/disk.img", disk));
        string manifest = await registry.PushManifestAsync("lab/forged", "1", await registry.PushBlobAsync("lab/forged", layer, Gzipped));
        byte[] forged = [.. layer];
        forged[^20] ^= 1;
        await System.IO.File.WriteAllBytesAsync(registry.BlobPath(ImportLab.Digest(layer)), forged);
        TerminationReport report = await PullAsync(lab, registry, "lab/forged:1", disk);
        report.Reason.ShouldBe(TerminationReasons.DownloadFailed);
        report.Message.ShouldContain(ImportLab.Digest(forged));
        lab.IsEmpty();

        string path = registry.BlobPath(manifest["sha256:".Length..]);
        await System.IO.File.WriteAllTextAsync(path, (await System.IO.File.ReadAllTextAsync(path)).Replace("\"schemaVersion\":2", "\"schemaVersion\": 2", StringComparison.Ordinal));
        (await PullAsync(lab, registry, $"lab/forged@{manifest}", disk)).Reason.ShouldBe(TerminationReasons.DownloadFailed);
    }

    [Fact]
    public async Task A_blob_goes_on_where_an_earlier_pod_was()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        await using RegistryServer registry = await RegistryServer.StartAsync(lab.Folder, RegistryDoor.Open);
        byte[] image = await lab.QemuImgAsync("convert", "-f", "raw", "-O", "qcow2", await lab.RawAsync(), "{0}");
        await registry.PushManifestAsync("lab/long", "1", await registry.PushBlobAsync("lab/long", image, File));
        await System.IO.File.WriteAllBytesAsync(lab.Target + ".partial", image[..1_000_000]);
        await System.IO.File.WriteAllLinesAsync(lab.Target + ".partial.from", [ImportLab.Digest(image), "content"]);

        (await PullAsync(lab, registry, "lab/long:1", image)).Reason.ShouldBe(TerminationReasons.Imported);
        (await System.IO.File.ReadAllTextAsync(lab.At("registry.log"))).ShouldContain("206");
    }

    private static async Task IsRefusedAsync(ImportLab lab, RegistryServer registry, string name, byte[] image)
    {
        TerminationReport wrong = await PullAsync(lab, registry, name, image, oci => oci with { AuthPath = registry.AuthFile("wrong-password") });
        wrong.Reason.ShouldBe(TerminationReasons.DownloadFailed);
        wrong.Message.ShouldContain("401");
        wrong.Message.ShouldContain("pull secret");
        wrong.Message.ShouldNotContain("wrong-password");
        wrong.Message.ShouldNotContain(RegistryServer.User);

        TerminationReport nobody = await PullAsync(lab, registry, name, image);
        nobody.Reason.ShouldBe(TerminationReasons.DownloadFailed);

        TerminationReport missing = await PullAsync(lab, registry, name, image, oci => oci with { AuthPath = lab.At("nothing.json") });
        missing.Reason.ShouldBe(TerminationReasons.PullSecretUnusable);
        missing.Message.ShouldContain("kubectl create secret docker-registry");
    }

    private static Task<TerminationReport> PullAsync(
        ImportLab lab, RegistryServer registry, string name, byte[] file, Func<OciSource, OciSource>? with = null, long? claimBytes = null)
    {
        var oci = new OciSource($"{registry.Host}/{name}") { PlainHttp = true };
        return lab.ImportAsync(new ImportConfig
        {
            Image = "labs/i1",
            Oci = with is null ? oci : with(oci),
            Sha256 = ImportLab.Digest(file),
            TargetPath = lab.Target,
            MaxVirtualSizeBytes = ImportLab.MaxVirtualSize,
            ClaimBytes = claimBytes,
        });
    }

    /// <summary>An empty claim, for another import.</summary>
    private static Task AgainAsync(ImportLab lab)
    {
        foreach (string file in Directory.GetFiles(lab.Claim))
        {
            System.IO.File.Delete(file);
        }

        return Task.CompletedTask;
    }

    private static async Task<byte[]> LayerAsync(ImportLab lab, string compressor, Action<TarWriter> fill)
    {
        var archive = new MemoryStream();
        await using (var tar = new TarWriter(archive, TarEntryFormat.Pax, leaveOpen: true))
        {
            tar.WriteEntry(new PaxTarEntry(TarEntryType.Directory, "disk/"));
            fill(tar);
        }

        return compressor.Length == 0 ? archive.ToArray() : await lab.CompressAsync(compressor, archive.ToArray());
    }

    private static void Put(TarWriter tar, string name, byte[] bytes) => tar.WriteEntry(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = new MemoryStream(bytes) });
}
