using k8s.Models;
using SandLabX.Contract;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Delivery ImageVolume, on whatever server there is: one that has image volumes boots a guest from one, and an older one refuses, which is told with the way out.</summary>
public sealed class ImageVolumeTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    private const string Path = "disk/tiny.qcow2";

    protected override bool WantsImage => false;

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task A_container_image_is_the_base_of_disks_and_no_claim_holds_it()
    {
        string reference = await ContainerImage.LoadAsync($"e2e.invalid/{Space.Name}/tiny", Path, Lab.TinyPath);
        await ApplyAsync("mounted", reference, Lab.TinySha256);
        if (!await HasImageVolumesAsync())
        {
            await IsRefusedAsync("mounted");
            return;
        }

        V1Alpha1LabImage image = await Space.AwaitImageAsync("mounted", i => i.Status?.Phase == ImagePhases.Ready, "ready");
        (image.Status!.Volume!.Reference, image.Status.Volume.Path, image.Status.Claim).ShouldBe((reference, Path, null));
        image.Status.Delivery!.Mode.ShouldBe(Deliveries.ImageVolume);

        await Space.NodeAsync("reader", "restartPolicy: Always", image: "mounted");
        Guest guest = await Space.RunningGuestAsync("reader");
        await guest.OkAsync("write mine kept");
        V1Alpha1LabNode node = (await Space.NodeNowAsync("reader"))!;
        (node.Status!.Disk!.Backing!.Volume, node.Status.Disk.Backing.Claim).ShouldBe((image.Status.Volume, null));
        (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", "-o", "name")).ShouldBe("persistentvolumeclaim/labnode-reader");

        // The disk's claim says all that the next start needs; and a wipe makes a fresh disk on the same base.
        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "labimage", "mounted", "--wait=false");
        await Space.GoneAsync("labimage", "mounted");
        await Space.PatchNodeAsync("reader", """{"spec": {"restartRevision": "1"} }""");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read mine")).ShouldBe("kept");
        await Space.PatchNodeAsync("reader", """{"spec": {"disk": {"revision": "fresh"} } }""");
        await Space.AwaitNodeAsync("reader", n => n.Status is { Phase: NodePhases.Running, Disk.Revision: "fresh" }, "runs on a fresh disk");
        await guest.ReadyAsync(boot: 1);
        await TravelsAsync(guest, "reader", reference);
    }

    [Fact]
    public async Task A_file_that_no_disk_can_stand_on_is_refused_with_the_reason()
    {
        string raw = System.IO.Path.GetTempFileName();
        try
        {
            Outcome made = await Shell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", Lab.TinyPath, raw]);
            made.Code.ShouldBe(0, made.ToString());
            string converted = await ContainerImage.LoadAsync($"e2e.invalid/{Space.Name}/raw", Path, raw);
            string secret = await ContainerImage.LoadAsync($"e2e.invalid/{Space.Name}/secret", Path, Lab.TinyPath, UnixFileMode.UserRead);
            await using FileStream bytes = File.OpenRead(raw);
            await ApplyAsync("raw", converted, Convert.ToHexStringLower(await System.Security.Cryptography.SHA256.HashDataAsync(bytes)));
            await ApplyAsync("secret", secret, Lab.TinySha256);
            await ApplyAsync("other", secret.Replace("/secret@", "/absent@", StringComparison.Ordinal), Lab.TinySha256);
        }
        finally
        {
            File.Delete(raw);
        }

        if (!await HasImageVolumesAsync())
        {
            await IsRefusedAsync("raw");
            return;
        }

        await FailsAsync("raw", TerminationReasons.UnknownFormat, "it must be qcow2");
        await FailsAsync("secret", TerminationReasons.ArtifactUnusable, "may not be read by this pod, which is not root");
        // No node has it, and no registry of that name is there: the kubelet's own words are shown.
        V1Alpha1LabImage absent = await Space.AwaitImageAsync(
            "other", i => Space.Condition(i, ConditionTypes.Ready) is { Reason: "ErrImagePull" or "ImagePullBackOff" }, "its container image can't be pulled");
        Space.Condition(absent, ConditionTypes.Ready)!.Message.ShouldContain("/absent@sha256:");
    }

    /// <summary>A VM on it leaves without its base, and comes back on a LabImage of the same kind.</summary>
    private async Task TravelsAsync(Guest guest, string name, string reference)
    {
        await using var elsewhere = new Space();
        await elsewhere.MakeAsync(withImage: false);
        string file = System.IO.Path.Combine(Directory.CreateTempSubdirectory("sandlabx-volume-").FullName, "trip.tar.gz");
        await guest.OkAsync("write marker travelled");
        await Space.PowerAsync(name, PowerStates.Stopped);
        await Space.AwaitPhaseAsync(name, NodePhases.Stopped);
        await Space.GoneAsync("pod", $"labnode-{name}");
        Outcome exported = await Plugin.RunAsync(["export", name, file, "-n", Space.Name]);
        exported.Code.ShouldBe(0, exported.ToString());

        await ApplyAsync("there", reference, Lab.TinySha256, elsewhere);
        await elsewhere.AwaitImageAsync("there", i => i.Status?.Phase == ImagePhases.Ready, "ready");
        Outcome imported = await Plugin.RunAsync(["import", file, "-n", elsewhere.Name]);
        imported.Code.ShouldBe(0, imported.ToString());
        await elsewhere.PowerAsync(name, PowerStates.Running);
        Guest back = await elsewhere.RunningGuestAsync(name);
        (await back.OkAsync("read marker")).ShouldBe("travelled");
        (await elsewhere.NodeNowAsync(name))!.Status!.Disk!.Backing!.Volume!.Reference.ShouldBe(reference);
        Directory.Delete(System.IO.Path.GetDirectoryName(file)!, recursive: true);
    }

    private async Task FailsAsync(string name, string reason, string words)
    {
        V1Alpha1LabImage image = await Space.AwaitImageAsync(name, i => i.Status?.Phase == ImagePhases.Failed, "failed");
        V1Condition ready = Space.Condition(image, ConditionTypes.Ready)!;
        ready.Reason.ShouldBe(reason, ready.Message);
        ready.Message.ShouldContain(words);
    }

    private async Task IsRefusedAsync(string name)
    {
        V1Alpha1LabImage image = await Space.AwaitImageAsync(
            name, i => Space.Condition(i, ConditionTypes.Ready)?.Reason is "NoImageVolumes" or "RefusedByServer", "told that there are no image volumes");
        Space.Condition(image, ConditionTypes.Ready)!.Message.ShouldContain("This cluster has no image volumes: Kubernetes has them from 1.35 on");
        image.Status!.Phase.ShouldBeOneOf(ImagePhases.BackOff, ImagePhases.Pending);
        (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", "-o", "name")).ShouldBeEmpty();
    }

    /// <summary>What the server itself says: one that does not know image volumes has no such field.</summary>
    private static async Task<bool> HasImageVolumesAsync() => (await Lab.KubectlAsync("explain", "pod.spec.volumes.image")).Code == 0;

    private Task ApplyAsync(string name, string reference, string sha256, Space? where = null) => Lab.ApplyAsync($$"""
        apiVersion: sandlabx.io/v1alpha1
        kind: LabImage
        metadata: {name: "{{name}}", namespace: {{(where ?? Space).Name}}}
        spec: {delivery: ImageVolume, source: {oci: {reference: "{{reference}}"} }, sha256: "{{sha256}}"}
        """);
}
