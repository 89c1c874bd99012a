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
        V1Pod pod = ImageObjects.Pod(seen.Image, Given.Options);
        pod.Metadata.Uid = uid;
        var report = new TerminationReport { Reason = reason, Message = reason + " happened.", At = Given.Now, Image = image };
        pod.Status = new V1PodStatus
        {
            Phase = image is null ? "Failed" : "Succeeded",
            ContainerStatuses = [Given.Terminated(JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport))],
        };
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
    public void A_secret_in_the_address_is_not_repeated()
    {
        Plan<LabImageStatus> plan = Plan(Fresh(i => i.Spec.Source.Url = "https://user:hunter2@images/d.qcow2?token=hunter3"));
        JsonSerializer.Serialize(plan.Status).ShouldNotContain("hunter");
        plan.Intents.OfType<Intent.Announce>().ShouldAllBe(a => !a.Message.Contains("hunter"));
    }
}
