using System.Globalization;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>LabNodes that ask for what can't be: each says the field, the value and the way out, touches nothing else, and is healed by correcting it.</summary>
public sealed class BadNodeTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task An_unknown_image()
    {
        await Space.NodeAsync("lost", image: "no-such-image");
        await RefusesAsync("lost", NodePhases.WaitingForImage, ConditionTypes.ImageReady, "ImageNotFound", ["spec.image", "no-such-image", "Create it"]);
        (await Space.ClaimNowAsync("lost")).ShouldBeNull();
        await Space.PatchNodeAsync("lost", """{"spec": {"image": "tiny"} }""");
        await Space.AwaitPhaseAsync("lost", NodePhases.Running);
    }

    [Fact]
    public async Task An_image_that_comes_later()
    {
        await Space.NodeAsync("early", image: "later");
        await RefusesAsync("early", NodePhases.WaitingForImage, ConditionTypes.ImageReady, "ImageNotFound", ["later"]);
        await Space.ImageAsync("later", Lab.TinyUrl, Lab.TinySha256);
        await Space.AwaitPhaseAsync("early", NodePhases.Running);
    }

    [Fact]
    public async Task A_size_below_the_images()
    {
        await Space.NodeAsync("small", disk: "size: 100Mi");
        await RefusesAsync("small", NodePhases.Failed, ConditionTypes.DiskReady, "SizeBelowImage", ["spec.disk.size", "100Mi", "256Mi"]);
        (await Space.ClaimNowAsync("small")).ShouldBeNull();
        await Space.PatchNodeAsync("small", """{"spec": {"disk": {"size": "300Mi"} } }""");
        Guest guest = await Space.RunningGuestAsync("small");
        (await guest.OkAsync("size")).ShouldBe((300 * Quantities.MiB).ToString(CultureInfo.InvariantCulture));
    }

    [Fact]
    public async Task An_unknown_storage_class()
    {
        await Space.NodeAsync("classy", disk: "storageClassName: no-such-class");
        await RefusesAsync("classy", NodePhases.WaitingForVolume, ConditionTypes.DiskReady, "StorageClassNotFound", ["spec.disk.storageClassName", "no-such-class", "kubectl get storageclass"]);
        await Space.PatchNodeAsync("classy", """{"spec": {"disk": {"storageClassName": null} } }""");
        await Space.AwaitPhaseAsync("classy", NodePhases.Running);
        (await Space.ClaimNowAsync("classy"))!.Spec.StorageClassName.ShouldNotBe("no-such-class");
    }

    [Fact]
    public async Task Memory_that_no_machine_has_room_for()
    {
        await Space.NodeAsync("huge");
        await Space.PatchNodeAsync("huge", """{"spec": {"powerState": "Stopped"} }""");
        await Space.AwaitPhaseAsync("huge", NodePhases.Stopped);
        await Space.PatchNodeAsync("huge", """{"spec": {"powerState": "Running", "memory": "900Ti"} }""");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("huge", NodePhases.Unschedulable);
        Space.Condition(node, ConditionTypes.Ready)!.Message.ShouldContain("memory");
        await Space.PatchNodeAsync("huge", """{"spec": {"memory": "128Mi"} }""");
        await Space.AwaitPhaseAsync("huge", NodePhases.Running);
    }

    [Fact]
    public async Task A_full_claim_pauses_the_guest_and_room_lets_it_go_on()
    {
        // The claim is the disk and 6 % and 128 MiB more, so that it can't be filled by the guest; a file beside the overlay can.
        await Space.NodeAsync("full");
        Guest guest = await Space.RunningGuestAsync("full");
        await guest.OkAsync("write marker before it was full");
        await Lab.KubectlAsync("-n", Space.Name, "exec", "labnode-full", "--", "sh", "-c", "dd if=/dev/zero of=/overlays/ballast bs=1M");
        Task<string> filling = guest.AskAsync("fill 8");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("full", NodePhases.Paused);
        V1Condition disk = Space.Condition(node, ConditionTypes.DiskReady)!;
        disk.Reason.ShouldBe("NoSpace");
        disk.Message.ShouldContain("labnode-full");
        await Space.EventAsync("LabNode", "full", "Warning", "NoSpace");
        await Lab.KubectlOkAsync("-n", Space.Name, "exec", "labnode-full", "--", "rm", "/overlays/ballast");
        await Space.AwaitPhaseAsync("full", NodePhases.Running);
        (await filling).ShouldContain("OK 8 MiB");
        (await guest.OkAsync("read marker")).ShouldBe("before it was full");
        (await Space.NodeNowAsync("full"))!.Status!.Terminations.ShouldBeNull();
    }

    [Fact]
    public async Task A_claim_that_is_full_grows_with_its_disk_and_the_guest_goes_on()
    {
        await Space.NodeAsync("fuller", disk: "size: 320Mi");
        Guest guest = await Space.RunningGuestAsync("fuller");
        await guest.OkAsync("write marker before it was full");
        await Lab.KubectlAsync("-n", Space.Name, "exec", "labnode-fuller", "--", "sh", "-c", "dd if=/dev/zero of=/overlays/ballast bs=1M");
        Task filling = guest.TellAsync("fill 8").ContinueWith(_ => { }, TaskScheduler.Default);
        await Space.AwaitPhaseAsync("fuller", NodePhases.Paused);

        // The local cluster's volumes grow while no pod uses them: with a restart, as the docs have it.
        await Space.PatchNodeAsync("fuller", """{"spec": {"gracePeriodSeconds": 1, "restartRevision": "larger", "disk": {"size": "600Mi"} } }""");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync(
            "fuller", n => n.Status is { Phase: NodePhases.Running, Disk.VirtualSizeBytes: 600 * Quantities.MiB, Terminations.Count: 1 }, "runs on a larger disk");
        node.Status!.Terminations![0].Message!.ShouldContain("its claim was full");
        Space.Condition(node, ConditionTypes.DiskReady)!.Status.ShouldBe("True");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("before it was full");
        (await guest.OkAsync("fill 8")).ShouldContain("8 MiB");
        await filling;
    }

    [Fact]
    public async Task What_the_schema_can_refuse_is_refused_at_once()
    {
        Outcome outcome = await Shell.RunAsync(["kubectl", "apply", "-f", "-"], input: $$"""
            {"apiVersion": "sandlabx.io/v1alpha1", "kind": "LabNode", "metadata": {"name": "schema", "namespace": "{{Space.Name}}"},
             "spec": {"image": "tiny", "powerState": "Off", "memory": "1Gb", "cpus": 0, "disk": {"reclaimPolicy": "Recycle"} } }
            """);
        outcome.Code.ShouldNotBe(0);
        foreach (string field in new[] { "spec.powerState", "spec.memory", "spec.cpus", "spec.disk.reclaimPolicy" })
        {
            outcome.Errors.ShouldContain(field);
        }
    }

    private async Task RefusesAsync(string name, string phase, string type, string reason, string[] words)
    {
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync(name, phase);
        V1Condition condition = Space.Condition(node, type)!;
        Output.WriteLine($"{condition.Reason}: {condition.Message}");
        condition.Status.ShouldBe("False");
        condition.Reason.ShouldBe(reason);
        words.ShouldAllBe(w => condition.Message.Contains(w));
        V1Condition ready = Space.Condition(node, ConditionTypes.Ready)!;
        ready.Status.ShouldBe("False");
        ready.Message.ShouldBe(condition.Message);
        (await Space.PodNowAsync(name)).ShouldBeNull();
        await Space.EventAsync("LabNode", name, "Warning", reason, words);
    }
}
