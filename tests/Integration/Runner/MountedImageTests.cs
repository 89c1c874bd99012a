using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Base images that stay in the container image that they come in; a folder stands for the mount of one.</summary>
public sealed class MountedImageTests : IAsyncLifetime
{
    private ImportLab _lab = null!;
    private byte[] _image = [];

    private string Root => _lab.At("mounted");

    public async ValueTask InitializeAsync()
    {
        _lab = await ImportLab.MakeAsync();
        Directory.CreateDirectory(Path.Combine(Root, "disk"));
        _image = await _lab.QemuImgAsync("convert", "-f", "raw", "-O", "qcow2", await _lab.RawAsync(), "{0}");
        await PutAsync("disk/debian.qcow2", _image);
    }

    public async ValueTask DisposeAsync() => await _lab.DisposeAsync();

    [Theory]
    [InlineData(null)]
    [InlineData("disk/debian.qcow2")]
    public async Task A_file_is_judged_where_it_is_and_nothing_is_written(string? path)
    {
        TerminationReport report = await JudgeAsync(path);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image.ShouldBe(new ImageReport(ImportLab.Digest(_image), "qcow2", 8 << 20, _image.Length) { SourceFormat = "qcow2", Path = "disk/debian.qcow2" });
        Directory.GetFiles(Root, "*", SearchOption.AllDirectories).ShouldHaveSingleItem();
        Directory.GetFiles(_lab.Claim).ShouldBeEmpty();
    }

    [Fact]
    public async Task Other_bytes_are_refused()
    {
        TerminationReport report = await JudgeAsync(null, new string('0', 64));
        report.Reason.ShouldBe(TerminationReasons.DigestMismatch);
        report.Message.ShouldContain($"has sha256 {ImportLab.Digest(_image)}, not {new string('0', 64)}");
    }

    [Fact]
    public async Task What_would_have_to_be_converted_is_refused_with_the_way_out()
    {
        byte[] vmdk = await _lab.QemuImgAsync("convert", "-f", "raw", "-O", "vmdk", _lab.At("raw"), "{0}");
        await PutAsync("debian.vmdk", vmdk);
        TerminationReport report = await JudgeAsync("debian.vmdk", ImportLab.Digest(vmdk));
        report.Reason.ShouldBe(TerminationReasons.UnknownFormat, report.Message);
        report.Message.ShouldContain("it must be qcow2. Convert it (qemu-img convert -O qcow2)");
        report.Message.ShouldContain("or take delivery Shared");
    }

    [Fact]
    public async Task A_backing_file_is_not_opened()
    {
        using var canary = new Canary(_lab.At("canary"));
        byte[] hostile = await _lab.QemuImgAsync("create", "-u", "-f", "qcow2", "-b", canary.Path, "-F", "raw", "{0}", "8M");
        await PutAsync("hostile.qcow2", hostile);
        TerminationReport report = await JudgeAsync("hostile.qcow2", ImportLab.Digest(hostile));
        report.Reason.ShouldBe(TerminationReasons.HasBackingFile, report.Message);
        canary.WasOpened().ShouldBeFalse();
    }

    [Theory]
    [InlineData("link", "leads out of it")]
    [InlineData("folder/canary", "leads out of it")]
    [InlineData("pipe", "is no file")]
    [InlineData("disk", "is no file")]
    [InlineData("none", "can't be opened")]
    public async Task What_is_no_file_of_the_container_image_is_refused(string path, string words)
    {
        using var canary = new Canary(_lab.At("canary"));
        File.CreateSymbolicLink(Path.Combine(Root, "link"), canary.Path);
        File.CreateSymbolicLink(Path.Combine(Root, "folder"), "..");
        await Machine.RunAsync("mkfifo", Path.Combine(Root, "pipe"));
        TerminationReport report = await JudgeAsync(path);
        report.Reason.ShouldBe(TerminationReasons.ArtifactUnusable, report.Message);
        report.Message.ShouldContain($"in the container image {words}");
    }

    [Fact]
    public async Task Which_file_it_is_must_be_plain()
    {
        await PutAsync("disk/second.qcow2", _image);
        TerminationReport report = await JudgeAsync(null);
        (report.Reason, report.Message.Contains("several files in /disk", StringComparison.Ordinal)).ShouldBe((TerminationReasons.ArtifactUnusable, true), report.Message);

        Directory.Delete(Path.Combine(Root, "disk"), recursive: true);
        report = await JudgeAsync(null);
        (report.Reason, report.Message.Contains("no file in /disk", StringComparison.Ordinal)).ShouldBe((TerminationReasons.ArtifactUnusable, true), report.Message);

        (await JudgeAsync("../raw")).Reason.ShouldBe(TerminationReasons.InvalidConfiguration);
    }

    private Task PutAsync(string path, byte[] bytes) => File.WriteAllBytesAsync(Path.Combine(Root, path), bytes);

    private Task<TerminationReport> JudgeAsync(string? path, string? sha256 = null) => _lab.ImportAsync(new ImportConfig
    {
        Image = "labs/i1",
        Mounted = new MountedSource(Root, path),
        Sha256 = sha256 ?? ImportLab.Digest(_image),
        MaxVirtualSizeBytes = ImportLab.MaxVirtualSize,
    });
}
