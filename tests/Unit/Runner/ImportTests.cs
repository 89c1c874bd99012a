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
    [InlineData("KDMV\u0001", "a VMDK image")]
    [InlineData("# Disk DescriptorFile\nversion=1", "a VMDK image")]
    [InlineData("vhdxfile", "a VHDX image")]
    [InlineData("\u001f\u008b\u0008", "a compressed file")]
    [InlineData("\u00fd7zXZ\u0000", "a compressed file")]
    [InlineData("PK\u0003\u0004", "an archive")]
    [InlineData("\u0001\u0002\u0003", "unknown data")]
    public void What_is_no_qcow2_is_called_by_its_name(string latin1, string name)
    {
        string? guess = FormatGuess.Of(Encoding.Latin1.GetBytes(latin1));

        guess.ShouldBe(name);
        FormatGuess.WayOut(guess!).ShouldNotBeEmpty();
    }

    [Fact]
    public void A_raw_disk_is_known_by_its_boot_sector()
    {
        byte[] disk = new byte[4096];
        disk[510] = 0x55;
        disk[511] = 0xAA;

        FormatGuess.Of(disk).ShouldBe("a raw disk image");
        FormatGuess.WayOut("a raw disk image").ShouldContain("qemu-img convert");
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
        HeaderReason("text"u8.ToArray()).ShouldBe(TerminationReasons.NotQcow2);
    }

    [Theory]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"type":"qcow2","data":{"corrupt":false}}}""", null)]
    [InlineData("""{"format":"qcow2","virtual-size":99999999999,"format-specific":{"data":{}}}""", TerminationReasons.VirtualSizeTooLarge)]
    [InlineData("""{"format":"raw","virtual-size":1024}""", TerminationReasons.NotQcow2)]
    [InlineData("""{"format":"qcow2","backing-filename":"/etc/passwd","virtual-size":1024,"format-specific":{"data":{}}}""", TerminationReasons.HasBackingFile)]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"data":{"data-file":"x"}}}""", TerminationReasons.HasDataFile)]
    [InlineData("""{"format":"qcow2","encrypted":true,"virtual-size":1024,"format-specific":{"data":{}}}""", TerminationReasons.Encrypted)]
    [InlineData("""{"format":"qcow2","virtual-size":1024,"format-specific":{"data":{"corrupt":true}}}""", TerminationReasons.ImageCorrupt)]
    [InlineData("""{"format":"qcow2"}""", TerminationReasons.ImageCorrupt)]
    [InlineData("nonsense", TerminationReasons.ImageCorrupt)]
    public void The_tool_has_the_last_say(string json, string? reason) =>
        ImageVerdicts.JudgeInfo(RunnerGiven.Tool(0, json), Max, out _)?.Reason.ShouldBe(reason);

    [Fact]
    public void A_tool_that_fails_or_takes_too_long_has_found_a_damage()
    {
        ImageVerdicts.JudgeInfo(RunnerGiven.Tool(1, errors: "bad"), Max, out _)!.Message.ShouldContain("bad");
        ImageVerdicts.JudgeInfo(RunnerGiven.Tool(null), Max, out _)!.Message.ShouldContain("too long");
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
}
