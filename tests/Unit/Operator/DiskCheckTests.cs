using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

/// <summary>When disks are checked in full, by what pod, and what becomes of what is found.</summary>
public sealed class DiskCheckTests
{
    [Fact]
    public void The_disk_of_a_stopped_guest_is_checked_by_a_pod_without_a_guest_once()
    {
        NodeObservation seen = Stopped();
        seen.Node.Spec.Disk.CheckRevision = "1";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Stopped);
        Ready(plan).Status.ShouldBe("True");
        Health(plan).Reason.ShouldBe(NodeChecks.Checking);
        V1Pod pod = plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        RunnerConfig config = Config(pod);
        (pod.Metadata.Name, config.CheckOnly, config.FullCheck, config.OverlayExpected, config.Wipe).ShouldBe(("labnode-a", true, "1", true, false));
        pod.Spec.Containers[0].SecurityContext.ReadOnlyRootFilesystem.ShouldBe(true);

        // While it looks, nothing is written; what it found is on record once, as no guest's end.
        seen = Given.After(seen, plan) with { Pod = Alive(pod) };
        Plan<LabNodeStatus> looking = Plan(seen);
        looking.Intents.ShouldBeEmpty();
        JsonSerializer.Serialize(looking.Status).ShouldBe(JsonSerializer.Serialize(seen.Node.Status));
        seen = seen with { Pod = Ended(pod, Report(DiskCheckResults.Clean, "1")) };
        Plan<LabNodeStatus> found = Plan(seen, Given.Now.AddMinutes(1));
        found.Intents.OfType<Intent.Announce>().ShouldHaveSingleItem().ShouldBe(new Intent.Announce(false, "DiskChecked", "Told."));
        found.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().Uid.ShouldBe("check-uid");
        (Health(found).Status, Health(found).Reason).ShouldBe(("True", NodeChecks.Checked));
        LabNodeDiskStatus disk = found.Status.Disk!;
        (disk.CheckRevision, disk.FullCheckAt, disk.LastCheck!.Kind, disk.LastCheck.Revision).ShouldBe(("1", Given.Now.UtcDateTime, DiskCheckKinds.Full, "1"));
        found.Status.Terminations!.Count.ShouldBe(1, "a check is no guest's end");
        found.Status.Restarts.ShouldBeNull();

