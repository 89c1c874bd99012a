using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Operator.Validation;

namespace SandLabX.Unit.Operator;

/// <summary>Nodes of the cluster that fail or are drained, and records that do not agree.</summary>
public sealed class NodeTroubleTests
{
    private static Plan<LabNodeStatus> Plan(NodeObservation seen, DateTimeOffset? now = null) => NodePlanner.Plan(seen, Given.Options, now ?? Given.Now);

    private static V1Condition? Condition(Plan<LabNodeStatus> plan, string type) => plan.Status.Conditions!.FirstOrDefault(c => c.Type == type);

    [Fact]
    public void A_guest_on_a_silent_node_is_lost_its_pod_is_left_alone_and_the_way_out_is_told_once()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = Given.Host("Unknown") };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.NodeLost);
        V1Condition ready = Condition(plan, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("False", "NodeLost"));
        ready.Message.ShouldContain("node1");
        ready.Message.ShouldContain("2026-11-24 12:00:00Z (NodeStatusUnknown)");
        ready.Message.ShouldContain("kubectl taint node node1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute");
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Warning.ShouldBeTrue();
        plan.Status.Pod!.Uid.ShouldBe("pod-uid", "the record of what ran where stays");

        seen = Given.After(seen, plan);
        Plan<LabNodeStatus> later = Plan(seen, Given.Now.AddHours(1));
        later.Intents.ShouldBeEmpty();
        JsonSerializer.Serialize(later.Status).ShouldBe(JsonSerializer.Serialize(seen.Node.Status));
    }

    [Fact]
    public void Once_Kubernetes_marked_the_pod_for_deletion_it_is_still_waited_for()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = Given.Host("Unknown") };
        seen = Given.After(seen, Plan(seen));
        seen.Pod!.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        Plan<LabNodeStatus> plan = Plan(seen, Given.Now.AddHours(1));
        plan.Status.Phase.ShouldBe(NodePhases.NodeLost);
        plan.Intents.ShouldAllBe(i => !(i is Intent.CreatePod || i is Intent.DeletePod));
    }

    [Fact]
    public void A_node_that_comes_back_leaves_all_as_it_was()
    {
        NodeObservation seen = Given.Running();
        LabNodeStatus before = seen.Node.Status!;
        seen = seen with { ClusterNode = Given.Host("Unknown") };
        seen = Given.After(seen, Plan(seen)) with { ClusterNode = Given.Host("True") };
        foreach (RunnerState? runner in (RunnerState?[])[Given.RunnerRunning, null])
        {
            Plan<LabNodeStatus> plan = Plan(seen with { Runner = runner });
            plan.Status.Phase.ShouldBe(NodePhases.Running);
            plan.Intents.ShouldBeEmpty();
            plan.Status.StartedAt.ShouldBe(before.StartedAt);
            plan.Status.Terminations.ShouldBeNull();
        }
    }

    [Fact]
    public void When_Kubernetes_has_removed_the_pod_the_guest_starts_at_once_and_the_loss_is_on_record()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Status!.StartedAt = Given.Now.AddMinutes(-1).UtcDateTime;
        seen = seen with { ClusterNode = Given.Host("Unknown") };
        seen = Given.After(seen, Plan(seen)) with { Pod = null, Runner = null, ClusterNode = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreatePod>().Count().ShouldBe(1);
        LabNodeTermination end = plan.Status.Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe("NodeLost");
        end.Message!.ShouldContain("node1");
    }

    [Fact]
    public void A_node_that_answers_and_is_not_ready_is_given_half_a_minute()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = Given.Host("False", Given.Now.AddSeconds(-10)) };
        Plan<LabNodeStatus> early = Plan(seen);
        (early.Status.Phase, early.RequeueAfter).ShouldBe((NodePhases.Running, TimeSpan.FromSeconds(20)));
        early.Intents.ShouldBeEmpty();
        Plan(seen, Given.Now.AddSeconds(20)).Status.Phase.ShouldBe(NodePhases.NodeLost);
    }

    [Fact]
    public void A_pod_that_Kubernetes_gives_up_with_its_lost_node_was_lost_with_it()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = Given.Host("Unknown") };
        seen = Given.After(seen, Plan(seen));
        seen.Pod!.Status.Phase = "Failed";
        seen.Pod.Status.Message = "PodGC: node no longer exists";
        LabNodeTermination end = Plan(seen).Status.Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe("NodeLost");
        end.Message!.ShouldContain("node1");
    }

    [Fact]
    public void A_Node_object_that_is_gone_matters_only_where_the_node_was_lost()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = null };
        Plan(seen).Status.Phase.ShouldBe(NodePhases.Running);
        seen = Given.After(seen, Plan(seen with { ClusterNode = Given.Host("Unknown") }));
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.NodeLost);
        Condition(plan, ConditionTypes.Ready)!.Message.ShouldContain("is gone");
    }

    [Fact]
    public void What_is_asked_of_a_guest_on_a_lost_node_is_passed_on()
    {
        NodeObservation seen = Given.Running() with { ClusterNode = Given.Host("Unknown") };
        seen = Given.After(seen, Plan(seen));
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.NodeLost);
        plan.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Off);

        seen.Node.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        plan = Plan(seen);
        (plan.Status.Phase, plan.Released).ShouldBe((NodePhases.Deleting, false));
        Condition(plan, ConditionTypes.Ready)!.Reason.ShouldBe("NodeLost");
        plan.Intents.OfType<Intent.DeletePod>().Count().ShouldBe(1);
    }

    [Fact]
    public void A_guest_whose_evictions_are_to_be_refused_is_guarded_once_and_let_go_again()
    {
        NodeObservation seen = Given.Running(n => n.Spec.EvictionPolicy = EvictionPolicies.Block);
        seen.Pod!.Metadata.Annotations.Remove(Annotations.EvictionPolicy);
        Plan(seen).Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.GuardPod>();

        seen.Pod.Metadata.Annotations[Annotations.EvictionPolicy] = EvictionPolicies.Block;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        V1Condition guarded = Condition(plan, ConditionTypes.EvictionBlocked)!;
        (guarded.Status, guarded.Reason).ShouldBe(("True", "Guarded"));
        guarded.Message.ShouldContain("PodDisruptionBudget labnode-a-pod-uid");

        seen = Given.After(seen, plan);
        seen.Node.Spec.EvictionPolicy = EvictionPolicies.Stop;
        plan = Plan(seen);
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.UnguardPod>();
        Condition(plan, ConditionTypes.EvictionBlocked).ShouldBeNull();
    }

    [Fact]
    public void A_guard_that_the_server_refuses_is_told_once_and_stops_nothing()
    {
        NodeObservation seen = Given.Running(n => n.Spec.EvictionPolicy = EvictionPolicies.Block);
        seen.Pod!.Metadata.Annotations[Annotations.EvictionPolicy] = EvictionGuards.Refused + "too many of them.";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Running);
        V1Condition blocked = Condition(plan, ConditionTypes.EvictionBlocked)!;
        (blocked.Status, blocked.Reason).ShouldBe(("False", "RefusedByServer"));
        blocked.Message.ShouldContain("too many of them.");
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Warning.ShouldBeTrue();
        Plan(Given.After(seen, plan)).Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_claim_that_says_that_it_holds_another_disk_is_neither_used_nor_believed_nor_deleted()
    {
        NodeObservation seen = Given.Running();
        seen.Claim!.Metadata.Annotations[Annotations.DiskId] = "another";
        Plan<LabNodeStatus> runs = Plan(seen);
        runs.Status.Phase.ShouldBe(NodePhases.Running, "a guest that runs is left alone");
        runs.Status.Disk!.Id.ShouldBe("node-uid");
        Condition(runs, ConditionTypes.Consistent)!.Reason.ShouldBe("DiskIdMismatch");
        runs.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Reason.ShouldBe("DiskIdMismatch");

        seen = Given.After(seen, runs) with { Pod = null, Runner = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Failed);
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
        V1Condition disk = Condition(plan, ConditionTypes.DiskReady)!;
        (disk.Status, disk.Reason).ShouldBe(("False", "DiskIdMismatch"));
        disk.Message.ShouldContain("another");

        seen = Given.After(seen, plan);
        seen.Node.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        seen.Node.Spec.Disk.ReclaimPolicy = ReclaimPolicies.Delete;
        plan = Plan(seen);
        plan.Released.ShouldBeTrue();
        plan.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
    }

    [Fact]
    public void What_does_not_agree_is_a_condition_and_one_event_and_what_agrees_again_is_told()
    {
        NodeObservation seen = Given.Running() with { Rivals = ["copy"] };
        Plan<LabNodeStatus> plan = Plan(seen);
        V1Condition consistent = Condition(plan, ConditionTypes.Consistent)!;
        (consistent.Status, consistent.Reason).ShouldBe(("False", Finding.TwoPodsOneClaim));
        consistent.Message.ShouldContain("copy");
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Reason.ShouldBe(Finding.TwoPodsOneClaim);

        seen = Given.After(seen, plan);
        Plan(seen).Intents.ShouldBeEmpty();
        plan = Plan(seen with { Rivals = [] });
        Condition(plan, ConditionTypes.Consistent)!.Status.ShouldBe("True");
        Condition(Plan(Given.Running()), ConditionTypes.Consistent).ShouldBeNull("what always agreed is not spoken of");
    }

    [Fact]
    public void Disks_on_the_claim_that_are_nobodys_are_told_from_the_runners_report()
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, Plan(seen)) with { Runner = Given.RunnerRunning with { Disk = Given.RunnerRunning.Disk! with { Strays = ["node_old.qcow2"] } } };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Disk!.StrayOverlays.ShouldBe(["node_old.qcow2"]);
        Condition(plan, ConditionTypes.Consistent)!.Message.ShouldContain("node_old.qcow2");
        seen = Given.After(seen, plan) with { Runner = Given.RunnerRunning };
        plan = Plan(seen);
        plan.Status.Disk!.StrayOverlays.ShouldBeNull();
        Condition(plan, ConditionTypes.Consistent)!.Status.ShouldBe("True");
    }

    [Fact]
    public void What_is_being_deleted_goes_piece_by_piece_and_is_not_held_against_anything()
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.ReclaimPolicy = ReclaimPolicies.Delete);
        seen.Node.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        Plan<LabNodeStatus> plan = Plan(seen with { Pod = null, Runner = null, Claim = null, BackingClaim = null });
        plan.Released.ShouldBeTrue();
        Condition(plan, ConditionTypes.Consistent).ShouldBeNull();
    }

    [Fact]
    public void A_lost_claim_is_one_trouble_and_one_event()
    {
        NodeObservation seen = Given.Running();
        seen = Given.After(seen, Plan(seen)) with { Pod = null, Runner = null };
        seen = Given.After(seen, Plan(seen)) with { Pod = null, Claim = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        Condition(plan, ConditionTypes.Ready)!.Reason.ShouldBe("ClaimLost");
        Condition(plan, ConditionTypes.Consistent)!.Reason.ShouldBe("ClaimLost");
        plan.Intents.OfType<Intent.Announce>().Count(a => a.Reason == "ClaimLost").ShouldBe(1);
    }
}
