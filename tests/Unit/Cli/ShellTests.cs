using System.CommandLine;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Consoles;
using SandLabX.Cli.Images;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Status;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Unit.Cli;

public class ShellTests
{
    [Theory]
    [InlineData("90", 90)]
    [InlineData("90s", 90)]
    [InlineData("1m30s", 90)]
    [InlineData("1.5h", 5400)]
    [InlineData("250ms", 0.25)]
    public void Times_are_read_as_kubectl_reads_them(string text, double seconds)
    {
        KubectlDurations.TryParse(text, out TimeSpan time).ShouldBeTrue();
        time.TotalSeconds.ShouldBe(seconds);
    }

    [Theory]
    [InlineData("")]
    [InlineData("0")]
    [InlineData("-5s")]
    [InlineData("soon")]
    [InlineData("31d")]
    [InlineData("1m 30s")]
    public void What_is_no_time_is_refused(string text) => KubectlDurations.TryParse(text, out _).ShouldBeFalse();

    [Theory]
    [InlineData(45, "45s")]
    [InlineData(303, "5m3s")]
    [InlineData(1800, "30m")]
    [InlineData(4 * 3600, "4h")]
    [InlineData((5 * 86400) + 7200, "5d2h")]
    [InlineData(800 * 86400L, "2y70d")]
    public void Ages_have_two_units_at_most(long seconds, string text) => KubectlDurations.Write(TimeSpan.FromSeconds(seconds)).ShouldBe(text);

    [Theory]
    [InlineData(null, "-")]
    [InlineData(0L, "0 B")]
    [InlineData(1023L, "1 KiB")]
    [InlineData(1L << 20, "1 MiB")]
    [InlineData(1288490189L, "1.2 GiB")]
    [InlineData(3L << 40, "3 TiB")]
    public void Sizes_have_three_digits_at_most(long? bytes, string text) => Sizes.Write(bytes).ShouldBe(text);

    [Theory]
    [InlineData("^]", 0x1D)]
    [InlineData("^b", 2)]
    [InlineData("^B", 2)]
    [InlineData("^_", 0x1F)]
    public void An_escape_key_is_a_control_character(string text, byte code) => Escape.Parse(text).Code.ShouldBe(code);

    [Theory]
    [InlineData("x")]
    [InlineData("^")]
    [InlineData("^5")]
    [InlineData("Ctrl-]")]
    public void Another_key_is_refused_with_examples(string text) =>
        Should.Throw<CliException>(() => Escape.Parse(text)).ShouldSatisfyAllConditions(e => e.ExitCode.ShouldBe(ExitCodes.Usage), e => e.Message.ShouldContain("^]"));

    [Fact]
    public void What_comes_before_the_escape_key_is_sent_and_what_follows_is_not()
    {
        Escape.Default.Cut("ab\u001dcd"u8).ShouldBe((2, true));
        Escape.Default.Cut("abcd"u8).ShouldBe((4, false));
        Escape.Parse("none").Cut("ab\u001dcd"u8).ShouldBe((5, false));
    }

    [Theory]
    [InlineData("""{"status":"Success"}""", 0)]
    [InlineData("""{"status":"Failure","reason":"NonZeroExitCode","details":{"causes":[{"reason":"ExitCode","message":"3"}]}}""", 3)]
    [InlineData("", null)]
    public void The_verdict_of_a_command_is_its_exit_code(string verdict, int? code) => PodExec.ExitCode(verdict).ShouldBe(code);

    [Theory]
    [InlineData("""{"status":"Failure","message":"container not running"}""")]
    [InlineData("container not running")]
    public void A_verdict_without_a_code_is_a_failure_in_the_servers_words(string verdict) =>
        Should.Throw<CliException>(() => PodExec.ExitCode(verdict)).Message.ShouldContain("container not running");

    [Fact]
    public void What_a_guest_wrote_does_not_steer_a_terminal() => Output.Plain("a\u001b[2Jb\u009bc\nd\r").ShouldBe("a[2Jbc\nd");

    [Theory]
    [InlineData(KubeError.NotFound, ExitCodes.NotFound)]
    [InlineData(KubeError.Conflict, ExitCodes.Refused)]
    [InlineData(KubeError.Forbidden, ExitCodes.Refused)]
    [InlineData(KubeError.Invalid, ExitCodes.Usage)]
    [InlineData(KubeError.Transient, ExitCodes.Failed)]
    public void A_refusal_of_the_server_has_its_exit_code(KubeError kind, int code) => Failures.Tell(new KubeException(kind, "no")).ExitCode.ShouldBe(code);

    [Fact]
    public void Ctrl_C_has_an_exit_code_of_its_own() => Failures.Tell(new TaskCanceledException()).ExitCode.ShouldBe(130);

    [Theory]
    [InlineData("status -A web", "leave out -A")]
    [InlineData("status -w -o json", "leave out -o")]
    [InlineData("status -o xml", "-o is xml: give table, json or yaml.")]
    [InlineData("stop web --timeout soon", "--timeout is soon")]
    [InlineData("vnc web --port 70000", "0 to 65535")]
    [InlineData("completion tcsh", "tcsh")]
    [InlineData("sotp web", "sotp")]
    [InlineData("stop web --wiat", "There is no option --wiat here.")]
    [InlineData("prune -A claim", "leave out -A")]
    public void A_command_line_that_can_not_be_meant_says_why(string line, string words) =>
        Entry.Root().Parse(line).Errors.ShouldContain(e => e.Message.Contains(words));

