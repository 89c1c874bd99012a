using System.Text;
using Microsoft.Extensions.Time.Testing;
using SandLabX.Contract;
using SandLabX.Runner.Http;
using SandLabX.Runner.Posix;

namespace SandLabX.Unit.Runner;

public class HttpTests
{
    [Theory]
    [InlineData("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n", "/readyz", 0)]
    [InlineData("GET /readyz?x=1 HTTP/1.0\r\n\r\n", "/readyz", 0)]
    [InlineData("POST /readyz HTTP/1.1\r\n\r\n", null, 405)]
    [InlineData("GET http://x/readyz HTTP/1.1\r\n\r\n", null, 400)]
    [InlineData("GET /readyz\r\n\r\n", null, 400)]
    [InlineData("\r\n\r\n", null, 400)]
    [InlineData("\x16\x03\x01", null, 400)]
    public void A_request_is_its_first_line(string head, string? path, int refusal) =>
        HttpRequestLine.Parse(Encoding.Latin1.GetBytes(head)).ShouldBe((path, refusal));

    [Fact]
    public async Task A_reader_gets_the_present_state_and_then_the_latest()
    {
        var clock = new FakeTimeProvider();
        var hub = new StateHub(clock, "1.2.3");
        (RunnerState first, int number) = hub.Current;
        first.Phase.ShouldBe(RunnerPhases.Preparing);
        first.RunnerVersion.ShouldBe("1.2.3");
        Task waiting = hub.WaitAsync(number, CancellationToken.None);
        waiting.IsCompleted.ShouldBeFalse();

        clock.Advance(TimeSpan.FromSeconds(5));
        hub.Change(s => s with { Phase = RunnerPhases.Starting });
        hub.Change(s => s with { Phase = RunnerPhases.Running });

        await waiting.WaitAsync(TimeSpan.FromSeconds(10));
        hub.Current.State.Phase.ShouldBe(RunnerPhases.Running);
        hub.Current.State.At.ShouldBe(clock.GetUtcNow());
    }

    [Fact]
    public void A_change_that_changes_nothing_is_none()
    {
        var hub = new StateHub(TimeProvider.System, "1");
        int before = hub.Current.Number;
        hub.Change(s => s with { Resets = 0 });

        hub.Current.Number.ShouldBe(before);
    }

    [Theory]
    [InlineData(0x0000, 0)]
    [InlineData(0x0100, 1)]
    [InlineData(0xFF00, 255)]
    [InlineData(9, 137)]
    [InlineData(6 | 0x80, 134)]       // with a core dumped
    public void An_exit_is_told_as_the_shell_tells_it(int status, int code) => Children.ExitCode(status).ShouldBe(code);
}
