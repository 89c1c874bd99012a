using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>Disks keep their base; a wipe makes one on what the image is then.</summary>
public sealed class NodeBasesTests
{
    private const string NewSha = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb";
    private const string OldClaim = "labimage-debian-12-aaaaaaaaaaaa";
    private const string NewClaim = "labimage-debian-12-bbbbbbbbbbbb";
    private static readonly BackingReport s_old = new("/images/debian-12/disk.qcow2", Given.Sha);
    private static readonly BackingReport s_new = new("/images/debian-12/disk.qcow2", NewSha);

    [Fact]
    public void A_new_revision_of_the_image_changes_nothing_before_a_wipe_and_says_so()
    {
        NodeObservation seen = Stopped(image: NewImage());
        seen.Node.Spec.PowerState = PowerStates.Running;
        Plan<LabNodeStatus> plan = Plan(seen);
        Config(plan).BackingSha256.ShouldBe(Given.Sha);
        V1Condition image = plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.ImageReady);
        (image.Status, image.Reason).ShouldBe(("True", "PinnedToDisk"));
        image.Message.ShouldContain("a wipe (spec.disk.revision) makes a disk on the present one");
    }

    [Fact]
    public void A_wipe_takes_the_images_present_revision_which_the_claim_names_before_a_disk_stands_on_it()
    {
        NodeObservation seen = Wiped(NewImage());
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
        Intent.NoteOnClaim note = plan.Intents.OfType<Intent.NoteOnClaim>().ShouldHaveSingleItem();
        (note.Uid, note.ResourceVersion).ShouldBe(("claim-uid", "7"));
        seen = Noted(seen, plan);
        DiskBases.Present(seen.Claim)!.Claim.ShouldBe(OldClaim);
        DiskBases.Others(seen.Claim).ShouldBe([new DiskBase("debian-12", NewClaim, NewSha, Firmwares.Uefi, true) { For = "2" }]);

        plan = Plan(seen);
        plan.Intents.OfType<Intent.NoteOnClaim>().ShouldBeEmpty();
        RunnerConfig config = Config(plan);
        (config.Wipe, config.BackingSha256, config.BackingPath, config.Uefi).ShouldBe((true, NewSha, s_new.Path, true));
        config.Seed.ShouldNotBeNull();
        plan.Intents.OfType<Intent.CreatePod>().Single().Pod.Spec.Volumes.Single(v => v.Name == "image").PersistentVolumeClaim.ClaimName.ShouldBe(NewClaim);

        // Once it is known to be done, the claim says so; the old base stays named while the old disk is kept.
        seen = Given.After(seen, plan) with { Runner = Told("2", s_new, new KeptDisk("1", Given.Now, 5) { Backing = s_old }) };
        plan = Plan(seen);
        seen = Noted(seen, plan);
        DiskBases.Present(seen.Claim).ShouldBe(new DiskBase("debian-12", NewClaim, NewSha, Firmwares.Uefi, true));
        DiskBases.Others(seen.Claim).ShouldBe([new DiskBase("debian-12", OldClaim, Given.Sha, Firmwares.Bios, false)]);
        plan = Plan(seen);
        plan.Intents.OfType<Intent.NoteOnClaim>().ShouldBeEmpty();
        (plan.Status.Disk!.Backing!.Claim, plan.Status.Disk.Kept!.Single().Backing!.Claim).ShouldBe((NewClaim, OldClaim));

        // Its name brings the old disk back, on its old base.
        seen = Ended(Given.After(seen, plan));
        seen.Node.Spec.Disk.Revision = "1";
        config = Config(Plan(seen));
        (config.Wipe, config.DiskRevision, config.BackingSha256, config.Uefi).ShouldBe((true, "1", Given.Sha, false));
    }

    [Fact]
    public void A_base_that_no_disk_stands_on_any_more_is_let_go()
    {
        NodeObservation seen = Wiped(NewImage());
        seen = Noted(seen, Plan(seen));
        seen = Given.After(seen, Plan(seen)) with { Runner = Told("2", s_new) };
        seen = Noted(seen, Plan(seen));
        DiskBases.All(seen.Claim).Single().Claim.ShouldBe(NewClaim);
    }

    [Fact]
    public void What_was_noted_for_a_wipe_stays_for_it_when_the_image_changes_again()
    {
        NodeObservation seen = Wiped(NewImage());
        seen = Noted(seen, Plan(seen));
        seen = seen with { Image = Given.Image(i => (i.Status!.Claim, i.Status.Digest) = ("labimage-debian-12-cccccccccccc", "sha256:" + new string('c', 64))), BaseClaims = [OldClaim, NewClaim, "labimage-debian-12-cccccccccccc"] };
        Config(Plan(seen)).BackingSha256.ShouldBe(NewSha);

        // For another wipe, or when somebody deleted it, it is the present one.
        seen.Node.Spec.Disk.Revision = "3";
        DiskBases.Others(Noted(seen, Plan(seen)).Claim).Select(b => b.For).ShouldBe(["2", "3"]);
    }

    [Theory]
    [InlineData(ImagePhases.Importing, "ImageNotReady")]
    [InlineData(ImagePhases.Failed, "ImageNotReady")]
    [InlineData(null, "ImageNotFound")]
    public void A_wipe_waits_for_the_image_and_the_present_disk_stays(string? phase, string reason)
    {
        NodeObservation seen = Wiped(phase is null ? null : Given.Image(i => i.Status!.Phase = phase));
        seen.Node.Spec.Image = phase is null ? "another" : "debian-12";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
        (plan.Status.Phase, plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready).Reason).ShouldBe((NodePhases.WaitingForImage, reason));
    }

    [Fact]
    public void Without_its_LabImage_a_disk_is_wiped_to_the_base_that_it_has()
    {
        NodeObservation seen = Wiped(null);
        RunnerConfig config = Config(Plan(Noted(seen, Plan(seen))));
        (config.Wipe, config.BackingSha256).ShouldBe((true, Given.Sha));
    }

    [Fact]
    public void A_larger_revision_enlarges_the_claim_and_a_size_below_it_is_refused()
    {
        NodeObservation seen = Wiped(NewImage(16L << 30));
        seen = Noted(seen, Plan(seen));
        Plan(seen).Intents.OfType<Intent.GrowClaim>().ShouldHaveSingleItem().Bytes.ShouldBe(NodeObjects.ClaimBytes(16L << 30));

        seen.Node.Spec.Disk.Size = "8Gi";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
        plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready).Reason.ShouldBe(TerminationReasons.SizeBelowImage);
    }

    [Fact]
    public void An_image_that_is_to_be_copied_is_mounted_until_its_copy_is_there()
    {
        NodeObservation seen = Given.Fresh() with { Image = CopiedImage() };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreateClaim>().Single().Claim.Spec.Resources.Requests["storage"].ToDecimal().ShouldBe(NodeObjects.ClaimBytes((2048 + 300) * Quantities.MiB));
        string own = $"/overlays/base-{Given.Sha[..12]}/disk.qcow2";
        RunnerConfig config = Config(plan);
        (config.BackingPath, config.BackingCopyFrom).ShouldBe((own, s_old.Path));
        V1Pod pod = plan.Intents.OfType<Intent.CreatePod>().Single().Pod;
        pod.Spec.Volumes.Single(v => v.Name == "image").PersistentVolumeClaim.ClaimName.ShouldBe(OldClaim);
        pod.Spec.Containers[0].VolumeMounts.Single(m => m.Name == "image").MountPath.ShouldBe("/images/debian-12");

        seen = Given.After(seen, plan) with { Runner = Told("initial", new BackingReport(own, Given.Sha)) };
        seen = Noted(seen, Plan(seen));
        DiskBases.ClaimsOf(seen.Claim!).ShouldBe(["labnode-a"]);
        seen = seen with { BackingClaim = seen.Claim, Image = null };
        plan = Plan(seen);
        (plan.Status.Disk!.Backing!.Copy, plan.Status.Disk.Backing.Claim).ShouldBe((true, "labnode-a"));
        plan = Plan(Ended(Given.After(seen, plan)));
        (Config(plan).BackingPath, Config(plan).BackingCopyFrom).ShouldBe((own, null));
        plan.Intents.OfType<Intent.CreatePod>().Single().Pod.Spec.Volumes.ShouldNotContain(v => v.Name == "image");
    }

    [Fact]
    public void A_wipe_to_a_copied_image_enlarges_the_claim_by_its_size_and_the_old_base_goes_its_way()
    {
        NodeObservation seen = Wiped(CopiedImage());
        seen = Noted(seen, Plan(seen));
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.GrowClaim>().ShouldHaveSingleItem().Bytes.ShouldBe(NodeObjects.ClaimBytes((2048 + 300) * Quantities.MiB));
        string own = $"/overlays/base-{Given.Sha[..12]}/disk.qcow2";
        Config(plan).BackingPath.ShouldBe(own);

        seen = Given.After(seen, plan) with { Runner = Told("2", new BackingReport(own, Given.Sha), new KeptDisk("1", Given.Now, 5) { Backing = s_old }) };
        seen = Noted(seen, Plan(seen));
        DiskBases.ClaimsOf(seen.Claim!).ShouldBe(["labnode-a", OldClaim]);
    }

    [Theory]
    [InlineData(null)]
    [InlineData("[{\"image\"")]
    [InlineData("null")]
    public void A_note_that_cant_be_read_is_none(string? note)
    {
        V1PersistentVolumeClaim claim = Given.Claim(Given.Node());
        if (note is not null)
        {
            claim.Metadata.Annotations[Annotations.OtherBases] = note;
        }

        DiskBases.Others(claim).ShouldBeEmpty();
    }

    private static V1Alpha1LabImage NewImage(long? size = null) => Given.Image(i =>
    {
        i.Spec.Sha256 = NewSha;
        (i.Spec.Guest.Firmware, i.Spec.Guest.CloudInit) = (Firmwares.Uefi, true);
        (i.Status!.Claim, i.Status.Digest) = (NewClaim, "sha256:" + NewSha);
        i.Status.VirtualSizeBytes = size ?? i.Status.VirtualSizeBytes;
    });

    private static V1Alpha1LabImage CopiedImage() => Given.Image(i => (i.Spec.Delivery, i.Status!.FileSizeBytes) = (Deliveries.Copy, 300 * Quantities.MiB));

    /// <summary>A LabNode with disk "1", off.</summary>
    private static NodeObservation Stopped(V1Alpha1LabImage? image)
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.Revision = "1") with { Runner = Told("1", s_old) };
        seen = Ended(Given.After(seen, Plan(seen)));
        return seen with { Image = image, BaseClaims = [OldClaim, NewClaim] };
    }

    /// <summary>The same, to be wiped to disk "2".</summary>
    private static NodeObservation Wiped(V1Alpha1LabImage? image)
    {
        NodeObservation seen = Stopped(image);
        seen.Node.Spec.Disk.Revision = "2";
        seen.Claim!.Metadata.ResourceVersion = "7";
        return seen;
    }

    private static NodeObservation Ended(NodeObservation seen)
    {
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown)), Runner = null };
        return Given.After(seen, Plan(seen)) with { Pod = null };
    }

    private static NodeObservation Noted(NodeObservation seen, Plan<LabNodeStatus> plan)
    {
        plan.Intents.OfType<Intent.NoteOnClaim>().ShouldHaveSingleItem();
        return Given.After(seen, plan);
    }

    private static RunnerState Told(string revision, BackingReport backing, params KeptDisk[] kept) =>
        Given.RunnerRunning with { Disk = Given.RunnerRunning.Disk! with { Revision = revision, Backing = backing, Kept = kept.Length == 0 ? null : kept } };

    private static RunnerConfig Config(Plan<LabNodeStatus> plan) =>
        JsonSerializer.Deserialize(plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;

    private static Plan<LabNodeStatus> Plan(NodeObservation seen) => NodePlanner.Plan(seen, Given.Options, Given.Now);
}
