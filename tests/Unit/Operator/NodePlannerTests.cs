using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;
using Shouldly;
using Xunit;

namespace SandLabX.Unit.Operator;

public sealed class NodePlannerTests
{
    private static Plan<LabNodeStatus> Plan(NodeObservation seen, DateTimeOffset? now = null) => NodePlanner.Plan(seen, Given.Options, now ?? Given.Now);

    /// <summary>A node whose guest was suspended.</summary>
    private static NodeObservation Suspended()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Suspended;
        seen = seen with { Pod = Given.Ended(seen.Node, Given.SuspendedReport), Runner = null };
        return Given.After(seen, Plan(seen));
    }

    /// <summary>A node whose pod has found no place.</summary>
    private static NodeObservation Starting(DateTimeOffset since)
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, NodePlanner.Plan(seen, Given.Options, since));
        seen.Pod!.Metadata.CreationTimestamp = since.UtcDateTime;
        seen.Pod.Spec.NodeName = null;
        seen.Pod.Status = new V1PodStatus
        {
            Phase = "Pending",
            Conditions = [new V1PodCondition { Type = "PodScheduled", Status = "False", Message = "0/1 nodes are available: 1 Insufficient memory." }],
        };
        return seen;
    }

    private static V1Condition Condition(Plan<LabNodeStatus> plan, string type) => plan.Status.Conditions!.First(c => c.Type == type);

    [Fact]
    public void A_fresh_node_gets_its_claim_and_its_pod_in_one_step()
    {
        Plan<LabNodeStatus> plan = Plan(Given.Fresh());
        plan.Intents.Select(i => i.GetType().Name).ShouldBe(["CreateClaim", "CreatePod"]);
        plan.Status.Phase.ShouldBe(NodePhases.Starting);
        plan.Status.OverlayPath.ShouldBe("/overlays/node_node-uid.qcow2");
        plan.Status.Disk!.Backing!.Digest.ShouldBe("sha256:" + Given.Sha);
    }

    [Fact]
    public void The_pod_is_restricted_and_holds_no_credentials()
    {
        V1Pod pod = Plan(Given.Fresh()).Intents.OfType<Intent.CreatePod>().Single().Pod;
        pod.Spec.AutomountServiceAccountToken.ShouldBe(false);
        pod.Spec.SecurityContext.RunAsNonRoot.ShouldBe(true);
        pod.Spec.SecurityContext.SeccompProfile.Type.ShouldBe("RuntimeDefault");
        V1SecurityContext context = pod.Spec.Containers.Single().SecurityContext;
        context.AllowPrivilegeEscalation.ShouldBe(false);
        context.ReadOnlyRootFilesystem.ShouldBe(true);
        context.Capabilities.Drop.ShouldBe(["ALL"]);
        pod.Spec.Containers[0].VolumeMounts.Single(m => m.MountPath == "/images/debian-12").ReadOnlyProperty.ShouldBe(true);
        pod.Spec.Volumes.Where(v => v.HostPath is not null).ShouldBeEmpty();
    }

    [Fact]
    public void Memory_covers_the_guest_and_the_overhead()
    {
        V1Pod pod = Plan(Given.Fresh()).Intents.OfType<Intent.CreatePod>().Single().Pod;
        V1ResourceRequirements resources = pod.Spec.Containers[0].Resources;
        resources.Requests["memory"].ToDecimal().ShouldBe((512 + 80 + 8 + 1) * Quantities.MiB);
        resources.Limits["memory"].ToDecimal().ShouldBe((512 + 80 + 8 + 1 + 48) * Quantities.MiB);
    }

    [Fact]
    public void A_running_guest_is_told_once_and_then_nothing_is_written()
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, Plan(seen)) with { Runner = Given.RunnerRunning };
        Plan<LabNodeStatus> started = Plan(seen);
        started.Status.Phase.ShouldBe(NodePhases.Running);
        started.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Reason.ShouldBe("Started");
        Condition(started, ConditionTypes.Accelerated).Reason.ShouldBe("NoDevice");

        seen = Given.After(seen, started);
        Plan<LabNodeStatus> steady = Plan(seen, Given.Now.AddHours(1));
        steady.Intents.ShouldBeEmpty();
        JsonSerializer.Serialize(steady.Status).ShouldBe(JsonSerializer.Serialize(seen.Node.Status));
    }

    [Fact]
    public void A_runner_that_can_not_be_asked_is_believed_through_the_pods_readiness()
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, Plan(seen));
        seen = seen with { Pod = Given.Pod(seen.Node, p => p.Status.Conditions[1].Status = "True") };
        Plan(seen).Status.Phase.ShouldBe(NodePhases.Running);
    }

    [Fact]
    public void What_the_runner_of_a_guest_that_counts_as_running_tells_first_is_put_on_record()
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, Plan(seen));
        seen = seen with { Pod = Given.Pod(seen.Node, p => p.Status.Conditions[1].Status = "True") };
        seen = Given.After(seen, Plan(seen, Given.Now.AddMinutes(10)));
        seen.Node.Status!.Phase.ShouldBe(NodePhases.Running);
        seen.Node.Status.StartedAt.ShouldBe(Given.Now.UtcDateTime.AddMinutes(10));

        Plan<LabNodeStatus> told = Plan(seen with { Runner = Given.RunnerRunning }, Given.Now.AddMinutes(11));
        told.Intents.ShouldBeEmpty();
        told.Status.Disk!.ActualSizeBytes.ShouldBe(Quantities.MiB);
        told.Status.StartedAt.ShouldBe(Given.Now.UtcDateTime);

        // From then on the overlay's growth costs no write.
        RunnerState later = Given.RunnerRunning with { Disk = Given.RunnerRunning.Disk! with { ActualSizeBytes = 7 * Quantities.MiB } };
        Plan(Given.After(seen, told) with { Runner = later }, Given.Now.AddMinutes(12)).Status.Disk!.ActualSizeBytes.ShouldBe(Quantities.MiB);
    }

    [Fact]
    public void The_runner_of_a_pod_that_just_became_ready_is_given_a_moment_to_speak_for_itself()
    {
        NodeObservation seen = Given.Fresh();
        seen = Given.After(seen, Plan(seen));
        seen.Pod!.Status.Conditions = [new V1PodCondition { Type = "Ready", Status = "True", LastTransitionTime = Given.Now.UtcDateTime }];

        Plan<LabNodeStatus> early = Plan(seen, Given.Now.AddSeconds(1));
        early.Status.Phase.ShouldBe(NodePhases.Starting);
        early.RequeueAfter.ShouldBe(TimeSpan.FromSeconds(2));
        Plan(seen, Given.Now.AddSeconds(3)).Status.Phase.ShouldBe(NodePhases.Running);
        Plan(seen with { Runner = Given.RunnerRunning }, Given.Now.AddSeconds(1)).Status.Phase.ShouldBe(NodePhases.Running);
    }

    [Fact]
    public void A_lost_stream_does_not_unmake_a_running_node()
    {
        NodeObservation seen = Given.Running() with { Runner = null };
        Plan(seen).Status.Phase.ShouldBe(NodePhases.Running);
    }

    [Fact]
    public void Stopping_wishes_the_guest_off_and_deletes_the_pod_by_uid_once_its_end_is_on_record()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Stopping);
        var wish = plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.WishOfPod>();
        (wish.Uid, wish.Annotations[Annotations.PowerWish]).ShouldBe(("pod-uid", PowerWishes.Off));

        seen = Given.After(seen, plan);
        Plan(seen).Intents.ShouldBeEmpty();
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown, TimeSpan.FromHours(1))), Runner = null };
        Plan<LabNodeStatus> over = Plan(seen);
        over.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe(TerminationReasons.HostShutdown);
        over.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().ShouldBe(new Intent.DeletePod(new ObjectKey("lab", "labnode-a"), "pod-uid"));

        Plan<LabNodeStatus> stopped = Plan(Given.After(seen, over));
        stopped.Status.Phase.ShouldBe(NodePhases.Stopped);
        Condition(stopped, ConditionTypes.Ready).Status.ShouldBe("True");
        stopped.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_that_was_wished_off_in_vain_and_a_pod_without_one_are_stopped_by_deletion()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        seen = Given.After(seen, Plan(seen));
        Plan(seen, Given.Now.AddSeconds(44)).RequeueAfter.ShouldBe(TimeSpan.FromSeconds(1));
        Plan(seen, Given.Now.AddSeconds(45)).Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.DeletePod>();

        NodeObservation starting = Given.Fresh();
        starting = Given.After(starting, Plan(starting));
        starting.Node.Spec.PowerState = PowerStates.Stopped;
        Plan(starting).Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.DeletePod>();

        NodeObservation old = Given.Running();
        old.Pod!.Metadata.Annotations.Remove(Annotations.PowerWish);
        old.Node.Spec.PowerState = PowerStates.Stopped;
        Plan(old).Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.DeletePod>();
    }

    [Fact]
    public void A_guest_that_powers_off_as_asked_is_let_and_what_is_asked_by_then_follows()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        seen = Given.After(seen, Plan(seen));
        seen.Node.Spec.PowerState = PowerStates.Running;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Stopping);
        plan.Intents.ShouldBeEmpty();

        V1Pod ended = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostPowerOff, TimeSpan.FromSeconds(1)));
        ended.Metadata.Annotations[Annotations.PowerWish] = PowerWishes.Off;
        seen = seen with { Pod = ended, Runner = null };
        Plan<LabNodeStatus> next = Plan(Given.After(seen, Plan(seen)));
        next.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        (next.Status.Restarts?.Count ?? 0).ShouldBe(0, "it was asked for");
    }

    [Theory]
    [InlineData(TerminationReasons.GuestShutdown, RestartPolicies.Always, NodePhases.Starting)]
    [InlineData(TerminationReasons.GuestShutdown, RestartPolicies.OnFailure, NodePhases.Stopped)]
    [InlineData(TerminationReasons.GuestShutdown, RestartPolicies.Never, NodePhases.Stopped)]
    [InlineData(TerminationReasons.GuestPanicked, RestartPolicies.Never, NodePhases.Failed)]
    [InlineData(TerminationReasons.GuestPanicked, RestartPolicies.OnFailure, NodePhases.Starting)]
    [InlineData(TerminationReasons.QemuCrashed, RestartPolicies.OnFailure, NodePhases.Starting)]
    [InlineData(TerminationReasons.HostShutdown, RestartPolicies.Never, NodePhases.Starting)]
    [InlineData(TerminationReasons.HostPowerOff, RestartPolicies.Never, NodePhases.Starting)]
    [InlineData(TerminationReasons.OverlayMissing, RestartPolicies.Always, NodePhases.Failed)]
    [InlineData(TerminationReasons.OverlayCorrupt, RestartPolicies.Always, NodePhases.Failed)]
    public void What_follows_an_end_after_a_long_run(string reason, string policy, string phase)
    {
        NodeObservation seen = Given.Running(n => n.Spec.RestartPolicy = policy);
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(reason, TimeSpan.FromHours(1))), Runner = null };
        Plan<LabNodeStatus> recorded = Plan(seen);
        recorded.Status.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe(reason);
        recorded.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().Uid.ShouldBe("pod-uid");
        Plan<LabNodeStatus> next = Plan(Given.After(seen, recorded));
        next.Status.Phase.ShouldBe(phase);
        next.Status.Terminations!.Count.ShouldBe(1);
        next.Intents.OfType<Intent.CreatePod>().Count().ShouldBe(phase == NodePhases.Starting ? 1 : 0);
    }

    [Fact]
    public void A_failing_start_waits_longer_each_time_and_a_changed_spec_ends_the_wait()
    {
        NodeObservation seen = Given.Fresh();
        DateTimeOffset now = Given.Now;
        double last = 0;
        for (int n = 1; n <= 7; n++)
        {
            seen = Given.After(seen, Plan(seen, now));
            V1Pod ended = Given.Ended(seen.Node, Given.Report(TerminationReasons.QemuStartFailed));
            ended.Metadata.Uid = $"pod-{n}";
            seen = seen with { Pod = ended };
            Plan<LabNodeStatus> recorded = Plan(seen, now);
            recorded.Status.Restarts!.Consecutive.ShouldBe(n);
            seen = Given.After(seen, recorded);
            Plan<LabNodeStatus> waiting = Plan(seen, now);
            waiting.Status.Phase.ShouldBe(NodePhases.BackOff);
            double wait = waiting.RequeueAfter!.Value.TotalSeconds;
            wait.ShouldBeInRange(Math.Min(300, 10 * n * n) * 0.89, 300);
            wait.ShouldBeGreaterThanOrEqualTo(Math.Min(last, 270));
            last = wait;
            if (n < 7)
            {
                now += waiting.RequeueAfter.Value + TimeSpan.FromMilliseconds(1);
            }
        }

        seen.Node.Metadata.Generation = 2;
        Plan<LabNodeStatus> fresh = Plan(seen, now);
        fresh.Status.Phase.ShouldBe(NodePhases.Starting);
        fresh.Status.Restarts!.Consecutive.ShouldBe(0);
    }

    [Fact]
    public void A_halted_node_starts_again_when_its_spec_changes()
    {
        NodeObservation seen = Given.Running();
        seen = seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.GuestShutdown, TimeSpan.FromHours(1))), Runner = null };
        seen = Given.After(seen, Plan(seen));
        Plan(seen).Status.Phase.ShouldBe(NodePhases.Stopped);
        seen.Node.Metadata.Generation = 3;
        Plan(seen).Status.Phase.ShouldBe(NodePhases.Starting);
    }

    [Fact]
    public void A_pod_that_vanished_is_put_on_record_and_its_guest_starts_again()
    {
        NodeObservation seen = Given.Running() with { Pod = null, Runner = null };
        Plan<LabNodeStatus> plan = Plan(seen, Given.Now.AddMinutes(5));
        plan.Status.Terminations!.Single().Reason.ShouldBe(NodeEnds.PodLost);
        plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_pod_that_ended_before_it_vanished_still_tells_its_reason()
    {
        NodeObservation seen = Given.Running();
        V1Pod ended = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown, TimeSpan.FromHours(1)));
        Plan<LabNodeStatus> plan = Plan(seen with { Pod = null, GonePod = ended, Runner = null });
        plan.Status.Terminations!.Single().Reason.ShouldBe(TerminationReasons.HostShutdown);
    }

    [Fact]
    public void A_pod_of_someone_else_is_left_alone()
    {
        NodeObservation seen = Given.Fresh();
        V1Pod stranger = Given.Pod(seen.Node, p => p.Metadata.OwnerReferences[0].Uid = "other");
        Plan<LabNodeStatus> plan = Plan(seen with { Pod = stranger });
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
        Condition(plan, ConditionTypes.Ready).Reason.ShouldBe("PodNameTaken");
    }

    [Fact]
    public void A_claim_that_is_lost_is_never_replaced_by_a_fresh_one()
    {
        NodeObservation seen = Given.Running() with { Pod = null, Runner = null, Claim = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Failed);
        Condition(plan, ConditionTypes.DiskReady).Reason.ShouldBe("ClaimLost");
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);

        // Nor is it kept silent of a guest that is to be off; and it is over when the claim is back.
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        plan = Plan(seen);
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Reason).ShouldBe((NodePhases.Failed, "ClaimLost"));
        plan = Plan(Given.After(seen, plan) with { Claim = Given.Claim(seen.Node) });
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Reason).ShouldBe((NodePhases.Stopped, "Stopped"));
        Condition(plan, ConditionTypes.DiskReady).Reason.ShouldBe("NotChecked");
    }

    [Fact]
    public void A_retained_claim_keeps_its_id_and_its_base()
    {
        V1Alpha1LabNode former = Given.Node(n => n.Metadata.Uid = "former-uid");
        NodeObservation seen = Given.Fresh(n => n.Spec.Image = "other") with { Claim = Given.Claim(former), Image = null };
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.OverlayPath.ShouldBe("/overlays/node_former-uid.qcow2");
        plan.Intents.OfType<Intent.CreateClaim>().ShouldBeEmpty();
        plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
        Condition(plan, ConditionTypes.ImageReady).Reason.ShouldBe("PinnedToDisk");
    }

    [Theory]
    [InlineData("2Gi", 2L * 1024 * 1024 * 1024)]
    [InlineData("50Gi", null)]
    public void A_disk_is_never_promised_more_than_its_claim_has_room_for(string size, long? told)
    {
        NodeObservation seen = Given.Running() with { Pod = null, Runner = null };
        seen.Node.Spec.Disk.Size = size;
        V1Pod pod = Plan(seen, Given.Now.AddHours(1)).Intents.OfType<Intent.CreatePod>().Single().Pod;
        RunnerConfig config = JsonSerializer.Deserialize(pod.Spec.Containers[0].Env.First(e => e.Name == ContractNames.ConfigVariable).Value, ContractJson.Default.RunnerConfig)!;
        config.DiskSizeBytes.ShouldBe(told);
    }

    [Fact]
    public void An_unknown_image_is_named_and_nothing_is_made()
    {
        Plan<LabNodeStatus> plan = Plan(Given.Fresh() with { Image = null, BackingClaim = null });
        plan.Status.Phase.ShouldBe(NodePhases.WaitingForImage);
        Condition(plan, ConditionTypes.ImageReady).Reason.ShouldBe("ImageNotFound");
        Condition(plan, ConditionTypes.ImageReady).Message.ShouldContain("debian-12");
        plan.Intents.ShouldHaveSingleItem().ShouldBeOfType<Intent.Announce>().Warning.ShouldBeTrue();
    }

    [Fact]
    public void A_pod_without_a_node_is_given_a_moment_before_people_are_told()
    {
        NodeObservation seen = Starting(Given.Now.AddSeconds(-1));

        Plan<LabNodeStatus> early = Plan(seen);
        early.Status.Phase.ShouldBe(NodePhases.Starting);
        early.Intents.ShouldBeEmpty();
        early.RequeueAfter.ShouldBe(TimeSpan.FromSeconds(4));

        Plan<LabNodeStatus> late = NodePlanner.Plan(seen, Given.Options, Given.Now.AddSeconds(4));
        late.Status.Phase.ShouldBe(NodePhases.Unschedulable);
        Condition(late, ConditionTypes.Ready).Message.ShouldBe("0/1 nodes are available: 1 Insufficient memory.");
    }

    [Fact]
    public void A_pod_that_found_no_node_is_made_anew_when_the_spec_is_corrected()
    {
        NodeObservation seen = Starting(Given.Now.AddSeconds(-60));
        Plan(seen).Intents.OfType<Intent.DeletePod>().ShouldBeEmpty();

        seen.Node.Spec.Memory = "256Mi";
        Plan(seen).Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem().Uid.ShouldBe("pod-uid");
    }

    [Fact]
    public void A_pod_whose_image_can_not_be_pulled_is_made_anew_when_the_runner_image_is_corrected()
    {
        NodeObservation seen = Starting(Given.Now.AddSeconds(-60));
        seen.Pod!.Spec.NodeName = "node1";
        seen.Pod.Status.Conditions = [];
        seen.Pod.Status.ContainerStatuses =
            [new V1ContainerStatus { Name = NodeObjects.ContainerName, State = new V1ContainerState { Waiting = new V1ContainerStateWaiting { Reason = "ErrImagePull", Message = "no such image" } } }];

        Condition(Plan(seen), ConditionTypes.Ready).Reason.ShouldBe("ErrImagePull");
        var corrected = new OperatorOptions { RunnerImage = "sandlabx.local/runner:there" };
        NodePlanner.Plan(seen, corrected, Given.Now).Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_guest_that_runs_keeps_its_pod_when_the_spec_changes()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Memory = "256Mi";

        Plan(seen).Intents.OfType<Intent.DeletePod>().ShouldBeEmpty();
    }

    [Fact]
    public void A_wish_is_written_on_the_pod_and_held_against_what_the_guest_does()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Paused;
        Plan<LabNodeStatus> pausing = Plan(seen);
        Intent.WishOfPod wish = pausing.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem();
        (wish.Uid, wish.Annotations[Annotations.PowerWish]).ShouldBe(("pod-uid", PowerWishes.Paused));
        pausing.Status.Phase.ShouldBe(NodePhases.Running);
        Condition(pausing, ConditionTypes.Ready).Reason.ShouldBe("Pausing");

        seen.Pod!.Metadata.Annotations[Annotations.PowerWish] = PowerWishes.Paused;
        seen = Given.After(seen, pausing) with { Runner = Given.RunnerRunning with { Phase = RunnerPhases.Paused } };
        Plan<LabNodeStatus> paused = Plan(seen);
        paused.Intents.ShouldBeEmpty();
        (paused.Status.Phase, Condition(paused, ConditionTypes.Ready).Status).ShouldBe((NodePhases.Paused, "True"));

        // An operator that has just begun, and has not heard of the runner yet, unmakes nothing.
        Plan(Given.After(seen, paused) with { Runner = null }).Status.Phase.ShouldBe(NodePhases.Paused);
    }

    [Fact]
    public void A_guest_is_suspended_by_a_wish_and_resumed_as_the_machine_that_it_was()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.PowerState = PowerStates.Suspended;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Suspended);
        Condition(plan, ConditionTypes.Ready).Reason.ShouldBe("Suspending");
        seen = Given.After(seen, plan);
        plan = Plan(seen with { Runner = Given.RunnerRunning with { Phase = RunnerPhases.Saving } });
        plan.Status.Phase.ShouldBe(NodePhases.Suspending);
        plan.Intents.ShouldBeEmpty();
        plan = Plan(seen with { Runner = Given.RunnerRunning with { SaveError = "No room." } });
        (Condition(plan, ConditionTypes.Ready).Reason, Condition(plan, ConditionTypes.Ready).Message).ShouldBe(("SuspendFailed", "No room."));
        plan.Intents.OfType<Intent.Announce>().ShouldHaveSingleItem().Reason.ShouldBe("SuspendFailed");

        plan = Plan(seen = seen with { Pod = Given.Ended(seen.Node, Given.SuspendedReport), Runner = null });
        plan.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Status).ShouldBe((NodePhases.Suspended, "True"));
        (plan.Status.SavedState!.Cpus, plan.Status.SavedState.MemoryBytes).ShouldBe((1, 512 * Quantities.MiB));
        plan.Status.Restarts.ShouldBeNull();
        seen = Given.After(seen, plan);
        Plan(seen).Intents.ShouldBeEmpty();

        // What was changed meanwhile waits for a boot: saved memory fits no other machine.
        seen.Node.Spec.Memory = "1Gi";
        seen.Node.Spec.RestartRevision = "later";
        seen.Node.Spec.PowerState = PowerStates.Running;
        plan = Plan(seen);
        V1Pod pod = plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        RunnerConfig config = JsonSerializer.Deserialize(pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;
        (config.Cpus, config.MemoryBytes).ShouldBe((1, 512 * Quantities.MiB));
        pod.Metadata.Annotations[Annotations.RestartRevision].ShouldBe("");
        pod.Metadata.Uid = "second";
        pod.Spec.NodeName = "node1";
        pod.Status = Given.Pod(seen.Node).Status;
        seen = Given.After(seen, plan) with { Pod = pod };
        plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Starting);
        plan.Status.SavedState.ShouldNotBeNull();
        plan.Intents.ShouldBeEmpty();

        // It goes on; only now is the restart due that was asked for while it was away.
        plan = Plan(seen with { Runner = Given.RunnerRunning });
        plan.Status.SavedState.ShouldBeNull();
        plan.Intents.OfType<Intent.Announce>().ShouldContain(a => a.Reason == "Resumed");
        plan.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Off);
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Reason).ShouldBe((NodePhases.Stopping, "Restarting"));
    }

    [Fact]
    public void A_suspended_guest_that_is_to_stop_is_resumed_so_that_it_powers_off_in_order()
    {
        NodeObservation seen = Suspended();
        seen.Node.Spec.PowerState = PowerStates.Stopped;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod.Metadata.Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Running);
        seen = Given.After(seen, plan);
        Plan(seen).Intents.ShouldBeEmpty();
        plan = Plan(seen with { Runner = Given.RunnerRunning });
        plan.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Off);
        seen = Given.After(seen, plan);
        plan = Plan(seen with { Pod = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown)) });
        plan.Status.Phase.ShouldBe(NodePhases.Stopped);
    }

    [Fact]
    public void A_reset_gives_a_suspended_guests_memory_up_and_nothing_else_does()
    {
        NodeObservation seen = Suspended();
        seen.Node.Spec.ResetRevision = "1";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.SavedState.ShouldBeNull();
        plan.Status.Phase.ShouldBe(NodePhases.Stopped);
        plan.Intents.OfType<Intent.Announce>().ShouldHaveSingleItem().Reason.ShouldBe("SavedStateDiscarded");

        // A memory that can't be used is a person's business, whatever the restart policy says.
        seen = Suspended();
        seen.Node.Spec.PowerState = PowerStates.Running;
        seen = Given.After(seen, Plan(seen));
        V1Pod ended = Given.Ended(seen.Node, Given.Report(TerminationReasons.SavedStateUnusable));
        ended.Metadata.Uid = "second";
        plan = Plan(seen with { Pod = ended });
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Reason).ShouldBe((NodePhases.Failed, TerminationReasons.SavedStateUnusable));
        plan.Status.SavedState.ShouldNotBeNull();
    }

    [Fact]
    public void A_changed_disk_revision_stops_the_guest_and_starts_it_on_another_disk_once()
    {
        NodeObservation seen = Given.Running();
        seen = Called(seen, OverlayMarker.Initial);
        Plan(seen).Intents.ShouldBeEmpty();
        seen.Node.Spec.Disk.Revision = "lesson-2";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Off);
        Condition(plan, ConditionTypes.Ready).Reason.ShouldBe("Wiping");
        Condition(plan, ConditionTypes.Ready).Message.ShouldContain("initial, is kept");
        seen = Given.After(seen, plan);

        V1Pod off = Given.Ended(seen.Node, Given.Report(TerminationReasons.HostShutdown));
        off.Metadata.Annotations[Annotations.DiskRevision] = "";
        plan = Plan(seen with { Pod = off, Runner = null });
        plan.Status.Restarts.ShouldBeNull();
        V1Pod pod = Plan(Given.After(seen, plan)).Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem().Pod;
        RunnerConfig config = JsonSerializer.Deserialize(pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;
        (config.DiskRevision, config.Wipe, config.KeepWiped).ShouldBe(("lesson-2", true, 1));

        // The pod that does it is left alone, and what it did is on record.
        seen = Given.After(seen, plan) with { Pod = Given.Pod(seen.Node, p => p.Metadata.Uid = "second"), Runner = null };
        Plan(seen).Intents.ShouldBeEmpty();
        RunnerState wiped = Given.RunnerRunning with
        {
            Disk = new DiskReport(2048 * Quantities.MiB, Quantities.MiB, true) { Revision = "lesson-2", WipedAt = Given.Now, Kept = [new KeptDisk(OverlayMarker.Initial, Given.Now, 77)] },
        };
        plan = Plan(seen with { Runner = wiped });
        (plan.Status.WipedAt, plan.Status.Disk!.Revision, plan.Status.Disk.Kept![0].Revision).ShouldBe((Given.Now.UtcDateTime, "lesson-2", OverlayMarker.Initial));
        plan.Intents.OfType<Intent.Announce>().ShouldContain(a => a.Reason == "Wiped");
        seen = Given.After(seen, plan) with { Runner = wiped };
        Plan(seen).Intents.ShouldBeEmpty();

        // A field that is taken away asks for nothing.
        seen.Node.Spec.Disk.Revision = null;
        Plan(seen).Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_disk_that_is_found_gives_way_to_none_and_a_suspended_guest_has_its_memory_back_first()
    {
        NodeObservation seen = Given.Fresh(n => n.Spec.Disk.Revision = "2") with { Claim = Given.Claim(Given.Node()) };
        RunnerConfig config = JsonSerializer.Deserialize(Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;
        (config.DiskRevision, config.Wipe).ShouldBe(("2", false));

        seen = Suspended();
        seen.Node.Status!.Disk!.Revision = "1";
        seen.Node.Spec.Disk.Revision = "2";
        seen.Node.Spec.PowerState = PowerStates.Running;
        config = JsonSerializer.Deserialize(Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;
        (config.DiskRevision, config.Wipe).ShouldBe(("1", false));
    }

    private static NodeObservation Called(NodeObservation seen, string revision)
    {
        RunnerState runner = seen.Runner! with { Disk = seen.Runner.Disk! with { Revision = revision } };
        return Given.After(seen, Plan(seen with { Runner = runner })) with { Runner = runner };
    }

    [Fact]
    public void Where_no_guest_runs_there_is_nothing_to_suspend()
    {
        NodeObservation seen = Given.Fresh(n => n.Spec.PowerState = PowerStates.Suspended);
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        (plan.Status.Phase, Condition(plan, ConditionTypes.Ready).Reason).ShouldBe((NodePhases.Stopped, "NothingToSuspend"));

        // A pod that found no node yet has no guest.
        seen = Given.Running() with { Runner = null };
        seen.Node.Status = new LabNodeStatus { Phase = NodePhases.Starting };
        seen.Node.Spec.PowerState = PowerStates.Suspended;
        seen.Pod!.Spec.NodeName = null;
        plan = Plan(seen);
        plan.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_reset_is_told_to_the_pod_that_runs_and_counts_as_done_for_one_that_starts()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.ResetRevision = "7";
        Plan(seen).Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.ResetWish].ShouldBe("7");

        V1Pod pod = Plan(Given.Fresh(n => n.Spec.ResetRevision = "7")).Intents.OfType<Intent.CreatePod>().Single().Pod;
        pod.Metadata.Annotations[Annotations.ResetWish].ShouldBe("7");
        pod.Spec.Containers[0].Env.First(e => e.Name == ContractNames.ConfigVariable).Value.ShouldContain("\"resetRevision\":\"7\"");
    }

    [Fact]
    public void A_restart_that_was_asked_for_is_made_once_and_is_no_failure()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.RestartRevision = "1";
        Plan<LabNodeStatus> stopping = Plan(seen);
        stopping.Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem().Annotations[Annotations.PowerWish].ShouldBe(PowerWishes.Off);
        Condition(stopping, ConditionTypes.Ready).Reason.ShouldBe("Restarting");

        V1Pod ended = Given.Ended(Given.Node(), Given.Report(TerminationReasons.HostPowerOff, TimeSpan.FromSeconds(1)));
        seen = seen with { Node = Given.After(seen, stopping).Node, Pod = ended, Runner = null };
        Plan<LabNodeStatus> over = Plan(seen);
        (over.Status.Restarts?.Count ?? 0).ShouldBe(0);
        over.Status.Restarts?.NextAt.ShouldBeNull();

        Plan<LabNodeStatus> again = Plan(Given.After(seen, over) with { Pod = null });
        again.Intents.OfType<Intent.CreatePod>().Single().Pod.Metadata.Annotations[Annotations.RestartRevision].ShouldBe("1");
        again.Status.RestartRevision.ShouldBe("1");
    }

    [Fact]
    public void A_changed_machine_needs_a_restart_and_a_changed_runner_does_not()
    {
        NodeObservation seen = Given.Running();
        Condition(Plan(seen), ConditionTypes.RestartRequired).Status.ShouldBe("False");
        var upgraded = new OperatorOptions { RunnerImage = "sandlabx.local/runner:next" };
        Condition(NodePlanner.Plan(seen, upgraded, Given.Now), ConditionTypes.RestartRequired).Status.ShouldBe("False");

        seen.Node.Spec.Cpus = 4;
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldBeEmpty();
        Condition(plan, ConditionTypes.RestartRequired).Status.ShouldBe("True");
        Condition(plan, ConditionTypes.Ready).Status.ShouldBe("True");
    }

    [Fact]
    public void A_larger_disk_asks_for_a_larger_claim_and_a_refusal_stops_no_guest()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Disk.Size = "8Gi";
        Plan<LabNodeStatus> plan = Plan(seen);
        Intent.GrowClaim grow = plan.Intents.OfType<Intent.GrowClaim>().ShouldHaveSingleItem();
        (grow.Uid, grow.Bytes).ShouldBe(("claim-uid", NodeObjects.ClaimBytes(8192 * Quantities.MiB)));

        Plan<LabNodeStatus> refused = Plan(seen with { Refusal = new Refusal("grow claim labnode-a", KubeError.Forbidden, "only dynamically provisioned pvc can be resized", OfGrowth: true) });
        refused.Status.Phase.ShouldBe(NodePhases.Running);
        Condition(refused, ConditionTypes.DiskReady).Reason.ShouldBe("GrowthRefused");
        refused.Intents.OfType<Intent.DeletePod>().ShouldBeEmpty();
    }

    [Fact]
    public void A_disk_grows_under_its_guest_once_the_claim_has_the_room()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Disk.Size = "8Gi";
        V1PersistentVolumeClaim claim = Given.Claim(seen.Node);
        claim.Spec.Resources.Requests["storage"] = new ResourceQuantity("9Gi");
        claim.Status.Capacity = new Dictionary<string, ResourceQuantity> { ["storage"] = new("3Gi") };
        Plan<LabNodeStatus> plan = Plan(seen with { Claim = claim });
        plan.Intents.ShouldBeEmpty();
        Condition(plan, ConditionTypes.DiskReady).Reason.ShouldBe("Growing");
        Condition(plan, ConditionTypes.RestartRequired).Status.ShouldBe("False");

        claim.Status.Capacity["storage"] = new ResourceQuantity("9Gi");
        Intent.WishOfPod wish = Plan(seen with { Claim = claim }).Intents.OfType<Intent.WishOfPod>().ShouldHaveSingleItem();
        wish.Annotations[Annotations.SizeWish].ShouldBe((8192 * Quantities.MiB).ToString(System.Globalization.CultureInfo.InvariantCulture));

        Given.Wished(seen.Pod!, wish);
        RunnerState grown = Given.RunnerRunning with { Disk = new DiskReport(8192 * Quantities.MiB, Quantities.MiB, false) };
        plan = Plan(seen with { Claim = claim, Runner = grown });
        plan.Intents.ShouldBeEmpty();
        (plan.Status.Disk!.VirtualSizeBytes, Condition(plan, ConditionTypes.DiskReady).Reason).ShouldBe((8192 * Quantities.MiB, "OverlayReady"));
    }

    [Fact]
    public void A_smaller_disk_is_refused_and_the_guest_left_alone()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Disk.Size = "1Gi";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.Running);
        Condition(plan, ConditionTypes.Ready).Reason.ShouldBe("SizeBelowDisk");
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
    }

    [Fact]
    public void A_size_below_the_images_is_refused_before_anything_is_made()
    {
        Plan<LabNodeStatus> plan = Plan(Given.Fresh(n => n.Spec.Disk.Size = "1Gi"));
        plan.Status.Phase.ShouldBe(NodePhases.Failed);
        Condition(plan, ConditionTypes.DiskReady).Message.ShouldContain("spec.disk.size is 1Gi");
        Condition(plan, ConditionTypes.DiskReady).Message.ShouldContain("2Gi");
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
    }

    [Fact]
    public void An_unknown_storage_class_is_named_and_a_corrected_one_replaces_the_claim_that_was_never_bound()
    {
        NodeObservation seen = Given.Fresh(n => n.Spec.Disk.StorageClassName = "gold") with { StorageClassKnown = false };
        Plan<LabNodeStatus> first = Plan(seen);
        first.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
        seen = Given.After(seen, first);
        seen.Claim!.Spec.VolumeName = null;
        seen.Claim.Status.Phase = "Pending";
        Plan<LabNodeStatus> waiting = Plan(seen);
        Condition(waiting, ConditionTypes.DiskReady).Reason.ShouldBe("StorageClassNotFound");
        Condition(waiting, ConditionTypes.DiskReady).Message.ShouldContain("gold");

        seen.Node.Spec.Disk.StorageClassName = "standard";
        seen.Claim.Metadata.ResourceVersion = "17";
        Plan<LabNodeStatus> corrected = Plan(seen);
        Intent.DeleteClaim delete = corrected.Intents.OfType<Intent.DeleteClaim>().ShouldHaveSingleItem();
        delete.Uid.ShouldBe("claim-uid");
        delete.ResourceVersion.ShouldBe("17", "bound meanwhile, it stays");
        Plan<LabNodeStatus> healed = Plan(Given.After(seen, corrected) with { StorageClassKnown = true });
        healed.Intents.OfType<Intent.CreateClaim>().ShouldHaveSingleItem();
        healed.Intents.OfType<Intent.CreatePod>().ShouldHaveSingleItem();
    }

    [Fact]
    public void A_claim_seen_late_does_not_cost_the_guest_that_runs_on_it()
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.StorageClassName = "gold");
        seen.Node.Status!.Disk!.CreatedAt = null;
        seen.Claim!.Spec.VolumeName = null;
        seen.Claim.Status.Phase = "Pending";
        seen.Node.Spec.Disk.StorageClassName = "standard";
        Plan(seen).Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_bound_claim_is_never_replaced()
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.StorageClassName = "gold");
        seen.Node.Spec.Disk.StorageClassName = "standard";
        Plan(seen).Intents.ShouldBeEmpty();
    }

    [Fact]
    public void A_refusal_of_the_server_is_told_in_its_own_words()
    {
        Plan<LabNodeStatus> plan = Plan(Given.Fresh() with { Refusal = new Refusal("create pod labnode-a", KubeError.Forbidden, "exceeded quota: team") });
        Condition(plan, ConditionTypes.Ready).Message.ShouldContain("exceeded quota: team");
    }

    [Fact]
    public void Deletion_with_Retain_keeps_the_claim()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        Plan<LabNodeStatus> first = Plan(seen);
        first.Released.ShouldBeFalse();
        first.Intents.OfType<Intent.DeletePod>().ShouldHaveSingleItem();
        seen = Given.After(seen, first);
        Plan<LabNodeStatus> last = Plan(seen);
        last.Released.ShouldBeTrue();
        last.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
    }

    [Fact]
    public void Deletion_with_Delete_deletes_the_claim_after_the_pod_and_waits_for_it()
    {
        NodeObservation seen = Given.Running(n => n.Spec.Disk.ReclaimPolicy = ReclaimPolicies.Delete);
        seen.Node.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        Plan<LabNodeStatus> first = Plan(seen);
        first.Intents.OfType<Intent.DeleteClaim>().ShouldBeEmpty();
        seen = Given.After(seen, first);
        Plan<LabNodeStatus> second = Plan(seen);
        second.Released.ShouldBeFalse();
        second.Intents.OfType<Intent.DeleteClaim>().ShouldHaveSingleItem().Uid.ShouldBe("claim-uid");
        Plan(Given.After(seen, second)).Released.ShouldBeTrue();
    }

    [Fact]
    public void A_full_claim_pauses_the_node_and_says_so()
    {
        NodeObservation seen = Given.Running();
        RunnerState full = Given.RunnerRunning with { Phase = RunnerPhases.Paused, IoError = new IoErrorReport(true, "No space left on device") };
        Plan<LabNodeStatus> plan = Plan(seen with { Runner = full });
        plan.Status.Phase.ShouldBe(NodePhases.Paused);
        Condition(plan, ConditionTypes.DiskReady).Reason.ShouldBe(TerminationReasons.NoSpace);
        Plan(Given.After(seen, plan) with { Runner = Given.RunnerRunning }).Status.Phase.ShouldBe(NodePhases.Running);
    }

    [Fact]
    public void A_wrong_edit_does_not_stop_a_guest_that_runs()
    {
        NodeObservation seen = Given.Running();
        seen.Node.Spec.Memory = "much";
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.ShouldAllBe(i => i is Intent.Announce);
        plan.Status.Phase.ShouldBe(NodePhases.Running);
        Condition(plan, ConditionTypes.Ready).Message.ShouldContain("spec.memory");
    }
}
