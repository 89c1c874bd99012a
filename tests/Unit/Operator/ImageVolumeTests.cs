using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabImages;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

/// <summary>Delivery ImageVolume: pods mount the container image that has the base, and no claim holds it.</summary>
public sealed class ImageVolumeTests
{
    private const string Reference = "registry.example.org/lab/debian@sha256:cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc";
    private const string OldClaim = "labimage-debian-12-aaaaaaaaaaaa";
    private static readonly ImageReport s_report = new(Given.Sha, "qcow2", 2048 * Quantities.MiB, 777) { SourceFormat = "qcow2", Path = "disk/debian.qcow2" };
    private static readonly LabImageVolume s_volume = new() { Reference = Reference, Path = "disk/debian.qcow2", PullSecret = "key", FileSizeBytes = 777 };

    [Fact]
    public void It_is_verified_by_a_pod_that_mounts_it_and_no_claim_is_made()
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source.Oci!.Path = "/disk/debian.qcow2") with { StorageClassKnown = false });
        V1Pod pod = plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.CreatePod>().Pod;
        V1Volume volume = pod.Spec.Volumes.Single(v => v.Image is not null);
        (volume.Image.Reference, volume.Image.PullPolicy).ShouldBe((Reference, "IfNotPresent"));
        V1VolumeMount mount = pod.Spec.Containers[0].VolumeMounts.Single(m => m.Name == volume.Name);
        (mount.MountPath, mount.ReadOnlyProperty).ShouldBe((ContractNames.SourceDirectory, true));
        pod.Spec.Volumes.ShouldNotContain(v => v.PersistentVolumeClaim != null);
        pod.Spec.ImagePullSecrets.Select(s => s.Name).ShouldBe(["key"]);
        ImportConfig config = JsonSerializer.Deserialize(pod.Spec.Containers[0].Env.Single(e => e.Name == ContractNames.ConfigVariable).Value, ContractJson.Default.ImportConfig)!;
        (config.Mounted, config.Oci, config.Url, config.File).ShouldBe((new MountedSource(ContractNames.SourceDirectory, "disk/debian.qcow2"), null, null, null));
        Ready(plan).Message.ShouldContain("is being pulled and verified");
    }

    [Fact]
    public void Once_verified_the_status_says_where_it_is_and_nothing_more_is_done()
    {
        ImageObservation seen = Ended(Fresh());
        Plan<LabImageStatus> plan = Plan(seen);
        (plan.Status.Phase, plan.Status.Claim, plan.Status.Volume).ShouldBe((ImagePhases.Ready, null, s_volume));
        (plan.Status.Delivery!.Mode, plan.Status.Digest, plan.Status.FileSizeBytes).ShouldBe((Deliveries.ImageVolume, "sha256:" + Given.Sha, 777));
        Ready(plan).Message.ShouldContain($"disk/debian.qcow2 in {Reference}");
        plan.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();

        Plan<LabImageStatus> steady = Plan(seen with { Image = Written(seen, plan), Pods = [] });
        steady.Intents.ShouldBeEmpty();
        JsonSerializer.Serialize(steady.Status).ShouldBe(JsonSerializer.Serialize(plan.Status));
    }

    [Theory]
    [InlineData("registry.example.org/lab/debian:12", "must name a digest")]
    [InlineData("registry.example.org/lab/debian@sha256:cc", "must name a digest")]
    [InlineData(null, "needs a container image in spec.source.oci; spec.source.url names none")]
    [InlineData(Reference, "spec.compress is true", true)]
    [InlineData(Reference, "spec.source.oci.plainHttp has no effect", false, true)]
    [InlineData(Reference, "spec.source.oci.path is \"../etc/shadow\"", false, false, "../etc/shadow")]
    public void What_can_not_be_meant_is_refused_with_the_way_out(string? reference, string words, bool compress = false, bool plainHttp = false, string? path = null)
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i =>
        {
            i.Spec.Compress = compress;
            i.Spec.Source = reference is null
                ? new LabImageSource { Url = "http://images/debian-12.qcow2" }
                : new LabImageSource { Oci = new LabImageOci { Reference = reference, PlainHttp = plainHttp, Path = path } };
        }));
        (plan.Status.Phase, Ready(plan).Reason).ShouldBe((ImagePhases.Failed, "InvalidSpec"));
        Ready(plan).Message.ShouldContain(words);
        plan.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
    }

    [Fact]
    public void An_image_on_a_claim_that_is_mounted_from_now_on_loses_its_claim_once_that_works_and_no_disk_needs_it()
    {
        ImageObservation seen = Fresh() with { Image = Image(i => i.Status = Given.Image().Status), Claims = [Given.ImageClaim()] };
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Importing);
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.CreatePod>();

        seen = Ended(seen);
        plan = Plan(seen);
        plan.Status.Volume.ShouldBe(s_volume);
        ImageObservation later = seen with { Image = Written(seen, plan), Pods = [] };
        Plan(later with { Users = later.Users.Add(OldClaim, ["labnode-a"]) }).Intents.ShouldBeEmpty();
        Plan(later).Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.DeleteClaim>().Uid.ShouldBe("image-claim-uid");
    }

    [Fact]
    public void What_an_import_to_a_claim_reports_says_nothing_of_a_container_image_nor_the_other_way_round()
    {
        ImageObservation shared = Fresh() with { Image = Image(i => i.Spec.Delivery = Deliveries.Shared) };
        V1Pod ofClaim = Ended(shared, s_report with { Path = null }).Pods[0], ofVolume = Ended(Fresh()).Pods[0];
        Plan<LabImageStatus> plan = Plan(Fresh() with { Pods = [ofClaim] });
        (plan.Status.Phase, plan.Status.Volume, plan.Status.LastFailure).ShouldBe((ImagePhases.Importing, null, null));
        plan.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();
        plan = Plan(shared with { Pods = [ofVolume] });
        (plan.Status.Phase, plan.Status.Claim, plan.Status.LastFailure).ShouldBe((ImagePhases.Importing, null, null));
    }

    [Fact]
    public void Another_reference_with_the_same_bytes_is_verified_before_it_counts()
    {
        ImageObservation seen = Ended(Fresh());
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [] };
        seen.Image.Spec.Source.Oci!.Reference = Reference.Replace("registry.example.org", "mirror.example.org", StringComparison.Ordinal);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Importing);
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.CreatePod>();
    }

    [Fact]
    public void A_server_without_image_volumes_is_told_of()
    {
        var refusal = new Refusal("create pod", KubeError.Invalid, "POST /api/v1/namespaces/lab/pods: 422 Pod is invalid: spec.volumes[1]: Required value: must specify a volume type");
        Plan<LabImageStatus> plan = Plan(Fresh() with { Refusal = refusal });
        (plan.Status.Phase, Ready(plan).Reason).ShouldBe((ImagePhases.Pending, "RefusedByServer"));
        Ready(plan).Message.ShouldContain("has no image volumes: Kubernetes has them from 1.35 on");
        Ready(plan).Message.ShouldContain("Set spec.delivery of the LabImage to Shared or Copy");
    }

    [Fact]
    public void A_server_that_takes_the_volume_for_an_empty_folder_is_told_of_and_tried_again()
    {
        ImageObservation seen = Fresh();
        V1Pod pod = Given.Import(seen.Image, Given.Report(TerminationReasons.ArtifactUnusable));
        V1Volume volume = pod.Spec.Volumes.Single(v => v.Image is not null);
        (volume.Image, volume.EmptyDir) = (null, new V1EmptyDirVolumeSource());
        Plan<LabImageStatus> plan = Plan(seen with { Pods = [pod] });
        (plan.Status.Phase, Ready(plan).Reason).ShouldBe((ImagePhases.BackOff, "NoImageVolumes"));
        Ready(plan).Message.ShouldContain("This cluster has no image volumes");
        Ready(plan).Message.ShouldContain("is tried again at");
        plan.RequeueAfter.ShouldNotBeNull();
    }

    [Fact]
    public void A_LabNode_notes_it_on_its_claim_and_mounts_it()
    {
        NodeObservation seen = Given.Fresh() with { Image = ReadyImage(), BackingClaim = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        V1PersistentVolumeClaim claim = plan.Intents.OfType<Intent.CreateClaim>().Single().Claim;
        claim.Metadata.Annotations.ShouldNotContainKey(Annotations.BackingClaim);
        DiskBases.Present(claim).ShouldBe(new DiskBase("debian-12", null, Given.Sha, Firmwares.Bios, false) { Volume = s_volume });
        plan.Status.Disk!.Backing!.Volume.ShouldBe(s_volume);
        V1Pod pod = plan.Intents.OfType<Intent.CreatePod>().Single().Pod;
        Mounts(pod, "image").ShouldBe("/images/debian-12");
        pod.Spec.ImagePullSecrets.Select(s => s.Name).ShouldBe(["key"]);
        RunnerConfig config = Config(pod);
        (config.BackingPath, config.BackingFileBytes, config.BackingSha256).ShouldBe(("/images/debian-12/disk/debian.qcow2", 777, Given.Sha));

        // The LabImage may go: the claim says all that the next start needs.
        seen = Given.After(seen, plan) with { Image = null, Pod = null };
        plan = Plan(seen);
        Config(plan.Intents.OfType<Intent.CreatePod>().Single().Pod).BackingPath.ShouldBe("/images/debian-12/disk/debian.qcow2");
        plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.ImageReady).Status.ShouldBe("True");
        Indexes.BackingsOf(seen.Claim!).ShouldBeEmpty();
    }

    [Fact]
    public void A_wipe_moves_a_disk_from_a_claim_to_a_container_image()
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.Revision = "1") with
        {
            Runner = Given.RunnerRunning with { Disk = Given.RunnerRunning.Disk! with { Revision = "1", Backing = new BackingReport("/images/debian-12/disk.qcow2", Given.Sha) } },
        };
        seen = Given.After(seen, Plan(seen));
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown)), Runner = null };
        seen = Given.After(seen, Plan(seen)) with { Pod = null, Image = ReadyImage() };
        seen.Claim!.Metadata.ResourceVersion = "7";
        seen.Node.Spec.Disk.Revision = "2";
        Plan<LabNodeStatus> plan = Plan(seen);
        Intent.NoteOnClaim note = plan.Intents.OfType<Intent.NoteOnClaim>().ShouldHaveSingleItem();
        seen = Given.After(seen, plan);
        DiskBases.Others(seen.Claim).ShouldBe([new DiskBase("debian-12", null, Given.Sha, Firmwares.Bios, false) { Volume = s_volume, For = "2" }]);
        note.Annotations[Annotations.BackingClaim].ShouldBe(OldClaim);
        V1Pod pod = Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod;
        Mounts(pod, "image").ShouldBe("/images/debian-12");
        (Config(pod).Wipe, Config(pod).BackingFileBytes).ShouldBe((true, 777));

        // Once it is done the claim names the container image for the present disk, and the old claim for the kept one.
        var told = new DiskReport(2048 * Quantities.MiB, 1, Created: true)
        {
            Revision = "2",
            Backing = new BackingReport("/images/debian-12/disk/debian.qcow2", Given.Sha),
            Kept = [new KeptDisk("1", Given.Now, 1) { Backing = new BackingReport("/images/debian-12/disk.qcow2", Given.Sha) }],
        };
        Given.Noted(seen.Claim!, (Intent.NoteOnClaim)NodeBases.Settle(seen.Claim!, told, null)!);
        DiskBases.Present(seen.Claim).ShouldBe(new DiskBase("debian-12", null, Given.Sha, Firmwares.Bios, false) { Volume = s_volume });
        DiskBases.ClaimsOf(seen.Claim!).ShouldBe([OldClaim]);
        seen.Claim!.Metadata.Annotations.ShouldNotContainKey(Annotations.BackingClaim);
    }

    [Fact]
    public void A_disc_may_be_one()
    {
        NodeObservation seen = Given.Fresh(n => n.Spec.Cdrom = new LabNodeCdrom { Image = "installer" }) with { CdromImage = ReadyImage() };
        V1Pod pod = Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod;
        Mounts(pod, "cdrom").ShouldBe(ContractNames.CdromDirectory);
        Config(pod).CdromPath.ShouldBe("/cdrom/disk/debian.qcow2");
    }

    [Fact]
    public void A_note_that_can_not_be_read_is_no_base()
    {
        V1PersistentVolumeClaim claim = Given.Claim(Given.Node());
        claim.Metadata.Annotations.Remove(Annotations.BackingClaim);
        claim.Metadata.Annotations[Annotations.BackingVolume] = "{";
        DiskBases.Present(claim).ShouldBeNull();
    }

    private static Plan<LabImageStatus> Plan(ImageObservation seen) => ImagePlanner.Plan(seen, Given.Options, Given.Now);

    private static Plan<LabNodeStatus> Plan(NodeObservation seen) => NodePlanner.Plan(seen, Given.Options, Given.Now);

    private static V1Condition Ready(Plan<LabImageStatus> plan) => plan.Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);

    private static V1Alpha1LabImage Image(Action<V1Alpha1LabImage>? change = null) => Given.Image(i =>
    {
        i.Status = null;
        i.Spec.Delivery = Deliveries.ImageVolume;
        i.Spec.Source = new LabImageSource { Oci = new LabImageOci { Reference = Reference, PullSecret = "key" } };
        change?.Invoke(i);
    });

    private static V1Alpha1LabImage ReadyImage()
    {
        ImageObservation seen = Ended(Fresh());
        return Written(seen, Plan(seen));
    }

    private static ImageObservation Fresh(Action<V1Alpha1LabImage>? change = null) => new() { Image = Image(change) };

    private static V1Alpha1LabImage Written(ImageObservation seen, Plan<LabImageStatus> plan) => Given.Image(i => (i.Spec, i.Status) = (seen.Image.Spec, plan.Status));

    private static ImageObservation Ended(ImageObservation seen, ImageReport? report = null)
    {
        V1Pod pod = Given.Import(seen.Image, Given.Report(TerminationReasons.Imported) with { Image = report ?? s_report });
        return seen with { Image = Written(seen, Plan(seen)), Pods = [pod] };
    }

    private static string Mounts(V1Pod pod, string name)
    {
        pod.Spec.Volumes.Single(v => v.Name == name).Image.Reference.ShouldBe(Reference);
        V1VolumeMount mount = pod.Spec.Containers[0].VolumeMounts.Single(m => m.Name == name);
        mount.ReadOnlyProperty.ShouldBe(true);
        return mount.MountPath;
    }

    private static RunnerConfig Config(V1Pod pod) =>
        JsonSerializer.Deserialize(pod.Spec.Containers[0].Env.Single(e => e.Name == ContractNames.ConfigVariable).Value, ContractJson.Default.RunnerConfig)!;
}
