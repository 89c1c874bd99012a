using System.Diagnostics;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A kubelet that stands still: to Kubernetes its node is silent, and the guests on it may or may not run.</summary>
[Collection(Disruptive)]
public sealed class SilentNodeTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task A_silent_nodes_guests_count_as_lost_none_has_a_second_and_all_is_as_it_was_when_the_node_is_back()
    {
        await Task.WhenAll(Space.NodeAsync("stays"), Space.NodeAsync("goes"));
        Guest stays = await Space.RunningGuestAsync("stays");
        Guest goes = await Space.RunningGuestAsync("goes");
        await goes.OkAsync("write marker from before the silence");
        V1Pod first = (await Space.PodNowAsync("stays"))!;
        V1Pod gone = (await Space.PodNowAsync("goes"))!;
        DateTime? started = (await Space.NodeNowAsync("stays"))!.Status!.StartedAt;
        long silent = Stopwatch.GetTimestamp();
        await Lab.ClusterAsync("kill", "kubelet", "STOP");
        try
        {
            V1Alpha1LabNode lost = await Space.AwaitPhaseAsync("stays", NodePhases.NodeLost);
            await Space.AwaitPhaseAsync("goes", NodePhases.NodeLost);
            Output.WriteLine($"lost after {Stopwatch.GetElapsedTime(silent).TotalSeconds:0} s: {Space.Condition(lost, ConditionTypes.Ready)!.Message}");
            Space.Condition(lost, ConditionTypes.Ready)!.Message.ShouldContain(first.Spec.NodeName);
            await Space.EventAsync("LabNode", "stays", "Warning", "NodeLost", first.Spec.NodeName);

            // As Kubernetes does with the pods of a silent node while others answer: it asks for the pod's end, and nobody answers.
            await Lab.KubectlOkAsync("-n", Space.Name, "delete", "pod", "labnode-goes", "--wait=false");
            await Space.PatchNodeAsync("goes", """{"spec": {"gracePeriodSeconds": 31} }""");
            V1Alpha1LabNode waits = await Space.AwaitNodeAsync("goes", n => n.Status?.ObservedGeneration == n.Metadata.Generation, "was looked at since");
            waits.Status!.Phase.ShouldBe(NodePhases.NodeLost);
            (await Space.PodNowAsync("goes"))!.Metadata.Uid.ShouldBe(gone.Metadata.Uid, "no successor before that pod is gone");
            (await QemusAsync()).ShouldBe(2, "both guests run all the time");
        }
        finally
        {
            await Lab.ClusterAsync("kill", "kubelet", "CONT");
        }

        long back = Stopwatch.GetTimestamp();
        V1Alpha1LabNode same = await Space.AwaitPhaseAsync("stays", NodePhases.Running);
        (same.Status!.Pod!.Uid, same.Status.StartedAt, same.Status.Terminations).ShouldBe((first.Metadata.Uid, started, null));
        await stays.ReadyAsync(boot: 1);
        V1Alpha1LabNode anew = await Space.AwaitNodeAsync("goes", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != gone.Metadata.Uid, "runs in another pod");
        Output.WriteLine($"all run again {Stopwatch.GetElapsedTime(back).TotalSeconds:0} s after the kubelet went on; the deleted one ended with {anew.Status!.Terminations!.ShouldHaveSingleItem().Reason}");
        await goes.ReadyAsync(boot: 2);
        (await goes.OkAsync("read marker")).ShouldBe("from before the silence");
    }

    /// <summary>How many QEMUs of this namespace's LabNodes the node has.</summary>
    private async Task<int> QemusAsync()
    {
        Outcome seen = await Shell.RunAsync(Lab.InNode("pgrep", "-c", "-f", $"^qemu-system.*guest={Space.Name}/"));
        return int.Parse(seen.Output, System.Globalization.CultureInfo.InvariantCulture);
    }
}
