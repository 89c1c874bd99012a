using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>What is put on record when a kubelet lost how a container ended.</summary>
public sealed class LastWordTests
{
    [Fact]
    public void The_runners_last_word_stands_in_for_a_lost_termination_message()
    {
        NodeObservation seen = Stopping() with { LastWord = ("pod-uid", Given.Report(TerminationReasons.HostShutdown)) };
        Plan(seen).Terminations!.ShouldHaveSingleItem().Reason.ShouldBe(TerminationReasons.HostShutdown);
    }

    [Fact]
    public void It_also_tells_of_a_pod_that_is_gone_already()
    {
        NodeObservation seen = Stopping() with { Pod = null, LastWord = ("pod-uid", Given.Report(TerminationReasons.HostShutdown)) };
        Plan(seen).Terminations!.ShouldHaveSingleItem().Reason.ShouldBe(TerminationReasons.HostShutdown);
    }

    [Fact]
    public void Another_pods_last_word_tells_nothing()
    {
        NodeObservation seen = Stopping() with { LastWord = ("other-uid", Given.Report(TerminationReasons.HostShutdown)) };
        LabNodeTermination end = Plan(seen).Terminations!.ShouldHaveSingleItem();
        end.Reason.ShouldBe(NodeEnds.PodFailed);
        end.Message!.ShouldContain("ContainerStatusUnknown");
    }

    [Fact]
    public void A_last_word_is_no_end_while_the_pod_lives()
    {
        NodeObservation seen = Stopping();
        seen.Pod!.Status.Phase = "Running";
        (Plan(seen with { LastWord = ("pod-uid", Given.Report(TerminationReasons.HostShutdown)) }).Terminations ?? []).ShouldBeEmpty();
    }

    private static LabNodeStatus Plan(NodeObservation seen) => NodePlanner.Plan(seen, Given.Options, Given.Now).Status;

    private static NodeObservation Stopping()
    {
        NodeObservation fresh = Given.Fresh(n =>
        {
            n.Spec.PowerState = PowerStates.Stopped;
            n.Status = new LabNodeStatus { Phase = NodePhases.Stopping, Pod = new LabNodePodStatus { Uid = "pod-uid", Name = "labnode-a" } };
        });
        return fresh with
        {
            Claim = Given.Claim(fresh.Node),
            Pod = Given.Pod(fresh.Node, p =>
            {
                p.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
                p.Status.Phase = "Failed";
                p.Status.ContainerStatuses =
                [
                    new V1ContainerStatus
                    {
                        Name = NodeObjects.ContainerName,
                        State = new V1ContainerState { Waiting = new V1ContainerStateWaiting { Reason = "ContainerCreating" } },
                        LastState = new V1ContainerState { Terminated = new V1ContainerStateTerminated { ExitCode = 137, Reason = "ContainerStatusUnknown" } },
                    },
                ];
            }),
        };
    }
}
