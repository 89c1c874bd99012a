using System.Net;
using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Import;

namespace SandLabX.Unit.Runner;

public class ImportTests
{
    private const long Max = 10L << 30;

    [Theory]
    [InlineData("<!DOCTYPE html><html>", "a web page")]
    [InlineData("  <HTML><body>", "a web page")]
    [InlineData("{\"message\": \"not found\"}", "a JSON document")]
    [InlineData("404 page not found\n", "text")]
    [InlineData("", "an empty file")]
    [InlineData("conectix", "a VHD image")]
    [InlineData("QED\0", "a QED image")]
    [InlineData("COWD", "a VMDK image of ESX")]
    [InlineData("BZh9", "a bzip2 file")]
    [InlineData("PK\u0003\u0004", "an archive")]
    [InlineData("\u0001\u0002\u0003", "unknown data")]
    public void What_is_no_image_is_called_by_its_name(string latin1, string name)
    {
        ImageKinds.Of(Encoding.Latin1.GetBytes(latin1)).ShouldBe((ImageKind.Unknown, name));
        ImageKinds.WayOut(name).ShouldNotBeEmpty();
    }

    [Theory]
    [InlineData(0, "QFI\u00FB\0\0\0\u0003", "Qcow2")]
    [InlineData(0, "KDMV\u0001", "Vmdk")]
    [InlineData(0, "# Disk DescriptorFile\nversion=1", "Vmdk")]
    [InlineData(0x40, "\u007F\u0010\u00DA\u00BE", "Vdi")]
    [InlineData(0, "vhdxfile", "Vhdx")]
    [InlineData(0, "\u001F\u008B\u0008", "Gzip")]
    [InlineData(0, "\u00FD7zXZ\0", "Xz")]
    [InlineData(0, "\u0028\u00B5\u002F\u00FD", "Zstd")]
    [InlineData(510, "\u0055\u00AA", "Raw")]
    [InlineData(512, "EFI PART", "Raw")]
    [InlineData(1080, "\u0053\u00EF", "Raw")]
    [InlineData(32769, "CD001", "Raw")]
    public void What_can_be_imported_is_known_by_what_it_begins_with(int offset, string magic, string kind)
    {
        byte[] file = new byte[64 * 1024];
        Encoding.Latin1.GetBytes(magic).CopyTo(file, offset);
        ImageKinds.Of(file).Kind.ToString().ShouldBe(kind);
    }

    [Fact]
    public void A_sound_header_passes_and_each_danger_has_its_reason()
    {
        HeaderReason(RunnerGiven.Header()).ShouldBeNull();
        HeaderReason(RunnerGiven.Header(backing: "json:{\"driver\":\"nbd\"}")).ShouldBe(TerminationReasons.HasBackingFile);
        HeaderReason(RunnerGiven.Header(features: 4)).ShouldBe(TerminationReasons.HasDataFile);
        HeaderReason(RunnerGiven.Header(encryption: 2)).ShouldBe(TerminationReasons.Encrypted);
        HeaderReason(RunnerGiven.Header(features: 2)).ShouldBe(TerminationReasons.ImageCorrupt);
        HeaderReason(RunnerGiven.Header(size: Max + 512)).ShouldBe(TerminationReasons.VirtualSizeTooLarge);
        HeaderReason(RunnerGiven.Header(size: 0)).ShouldBe(TerminationReasons.ImageCorrupt);
        HeaderReason(RunnerGiven.Header()[..80]).ShouldBe(TerminationReasons.ImageCorrupt);
        HeaderReason("text"u8.ToArray()).ShouldBe(TerminationReasons.ImageCorrupt);
    }