        // The pod still lies there: nothing is told twice. Then it is gone: nothing is done twice.
        seen = seen with { Node = Written(seen.Node, found.Status) };
        Plan(seen).Intents.OfType<Intent.Announce>().ShouldBeEmpty();
        Plan<LabNodeStatus> steady = Plan(seen with { Pod = null }, Given.Now.AddYears(1));
        steady.Intents.ShouldBeEmpty();
        steady.RequeueAfter.ShouldBeNull();
    }

    [Fact]
    public void What_is_checked_of_a_guest_that_runs_waits_for_its_next_start_and_says_so()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Disk.CheckRevision = "1";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        Health(plan).Reason.ShouldBe(NodeChecks.CheckDue);
        Health(plan).Message.ShouldContain("spec.restartRevision");

        seen = seen with { Pod = null, Runner = null, Node = Written(seen.Node, plan.Status) };
        V1Pod next = Plan(seen, Given.Now.AddMinutes(1)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        NodeChecks.IsCheck(next).ShouldBeFalse();
        (Config(next).FullCheck, Config(next).CheckOnly).ShouldBe(("1", false));

        RunnerState runner = Given.RunnerRunning with { Check = Report(DiskCheckResults.Clean, "1").Check };
        seen = Given.After(seen, Plan(seen, Given.Now.AddMinutes(1))) with { Runner = runner };
        plan = Plan(seen);
        (plan.Status.Disk!.CheckRevision, Health(plan).Reason).ShouldBe(("1", NodeChecks.Checked));
        plan.Intents.OfType<Intent.Announce>().Select(a => a.Reason).ShouldBe(["DiskChecked", "Started"]);

        // Taking the field away asks for nothing.
        seen = Given.After(seen, plan);
        seen.Node.Spec.Disk.CheckRevision = null;
        Health(Plan(seen)).Reason.ShouldBe(NodeChecks.Checked);
    }

    [Fact]
    public void A_schedule_makes_a_check_due_so_long_after_the_last_one()
    {
        NodeObservation seen = Stopped();
        seen.Node.Spec.Disk.CheckEveryHours = 24;
        Plan<LabNodeStatus> early = Plan(seen, Given.Now.AddHours(23));
        early.Intents.ShouldBeEmpty();
        early.RequeueAfter.ShouldBe(TimeSpan.FromHours(1));
        V1Pod pod = Plan(seen, Given.Now.AddHours(24)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        Config(pod).FullCheck.ShouldBe("");

        seen.Node.Status!.Disk!.FullCheckAt = Given.Now.AddHours(20).UtcDateTime;
        Plan(seen, Given.Now.AddHours(24)).RequeueAfter.ShouldBe(TimeSpan.FromHours(20));

        // A guest that runs is told to be due, once.
        NodeObservation runs = Given.Running(n => n.Spec.Disk.CheckEveryHours = 24);
        Plan(runs).RequeueAfter.ShouldBe(TimeSpan.FromHours(24));
        Health(Plan(runs, Given.Now.AddHours(25))).Reason.ShouldBe(NodeChecks.CheckDue);
    }

    [Theory]
    [InlineData(DiskCheckResults.Clean, "True", "Checked")]
    [InlineData(DiskCheckResults.Leaks, "True", "OverlayLeaks")]
    [InlineData(DiskCheckResults.Repaired, "True", "Repaired")]
    [InlineData(DiskCheckResults.Corrupt, "False", TerminationReasons.OverlayCorrupt)]
    [InlineData(DiskCheckResults.NotDone, "Unknown", "NotChecked")]
    public void What_a_check_found_is_the_condition_DiskHealthy(string result, string status, string reason)
    {
        (bool? healthy, string why, string message) = NodeChecks.Verdict(NodeChecks.Note(Report(result, null).Check!, "uid"));
        (healthy switch { true => "True", false => "False", null => "Unknown" }, why).ShouldBe((status, reason));
        message.ShouldContain("Told.");
    }

    [Fact]
    public void A_damaged_disk_is_not_started_and_says_so_until_the_spec_changes()
    {
        NodeObservation seen = Given.Running();
        TerminationReport report = Given.Report(TerminationReasons.OverlayCorrupt) with
        {
            Check = new DiskCheckReport(Given.Now, DiskCheckKinds.Quick, DiskCheckResults.Corrupt, "374 wrong entries; spec.disk.repair.") { Corruptions = 374 },
        };
        seen = seen with { Pod = Given.Ended(seen.Node, report), Runner = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.Announce>().ShouldHaveSingleItem().Reason.ShouldBe(TerminationReasons.OverlayCorrupt);
        seen = Given.After(seen, plan);
        plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        plan.Status.Phase.ShouldBe(NodePhases.Failed);
        (Health(plan).Status, Health(plan).Reason).ShouldBe(("False", TerminationReasons.OverlayCorrupt));
        Health(plan).Message.ShouldContain("374 wrong entries");
        plan.Status.Disk!.LastCheck!.Corruptions.ShouldBe(374);

        seen.Node.Spec.Disk.Repair = DiskRepairs.All;
        seen.Node.Metadata.Generation++;
        RunnerConfig config = Config(Plan(seen).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod);
        (config.Repair, config.KeepDamaged, config.CheckOnly).ShouldBe((DiskRepairs.All, 1, false));
    }

    [Fact]
    public void A_repair_is_told_and_the_damaged_disk_is_on_record()
    {
        NodeObservation seen = Given.Running();
        seen = seen with
        {
            Runner = Given.RunnerRunning with
            {
                Disk = Given.RunnerRunning.Disk! with { Kept = [new KeptDisk("initial.damaged-1", Given.Now, 1) { Damaged = true }, new KeptDisk("b", Given.Now, 1)] },
                Check = new DiskCheckReport(Given.Now, DiskCheckKinds.Quick, DiskCheckResults.Repaired, "Mended."),
            },
        };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldHaveSingleItem().ShouldBe(new Intent.Announce(false, "DiskRepaired", "Mended."));
        plan.Status.Disk!.Kept!.Select(kept => (kept.Revision, kept.Damaged)).ShouldBe([("initial.damaged-1", true), ("b", null)]);
    }

    [Fact]
    public void A_check_whose_pod_was_cut_off_is_tried_again_later_and_told_once()
    {
        NodeObservation seen = Stopped();
        seen.Node.Spec.Disk.CheckRevision = "1";
        V1Pod pod = Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod;
        seen = seen with { Pod = Ended(pod, null) };
        Plan<LabNodeStatus> cut = Plan(seen);
        cut.Intents.OfType<Intent.Announce>().ShouldHaveSingleItem().Reason.ShouldBe("DiskCheckFailed");
        (cut.Status.Disk!.CheckRevision, cut.Status.Disk.LastCheck!.Result).ShouldBe((null, DiskCheckResults.NotDone));

        seen = seen with { Node = Written(seen.Node, cut.Status), Pod = null };
        Plan(seen).RequeueAfter.ShouldBe(TimeSpan.FromMinutes(5));
        Plan(seen).Intents.ShouldBeEmpty();
        Plan<LabNodeStatus> again = Plan(seen, Given.Now.AddMinutes(5));
        pod = again.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        V1Pod second = Ended(pod, null);
        second.Metadata.Uid = "second";
        Plan(seen with { Pod = second }, Given.Now.AddMinutes(5)).Intents.OfType<Intent.Announce>().ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_that_is_to_run_waits_for_a_check_that_has_begun_and_not_for_one_that_has_not()
    {
        NodeObservation seen = Stopped();
        seen.Node.Spec.Disk.CheckRevision = "1";
        V1Pod pod = Alive(Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod);
        seen.Node.Spec.PowerState = PowerStates.Running;
        Plan<LabNodeStatus> pending = Plan(seen with { Pod = pod });
        pending.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().Uid.ShouldBe("check-uid");
        (pending.Status.Phase, Ready(pending).Reason).ShouldBe((NodePhases.Starting, "CheckingDisk"));

        pod.Status.ContainerStatuses = [new V1ContainerStatus { Name = NodeObjects.ContainerName, State = new V1ContainerState { Running = new V1ContainerStateRunning() } }];
        Plan(seen with { Pod = pod }).Intents.ShouldBeEmpty();

        // What it found is on record; the guest starts without another full check.
        seen = seen with { Pod = Ended(pod, Report(DiskCheckResults.Clean, "1")) };
        Plan<LabNodeStatus> over = Plan(seen);
        seen = seen with { Node = Written(seen.Node, over.Status), Pod = null };
        Config(Plan(seen).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod).FullCheck.ShouldBeNull();
    }

    [Fact]
    public void A_suspended_guests_disk_is_left_alone_and_a_refusal_is_told()
    {
        NodeObservation seen = Stopped();
        seen.Node.Spec.Disk.CheckRevision = "1";
        seen.Node.Spec.PowerState = PowerStates.Suspended;
        seen.Node.Status!.SavedState = new LabNodeSavedState { Cpus = 1, MemoryBytes = 512 * Quantities.MiB };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        Health(plan).Reason.ShouldBe(NodeChecks.CheckDue);

        seen = Stopped();
        seen.Node.Spec.Disk.CheckRevision = "1";
        plan = Plan(seen with { Refusal = new Refusal("create pod labnode-a", KubeError.Forbidden, "exceeded quota.") });
        plan.Intents.ShouldBeEmpty();
        plan.Status.Phase.ShouldBe(NodePhases.Stopped);
        Health(plan).Message.ShouldContain("exceeded quota.");
    }

    private static NodeObservation Stopped()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown, TimeSpan.FromHours(1))), Runner = null };
        seen = seen with { Node = Written(seen.Node, Plan(seen).Status), Pod = null };
        return seen;
    }

    private static V1Alpha1LabNode Written(V1Alpha1LabNode node, LabNodeStatus status) => Given.Node(n => (n.Metadata, n.Spec, n.Status) = (node.Metadata, node.Spec, status));

    private static TerminationReport Report(string result, string? revision) => Given.Report(TerminationReasons.Checked) with
    {
        Check = new DiskCheckReport(Given.Now, DiskCheckKinds.Full, result, "Told.") { Revision = revision },
    };

    private static V1Pod Alive(V1Pod pod)
    {
        pod.Metadata.Uid = "check-uid";
        pod.Spec.NodeName = "node1";
        pod.Status = new V1PodStatus { Phase = "Pending" };
        return pod;
    }

    private static V1Pod Ended(V1Pod pod, TerminationReport? report)
    {
        pod.Metadata.Uid = "check-uid";
        pod.Status = new V1PodStatus
        {
            Phase = "Failed",
            ContainerStatuses = [Given.Terminated(report is null ? "" : JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport))],
        };
        return pod;
    }

    private static RunnerConfig Config(V1Pod pod) => JsonSerializer.Deserialize(pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;

    private static Plan<LabNodeStatus> Plan(NodeObservation seen, DateTimeOffset? now = null) => NodePlanner.Plan(seen, Given.Options, now ?? Given.Now);

    private static V1Condition Health(Plan<LabNodeStatus> plan) => plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.DiskHealthy);

    private static V1Condition Ready(Plan<LabNodeStatus> plan) => plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready);
}
