using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Operator.Runners;

namespace SandLabX.Unit.Operator;

/// <summary>Lifetimes, by the planner; 24 November 2026, 12:00 UTC, is a Tuesday.</summary>
public sealed class LifetimeTests
{
    private static readonly LabNodeSchedule s_office = new() { Start = "08:00", Stop = "18:00" };

    private static V1Condition Ready(Plan<LabNodeStatus> plan) => plan.Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);

    private static Plan<LabNodeStatus> Plan(NodeObservation seen, DateTimeOffset now) => NodePlanner.Plan(seen, Given.Options, now);

    private static Intent.Announce[] Told(Plan<LabNodeStatus> plan, string reason) => [.. plan.Intents.OfType<Intent.Announce>().Where(a => a.Reason == reason)];

    private static bool TellsToPowerOff(Plan<LabNodeStatus> plan) =>
        plan.Intents.OfType<Intent.WishOfPod>().Any(w => w.Annotations[Annotations.PowerWish] == PowerWishes.Off);

    private static NodeObservation Running(LabNodeLifetime lifetime, Action<V1Alpha1LabNode>? change = null) => Given.Running(n =>
    {
        n.Metadata.CreationTimestamp = Given.Now.UtcDateTime.AddHours(-1);
        n.Spec.Lifetime = lifetime;
        change?.Invoke(n);
    });

    /// <summary>The guest powers off, or is suspended, as it was told.</summary>
    private static NodeObservation Ended(NodeObservation seen, DateTimeOffset now, TerminationReport? report = null)
    {
        V1Pod ended = Given.Ended(seen.Node, report ?? Given.Report(TerminationReasons.HostShutdown, TimeSpan.FromHours(1)));
        foreach ((string name, string value) in seen.Pod!.Metadata.Annotations)
        {
            ended.Metadata.Annotations[name] = value;
        }

        seen = seen with { Pod = ended, Runner = null };
        return Given.After(seen, Plan(seen, now));
    }

    private static NodeObservation Used(NodeObservation seen, DateTimeOffset at) => seen with { Runner = Given.RunnerRunning with { LastUsedAt = at } };

    private static void Edit(NodeObservation seen, Action<LabNodeSpec> change)
    {
        change(seen.Node.Spec);
        seen.Node.Metadata.Generation++;
    }

    /// <summary>Lives on until something is told or done, by the plans' own times to look again.</summary>
    private static (NodeObservation Seen, Plan<LabNodeStatus> Plan, DateTimeOffset At) UntilTold(NodeObservation seen, DateTimeOffset from)
    {
        DateTimeOffset now = from;
        for (int look = 0; look < 50; look++)
        {
            Plan<LabNodeStatus> plan = Plan(seen, now);
            if (plan.Intents.Length > 0)
            {
                return (Given.After(seen, plan), plan, now);
            }

            seen = Given.After(seen, plan);
            now += plan.RequeueAfter ?? throw new InvalidOperationException($"Nobody looks again after {now:u}.");
        }

        throw new InvalidOperationException("Nothing is ever told.");
    }

    [Fact]
    public void A_guest_is_warned_once_before_its_ttl_ends_and_then_powered_off()
    {
        (NodeObservation seen, Plan<LabNodeStatus> warning, DateTimeOffset at) = UntilTold(Running(new() { Ttl = "8h" }), Given.Now);
        at.ShouldBe(Given.Now.AddHours(8).AddMinutes(-5));
        Intent.Announce told = warning.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>();
        (told.Warning, told.Reason).ShouldBe((true, "LifetimeEnding"));
        told.Message.ShouldContain("2026-11-24 20:00:00Z");
        told.Message.ShouldContain("spec.lifetime.ttl is 8h");
        (warning.Status.Lifetime!.Reason, warning.Status.Lifetime.EndsAt).ShouldBe((LifetimeReasons.TtlExpired, Given.Now.UtcDateTime.AddHours(8)));

        (seen, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        at.ShouldBe(Given.Now.AddHours(8));
        Told(end, LifetimeReasons.TtlExpired).ShouldHaveSingleItem().Warning.ShouldBeFalse();
        TellsToPowerOff(end).ShouldBeTrue();
        end.Status.Phase.ShouldBe(NodePhases.Stopping);

        seen = Ended(seen, at);
        Plan<LabNodeStatus> off = Plan(seen, at.AddDays(1));
        off.Status.Phase.ShouldBe(NodePhases.Stopped);
        (Ready(off).Status, Ready(off).Reason).ShouldBe(("True", LifetimeReasons.TtlExpired));
        off.Intents.ShouldBeEmpty();
        (off.Status.Restarts?.Count ?? 0).ShouldBe(0);
        seen.Node.Spec.PowerState.ShouldBe(PowerStates.Running, "the operator writes no spec");
    }

    [Fact]
    public void What_comes_next_is_on_record_from_the_start_on_and_costs_no_further_write()
    {
        NodeObservation seen = Running(new() { Ttl = "8h", StopAfterIdle = "30m", Schedule = s_office });
        LabNodeLifetimeStatus next = seen.Node.Status!.Lifetime.ShouldNotBeNull();
        (next.Reason, next.EndsAt, next.WarnedAt).ShouldBe((LifetimeReasons.OutsideSchedule, new DateTime(2026, 11, 24, 18, 0, 0, DateTimeKind.Utc), null));
        for (int minute = 0; minute < 300; minute++)
        {
            DateTimeOffset now = Given.Now.AddMinutes(minute);
            Plan<LabNodeStatus> plan = Plan(Used(seen, now), now);
            plan.Intents.ShouldBeEmpty();
            JsonSerializer.Serialize(plan.Status).ShouldBe(JsonSerializer.Serialize(seen.Node.Status));
        }
    }

    [Fact]
    public void An_operator_that_was_away_warns_before_it_acts()
    {
        DateTimeOffset late = Given.Now.AddHours(30);
        (NodeObservation seen, Plan<LabNodeStatus> warning, DateTimeOffset at) = UntilTold(Running(new() { Ttl = "8h" }), late);
        at.ShouldBe(late);
        Told(warning, "LifetimeEnding").ShouldHaveSingleItem();
        TellsToPowerOff(warning).ShouldBeFalse();
        (_, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        at.ShouldBe(late.AddMinutes(5));
        TellsToPowerOff(end).ShouldBeTrue();
    }

    [Theory]
    [InlineData("30m", null, 5 * 60)]
    [InlineData("30m", "10m", 10 * 60)]
    [InlineData("30m", "2h", 15 * 60)]
    [InlineData("1m", null, 30)]
    public void A_warning_comes_as_long_before_as_is_asked_for_and_at_half_time_at_the_earliest(string ttl, string? warnBefore, int seconds)
    {
        Durations.TryParse(ttl, out TimeSpan time).ShouldBeTrue();
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { Ttl = ttl, WarnBefore = warnBefore }), Given.Now);
        at.ShouldBe(Given.Now + time - TimeSpan.FromSeconds(seconds));
        UntilTold(seen, at).At.ShouldBe(Given.Now + time);
    }

    [Fact]
    public void A_raised_ttl_takes_the_warning_back_and_a_change_of_the_spec_starts_a_guest_whose_ttl_is_over()
    {
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { Ttl = "8h" }), Given.Now);
        Edit(seen, spec => spec.Lifetime!.Ttl = "10h");
        (seen, Plan<LabNodeStatus> extended, _) = UntilTold(seen, at);
        Told(extended, "LifetimeExtended").ShouldHaveSingleItem();
        extended.Status.Lifetime!.WarnedAt.ShouldBeNull();

        (seen, _, at) = UntilTold(seen, at);
        at.ShouldBe(Given.Now.AddHours(10).AddMinutes(-5));
        (seen, _, at) = UntilTold(seen, at);
        seen = Ended(seen, at);
        Plan(seen, at.AddHours(1)).Intents.ShouldBeEmpty();
        Edit(seen, spec => spec.Lifetime!.Ttl = "2h");
        Plan<LabNodeStatus> again = Plan(seen, at.AddHours(1));
        again.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        again.Status.Halted.ShouldBeNull();
    }

    [Fact]
    public void A_guest_that_is_started_again_while_it_still_powers_off_is_not_warned_anew()
    {
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { Ttl = "8h" }), Given.Now);
        (seen, _, at) = UntilTold(seen, at);
        Edit(seen, spec => spec.RestartRevision = "again");
        Plan<LabNodeStatus> plan = Plan(seen, at.AddSeconds(1));
        (plan.Status.Phase, plan.Status.Halted).ShouldBe((NodePhases.Stopping, null));
        Told(plan, "LifetimeEnding").ShouldBeEmpty();
        seen = Ended(Given.After(seen, plan), at.AddSeconds(2));
        Plan(seen, at.AddSeconds(2)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_guest_in_use_is_not_idle_and_one_that_is_not_is_warned_and_stopped()
    {
        NodeObservation seen = Running(new() { StopAfterIdle = "30m" });
        DateTimeOffset now = Given.Now;
        for (int i = 0; i < 20; i++, now = now.AddMinutes(24))
        {
            Plan(Used(seen, now), now.AddMinutes(24)).Intents.ShouldBeEmpty();
        }

        DateTimeOffset last = now;
        (seen, Plan<LabNodeStatus> warning, DateTimeOffset at) = UntilTold(Used(seen, last), last);
        at.ShouldBe(last.AddMinutes(25));
        Told(warning, "LifetimeEnding").ShouldHaveSingleItem().Message.ShouldContain("nobody has used");
        warning.Status.Lifetime!.IdleSince.ShouldBe(last.UtcDateTime);

        // A use after the warning takes it back.
        seen = Used(seen, at.AddMinutes(1));
        (seen, Plan<LabNodeStatus> extended, _) = UntilTold(seen, at.AddMinutes(1));
        Told(extended, "LifetimeExtended").ShouldHaveSingleItem();
        extended.Status.Lifetime.ShouldBeNull();

        (seen, _, at) = UntilTold(seen, at.AddMinutes(1));
        (seen, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        at.ShouldBe(last.AddMinutes(26 + 30));
        TellsToPowerOff(end).ShouldBeTrue();
        Plan<LabNodeStatus> off = Plan(Ended(seen, at), at);
        (Ready(off).Status, Ready(off).Reason).ShouldBe(("True", LifetimeReasons.IdleTooLong));
    }

    [Fact]
    public void A_guest_whose_use_nobody_can_tell_is_not_taken_for_idle()
    {
        NodeObservation silent = Running(new() { StopAfterIdle = "30m" }) with { Runner = null };
        Plan(silent, Given.Now.AddDays(3)).Intents.ShouldBeEmpty();
        Plan(silent with { Runner = Given.RunnerRunning }, Given.Now.AddDays(3)).Intents.ShouldBeEmpty("its runner is of a version that can't tell");
    }

    [Fact]
    public void A_new_operator_goes_on_with_the_warning_that_the_last_one_gave()
    {
        NodeObservation seen = Used(Running(new() { StopAfterIdle = "30m" }), Given.Now);
        (seen, _, DateTimeOffset at) = UntilTold(seen, Given.Now);

        // It hears of the runner a moment after it reads the rest.
        Plan<LabNodeStatus> deaf = Plan(seen with { Runner = null }, at.AddMinutes(10));
        TellsToPowerOff(deaf).ShouldBeFalse();
        seen = Used(Given.After(seen, deaf), Given.Now);
        (_, Plan<LabNodeStatus> next, at) = UntilTold(seen, at.AddMinutes(10));
        Told(next, "LifetimeEnding").Length.ShouldBeLessThanOrEqualTo(1);
    }

    [Fact]
    public void A_schedule_stops_a_guest_at_its_hour_and_starts_it_the_next_day()
    {
        (NodeObservation seen, Plan<LabNodeStatus> warning, DateTimeOffset at) = UntilTold(Running(new() { Schedule = s_office }), Given.Now);
        at.ShouldBe(Given.Now.AddHours(6).AddMinutes(-5));
        Told(warning, "LifetimeEnding").ShouldHaveSingleItem().Message.ShouldContain("from 08:00 to 18:00 (UTC)");
        (seen, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        at.ShouldBe(Given.Now.AddHours(6));
        TellsToPowerOff(end).ShouldBeTrue();
        seen = Ended(seen, at.AddSeconds(3));

        Plan<LabNodeStatus> off = Plan(seen, at.AddMinutes(1));
        off.Status.Phase.ShouldBe(NodePhases.Stopped);
        (Ready(off).Status, Ready(off).Reason).ShouldBe(("True", LifetimeReasons.OutsideSchedule));
        Ready(off).Message.ShouldContain("Wed 25 Nov 08:00 (UTC)");
        Plan<LabNodeStatus> morning = UntilTold(seen, at.AddMinutes(1)).Plan;
        morning.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        UntilTold(seen, at.AddMinutes(1)).At.ShouldBe(Given.Now.AddHours(20));
    }

    [Fact]
    public void A_node_made_outside_of_its_hours_waits_for_them_and_a_change_of_restartRevision_starts_it_until_the_next_stop()
    {
        DateTimeOffset night = Given.Now.AddHours(9);
        NodeObservation seen = Given.Fresh(n => n.Spec.Lifetime = new() { Schedule = s_office });
        Plan<LabNodeStatus> plan = Plan(seen, night);
        plan.Status.Phase.ShouldBe(NodePhases.Stopped);
        plan.Intents.ShouldAllBe(intent => intent is Intent.Announce);
        seen = Given.After(seen, plan);
        plan = Plan(seen, night);
        plan.Intents.ShouldBeEmpty();
        plan.RequeueAfter.ShouldBe(TimeSpan.FromHours(11));

        Edit(seen, spec => spec.Memory = "1Gi");
        Plan(seen, night).Intents.ShouldBeEmpty("an edit at night is no start");

        Edit(seen, spec => spec.RestartRevision = "by-hand");
        plan = Plan(seen, night);
        plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        DateTime nextStop = new(2026, 11, 25, 18, 0, 0, DateTimeKind.Utc);
        plan.Status.Lifetime!.RunsUntil.ShouldBe(nextStop);
        seen = Given.After(seen, plan) with { Runner = Given.RunnerRunning with { Timeline = new StartTimeline { GuestRunning = night } } };
        seen = Given.After(seen, Plan(seen, night));
        seen.Node.Status!.Lifetime!.EndsAt.ShouldBe(nextStop);

        // A crash at night changes nothing about that; the next stop ends it.
        (NodeObservation warned, _, DateTimeOffset at) = UntilTold(seen, night);
        at.UtcDateTime.ShouldBe(nextStop.AddMinutes(-5));
        UntilTold(warned, at).At.UtcDateTime.ShouldBe(nextStop);
        NodeObservation crashed = Given.After(seen, Plan(seen, night));
        crashed = crashed with { Pod = Given.Ended(crashed.Node, Given.Report(TerminationReasons.QemuCrashed, TimeSpan.FromHours(1))), Runner = null };
        crashed = Given.After(crashed, Plan(crashed, night.AddHours(2)));
        Plan(crashed, night.AddHours(2)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_new_day_starts_a_guest_that_had_powered_itself_off_or_been_idle()
    {
        NodeObservation seen = Running(new() { Schedule = s_office });
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.GuestShutdown, TimeSpan.FromHours(1))), Runner = null };
        seen = Given.After(seen, Plan(seen, Given.Now));
        Plan<LabNodeStatus> off = Plan(seen, Given.Now.AddHours(1));
        Ready(off).Reason.ShouldBe(TerminationReasons.GuestShutdown);
        off.Intents.ShouldBeEmpty();
        (_, Plan<LabNodeStatus> morning, DateTimeOffset at) = UntilTold(seen, Given.Now);
        at.ShouldBe(Given.Now.AddHours(20));
        morning.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_new_schedule_does_not_stop_a_guest_unwarned()
    {
        DateTimeOffset night = Given.Now.AddHours(9);
        NodeObservation seen = Given.Running();
        Edit(seen, spec => spec.Lifetime = new() { Schedule = s_office });
        (seen, Plan<LabNodeStatus> warning, _) = UntilTold(seen, night);
        Told(warning, "LifetimeEnding").ShouldHaveSingleItem();
        UntilTold(seen, night).At.ShouldBe(night.AddMinutes(5));
    }

    [Fact]
    public void A_guest_that_is_to_be_suspended_goes_on_where_it_was()
    {
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { Schedule = s_office, Action = LifetimeActions.Suspend }), Given.Now);
        (seen, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        end.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Suspended);
        seen = Ended(seen, at, Given.SuspendedReport);
        Plan<LabNodeStatus> off = Plan(seen, at.AddMinutes(1));
        off.Status.Phase.ShouldBe(NodePhases.Suspended);
        (Ready(off).Status, Ready(off).Reason).ShouldBe(("True", LifetimeReasons.OutsideSchedule));

        // By hand: the change is the start, and no restart on top of it.
        Edit(seen, spec => spec.RestartRevision = "by-hand");
        Plan<LabNodeStatus> start = Plan(seen, at.AddMinutes(1));
        V1Pod pod = start.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        pod.Metadata.Annotations[Annotations.RestartRevision].ShouldBe("by-hand");
        start.Status.SavedState.ShouldNotBeNull();
    }

    [Theory]
    [InlineData(PowerStates.Stopped, NodePhases.Stopped)]
    [InlineData(PowerStates.Suspended, NodePhases.Stopped)]
    public void What_is_off_as_asked_stays_off_in_its_hours(string power, string phase)
    {
        NodeObservation seen = Given.Fresh(n => { n.Spec.PowerState = power; n.Spec.Lifetime = new() { Schedule = s_office, Ttl = "1h" }; });
        Plan<LabNodeStatus> plan = Plan(seen, Given.Now);
        (plan.Status.Phase, plan.Status.Halted).ShouldBe((phase, null));
        plan.Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_stop_by_hand_ends_what_a_lifetime_had_off()
    {
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { Schedule = s_office }), Given.Now);
        (seen, _, at) = UntilTold(seen, at);
        seen = Ended(seen, at);
        Edit(seen, spec => spec.PowerState = PowerStates.Stopped);
        Plan<LabNodeStatus> stopped = Plan(seen, at.AddHours(1));
        (stopped.Status.Halted, Ready(stopped).Reason).ShouldBe((null, "Stopped"));
        Plan(Given.After(seen, stopped), Given.Now.AddHours(21)).Intents.ShouldBeEmpty();
    }

    [Theory]
    [InlineData(PowerStates.Running)]
    [InlineData(PowerStates.Stopped)]
    public void A_node_is_deleted_only_when_it_asks_for_that_and_after_a_warning(string power)
    {
        NodeObservation seen = Running(new() { DeleteAfter = "72h" }, n => n.Spec.PowerState = power);
        (seen, Plan<LabNodeStatus> warning, DateTimeOffset at) = UntilTold(power == PowerStates.Running ? seen : Given.Fresh(n => { n.Metadata = seen.Node.Metadata; n.Spec = seen.Node.Spec; }), Given.Now);
        at.ShouldBe(Given.Now.AddHours(71).AddMinutes(-5));
        Told(warning, "LifetimeEnding").ShouldHaveSingleItem().Message.ShouldContain("its disk stays");
        warning.Intents.OfType<Intent.DeleteNode>().ShouldBeEmpty();

        (_, Plan<LabNodeStatus> end, at) = UntilTold(seen, at);
        at.ShouldBe(Given.Now.AddHours(71));
        end.Intents.OfType<Intent.DeleteNode>().ShouldHaveSingleItem().Uid.ShouldBe("node-uid");
        end.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
        end.Status.Phase.ShouldBe(NodePhases.Deleting);

        // Who raises it in time keeps it.
        Edit(seen, spec => spec.Lifetime!.DeleteAfter = "100h");
        Plan(seen, at).Intents.OfType<Intent.DeleteNode>().ShouldBeEmpty();
    }

    [Fact]
    public void A_refused_deletion_says_so()
    {
        (NodeObservation seen, _, DateTimeOffset at) = UntilTold(Running(new() { DeleteAfter = "72h" }), Given.Now);
        (_, _, at) = UntilTold(seen, at);
        Plan<LabNodeStatus> plan = Plan(seen with { Refusal = new Refusal("delete LabNode a (uid node-uid)", SandLabX.Runtime.KubeError.Forbidden, "not allowed") }, at);
        (Ready(plan).Reason, Ready(plan).Message).ShouldBe(("RefusedByServer", "The API server refused to delete LabNode a (uid node-uid): not allowed"));
    }

    [Theory]
    [InlineData("ttl", "8 h")]
    [InlineData("ttl", "")]
    [InlineData("ttl", "29s")]
    [InlineData("stopAfterIdle", "59s")]
    [InlineData("deleteAfter", "-1h")]
    [InlineData("warnBefore", "4s")]
    [InlineData("action", "Explode")]
    [InlineData("schedule.timeZone", "Europe/Atlantis")]
    public void What_is_wrong_is_told_by_field_and_value_and_a_guest_that_runs_is_left_alone(string field, string value)
    {
        NodeObservation seen = Given.Running();
        Edit(seen, spec => spec.Lifetime = field switch
        {
            "ttl" => new() { Ttl = value },
            "stopAfterIdle" => new() { StopAfterIdle = value },
            "deleteAfter" => new() { DeleteAfter = value },
            "warnBefore" => new() { Ttl = "8h", WarnBefore = value },
            "action" => new() { Action = value },
            _ => new() { Schedule = new() { Start = "08:00", Stop = "18:00", TimeZone = value } },
        });
        Plan<LabNodeStatus> plan = Plan(seen, Given.Now.AddDays(2));
        (Ready(plan).Reason, plan.Status.Phase).ShouldBe(("InvalidSpec", NodePhases.Running));
        Ready(plan).Message.ShouldContain($"spec.lifetime.{field} is \"{value}\"");
        plan.Intents.ShouldAllBe(intent => intent is Intent.Announce);
    }

    [Fact]
    public void That_a_guest_was_used_is_told_apart_from_all_else_that_its_runner_tells()
    {
        RunnerState before = Given.RunnerRunning with { LastUsedAt = Given.Now };
        RunnerState used = before with { LastUsedAt = Given.Now.AddSeconds(10), At = Given.Now.AddSeconds(10) };
        RunnerFollower.OnlyUsed(before, used).ShouldBeTrue();
        RunnerFollower.OnlyUsed(WithKept(before), WithKept(used)).ShouldBeTrue();
        RunnerFollower.OnlyUsed(before, used with { Disk = used.Disk! with { VirtualSizeBytes = 1 } }).ShouldBeFalse();
        RunnerFollower.OnlyUsed(null, used).ShouldBeFalse("the first line");
        RunnerFollower.OnlyUsed(before, before).ShouldBeFalse();
        RunnerFollower.OnlyUsed(before, used with { Phase = RunnerPhases.Paused }).ShouldBeFalse();
        RunnerFollower.OnlyUsed(before, used with { SaveError = "No room." }).ShouldBeFalse();
        RunnerFollower.OnlyUsed(before, used with { LastUsedAt = null }).ShouldBeFalse("its use is unknown from now on");

        static RunnerState WithKept(RunnerState state) => state with { Disk = state.Disk! with { Kept = [new KeptDisk("initial", Given.Now, 1)] } };
    }

    [Theory]
    [InlineData("1h30m", 5400)]
    [InlineData("90m", 5400)]
    [InlineData("8h", 28800)]
    [InlineData("10s", 10)]
    [InlineData("1h1s", 3601)]
    [InlineData("30m1h", null)]
    [InlineData("1.5h", null)]
    [InlineData("h", null)]
    [InlineData("", null)]
    [InlineData(null, null)]
    public void Durations_are_hours_minutes_and_seconds(string? text, int? seconds)
    {
        (Durations.TryParse(text, out TimeSpan time) ? (int?)time.TotalSeconds : null).ShouldBe(seconds);
        if (seconds is { } known)
        {
            Durations.TryParse(Durations.Format(TimeSpan.FromSeconds(known)), out TimeSpan again).ShouldBeTrue();
            again.TotalSeconds.ShouldBe(known);
        }
    }
}
