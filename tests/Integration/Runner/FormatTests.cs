using System.Text;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>What people have, imported: the guest sees the very same disk.</summary>
public sealed class FormatTests
{
    [Theory]
    [InlineData("raw", "", "")]
    [InlineData("qcow2", "", "")]
    [InlineData("qcow2", "compat=0.10", "")]
    [InlineData("vmdk", "subformat=monolithicSparse", "")]
    [InlineData("vmdk", "subformat=streamOptimized", "")]
    [InlineData("vdi", "", "")]
    [InlineData("vdi", "static=on", "")]
    [InlineData("vhdx", "", "")]
    [InlineData("vhdx", "subformat=fixed", "")]
    [InlineData("raw", "", "gzip")]
    [InlineData("raw", "", "xz")]
    [InlineData("raw", "", "zstd")]
    [InlineData("qcow2", "", "gzip")]
    [InlineData("vmdk", "subformat=streamOptimized", "xz")]
    [InlineData("vdi", "", "gzip")]
    [InlineData("vhdx", "", "zstd")]
    public async Task The_guest_sees_the_disk_that_was_delivered(string format, string options, string compressor)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        string raw = await lab.RawAsync();
        byte[] image = await lab.QemuImgAsync(["convert", "-f", "raw", "-O", format, .. (string[])(options.Length > 0 ? ["-o", options] : []), raw, "{0}"]);
        byte[] file = compressor.Length > 0 ? await lab.CompressAsync(compressor, image) : image;
        TerminationReport report = await lab.ImportAsync(file);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.Sha256.ShouldBe(ImportLab.Digest(file));
        report.Image.Format.ShouldBe("qcow2");
        report.Image.VirtualSizeBytes.ShouldBe(8 << 20);
        report.Image.FileSizeBytes.ShouldBe(new FileInfo(lab.Target).Length);
        report.Image.SourceFormat.ShouldBe(format + compressor switch { "gzip" => ".gz", "zstd" => ".zst", "" => "", _ => ".xz" });
        await Machine.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, lab.Target);
        Directory.GetFiles(lab.Claim).Select(Path.GetFileName).Order().ShouldBe([".import.lock", "disk.json", "disk.qcow2"]);
        if (format == "qcow2")
        {
            (await File.ReadAllBytesAsync(lab.Target)).SequenceEqual(image).ShouldBeTrue("a qcow2 file is kept as it was delivered");
        }
    }

    [Theory]
    [InlineData("raw")]
    [InlineData("qcow2")]
    public async Task Compressed_by_choice_it_takes_less_and_is_the_same_disk(string format)
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        byte[] disk = new byte[8 << 20];
        disk.AsSpan(0, 4 << 20).Fill(0x5A);
        disk[510] = 0x55;
        disk[511] = 0xAA;
        await File.WriteAllBytesAsync(lab.At("raw"), disk);
        byte[] file = await lab.QemuImgAsync("convert", "-f", "raw", "-O", format, lab.At("raw"), "{0}");
        TerminationReport report = await lab.ImportAsync(file, config => config with { Compress = true });

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.FileSizeBytes.ShouldBeLessThan(1 << 20);
        await Machine.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "qcow2", lab.At("raw"), lab.Target);
    }

    [Fact]
    public async Task Snapshots_within_an_image_do_no_harm()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        string raw = await lab.RawAsync(), image = lab.At("snapshots");
        await Machine.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image);
        await Machine.RunAsync("qemu-img", "snapshot", "-c", "before", image);
        TerminationReport report = await lab.ImportAsync(await File.ReadAllBytesAsync(image));

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
    }

    [Fact]
    public async Task An_iso_image_is_a_disk_as_well()
    {
        await using ImportLab lab = await ImportLab.MakeAsync();
        byte[] iso = new byte[1 << 20];
        Encoding.ASCII.GetBytes("\u0001CD001\u0001").CopyTo(iso, 32768);
        TerminationReport report = await lab.ImportAsync(iso);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.SourceFormat.ShouldBe("raw");
    }

    [Fact]
    public async Task A_sparse_disk_stays_sparse_on_its_way()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 32);
        await using ImportLab lab = await ImportLab.MakeAsync();
        byte[] disk = new byte[512 << 20];
        disk[510] = 0x55;
        disk[511] = 0xAA;
        byte[] file = await lab.CompressAsync("gzip", disk);
        TerminationReport report = await lab.ImportAsync(file, config => config with { TargetPath = Path.Combine(claim.Folder, "disk.qcow2"), ClaimBytes = 32 << 20 });

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image!.VirtualSizeBytes.ShouldBe(512 << 20);
    }
}
