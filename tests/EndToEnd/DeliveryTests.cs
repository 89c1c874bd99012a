using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>How an image reaches its LabNodes, other than from the node that has its volume.</summary>
public sealed class DeliveryTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override bool WantsImage => false;

    [Fact]
    public async Task A_copy_of_the_image_lets_the_LabNode_live_without_it()
    {
        await Space.ImageAsync("lent", Lab.TinyUrl, Lab.TinySha256, spec: "delivery: Copy");
        await Space.NodeAsync("loner", "restartPolicy: Always", image: "lent");
        Guest guest = await Space.RunningGuestAsync("loner");
        await guest.OkAsync("write mine kept");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("loner", n => n.Status?.Disk?.Backing is { Copy: true, Claim: "labnode-loner" }, "has its own copy");
        node.Status!.Disk!.Backing!.Digest.ShouldBe("sha256:" + Lab.TinySha256);
        (await Space.ImageNowAsync("lent"))!.Status!.Delivery!.Mode.ShouldBe(Deliveries.Copy);

        // Its first pod has the image's claim to the end; the next one does without.
        await Space.PatchNodeAsync("loner", """{"spec": {"restartRevision": "1"} }""");
        await guest.ReadyAsync(boot: 2);
        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "labimage", "lent", "--wait=false");
        await Space.GoneAsync("labimage", "lent");
        await Space.GoneAsync("pvc", $"labimage-lent-{Lab.TinySha256[..12]}");
        await Space.PatchNodeAsync("loner", """{"spec": {"restartRevision": "2"} }""");
        await guest.ReadyAsync(boot: 3);
        (await guest.OkAsync("read mine")).ShouldBe("kept");

        // Also a fresh disk needs no more than that.
        await Space.PatchNodeAsync("loner", """{"spec": {"disk": {"revision": "fresh"} } }""");
        await Space.AwaitNodeAsync("loner", n => n.Status is { Phase: NodePhases.Running, Disk.Revision: "fresh" }, "runs on a fresh disk");
        await guest.ReadyAsync(boot: 1);
    }

    [Fact]
    public async Task A_claim_that_many_may_read_serves_its_LabNodes()
    {
        await Space.ImageAsync("shared", Lab.TinyUrl, Lab.TinySha256, storage: "accessMode: ReadOnlyMany");
        await Space.NodeAsync("reader", image: "shared");
        await Space.RunningGuestAsync("reader");
        V1Alpha1LabImage image = (await Space.ImageNowAsync("shared"))!;
        image.Status!.Delivery!.Mode.ShouldBe(Deliveries.Shared);
        (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", image.Status.Claim!, "-o", "jsonpath={.spec.accessModes}")).ShouldBe("""["ReadWriteOnce","ReadOnlyMany"]""");
    }
}
