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

    [Theory]
    [InlineData(TerminationReasons.GuestShutdown, 0)]
    [InlineData(TerminationReasons.HostShutdown, 0)]
    [InlineData(TerminationReasons.HostPowerOff, 0)]
    [InlineData(TerminationReasons.Imported, 0)]
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