    [Fact]
    public void Verbs_and_options_are_completed()
    {
        RootCommand root = Entry.Root();
        Completion.Candidates(root, ["st"]).ShouldBe(["start", "status", "stop"], ignoreOrder: true);
        Completion.Candidates(root, ["stop", "--no"]).ShouldBe(["--no-wait"]);
        Completion.Candidates(root, ["status", "-o", ""]).ShouldBe(["json", "table", "yaml"], ignoreOrder: true);
    }

    [Fact]
    public void A_transfer_is_given_up_after_so_many_failures_without_a_byte()
    {
        var budget = new RetryBudget(2);
        (budget.Again(), budget.Again()).ShouldBe((true, true));
        budget.At(10);
        (budget.Again(), budget.Again(), budget.Again()).ShouldBe((true, true, false));
        budget.Best.ShouldBe(10);
    }

    [Fact]
    public void Progress_without_a_terminal_is_a_line_each_tenth()
    {
        var lines = new ProgressLines("disk", 100 << 20);
        lines.At(50 << 20, TimeSpan.FromSeconds(1)).ShouldBe("disk: 50%, 50 MiB of 100 MiB");
        lines.At(51 << 20, TimeSpan.FromSeconds(2)).ShouldBeNull();
        lines.At(75 << 20, TimeSpan.FromSeconds(6)).ShouldBe("disk: 70%, 75 MiB of 100 MiB, 5 MiB/s, 5s left");
        lines.At(100 << 20, TimeSpan.FromSeconds(11)).ShouldBe("disk: 100%, 100 MiB of 100 MiB, 5 MiB/s");
    }

    [Fact]
    public void A_watch_without_a_terminal_has_a_line_for_each_change_and_none_for_an_age()
    {
        var lines = new StatusLines(everywhere: false);
        lines.Changes([NodeGiven.Running()], NodeGiven.Now).Count.ShouldBe(2);
        lines.Changes([NodeGiven.Running()], NodeGiven.Now.AddHours(1)).ShouldBeEmpty();
        lines.Changes([NodeGiven.Running(n => n.Status!.Phase = NodePhases.Stopping)], NodeGiven.Now).ShouldHaveSingleItem().ShouldStartWith("web\tdebian-12\tStopping");
        lines.Changes([], NodeGiven.Now).ShouldBe(["web\tdeleted"]);
    }

    [Fact]
    public void A_row_has_what_a_person_asks_first() =>
        NodeRows.Row(NodeGiven.Running(), everywhere: true, NodeGiven.Now).ShouldBe(["lab", "web", "debian-12", "Running", "Running", "n1", "10.0.0.7", "0", "300 MiB", "60m"]);

    [Fact]
    public void One_node_is_shown_with_its_last_ends_and_the_consoles_last_lines()
    {
        V1Alpha1LabNode node = NodeGiven.Running(n => n.Status!.Terminations =
            [new LabNodeTermination { Reason = "GuestPanicked", Message = "Its kernel panicked.", At = NodeGiven.Now.UtcDateTime, Console = string.Join('\n', Enumerable.Range(1, 30)) }]);
        IReadOnlyList<string> lines = NodeDetail.Lines(node, NodeGiven.Now);
        lines.ShouldContain("Ended 2026-11-24 12:00:00Z: GuestPanicked");
        lines.ShouldContain("  | 30");
        lines.ShouldNotContain("  | 20");
        lines.ShouldContain("Disk:       -, 300 MiB taken, claim labnode-web, revision initial");
    }

    [Theory]
    [InlineData(NodePhases.Running, PowerStates.Running, true)]
    [InlineData(NodePhases.Paused, PowerStates.Paused, true)]
    [InlineData(NodePhases.Starting, PowerStates.Running, false)]
    public void A_guest_on_its_way_is_waited_for(string phase, string asked, bool there) =>
        GuestPod.Judge(NodeGiven.Running(n => (n.Status!.Phase, n.Spec.PowerState) = (phase, asked)), out _).ShouldBe(there);

    [Theory]
    [InlineData(NodePhases.Stopped, PowerStates.Stopped, ExitCodes.Refused)]
    [InlineData(NodePhases.Suspended, PowerStates.Suspended, ExitCodes.Refused)]
    [InlineData(NodePhases.Failed, PowerStates.Running, ExitCodes.Failed)]
    public void A_guest_that_does_not_come_is_not_waited_for(string phase, string asked, int code) =>
        Should.Throw<CliException>(() => GuestPod.Judge(NodeGiven.Running(n => (n.Status!.Phase, n.Spec.PowerState) = (phase, asked)), out _)).ExitCode.ShouldBe(code);

    [Theory]
    [InlineData(true, "aa", null)]
    [InlineData(true, "bb", "waits for a file of SHA-256 aa")]
    [InlineData(false, "aa", "not an upload")]
    public void A_file_is_uploaded_only_as_the_image_that_waits_for_it(bool upload, string sha256, string? why)
    {
        var image = new V1Alpha1LabImage { Spec = new LabImageSpec { Sha256 = "aa", Source = new LabImageSource { Upload = upload ? new LabImageUpload() : null } } };
        image.Metadata.Name = "debian";
        string? said = ImageTarget.WhyNot(image, sha256);
        (said is null || said.Contains(why!, StringComparison.Ordinal)).ShouldBeTrue(said);
        (said is null).ShouldBe(why is null);
    }
}
