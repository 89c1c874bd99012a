using System.Collections.Immutable;
using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabImages;

namespace SandLabX.Unit.Operator;

public sealed class ImagePlannerTests
{
    private static readonly ImageReport s_report = new(Given.Sha, "qcow2", 2048 * Quantities.MiB, Quantities.MiB);

    private static Plan<LabImageStatus> Plan(ImageObservation seen, DateTimeOffset? now = null) => ImagePlanner.Plan(seen, Given.Options, now ?? Given.Now);

    private static V1Condition Ready(Plan<LabImageStatus> plan) => plan.Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);

    private static ImageObservation Fresh(Action<V1Alpha1LabImage>? change = null) => new()
    {
        Image = Given.Image(i =>
        {
            i.Status = null;
            change?.Invoke(i);
        }),
    };

    /// <summary>The same image after its status was written, with an import that ended so.</summary>
    private static ImageObservation Ended(ImageObservation seen, string reason, ImageReport? image = null, string uid = "import-uid")
    {
        Plan<LabImageStatus> plan = Plan(seen);
        V1Pod pod = Given.Import(seen.Image, Given.Report(reason) with { Image = image }, uid);
        return seen with { Image = Written(seen, plan), Claims = [ImageObjects.Claim(seen.Image)], Pods = [pod] };
    }

    private static V1Alpha1LabImage Written(ImageObservation seen, Plan<LabImageStatus> plan) => Given.Image(i =>
    {
        i.Metadata = seen.Image.Metadata;
        i.Spec = seen.Image.Spec;
        i.Status = plan.Status;
    });

    [Fact]
    public void A_fresh_image_gets_a_claim_and_an_import()
    {
        Plan<LabImageStatus> plan = Plan(Fresh());
        plan.Intents.Select(i => i.GetType().Name).ShouldBe(["CreateClaim", "CreatePod"]);
        plan.Status.Phase.ShouldBe(ImagePhases.Importing);
    }

    [Fact]
    public void A_verified_import_makes_it_ready_and_its_pod_goes()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.Imported, s_report);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Ready);
        plan.Status.Digest.ShouldBe("sha256:" + Given.Sha);
        plan.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().Uid.ShouldBe("import-uid");

        ImageObservation later = seen with { Image = Written(seen, plan), Pods = [] };
        Plan<LabImageStatus> steady = Plan(later, Given.Now.AddDays(1));
        steady.Intents.ShouldBeEmpty();
        JsonSerializer.Serialize(steady.Status).ShouldBe(JsonSerializer.Serialize(plan.Status));
    }

    [Fact]
    public void A_report_of_another_digest_is_not_believed()
    {
        Plan<LabImageStatus> plan = Plan(Ended(Fresh(), TerminationReasons.Imported, s_report with { Sha256 = new string('b', 64) }));
        plan.Status.Phase.ShouldNotBe(ImagePhases.Ready);
        plan.Status.Digest.ShouldBeNull();
    }

    [Theory]
    [InlineData(TerminationReasons.DigestMismatch, "spec.sha256")]
    [InlineData(TerminationReasons.HasBackingFile, "spec.source.url")]
    [InlineData(TerminationReasons.NoSpace, "spec.storage.size")]
    public void What_a_try_can_not_mend_waits_for_the_field_that_can(string reason, string field)
    {
        ImageObservation seen = Ended(Fresh(), reason);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Failed);
        Ready(plan).Reason.ShouldBe(reason);
        Ready(plan).Message.ShouldContain(field);
        Plan<LabImageStatus> later = Plan(seen with { Image = Written(seen, plan), Pods = [] }, Given.Now.AddDays(1));
        later.Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_download_that_failed_is_tried_again_later()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.DownloadFailed);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.BackOff);
        seen = seen with { Image = Written(seen, plan), Pods = [] };
        Plan<LabImageStatus> waiting = Plan(seen, Given.Now.AddSeconds(1));
        waiting.RequeueAfter!.Value.TotalSeconds.ShouldBeInRange(5, 10);
        Plan(seen, Given.Now.AddSeconds(11)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_corrected_source_is_tried_at_once()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.DownloadFailed);
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [] };
        seen.Image.Spec.Source.Url = "http://images/other.qcow2";
        Plan(seen).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_raised_size_makes_the_claim_of_a_failed_import_anew()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.NoSpace);
        V1PersistentVolumeClaim claim = ImageObjects.Claim(seen.Image);
        claim.Metadata.Uid = "small-uid";
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [], Claims = [claim] };
        seen.Image.Spec.Storage.Size = "20Gi";
        Plan(seen).Intents.OfType<Intent.DeleteClaim>().ShouldHaveSingleItem().Uid.ShouldBe("small-uid");
    }

    [Fact]
    public void An_image_in_use_stays_until_its_disks_are_gone()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.Imported, s_report);
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [] };
        seen.Image.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        string claim = seen.Claims[0].Metadata.Name;
        Plan<LabImageStatus> used = Plan(seen with { Users = ImmutableDictionary<string, ImmutableArray<string>>.Empty.Add(claim, ["labnode-a"]) });
        used.Released.ShouldBeFalse();
        used.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
        Ready(used).Message.ShouldContain("labnode-a");
        ImmutableArray<string> many = [.. Enumerable.Range(0, 12).Select(i => $"labnode-n{i:00}")];
        string crowd = Ready(Plan(seen with { Users = ImmutableDictionary<string, ImmutableArray<string>>.Empty.Add(claim, many) })).Message;
        crowd.ShouldContain("12 disk(s)");
        crowd.ShouldContain("labnode-n09 and 2 more");
        crowd.ShouldNotContain("labnode-n10");
        Plan<LabImageStatus> free = Plan(seen);
        free.Intents.OfType<Intent.DeleteClaim>().ShouldHaveSingleItem();
        Plan(seen with { Claims = [] }).Released.ShouldBeTrue();
    }

    [Fact]
    public void A_new_digest_is_a_new_revision_and_the_old_one_stays_while_it_is_used()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.Imported, s_report);
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [] };
        string old = seen.Claims[0].Metadata.Name;
        seen.Image.Spec.Sha256 = new string('c', 64);
        seen = seen with { Users = ImmutableDictionary<string, ImmutableArray<string>>.Empty.Add(old, ["labnode-a"]) };
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
        plan.Intents.OfType<Intent.CreateClaim>().ShouldHaveSingleItem().Claim.Metadata.Name.ShouldNotBe(old);
    }

    [Fact]
    public void An_image_that_is_ready_does_not_change_with_its_source_or_the_wish_to_compress_it()
    {
        ImageObservation seen = Ended(Fresh(), TerminationReasons.Imported, s_report);
        seen = seen with { Image = Written(seen, Plan(seen)), Pods = [] };
        seen.Image.Spec.Source = new LabImageSource { Upload = new LabImageUpload() };
        seen.Image.Spec.Compress = true;
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        plan.Status.Phase.ShouldBe(ImagePhases.Ready);
    }

    [Theory]
    [InlineData("ReadWriteOnce", "OneNode")]
    [InlineData("ReadWriteMany", "Shared")]
    public void How_nodes_reach_it_is_in_status_with_the_reason(string accessMode, string mode)
    {
        LabImageDelivery delivery = Plan(Fresh(i => i.Spec.Storage.AccessMode = accessMode)).Status.Delivery.ShouldNotBeNull();
        delivery.Mode.ShouldBe(mode);
        delivery.Reason.ShouldNotBeNull().ShouldContain(accessMode);
    }

    [Fact]
    public void A_secret_in_the_address_is_not_repeated()
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source.Url = "https://user:hunter2@images/d.qcow2?token=hunter3"));
        JsonSerializer.Serialize(plan.Status).ShouldNotContain("hunter");
        plan.Intents.OfType<Intent.Announce>().ShouldAllBe(a => !a.Message.Contains("hunter"));
    }

    [Fact]
    public void An_upload_is_waited_for_without_end_and_says_what_to_do()
    {
        ImageObservation seen = Fresh(Uploaded);
        Plan<LabImageStatus> begun = Plan(seen);
        begun.Intents.Select(i => i.GetType().Name).ShouldBe(["CreateClaim", "CreatePod"]);
        RunnerEnvironment(begun).Url.ShouldBeNull();
        V1Pod pod = ImageObjects.Pod(seen.Image, Given.Options);
        pod.Metadata.Uid = "import-uid";
        pod.Status = new V1PodStatus { Phase = "Running" };
        seen = seen with { Image = Written(seen, begun), Claims = [ImageObjects.Claim(seen.Image)], Pods = [pod], Runner = Receiving(0, null) };

        Plan<LabImageStatus> waiting = Plan(seen, Given.Now.AddDays(1));
        waiting.Status.Phase.ShouldBe(ImagePhases.Importing);
        Ready(waiting).Reason.ShouldBe("AwaitingUpload");
        Ready(waiting).Message.ShouldContain("kubectl sandlabx image upload debian-12");
        waiting.Intents.ShouldBeEmpty();
        Plan(seen with { Runner = null }).Status.Conditions!.ShouldContain(c => c.Reason == "AwaitingUpload", "a runner that can't be asked waits all the same");
        Plan(seen with { Runner = Receiving(31, 100) }).Status.Progress.ShouldBe("30%");
    }

    [Theory]
    [InlineData(TerminationReasons.DigestMismatch)]
    [InlineData(TerminationReasons.ImportInterrupted)]
    public void After_a_wrong_upload_or_an_ended_pod_the_next_is_waited_for_at_once(string reason)
    {
        ImageObservation seen = Ended(Fresh(Uploaded), reason);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Importing);
        plan.Status.LastFailure!.Reason.ShouldBe(reason);
        seen = seen with { Image = Written(seen, plan), Pods = [] };
        Plan(seen).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        ImageSources.HowToUpload(seen.Image).Contains("sha256", StringComparison.Ordinal).ShouldBe(false);
        ImageSources.HowToUpload(seen.Image).Contains("refused", StringComparison.Ordinal).ShouldBe(reason == TerminationReasons.DigestMismatch);
    }

    [Fact]
    public void An_upload_whose_bytes_are_refused_waits_for_another_digest()
    {
        ImageObservation seen = Ended(Fresh(Uploaded), TerminationReasons.HasBackingFile);
        Plan<LabImageStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(ImagePhases.Failed);
        Ready(plan).Message.ShouldContain("spec.source.upload and spec.sha256");
    }

    [Fact]
    public void Exactly_one_source_is_taken()
    {
        Plan<LabImageStatus> none = Plan(Fresh(i => i.Spec.Source = new LabImageSource()));
        Ready(none).Reason.ShouldBe("InvalidSpec");
        Ready(none).Message.ShouldContain("spec.source names no source");
        Plan<LabImageStatus> two = Plan(Fresh(i => i.Spec.Source.Upload = new LabImageUpload()));
        Ready(two).Reason.ShouldBe("InvalidSpec");
        Ready(two).Message.ShouldContain("url, upload");
        two.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
    }

    [Fact]
    public void A_registry_is_told_to_the_runner_and_its_secret_is_a_file_of_the_pod_alone()
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source = new LabImageSource
        {
            Oci = new LabImageOci { Reference = "registry.example.org/lab/debian:12", Path = "disk/debian.qcow2", PullSecret = "pull", PlainHttp = true },
        }));
        RunnerEnvironment(plan).Oci.ShouldBe(new OciSource("registry.example.org/lab/debian:12") { Path = "disk/debian.qcow2", AuthPath = ContractNames.PullSecretPath, PlainHttp = true });
        V1PodSpec pod = plan.Intents.OfType<Intent.CreatePod>().Single().Pod.Spec;
        V1SecretVolumeSource secret = pod.Volumes.Single(v => v.Secret is not null).Secret;
        secret.SecretName.ShouldBe("pull");
        secret.Optional.ShouldBe(true, "the runner says that it is missing, a pod that waits says nothing");
        secret.Items.ShouldHaveSingleItem().Key.ShouldBe(".dockerconfigjson");
        pod.Containers[0].VolumeMounts.ShouldContain(m => m.MountPath == "/pull-secret" && m.ReadOnlyProperty == true);
        pod.Containers[0].Env.ShouldAllBe(e => e.ValueFrom == null || e.ValueFrom.SecretKeyRef == null);
        Ready(plan).Message.ShouldBe("registry.example.org/lab/debian:12 is being imported.");
    }

    [Fact]
    public void Another_claim_is_mounted_to_be_read_alone()
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source = new LabImageSource { Claim = new LabImageClaim { Name = "downloads", Path = "images/debian.vdi" } }));
        RunnerEnvironment(plan).File.ShouldBe(new FileSource("/source", "images/debian.vdi"));
        V1PodSpec pod = plan.Intents.OfType<Intent.CreatePod>().Single().Pod.Spec;
        pod.Volumes.Single(v => v.Name == "source").PersistentVolumeClaim.ReadOnlyProperty.ShouldBe(true);
        pod.Containers[0].VolumeMounts.Single(m => m.Name == "source").ReadOnlyProperty.ShouldBe(true);
    }

    [Theory]
    [InlineData("../other", "spec.source.claim.path")]
    [InlineData("/absolute", "spec.source.claim.path")]
    [InlineData("a//b", "spec.source.claim.path")]
    public void A_path_out_of_the_claim_is_refused_with_its_field(string path, string field)
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source = new LabImageSource { Claim = new LabImageClaim { Name = "downloads", Path = path } }));
        Ready(plan).Reason.ShouldBe("InvalidSpec");
        Ready(plan).Message.ShouldContain(field);
        Ready(plan).Message.ShouldContain(path);
    }

    [Fact]
    public void A_reference_with_a_scheme_is_refused_with_its_field() =>
        Ready(Plan(Fresh(i => i.Spec.Source = new LabImageSource { Oci = new LabImageOci { Reference = "https://registry.example.org/lab:1" } }))).Message.ShouldContain("spec.source.oci.reference");

    private static void Uploaded(V1Alpha1LabImage image) => image.Spec.Source = new LabImageSource { Upload = new LabImageUpload() };

    private static RunnerState Receiving(long received, long? total) =>
        new() { Phase = RunnerPhases.Receiving, At = Given.Now, ReceivedBytes = received, TotalBytes = total };

    private static ImportConfig RunnerEnvironment(Plan<LabImageStatus> plan) => JsonSerializer.Deserialize(
        plan.Intents.OfType<Intent.CreatePod>().Single().Pod.Spec.Containers[0].Env.First(e => e.Name == ContractNames.ConfigVariable).Value, ContractJson.Default.ImportConfig)!;
}
