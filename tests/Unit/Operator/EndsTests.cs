using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

/// <summary>Which ends count as failures, for how long, and what else is told of a guest's life.</summary>
public sealed class EndsTests
{
    [Theory]
    // The guest's own failures count unless it had run for ten minutes.
    [InlineData(TerminationReasons.GuestPanicked, 599, true, 3)]
    [InlineData(TerminationReasons.GuestPanicked, 600, false, 0)]
    [InlineData(TerminationReasons.QemuCrashed, 30, true, 3)]
    [InlineData(TerminationReasons.OutOfMemory, 30, true, 3)]
    // A start that came to nothing counts, whoever ended it.
    [InlineData(TerminationReasons.QemuStartFailed, null, true, 3)]
    [InlineData(TerminationReasons.NoSpace, null, true, 3)]
    [InlineData(NodeEnds.PodFailed, null, true, 3)]
    // What the cluster did to a guest that ran for a while is no failure, and no proof of health.
    [InlineData(NodeEnds.RunnerKilled, 9, true, 3)]
    [InlineData(NodeEnds.RunnerKilled, 10, false, 2)]
    [InlineData(NodeEnds.PodLost, 30, false, 2)]
    [InlineData(NodeEnds.PodFailed, 700, false, 0)]
    // An end in order is none either.
    [InlineData(TerminationReasons.GuestShutdown, 1, false, 2)]
    [InlineData(TerminationReasons.HostShutdown, null, false, 2)]
    [InlineData(TerminationReasons.HostPowerOff, 1, false, 2)]
    [InlineData(TerminationReasons.HostPowerOff, 601, false, 0)]
    public void Which_ends_make_the_next_start_wait(string reason, int? seconds, bool failed, int consecutive)
    {
        var end = new LabNodeTermination { Reason = reason, At = Given.Now.UtcDateTime, StartedAt = seconds is { } ran ? Given.Now.UtcDateTime.AddSeconds(-ran) : null };
        NodeEnds.Count(end, 2).ShouldBe((failed, consecutive));
    }

    /// <summary>Some API servers refuse an empty text in a status: such an end could never be put on record.</summary>
    [Theory]
    [InlineData("", null)]
    [InlineData(null, null)]
    [InlineData("login:", "login:")]
    public void A_guest_that_never_said_anything_has_no_console_on_record(string? console, string? noted) =>
        NodeEnds.Told("uid", new TerminationReport { Reason = TerminationReasons.QemuCrashed, Message = "killed", At = Given.Now, Console = console }).Console.ShouldBe(noted);

    [Fact]
    public void Failures_are_forgotten_once_a_guest_has_run_for_ten_minutes_by_one_write()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Status!.Restarts = new LabNodeRestarts { Count = 4, Consecutive = 3 };
        Plan<LabNodeStatus> early = Plan(seen, Given.Now.AddMinutes(4));
        (early.Status.Restarts!.Consecutive, early.RequeueAfter).ShouldBe((3, TimeSpan.FromMinutes(6)));
        Plan<LabNodeStatus> healthy = Plan(seen, Given.Now.AddMinutes(10));
        (healthy.Status.Restarts!.Consecutive, healthy.Status.Restarts.Count, healthy.RequeueAfter).ShouldBe((0, 4, null));
        healthy.Intents.ShouldBeEmpty();

        // One that stands because its disk fails is not healthy.
        RunnerState failing = Given.RunnerRunning with { Phase = RunnerPhases.Paused, IoError = new IoErrorReport(false, "write of disk: Input/output error") };
        Plan<LabNodeStatus> stands = Plan(seen with { Runner = failing }, Given.Now.AddMinutes(10));
        stands.Status.Restarts!.Consecutive.ShouldBe(3);
        V1Condition(stands).Reason.ShouldBe("IoError");
        V1Condition(stands).Message.ShouldContain("tried again");
    }

    [Fact]
    public void A_guest_that_stands_on_a_full_claim_gets_a_larger_one_when_the_disk_is_to_grow()
    {
        NodeObservation seen = Given.Running() with { Runner = Given.RunnerRunning with { Phase = RunnerPhases.Paused, IoError = new IoErrorReport(true, "No space left on device") } };
        Plan(seen).Intents.OfType<Intent.GrowClaim>().ShouldBeEmpty();
        seen.Node.Spec.Disk.Size = "4Gi";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.GrowClaim>().ShouldHaveSingleItem().Bytes.ShouldBe(NodeObjects.ClaimBytes(4096 * Quantities.MiB));
        (plan.Status.Phase, V1Condition(plan).Reason).ShouldBe((NodePhases.Paused, TerminationReasons.NoSpace));

        plan = Plan(seen with { Refusal = new Refusal("grow claim labnode-a", KubeError.Forbidden, "only dynamically provisioned pvc can be resized", OfGrowth: true) });
        V1Condition(plan).Reason.ShouldBe(TerminationReasons.NoSpace);
        V1Condition(plan).Message.ShouldContain("only dynamically provisioned pvc can be resized");
    }

    [Fact]
    public void A_reboot_is_told_at_once_and_further_ones_once_a_minute()
    {
        NodeObservation seen = Given.Running();
        seen = seen with { Runner = Rebooted(1, Given.Now.AddMinutes(5)) };
        Plan<LabNodeStatus> first = Plan(seen, Given.Now.AddMinutes(5));
        first.Status.Reboots!.Count.ShouldBe(1);
        first.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Reason.ShouldBe("Rebooted");
        seen = Given.After(seen, first);
        Plan(seen, Given.Now.AddMinutes(5)).Intents.ShouldBeEmpty();

        seen = seen with { Runner = Rebooted(9, Given.Now.AddMinutes(5).AddSeconds(20)) };
        Plan<LabNodeStatus> soon = Plan(seen, Given.Now.AddMinutes(5).AddSeconds(20));
        (soon.Status.Reboots!.Count, soon.RequeueAfter).ShouldBe((1, TimeSpan.FromSeconds(40)));
        soon.Intents.ShouldBeEmpty();
        Plan<LabNodeStatus> later = Plan(seen, Given.Now.AddMinutes(6));
        later.Status.Reboots!.Count.ShouldBe(9);
        later.Status.Terminations.ShouldBeNull("a reboot is no end");

        // The next start counts anew.
        seen = Given.After(seen, later) with { Pod = null, Runner = null };
        Plan(seen, Given.Now.AddHours(1)).Status.Reboots.ShouldBeNull();
    }

    [Fact]
    public void The_streams_last_word_has_more_of_the_console_than_the_message_had_room_for()
    {
        NodeObservation seen = Given.Running();
        TerminationReport report = Given.Report(TerminationReasons.GuestPanicked, TimeSpan.FromHours(1)) with { Console = "last" };
        seen = seen with { Pod = Given.Ended(seen.Node, report), Runner = null, LastWord = ("pod-uid", report with { Console = "all\nlast" }) };
        Plan(seen).Status.Terminations!.ShouldHaveSingleItem().Console.ShouldBe("all\nlast");
        Plan(seen with { LastWord = null }).Status.Terminations!.ShouldHaveSingleItem().Console.ShouldBe("last");
    }

    private static RunnerState Rebooted(int times, DateTimeOffset at) => Given.RunnerRunning with { Resets = times, Reboots = times, RebootedAt = at };

    private static Plan<LabNodeStatus> Plan(NodeObservation seen, DateTimeOffset? now = null) => NodePlanner.Plan(seen, Given.Options, now ?? Given.Now);

    private static k8s.Models.V1Condition V1Condition(Plan<LabNodeStatus> plan) => plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.DiskReady);
}
