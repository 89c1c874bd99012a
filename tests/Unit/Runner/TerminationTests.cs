using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner;

namespace SandLabX.Unit.Runner;

public class TerminationTests
{
    [Fact]
    public void A_short_report_is_whole()
    {
        TerminationReport report = Given("one\ntwo");

        Read(Termination.Fit(report)).ShouldBe(report);
    }

    [Theory]
    [InlineData("a line of the console\n")]
    [InlineData("<&'\"\\ \u0001\n")]
    [InlineData("日本語のコンソール\n")]
    [InlineData("😀")]
    public void A_long_console_gives_way_from_its_beginning(string line)
    {
        TerminationReport report = Given(string.Concat(Enumerable.Repeat(line, 5000)) + "the last line");

        byte[] json = Termination.Fit(report);

        json.Length.ShouldBeLessThanOrEqualTo(ContractNames.TerminationMessageLimit);
        json.Length.ShouldBeGreaterThan(ContractNames.TerminationMessageLimit - 200);
        TerminationReport read = Read(json);
        read.Reason.ShouldBe(report.Reason);
        read.Message.ShouldBe(report.Message);
        read.Console.ShouldEndWith("the last line");
        read.Console.ShouldNotContain("\uFFFD");
    }

    [Theory]
    [InlineData("x")]
    [InlineData("語")]
    public void A_long_message_fits_too(string letter)
    {
        byte[] json = Termination.Fit(Given("console") with { Message = string.Concat(Enumerable.Repeat(letter, 20_000)) });

        json.Length.ShouldBeLessThanOrEqualTo(ContractNames.TerminationMessageLimit);
        Read(json).Message.ShouldStartWith(letter);
    }

    [Fact]
    public void A_long_report_on_a_disk_fits_too()
    {
        var check = new DiskCheckReport(DateTimeOffset.UnixEpoch, DiskCheckKinds.Live, DiskCheckResults.Corrupt, new string('語', 20_000));
        byte[] json = Termination.Fit(Given("console") with { Message = new string('語', 20_000), Check = check });

        json.Length.ShouldBeLessThanOrEqualTo(ContractNames.TerminationMessageLimit);
        Read(json).Check!.Result.ShouldBe(DiskCheckResults.Corrupt);
    }

    [Fact]
    public void The_event_stream_has_room_for_the_console_that_the_message_has_not()
    {
        TerminationReport report = Given(new string('x', 8000)) with { Message = new string('m', 20_000) };
        Termination.Shortened(report).Console!.Length.ShouldBe(8000);
        Termination.Shortened(report).Message.Length.ShouldBeLessThan(1100);
    }

    [Theory]
    [InlineData(TerminationReasons.GuestShutdown, 0)]
    [InlineData(TerminationReasons.HostShutdown, 0)]
    [InlineData(TerminationReasons.HostPowerOff, 0)]
    [InlineData(TerminationReasons.Imported, 0)]
    [InlineData(TerminationReasons.Checked, 0)]
    [InlineData(TerminationReasons.GuestPanicked, 1)]
    [InlineData(TerminationReasons.QemuCrashed, 1)]
    [InlineData("SomethingNew", 1)]
    public void The_exit_code_says_whether_someone_should_look(string reason, int code) => Termination.ExitCode(reason).ShouldBe(code);

    private static TerminationReport Given(string console) => new()
    {
        Reason = TerminationReasons.QemuCrashed,
        Message = "QEMU was killed by signal 9.",
        At = DateTimeOffset.UnixEpoch,
        QemuExitCode = 137,
        Console = console,
    };

    private static TerminationReport Read(byte[] json) => JsonSerializer.Deserialize(json, ContractJson.Default.TerminationReport)!;
}
