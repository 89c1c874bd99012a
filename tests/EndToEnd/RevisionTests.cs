using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>An image gets new bytes: disks that are there keep theirs until they are wiped, and get them back with their old disk.</summary>
public sealed class RevisionTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override bool WantsImage => false;

    [Fact]
    public async Task A_wipe_takes_the_images_present_revision_and_undoing_it_the_old_one()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("sandlabx-e2e-");
        try
        {
            await Space.ImageAsync("lesson", Lab.TinyUrl, Lab.TinySha256);
            await Space.NodeAsync("pupil", image: "lesson");
            Guest guest = await Space.RunningGuestAsync("pupil");
            await guest.OkAsync("write lesson old");

            // The same guest in other bytes: what matters is whose they are.
            string made = Path.Combine(folder.FullName, "tiny-2.qcow2");
            Outcome outcome = await Shell.RunAsync(["qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=32k", Lab.TinyPath, made]);
            outcome.Code.ShouldBe(0, outcome.ToString());
            (string url, string sha256) = await Lab.PublishAsync(made, "e2e-tiny-2.qcow2");
            await Space.ImageAsync("lesson", url, sha256);
            await Space.AwaitImageAsync("lesson", i => i.Status is { Phase: ImagePhases.Ready } && i.Status.Digest == "sha256:" + sha256, "has its new revision");
            string oldClaim = $"labimage-lesson-{Lab.TinySha256[..12]}", newClaim = $"labimage-lesson-{sha256[..12]}";

            // A restart is no wipe.
            await Space.PatchNodeAsync("pupil", """{"spec": {"restartRevision": "1"} }""");
            await guest.ReadyAsync(boot: 2);
            V1Alpha1LabNode node = await Space.AwaitNodeAsync("pupil", n => Space.Condition(n, ConditionTypes.ImageReady)?.Reason == "PinnedToDisk", "says that it has an older revision");
            node.Status!.Disk!.Backing!.Claim.ShouldBe(oldClaim);

            await Space.PatchNodeAsync("pupil", """{"spec": {"disk": {"revision": "lesson-2"} } }""");
            node = await Space.AwaitNodeAsync("pupil", n => n.Status is { Phase: NodePhases.Running, Disk: { Revision: "lesson-2" } disk } && disk.Backing!.Claim == newClaim, "runs on the new revision");
            node.Status!.Disk!.Kept!.ShouldHaveSingleItem().Backing!.Claim.ShouldBe(oldClaim);
            await guest.ReadyAsync(boot: 1);

            // Both stay, as a disk stands on each.
            (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", oldClaim, newClaim, "-o", "jsonpath={.items[*].metadata.deletionTimestamp}")).ShouldBeEmpty();
            await Space.PatchNodeAsync("pupil", """{"spec": {"disk": {"revision": "initial"} } }""");
            node = await Space.AwaitNodeAsync("pupil", n => n.Status is { Phase: NodePhases.Running, Disk: { Revision: "initial" } disk } && disk.Backing!.Claim == oldClaim, "runs on its old disk");
            await guest.ReadyAsync(boot: 3);
            (await guest.OkAsync("read lesson")).ShouldBe("old");

            // Once the last disk on it is gone, so is the old revision.
            await Space.PatchNodeAsync("pupil", """{"spec": {"disk": {"revision": "lesson-3", "keepWiped": 0} } }""");
            await Space.AwaitNodeAsync("pupil", n => n.Status is { Phase: NodePhases.Running, Disk: { Revision: "lesson-3", Kept: null } disk } && disk.Backing!.Claim == newClaim, "runs on a third disk");
            await Space.GoneAsync("pvc", oldClaim);
            (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", newClaim, "-o", "name")).ShouldNotBeEmpty();
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
