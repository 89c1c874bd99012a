using System.Globalization;
using System.Text.RegularExpressions;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A LabNode's life, from apply to power-off, and what its record says of it.</summary>
public sealed partial class LifecycleTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task An_evicted_guest_powers_off_in_order_and_starts_again()
    {
        await Space.NodeAsync("evicted");
        Guest guest = await Space.RunningGuestAsync("evicted");
        await guest.OkAsync("write marker before the drain");
        string pod = (await Space.PodNowAsync("evicted"))!.Metadata.Uid;

        // As kubectl drain asks for it, of one pod.
        string eviction = $$"""{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "labnode-evicted", "namespace": "{{Space.Name}}"} }""";
        Outcome evicted = await Shell.RunAsync(["kubectl", "create", "--raw", $"/api/v1/namespaces/{Space.Name}/pods/labnode-evicted/eviction", "-f", "-"], input: eviction);
        evicted.Code.ShouldBe(0, evicted.ToString());
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("evicted", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != pod, "it runs in another pod");
        node.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("before the drain");
    }

    [Fact]
    public async Task An_applied_LabNode_runs_and_its_status_tells_everything()
    {
        await Space.NodeAsync("full", "accelerator: Auto", "size: 320Mi");
        Guest guest = await Space.RunningGuestAsync("full");
        V1Alpha1LabNode node = (await Space.NodeNowAsync("full"))!;
        LabNodeStatus status = node.Status!;

        status.ObservedGeneration.ShouldBe(node.Metadata.Generation);
        status.OverlayPath.ShouldBe($"/overlays/node_{node.Metadata.Uid}.qcow2");
        LabNodeDiskStatus disk = status.Disk!;
        disk.Claim.ShouldBe("labnode-full");
        disk.Id.ShouldBe(node.Metadata.Uid);
        disk.VirtualSizeBytes.ShouldBe(320 * Quantities.MiB);
        disk.ActualSizeBytes.ShouldNotBeNull();
        disk.CreatedAt.ShouldNotBeNull();
        disk.Backing!.Image.ShouldBe(Space.Tiny);
        disk.Backing.Claim.ShouldBe($"labimage-tiny-{Lab.TinySha256[..12]}");
        disk.Backing.Digest.ShouldBe("sha256:" + Lab.TinySha256);
        V1Pod pod = (await Space.PodNowAsync("full"))!;
        status.Pod!.Name.ShouldBe(pod.Metadata.Name);
        status.Pod.Uid.ShouldBe(pod.Metadata.Uid);
        status.Pod.Node.ShouldBe(pod.Spec.NodeName);
        status.Pod.Ip.ShouldBe(pod.Status.PodIP);
        status.RunnerVersion.ShouldNotBeNullOrEmpty();
        status.QemuVersion!.ShouldStartWith("7.2");
        status.StartedAt.ShouldNotBeNull();
        status.StoppedAt.ShouldBeNull();
        status.Halted.ShouldBeNull();
        (status.Restarts?.Count ?? 0).ShouldBe(0);
        (status.Terminations ?? []).ShouldBeEmpty();

        LabNodeTimeline line = status.Timeline!;
        DateTime?[] steps = [line.Decided, line.RunnerStarted, line.DiskReady, line.QemuStarted, line.GuestRunning];
        steps.ShouldAllBe(s => s != null);
        steps.ShouldBeInOrder();
        line.PodCreated.ShouldNotBeNull();
        line.PodScheduled.ShouldNotBeNull();
        status.StartedAt.ShouldBe(line.GuestRunning);

        foreach (string type in new[] { ConditionTypes.Ready, ConditionTypes.ImageReady, ConditionTypes.DiskReady })
        {
            V1Condition condition = Space.Condition(node, type)!;
            condition.Status.ShouldBe("True", $"{type}: {condition.Message}");
            condition.Message.ShouldNotBeNullOrEmpty();
        }

        V1Condition accelerated = Space.Condition(node, ConditionTypes.Accelerated)!;
        (accelerated.Status == "True").ShouldBe(status.Accelerator == "KVM");
        accelerated.Reason.ShouldNotBeNullOrEmpty();
        accelerated.Message.ShouldNotBeNullOrEmpty();
        Output.WriteLine($"accelerator {status.Accelerator}: {accelerated.Reason}: {accelerated.Message}");

        (await guest.OkAsync("size")).ShouldBe((320 * Quantities.MiB).ToString(CultureInfo.InvariantCulture));
        await Space.EventAsync("LabNode", "full", "Normal", "Started");
    }

    [Fact]
    public async Task Insisting_on_TCG_says_that_it_was_asked_for()
    {
        await Space.NodeAsync("tcg", "accelerator: TCG");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("tcg", NodePhases.Running);
        node.Status!.Accelerator.ShouldBe("TCG");
        Space.Condition(node, ConditionTypes.Accelerated)!.Status.ShouldBe("False");
        Space.Condition(node, ConditionTypes.Accelerated)!.Reason.ShouldBe("Requested");
    }

    [Fact]
    public async Task Its_pod_is_as_restricted_as_Pod_Security_asks_and_has_no_API_token()
    {
        await Space.NodeAsync("safe");
        await Space.AwaitPhaseAsync("safe", NodePhases.Running);
        V1Pod pod = (await Space.PodNowAsync("safe"))!;
        V1PodSpec spec = pod.Spec;

        spec.AutomountServiceAccountToken.ShouldBe(false);
        spec.Containers.SelectMany(c => c.VolumeMounts).ShouldAllBe(m => !m.MountPath.StartsWith("/var/run/secrets"));
        (spec.HostNetwork ?? false).ShouldBeFalse();
        (spec.HostPID ?? false).ShouldBeFalse();
        (spec.HostIPC ?? false).ShouldBeFalse();
        spec.SecurityContext.RunAsNonRoot.ShouldBe(true);
        spec.SecurityContext.SeccompProfile.Type.ShouldBe("RuntimeDefault");
        spec.Volumes.ShouldAllBe(v => v.PersistentVolumeClaim != null || v.DownwardAPI != null || v.EmptyDir != null);
        V1Container container = spec.Containers.ShouldHaveSingleItem();
        container.SecurityContext.AllowPrivilegeEscalation.ShouldBe(false);
        (container.SecurityContext.Privileged ?? false).ShouldBeFalse();
        container.SecurityContext.Capabilities.Drop.ShouldBe(["ALL"]);
        (container.SecurityContext.Capabilities.Add ?? []).ShouldBeEmpty();
        container.SecurityContext.ReadOnlyRootFilesystem.ShouldBe(true);
        container.Ports.ShouldAllBe(p => p.HostPort == null);
        container.VolumeMounts.Single(m => m.MountPath.StartsWith("/images/")).ReadOnlyProperty.ShouldBe(true);
        container.Resources.Requests.Keys.ShouldBe(["cpu", "memory"], ignoreOrder: true);
        container.Resources.Limits.Keys.ShouldBe(["cpu", "memory"], ignoreOrder: true);
        container.Resources.Requests["memory"].ToDecimal().ShouldBeGreaterThan(128 * Quantities.MiB);
        container.Resources.Limits["memory"].ToDecimal().ShouldBeGreaterThan(container.Resources.Requests["memory"].ToDecimal());

        // As the running process sees it, and not only as it was asked for.
        string seen = await Lab.KubectlOkAsync("-n", Space.Name, "exec", "labnode-safe", "--", "sh", "-c", "id -u; grep -E '^(CapEff|NoNewPrivs|Seccomp):' /proc/1/status; ls /var/run/secrets 2>&1 | tail -n 1");
        seen.ShouldContain("65532");
        seen.ShouldMatch(@"CapEff:\s+0000000000000000");
        seen.ShouldMatch(@"NoNewPrivs:\s+1");
        seen.ShouldMatch(@"Seccomp:\s+2");
        seen.ShouldContain("No such file");
    }

    [Fact]
    public async Task Status_overlayPath_of_every_LabNode_is_an_absolute_path()
    {
        await Space.NodeAsync("path-a");
        await Space.NodeAsync("path-b", "powerState: Stopped");
        await Space.AwaitPhaseAsync("path-a", NodePhases.Running);
        await Space.AwaitPhaseAsync("path-b", NodePhases.Stopped);
        await Space.PowerAsync("path-b", PowerStates.Running);
        await Space.AwaitPhaseAsync("path-b", NodePhases.Running);
        string printed = await Lab.KubectlOkAsync("-n", Space.Name, "get", "labnodes", "path-a", "path-b", "-o", "jsonpath={.items[*].status.overlayPath}");
        string[] paths = printed.Split(' ');
        paths.Length.ShouldBe(2);
        paths.Distinct().Count().ShouldBe(2);
        paths.ShouldAllBe(p => OverlayPath().IsMatch(p));

        // And it is where the path says: in the pod, on the claim.
        await Lab.KubectlOkAsync("-n", Space.Name, "exec", "labnode-path-a", "--", "test", "-s", paths[0]);
    }

    [Fact]
    public async Task One_start_costs_six_writes_of_the_operator_at_most()
    {
        // All writes about one LabNode are seen by watches that begin before it: a fair count whatever else goes on.
        int nodeWrites = 0, statusWrites = 0;
        string last = "";
        using (Shell.Follow(
            ["kubectl", "-n", Space.Name, "get", "labnodes", "--watch", "-o", "jsonpath={.metadata.name}|{.metadata.resourceVersion}|{.status}{\"\\n\"}"],
            line =>
            {
                string[] parts = line.Split('|', 3);
                if (parts[0] != "counted")
                {
                    return;
                }

                nodeWrites++;
                statusWrites += parts[2] != last ? 1 : 0;
                last = parts[2];
            }))
        {
            await Space.NodeAsync("warmup");
            await Space.AwaitPhaseAsync("warmup", NodePhases.Running);
            await Space.NodeAsync("counted");
            Guest guest = await Space.RunningGuestAsync("counted");
            // What would come late (the pod's readiness, say) has come when Kubernetes says that the pod is ready.
            await Lab.KubectlOkAsync("-n", Space.Name, "wait", "--for=condition=Ready", "pod/labnode-counted", "--timeout=240s");
            await guest.OkAsync("ping settled");
        }

        int events = (await Space.EventsAsync("LabNode", "counted")).Count;
        nodeWrites--; // our own apply
        int all = nodeWrites + 2 + events; // its claim and its pod
        Output.WriteLine($"writes for one start: {all} ({nodeWrites} of the LabNode, of them {statusWrites} of its status; claim; pod; {events} events)");
        statusWrites.ShouldBeInRange(1, 3);
        all.ShouldBeLessThanOrEqualTo(6);
    }

    [Fact]
    public async Task A_guest_that_powers_itself_off_stays_off_until_it_is_switched_on_and_keeps_its_disk()
    {
        await Space.NodeAsync("off");
        Guest guest = await Space.RunningGuestAsync("off");
        await guest.OkAsync("write marker kept over a power-off");
        await guest.TellAsync("poweroff");

        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("off", NodePhases.Stopped);
        LabNodeTermination end = node.Status!.Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe("GuestShutdown");
        end.Console.ShouldNotBeNull().ShouldContain("OK poweroff");
        end.ExitCode.ShouldBe(0);
        end.StartedAt.ShouldNotBeNull();
        end.At.ShouldNotBeNull();
        node.Status.StoppedAt.ShouldBe(end.At);
        node.Status.Halted!.Reason.ShouldBe("GuestShutdown");
        (node.Status.Restarts?.Count ?? 0).ShouldBe(0);
        Space.Condition(node, ConditionTypes.Ready)!.Message.ShouldContain("spec.powerState");
        await Space.GoneAsync("pod", "labnode-off");

        await Space.PowerAsync("off", PowerStates.Stopped);
        await Space.AwaitNodeAsync("off", n => n.Status?.Halted is null, "the halt is forgotten");
        await Space.PowerAsync("off", PowerStates.Running);
        await Space.AwaitPhaseAsync("off", NodePhases.Running);
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("kept over a power-off");
    }

    [Fact]
    public async Task With_restart_policy_Always_a_power_off_is_followed_by_a_start()
    {
        await Space.NodeAsync("always", "restartPolicy: Always");
        Guest guest = await Space.RunningGuestAsync("always");
        string first = (await Space.PodNowAsync("always"))!.Metadata.Uid;
        await guest.TellAsync("poweroff");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("always", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != first, "runs again in another pod");
        node.Status!.Restarts!.Count.ShouldBe(1);
        node.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("GuestShutdown");
    }

    [Fact]
    public async Task A_panic_is_told_as_one_and_followed_by_a_restart()
    {
        await Space.NodeAsync("panics");
        Guest guest = await Space.RunningGuestAsync("panics");
        string first = (await Space.PodNowAsync("panics"))!.Metadata.Uid;
        await guest.TellAsync("panic");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("panics", n => n.Status?.Terminations?.Count > 0, "its end is on record");
        LabNodeTermination end = node.Status!.Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe("GuestPanicked");
        end.Console.ShouldNotBeNull().ShouldContain("anic");
        await Space.EventAsync("LabNode", "panics", "Warning", "GuestPanicked");

        node = await Space.AwaitNodeAsync("panics", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != first, "runs again in another pod");
        node.Status!.Restarts!.Count.ShouldBe(1);
        await guest.ReadyAsync(boot: 2);
    }

    [Fact]
    public async Task With_restart_policy_Never_a_panic_is_its_end()
    {
        await Space.NodeAsync("never", "restartPolicy: Never");
        Guest guest = await Space.RunningGuestAsync("never");
        await guest.TellAsync("panic");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("never", NodePhases.Failed);
        Space.Condition(node, ConditionTypes.Ready)!.Reason.ShouldBe("GuestPanicked");
        node.Status!.Halted!.Reason.ShouldBe("GuestPanicked");
        await Space.GoneAsync("pod", "labnode-never");
        (node.Status.Restarts?.Count ?? 0).ShouldBe(0);
    }

    [Fact]
    public async Task A_reboot_stays_in_its_pod_and_is_no_end()
    {
        await Space.NodeAsync("boots");
        Guest guest = await Space.RunningGuestAsync("boots");
        V1Alpha1LabNode before = (await Space.NodeNowAsync("boots"))!;
        await guest.TellAsync("reboot");
        await guest.ReadyAsync(boot: 2);
        V1Alpha1LabNode after = await Space.AwaitNodeAsync("boots", n => n.Status?.Reboots is not null, "the reboot is on record");
        await Space.EventAsync("LabNode", "boots", "Normal", "Rebooted");
        after.Status!.Phase.ShouldBe(NodePhases.Running);
        after.Status.Pod!.Uid.ShouldBe(before.Status!.Pod!.Uid);
        (after.Status.Terminations ?? []).ShouldBeEmpty();
        (after.Status.Restarts?.Count ?? 0).ShouldBe(0);
        after.Status.Reboots!.Count.ShouldBe(1);
        after.Status.Reboots.LastAt!.Value.ShouldBeGreaterThan(after.Status.StartedAt!.Value);
    }

    [Fact]
    public async Task Stopping_powers_the_guest_off_and_starting_finds_what_it_had_written()
    {
        await Space.NodeAsync("cycle");
        Guest guest = await Space.RunningGuestAsync("cycle");
        await guest.OkAsync("write marker written before the stop");
        V1PersistentVolumeClaim claim = (await Space.ClaimNowAsync("cycle"))!;

        await Space.PowerAsync("cycle", PowerStates.Stopped);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("cycle", NodePhases.Stopped);
        LabNodeTermination end = node.Status!.Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe("HostShutdown");
        end.Console.ShouldNotBeNull().ShouldContain("POWERBUTTON");
        node.Status.StoppedAt.ShouldNotBeNull();
        node.Status.Pod.ShouldBeNull();
        node.Status.OverlayPath.ShouldBe($"/overlays/node_{node.Metadata.Uid}.qcow2");
        Space.Condition(node, ConditionTypes.Ready)!.Status.ShouldBe("True");
        await Space.GoneAsync("pod", "labnode-cycle");
        (await Space.ClaimNowAsync("cycle"))!.Metadata.Uid.ShouldBe(claim.Metadata.Uid);

        await Space.PowerAsync("cycle", PowerStates.Running);
        node = await Space.AwaitPhaseAsync("cycle", NodePhases.Running);
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("written before the stop");
        (node.Status!.Restarts?.Count ?? 0).ShouldBe(0);
        node.Status.Disk!.Id.ShouldBe(node.Metadata.Uid);
    }

    [Fact]
    public async Task A_guest_that_ignores_the_power_button_loses_its_plug_after_the_grace_period()
    {
        await Space.NodeAsync("deaf", "gracePeriodSeconds: 2");
        Guest guest = await Space.RunningGuestAsync("deaf");
        await guest.OkAsync("write marker synced");
        await guest.OkAsync("hang");
        await Space.PowerAsync("deaf", PowerStates.Stopped);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("deaf", NodePhases.Stopped);
        node.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostPowerOff");
    }

    [GeneratedRegex("^/overlays/node_[0-9a-f-]{36}\\.qcow2$")]
    private static partial Regex OverlayPath();
}
