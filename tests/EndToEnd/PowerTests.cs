using System.Globalization;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Power, declared: what is asked of a guest that runs, without a new pod where none is needed.</summary>
public sealed class PowerTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task A_paused_guest_stands_in_its_pod_and_goes_on_where_it_was()
    {
        await Space.NodeAsync("pause");
        Guest guest = await Space.RunningGuestAsync("pause");
        string pod = (await Space.PodNowAsync("pause"))!.Metadata.Uid;

        await Space.PowerAsync("pause", PowerStates.Paused);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("pause", NodePhases.Paused);
        V1Condition ready = Space.Condition(node, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("True", "Paused"));
        Outcome silence = await Lab.KubectlAsync(
            "-n", Space.Name, "exec", "labnode-pause", "--", "sandlabx-runner", "console", "--send", "ping paused", "--expect", "OK pong paused", "--timeout", "2");
        silence.Code.ShouldNotBe(0);

        // What was typed while it stood is answered once it goes on: it is the same boot, in the same pod.
        await Space.PowerAsync("pause", PowerStates.Running);
        node = await Space.AwaitPhaseAsync("pause", NodePhases.Running);
        Space.Condition(node, ConditionTypes.Ready)!.Status.ShouldBe("True");
        (await guest.OkAsync("ping again")).ShouldBe("pong again");
        await guest.ReadyAsync(boot: 1);
        node = (await Space.NodeNowAsync("pause"))!;
        node.Status!.Pod!.Uid.ShouldBe(pod);
        (node.Status.Terminations ?? []).ShouldBeEmpty();
        (await Space.EventsAsync("LabNode", "pause")).Count(e => e.Reason == "Started").ShouldBe(1);
    }

    [Fact]
    public async Task A_node_that_is_made_paused_stands_and_a_stop_lets_it_power_off()
    {
        await Space.NodeAsync("still", "powerState: Paused");
        await Space.AwaitPhaseAsync("still", NodePhases.Paused);
        await Space.PowerAsync("still", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("still", NodePhases.Stopped);
    }

    [Fact]
    public async Task A_suspended_guest_has_no_pod_and_goes_on_with_its_memory()
    {
        await Space.NodeAsync("sleep");
        Guest guest = await Space.RunningGuestAsync("sleep");
        await guest.OkAsync("touchmem 32");
        await guest.OkAsync("sh echo only in memory > /kept");
        string pod = (await Space.PodNowAsync("sleep"))!.Metadata.Uid;

        await Space.PowerAsync("sleep", PowerStates.Suspended);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("sleep", NodePhases.Suspended);
        LabNodeSavedState saved = node.Status!.SavedState.ShouldNotBeNull();
        (saved.Cpus, saved.MemoryBytes).ShouldBe((1, 128L << 20));
        saved.SizeBytes!.Value.ShouldBeGreaterThan(32L << 20);
        node.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("Suspended");
        await Space.GoneAsync("pod", "labnode-sleep");

        // A machine of another size is for the next boot; the guest wakes up as what it was.
        await Space.PatchNodeAsync("sleep", """{"spec": {"memory": "160Mi", "powerState": "Running"} }""");
        node = await Space.AwaitNodeAsync("sleep", n => n.Status is { Phase: NodePhases.Running, SavedState: null }, "it runs again");
        node.Status!.Pod!.Uid.ShouldNotBe(pod);
        Space.Condition(node, ConditionTypes.RestartRequired)!.Status.ShouldBe("True");
        await guest.OkAsync("sh cat /kept");
        await guest.OkAsync("touchmem 0");
        (await Space.EventsAsync("LabNode", "sleep")).ShouldContain(e => e.Reason == "Resumed");

        // Once more, and then off: it is resumed for that, and powers off in order.
        await Space.PowerAsync("sleep", PowerStates.Suspended);
        await Space.AwaitPhaseAsync("sleep", NodePhases.Suspended);
        await Space.PowerAsync("sleep", PowerStates.Stopped);
        node = await Space.AwaitPhaseAsync("sleep", NodePhases.Stopped);
        node.Status!.Terminations![0].Reason.ShouldBe("HostShutdown");
        node.Status.Terminations[0].Console!.ShouldContain("POWEROFF boot=1");
        (node.Status.Restarts?.Count ?? 0).ShouldBe(0);
    }

    [Fact]
    public async Task A_wiped_disk_is_back_at_its_base_and_the_former_one_comes_back_by_its_name()
    {
        await Space.NodeAsync("wipe");
        Guest guest = await Space.RunningGuestAsync("wipe");
        await guest.OkAsync("write lesson one");

        await Space.PatchNodeAsync("wipe", """{"spec": {"disk": {"revision": "lesson-2"} } }""");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("wipe", n => n.Status is { Phase: NodePhases.Running, Disk.Revision: "lesson-2" }, "it runs on another disk");
        node.Status!.WipedAt.ShouldNotBeNull();
        node.Status.Disk!.Kept!.ShouldHaveSingleItem().Revision.ShouldBe("initial");
        node.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        (node.Status.Restarts?.Count ?? 0).ShouldBe(0);
        await guest.ReadyAsync(boot: 1);
        (await guest.AskAsync("read lesson")).ShouldStartWith("ERR");
        (await Space.EventsAsync("LabNode", "wipe")).Count(e => e.Reason == "Wiped").ShouldBe(1);

        await Space.PatchNodeAsync("wipe", """{"spec": {"disk": {"revision": "initial"} } }""");
        node = await Space.AwaitNodeAsync("wipe", n => n.Status is { Phase: NodePhases.Running, Disk.Revision: "initial" }, "the first disk is back");
        node.Status!.Disk!.Kept!.ShouldHaveSingleItem().Revision.ShouldBe("lesson-2");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read lesson")).ShouldBe("one");
    }

    [Fact]
    public async Task Each_change_of_resetRevision_resets_the_guest_once_in_its_pod()
    {
        await Space.NodeAsync("reset", "resetRevision: before");
        Guest guest = await Space.RunningGuestAsync("reset");
        await guest.ReadyAsync(boot: 1);
        string pod = (await Space.PodNowAsync("reset"))!.Metadata.Uid;

        await Space.PatchNodeAsync("reset", """{"spec": {"resetRevision": "1"} }""");
        await guest.ReadyAsync(boot: 2);
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("reset", n => n.Status?.ResetRevision == "1", "the reset is on record");
        node.Status!.Phase.ShouldBe(NodePhases.Running);

        await Space.PatchNodeAsync("reset", """{"spec": {"resetRevision": "2"} }""");
        await guest.ReadyAsync(boot: 3);
        node = await Space.AwaitNodeAsync("reset", n => n.Status?.ResetRevision == "2", "the second reset is on record");
        node.Status!.Pod!.Uid.ShouldBe(pod);
        (node.Status.Terminations ?? []).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_changed_machine_waits_for_the_restart_that_is_asked_for()
    {
        await Space.NodeAsync("restart");
        Guest guest = await Space.RunningGuestAsync("restart");
        await guest.OkAsync("write marker from before the restart");
        string pod = (await Space.PodNowAsync("restart"))!.Metadata.Uid;
        Space.Condition((await Space.NodeNowAsync("restart"))!, ConditionTypes.RestartRequired)!.Status.ShouldBe("False");

        await Space.PatchNodeAsync("restart", """{"spec": {"memory": "160Mi"} }""");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("restart", n => Space.Condition(n, ConditionTypes.RestartRequired)?.Status == "True", "a restart is required");
        Space.Condition(node, ConditionTypes.RestartRequired)!.Message.ShouldContain("spec.restartRevision");
        (node.Status!.Phase, node.Status.Pod!.Uid).ShouldBe((NodePhases.Running, pod));

        await Space.PatchNodeAsync("restart", """{"spec": {"restartRevision": "1"} }""");
        node = await Space.AwaitNodeAsync("restart", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != pod, "it runs in another pod");
        Space.Condition(node, ConditionTypes.RestartRequired)!.Status.ShouldBe("False");
        node.Status!.RestartRevision.ShouldBe("1");
        node.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        (node.Status.Restarts?.Count ?? 0).ShouldBe(0);
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("from before the restart");
    }

    [Fact]
    public async Task A_disk_grows_while_its_guest_runs_once_its_claim_has_the_room()
    {
        // The local cluster's volumes grow while no pod uses them, as those of many drivers do: so the claim is given its room first.
        await Space.NodeAsync("grow", disk: "size: 320Mi");
        Guest guest = await Space.RunningGuestAsync("grow");
        await Space.PowerAsync("grow", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("grow", NodePhases.Stopped);
        await Lab.KubectlOkAsync("-n", Space.Name, "patch", "pvc", "labnode-grow", "-p", """{"spec": {"resources": {"requests": {"storage": "900Mi"} } } }""");
        await Eventually.SeesAsync(
            "the claim has grown",
            () => Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", "labnode-grow", "-o", "jsonpath={.status.capacity.storage}"),
            capacity => capacity == "900Mi");
        await Space.PowerAsync("grow", PowerStates.Running);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("grow", NodePhases.Running);
        string pod = node.Status!.Pod!.Uid!;
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("size")).ShouldBe((320 * Quantities.MiB).ToString(CultureInfo.InvariantCulture));

        await Space.PatchNodeAsync("grow", """{"spec": {"disk": {"size": "400Mi"} } }""");
        node = await Space.AwaitNodeAsync("grow", n => n.Status?.Disk?.VirtualSizeBytes == 400 * Quantities.MiB, "the disk has grown");
        (node.Status!.Pod!.Uid, node.Status.Phase).ShouldBe((pod, NodePhases.Running));
        Space.Condition(node, ConditionTypes.RestartRequired)!.Status.ShouldBe("False");
        (await guest.OkAsync("size")).ShouldBe((400 * Quantities.MiB).ToString(CultureInfo.InvariantCulture));
    }

    [Fact]
    public async Task A_disk_never_shrinks_and_says_so_while_the_guest_runs_on()
    {
        await Space.NodeAsync("shrink", disk: "size: 320Mi");
        Guest guest = await Space.RunningGuestAsync("shrink");
        await Space.PatchNodeAsync("shrink", """{"spec": {"disk": {"size": "300Mi"} } }""");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("shrink", n => Space.Condition(n, ConditionTypes.Ready)?.Reason == "SizeBelowDisk", "the smaller size is refused");
        Space.Condition(node, ConditionTypes.Ready)!.Message.ShouldContain("320Mi");
        (await guest.OkAsync("ping on")).ShouldBe("pong on");
        await Space.PatchNodeAsync("shrink", """{"spec": {"disk": {"size": "320Mi"} } }""");
        await Space.AwaitNodeAsync("shrink", n => Space.Condition(n, ConditionTypes.Ready)?.Status == "True", "the old size is right again");

        // The local cluster's class does not expand; whatever a class does, the guest runs on.
        await Space.PatchNodeAsync("shrink", """{"spec": {"disk": {"size": "3Gi"} } }""");
        await Space.AwaitNodeAsync(
            "shrink",
            n => Space.Condition(n, ConditionTypes.DiskReady)?.Reason is "GrowthRefused" or "Growing",
            "the larger size is refused, or waits for the claim");
        (await guest.OkAsync("ping still")).ShouldBe("pong still");
    }
}
