using System.Globalization;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Lifetimes: what is warned of, done, and how a guest comes back.</summary>
public sealed class LifetimeTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task A_guest_powers_off_when_its_ttl_is_over_was_warned_and_starts_again_by_hand()
    {
        // Long at first: what is asked of the guest takes as long as it takes.
        await Space.NodeAsync("ttl", "lifetime: {ttl: 1h, warnBefore: 10s}");
        Guest guest = await Space.RunningGuestAsync("ttl");
        await guest.OkAsync("write marker from the first run");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("ttl", n => n.Status?.Lifetime?.EndsAt is not null, "its end is told");
        node.Status!.Lifetime!.EndsAt!.Value.ShouldBe(node.Status.StartedAt!.Value.AddHours(1));

        // Never sooner; later, when the warning came late.
        await Space.PatchNodeAsync("ttl", """{"spec": {"lifetime": {"ttl": "40s"} } }""");
        node = await Space.AwaitNodeAsync("ttl", n => n.Status is { Phase: NodePhases.Stopped, Halted.Reason: LifetimeReasons.TtlExpired }, "it is off for its ttl");
        V1Condition ready = Space.Condition(node, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("True", "TtlExpired"));
        node.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        node.Status.Halted!.At!.Value.ShouldBeGreaterThanOrEqualTo(node.Status.StartedAt!.Value.AddSeconds(40));
        await Space.EventAsync("LabNode", "ttl", "Warning", "LifetimeEnding", "spec.lifetime.ttl is 40s");
        await Space.EventAsync("LabNode", "ttl", "Normal", "TtlExpired");

        await Space.PatchNodeAsync("ttl", """{"spec": {"restartRevision": "again", "lifetime": {"ttl": "1h"} } }""");
        await Space.AwaitNodeAsync("ttl", n => n.Status is { Phase: NodePhases.Running, Halted: null }, "it runs again");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("from the first run");
    }

    [Fact]
    public async Task An_unused_guest_is_suspended_unless_somebody_types_and_goes_on_with_its_memory()
    {
        await Space.NodeAsync("idle", "lifetime: {stopAfterIdle: 90s, warnBefore: 60s, action: Suspend}");
        Guest guest = await Space.RunningGuestAsync("idle");
        await guest.OkAsync("sh echo only in memory > /kept");
        await Space.EventAsync("LabNode", "idle", "Warning", "LifetimeEnding", "nobody has used");
        await guest.OkAsync("ping here");
        await Space.EventAsync("LabNode", "idle", "Normal", "LifetimeExtended");
        (await Space.NodeNowAsync("idle"))!.Status!.Phase.ShouldBe(NodePhases.Running);

        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("idle", NodePhases.Suspended);
        V1Condition ready = Space.Condition(node, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("True", "IdleTooLong"));
        node.Spec.PowerState.ShouldBe(PowerStates.Running, "the operator writes no spec");

        await Space.PatchNodeAsync("idle", """{"spec": {"restartRevision": "again"} }""");
        await Space.AwaitNodeAsync("idle", n => n.Status is { Phase: NodePhases.Running, SavedState: null }, "it runs again");
        await guest.OkAsync("sh cat /kept");
        (await Space.NodeNowAsync("idle"))!.Status!.Terminations!.ShouldHaveSingleItem("it was resumed, and not restarted on top");
    }

    [Fact]
    public async Task A_schedule_has_a_guest_off_in_its_zone_until_it_is_started_by_hand()
    {
        // Nepal is 5 hours and 45 minutes ahead: a zone that no machine of ours is in, from the operator's own data.
        DateTime there = DateTime.UtcNow.AddMinutes((5 * 60) + 45);
        string start = Clock(there.AddHours(2));
        string stop = Clock(there.AddHours(4));
        await Space.NodeAsync("hours", $"lifetime: {{schedule: {{start: \"{start}\", stop: \"{stop}\", timeZone: Asia/Kathmandu}}}}");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("hours", NodePhases.Stopped);
        V1Condition ready = Space.Condition(node, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("True", "OutsideSchedule"));
        ready.Message.ShouldContain($"{start} (Asia/Kathmandu)");
        (await Space.PodNowAsync("hours")).ShouldBeNull();

        await Space.PatchNodeAsync("hours", """{"spec": {"restartRevision": "by-hand"} }""");
        node = await Space.AwaitPhaseAsync("hours", NodePhases.Running);
        (node.Status!.Lifetime!.EndsAt!.Value - DateTime.UtcNow).ShouldBeInRange(TimeSpan.FromHours(3.8), TimeSpan.FromHours(4.1));

        // Hours that it is in: nothing to wait for, and nothing that stops it.
        await Space.PowerAsync("hours", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("hours", NodePhases.Stopped);
        await Space.PatchNodeAsync("hours", $$"""{"spec": {"powerState": "Running", "lifetime": {"schedule": {"start": "{{Clock(there.AddHours(-2))}}"} } } }""");
        await Space.AwaitPhaseAsync("hours", NodePhases.Running);
    }

    [Fact]
    public async Task A_LabNode_that_asks_for_it_is_deleted_with_a_warning_and_its_disk_stays()
    {
        await Space.NodeAsync("old", "lifetime: {deleteAfter: 1h, warnBefore: 10s}");
        await Space.RunningGuestAsync("old");
        await Space.PatchNodeAsync("old", """{"spec": {"lifetime": {"deleteAfter": "60s"} } }""");
        await Space.GoneAsync("labnode", "old");
        await Space.EventAsync("LabNode", "old", "Warning", "LifetimeEnding", "its disk stays");
        await Space.GoneAsync("pod", "labnode-old");
        (await Space.ClaimNowAsync("old"))!.Metadata.DeletionTimestamp.ShouldBeNull();
    }

    [Fact]
    public async Task An_unknown_zone_is_told()
    {
        await Space.NodeAsync("zone", "lifetime: {schedule: {start: \"08:00\", stop: \"18:00\", timeZone: Europe/Atlantis}}");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("zone", NodePhases.Failed);
        Space.Condition(node, ConditionTypes.Ready)!.Message.ShouldContain("spec.lifetime.schedule.timeZone is \"Europe/Atlantis\"");
    }

    private static string Clock(DateTime time) => time.ToString("HH:mm", CultureInfo.InvariantCulture);
}
