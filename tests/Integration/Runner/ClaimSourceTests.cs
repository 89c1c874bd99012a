using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Imports from another claim, on which anybody may have put anything.</summary>
public sealed class ClaimSourceTests : IAsyncLifetime
{
    private ImportLab _lab = null!;
    private byte[] _image = [];

    private string Root => _lab.At("source");

    public async ValueTask InitializeAsync()
    {
        _lab = await ImportLab.MakeAsync();
        Directory.CreateDirectory(Path.Combine(Root, "images"));
        _image = await _lab.QemuImgAsync("convert", "-f", "raw", "-O", "vdi", await _lab.RawAsync(), "{0}");
        await File.WriteAllBytesAsync(Path.Combine(Root, "images/debian.vdi"), _image);
    }

    public async ValueTask DisposeAsync() => await _lab.DisposeAsync();

    [Fact]
    public async Task A_file_is_copied_verified_and_converted_and_stays_where_it_is()
    {
        TerminationReport report = await CopyAsync("images/debian.vdi");

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.SourceFormat.ShouldBe("vdi");
        await Machine.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "qcow2", _lab.At("raw"), _lab.Target);
        (await File.ReadAllBytesAsync(Path.Combine(Root, "images/debian.vdi"))).SequenceEqual(_image).ShouldBeTrue();
        Directory.GetFiles(_lab.Claim).Select(Path.GetFileName).Order().ShouldBe([".import.lock", "disk.json", "disk.qcow2"]);
    }

    [Fact]
    public async Task A_link_within_the_claim_is_followed()
    {
        File.CreateSymbolicLink(Path.Combine(Root, "latest"), "images/debian.vdi");
        (await CopyAsync("latest")).Reason.ShouldBe(TerminationReasons.Imported);
    }

    [Theory]
    [InlineData("link")]
    [InlineData("folder/canary")]
    public async Task A_link_out_of_the_claim_is_not(string path)
    {
        string outside = Path.Combine(_lab.Folder, "outside");
        Directory.CreateDirectory(outside);
        await File.WriteAllBytesAsync(Path.Combine(outside, "canary"), _image);
        File.CreateSymbolicLink(Path.Combine(Root, "link"), Path.Combine(outside, "canary"));
        File.CreateSymbolicLink(Path.Combine(Root, "folder"), "../outside");
        TerminationReport report = await CopyAsync(path);

        report.Reason.ShouldBe(TerminationReasons.SourceUnusable, report.Message);
        report.Message.ShouldContain("leads out of it");
        _lab.IsEmpty();
    }

    [Theory]
    [InlineData("pipe", "is no file")]
    [InlineData("images", "is no file")]
    [InlineData("none", "can't be opened")]
    public async Task What_is_no_file_is_refused_at_once(string path, string words)
    {
        await Machine.RunAsync("mkfifo", Path.Combine(Root, "pipe"));
        TerminationReport report = await CopyAsync(path);

        report.Reason.ShouldBe(TerminationReasons.SourceUnusable, report.Message);
        report.Message.ShouldContain(words);
        report.Message.ShouldContain("spec.source.claim.path");
        _lab.IsEmpty();
    }

    [Fact]
    public async Task A_wrong_digest_and_a_path_out_of_the_claim_are_refused()
    {
        (await CopyAsync("images/debian.vdi", new('0', 64))).Reason.ShouldBe(TerminationReasons.DigestMismatch);
        (await CopyAsync("../raw")).Reason.ShouldBe(TerminationReasons.InvalidConfiguration);
        _lab.IsEmpty();
    }

    private Task<TerminationReport> CopyAsync(string path, string? sha256 = null) => _lab.ImportAsync(new ImportConfig
    {
        Image = "labs/i1",
        File = new FileSource(Root, path),
        Sha256 = sha256 ?? ImportLab.Digest(_image),
        TargetPath = _lab.Target,
        MaxVirtualSizeBytes = ImportLab.MaxVirtualSize,
    });
}
