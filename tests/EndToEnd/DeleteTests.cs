using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd;

/// <summary>What goes and what stays when things are deleted.</summary>
public sealed class DeleteTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task Reclaim_policy_Delete_removes_pod_claim_and_volume()
    {
        await Space.NodeAsync("gone", disk: "reclaimPolicy: Delete");
        await Space.AwaitPhaseAsync("gone", NodePhases.Running);
        string volume = (await Space.ClaimNowAsync("gone"))!.Spec.VolumeName;
        volume.ShouldNotBeNullOrEmpty();
        await DeleteAsync("labnode", "gone");
        await Space.GoneAsync("labnode", "gone");
        (await Space.PodNowAsync("gone")).ShouldBeNull();
        await Space.GoneAsync("pvc", "labnode-gone");
        await Space.GoneAsync("pv", volume);
    }

    [Fact]
    public async Task Reclaim_policy_Retain_keeps_the_claim_and_a_LabNode_of_the_same_name_finds_its_disk()
    {
        await Space.NodeAsync("kept", disk: "reclaimPolicy: Retain");
        Guest guest = await Space.RunningGuestAsync("kept");
        await guest.OkAsync("write marker of the first LabNode");
        V1Alpha1LabNode first = (await Space.NodeNowAsync("kept"))!;
        V1PersistentVolumeClaim claim = (await Space.ClaimNowAsync("kept"))!;
        await DeleteAsync("labnode", "kept");
        await Space.GoneAsync("labnode", "kept");
        (await Space.PodNowAsync("kept")).ShouldBeNull();
        V1PersistentVolumeClaim left = (await Space.ClaimNowAsync("kept")).ShouldNotBeNull();
        left.Metadata.Uid.ShouldBe(claim.Metadata.Uid);
        left.Metadata.DeletionTimestamp.ShouldBeNull();

        await Space.NodeAsync("kept");
        V1Alpha1LabNode second = await Space.AwaitPhaseAsync("kept", NodePhases.Running);
        second.Metadata.Uid.ShouldNotBe(first.Metadata.Uid);
        second.Status!.OverlayPath.ShouldBe(first.Status!.OverlayPath);
        second.Status.Disk!.Id.ShouldBe(first.Metadata.Uid);
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("of the first LabNode");
    }

    [Fact]
    public async Task Deleting_a_LabNode_powers_its_guest_off_in_order()
    {
        await Space.NodeAsync("orderly");
        Guest guest = await Space.RunningGuestAsync("orderly");
        var log = new System.Collections.Concurrent.ConcurrentQueue<string>();
        using (Shell.Follow(["kubectl", "-n", Space.Name, "logs", "--follow", "labnode-orderly"], log.Enqueue))
        {
            await guest.OkAsync("ping before");
            await DeleteAsync("labnode", "orderly");
            await Space.GoneAsync("labnode", "orderly");
            await Eventually.SeesAsync("the guest's last words", () => Task.FromResult(string.Join('\n', log)), t => t.Contains("SANDLABX-TINY POWEROFF", StringComparison.Ordinal));
        }
    }

    [Fact]
    public async Task A_stopped_LabNode_goes_too()
    {
        await Space.NodeAsync("idle", "powerState: Stopped", "reclaimPolicy: Delete");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("idle", NodePhases.Stopped);
        Space.Condition(node, ConditionTypes.Ready)!.Status.ShouldBe("True");
        (await Space.ClaimNowAsync("idle")).ShouldBeNull("a disk is made at the first start");
        await DeleteAsync("labnode", "idle");
        await Space.GoneAsync("labnode", "idle");
    }

    [Fact]
    public async Task An_image_stays_while_a_disk_is_based_on_it_and_goes_after()
    {
        await Space.ImageAsync("base", Lab.TinyUrl, Lab.TinySha256);
        V1Alpha1LabImage image = await Space.AwaitImageAsync("base", i => i.Status?.Phase == ImagePhases.Ready, "is ready");
        await Space.NodeAsync("based", image: "base");
        await Space.AwaitPhaseAsync("based", NodePhases.Running);
        await DeleteAsync("labimage", "base");
        V1Alpha1LabImage held = await Space.AwaitImageAsync("base", i => Space.Condition(i, ConditionTypes.Ready)?.Reason == "InUse", "is in use");
        held.Status!.Phase.ShouldBe(ImagePhases.Deleting);
        Space.Condition(held, ConditionTypes.Ready)!.Message.ShouldContain("labnode-based");
        await Space.EventAsync("LabImage", "base", "Warning", "InUse", "labnode-based");

        // The guest on it starts again all the same: its disk names its base itself.
        await Space.PowerAsync("based", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("based", NodePhases.Stopped);
        await Space.PowerAsync("based", PowerStates.Running);
        await Space.AwaitPhaseAsync("based", NodePhases.Running);

        // The LabNode alone does not free it: its claim is retained, and is a disk still.
        await DeleteAsync("labnode", "based");
        await Space.GoneAsync("labnode", "based");
        (await Space.ImageNowAsync("base")).ShouldNotBeNull();
        (await Lab.Api.GetAsync<V1PersistentVolumeClaim>(new ObjectKey(Space.Name, image.Status!.Claim!), CancellationToken.None))
            .ShouldNotBeNull().Metadata.DeletionTimestamp.ShouldBeNull();
        await DeleteAsync("pvc", "labnode-based");
        await Space.GoneAsync("labimage", "base");
        await Space.GoneAsync("pvc", image.Status.Claim!);
    }

    private Task<string> DeleteAsync(string kind, string name) => Lab.KubectlOkAsync("-n", Space.Name, "delete", kind, name, "--wait=false");
}