    [Theory]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"type":"qcow2","data":{"corrupt":false}}}""", null)]
    [InlineData("""{"format":"qcow2","virtual-size":99999999999,"format-specific":{"data":{}}}""", TerminationReasons.VirtualSizeTooLarge)]
    [InlineData("""{"format":"raw","virtual-size":1024}""", TerminationReasons.UnknownFormat)]
    [InlineData("""{"format":"qcow2","backing-filename":"/etc/passwd","virtual-size":1024,"format-specific":{"data":{}}}""", TerminationReasons.HasBackingFile)]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"data":{"data-file":"x"}}}""", TerminationReasons.HasDataFile)]
    [InlineData("""{"format":"qcow2","encrypted":true,"virtual-size":1024,"format-specific":{"data":{}}}""", TerminationReasons.Encrypted)]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"data":{"corrupt":true}}}""", TerminationReasons.ImageCorrupt)]
    [InlineData("""{"format":"qcow2"}""", TerminationReasons.ImageCorrupt)]
    [InlineData("nonsense", TerminationReasons.ImageCorrupt)]
    public void The_tool_has_the_last_say(string json, string? reason) =>
        (ImageVerdicts.JudgeInfo(RunnerGiven.Tool(0, json), "qcow2", Max, out _)?.Reason).ShouldBe(reason);

    [Fact]
    public void A_tool_that_fails_or_takes_too_long_has_found_a_damage()
    {
        ImageVerdicts.JudgeInfo(RunnerGiven.Tool(1, errors: "bad"), "qcow2", Max, out _)!.Message.ShouldContain("bad");
        ImageVerdicts.JudgeInfo(RunnerGiven.Tool(null), "qcow2", Max, out _)!.Message.ShouldContain("too long");
        ImageVerdicts.JudgeCheck(RunnerGiven.Tool(2), 1000, 512)!.Reason.ShouldBe(TerminationReasons.ImageCorrupt);
        ImageVerdicts.JudgeCheck(RunnerGiven.Tool(0, """{"image-end-offset":2000}"""), 1000, 512)!.Reason.ShouldBe(TerminationReasons.ImageCorrupt);
        ImageVerdicts.JudgeCheck(RunnerGiven.Tool(3, """{"image-end-offset":1000}"""), 1000, 512).ShouldBeNull();
    }

    [Fact]
    public void An_address_is_shown_without_its_secrets() =>
        DownloadRules.Shown(new Uri("https://user:secret@host:8443/a/b.qcow2?token=secret#secret")).ShouldBe("https://host:8443/a/b.qcow2");

    [Theory]
    [InlineData(HttpStatusCode.NotFound, false)]
    [InlineData(HttpStatusCode.Forbidden, false)]
    [InlineData(HttpStatusCode.TooManyRequests, true)]
    [InlineData(HttpStatusCode.BadGateway, true)]
    public void A_refusal_is_not_asked_again(HttpStatusCode status, bool again) => DownloadRules.MayHelp(status).ShouldBe(again);

    [Theory]
    [InlineData(HttpStatusCode.OK, null, 0L)]
    [InlineData(HttpStatusCode.PartialContent, 500L, 500L)]
    [InlineData(HttpStatusCode.PartialContent, 400L, null)]
    [InlineData(HttpStatusCode.PartialContent, null, null)]
    public void An_answer_is_written_where_it_belongs(HttpStatusCode status, long? from, long? at) => DownloadRules.WriteAt(500, status, from).ShouldBe(at);

    [Fact]
    public void Only_what_names_the_very_bytes_lets_a_download_go_on()
    {
        DownloadRules.Validator("\"abc\"", isWeak: false, null).ShouldBe("\"abc\"");
        DownloadRules.Validator("\"abc\"", isWeak: true, null).ShouldBeNull();
        DownloadRules.Validator(null, isWeak: false, DateTimeOffset.UnixEpoch).ShouldBe("Thu, 01 Jan 1970 00:00:00 GMT");
    }

    [Fact]
    public void Waits_double() => Enumerable.Range(1, 4).Select(DownloadRules.Wait).ShouldBe([.. ((double[])[0.5, 1, 2, 4]).Select(TimeSpan.FromSeconds)]);

    private static string? HeaderReason(byte[] start) => ImageVerdicts.JudgeHeader(start, Max)?.Reason;

    [Theory]
    [InlineData(0, "", null)]
    [InlineData(153, "", TerminationReasons.NoSpace)]
    [InlineData(1, "qemu-img: error while writing at byte 0: No space left on device", TerminationReasons.NoSpace)]
    [InlineData(1, "qemu-img: error while reading at byte 0: Input/output error", TerminationReasons.ImageCorrupt)]
    public void A_conversion_that_fails_for_want_of_room_is_no_damage(int exitCode, string errors, string? reason) =>
        (ImageVerdicts.JudgeConvert(RunnerGiven.Tool(exitCode, errors: errors))?.Reason).ShouldBe(reason);
}
