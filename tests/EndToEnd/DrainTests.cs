using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A node of the cluster that is drained: guests stop in order, or the drain waits for a person.</summary>
[Collection(Disruptive)]
public sealed class DrainTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task A_drained_nodes_guest_powers_off_in_order_waits_for_a_place_and_starts_again()
    {
        await Space.NodeAsync("drained");
        Guest guest = await Space.RunningGuestAsync("drained");
        await guest.OkAsync("write marker before the drain");
        V1Pod pod = (await Space.PodNowAsync("drained"))!;
        try
        {
            await Lab.KubectlOkAsync("cordon", pod.Spec.NodeName);
            (await EvictAsync("drained")).Code.ShouldBe(0);
            V1Alpha1LabNode waits = await Space.AwaitPhaseAsync("drained", NodePhases.Unschedulable);
            string message = Space.Condition(waits, ConditionTypes.Ready)!.Message;
            Output.WriteLine(message);
            message.ShouldContain("unschedulable");
            waits.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        }
        finally
        {
            await Lab.KubectlOkAsync("uncordon", pod.Spec.NodeName);
        }

        await Space.AwaitPhaseAsync("drained", NodePhases.Running);
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("before the drain");
    }

    [Fact]
    public async Task A_guest_that_blocks_evictions_runs_on_until_its_spec_lets_them_through()
    {
        await Space.NodeAsync("blocks", "evictionPolicy: Block");
        Guest guest = await Space.RunningGuestAsync("blocks");
        await Space.AwaitNodeAsync("blocks", n => Space.Condition(n, ConditionTypes.EvictionBlocked)?.Status == "True", "is guarded");
        string uid = (await Space.PodNowAsync("blocks"))!.Metadata.Uid;

        // Its controller counts the pods first; until then the server refuses with other words.
        Outcome refused = await Eventually.SeesAsync("the eviction is refused", () => EvictAsync("blocks"), o => o.ToString().Contains("disruption budget", StringComparison.Ordinal) && !o.ToString().Contains("still being processed", StringComparison.Ordinal));
        Output.WriteLine(refused.ToString());
        refused.Code.ShouldNotBe(0);
        V1Pod pod = (await Space.PodNowAsync("blocks"))!;
        (pod.Metadata.Uid, pod.Metadata.DeletionTimestamp).ShouldBe((uid, null));
        await guest.OkAsync("write marker it ran on");

        await Space.PatchNodeAsync("blocks", """{"spec": {"evictionPolicy": "Stop"} }""");
        await Eventually.SucceedsAsync("the eviction is let through", () => EvictAsync("blocks"));
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("blocks", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != uid, "it runs in another pod");
        node.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("it ran on");
        Space.Condition(node, ConditionTypes.EvictionBlocked).ShouldBeNull();
    }

    /// <summary>As kubectl drain asks for it, of one pod.</summary>
    private Task<Outcome> EvictAsync(string node) => Shell.RunAsync(
        ["kubectl", "create", "--raw", $"/api/v1/namespaces/{Space.Name}/pods/labnode-{node}/eviction", "-f", "-"],
        input: $$"""{"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "labnode-{{node}}", "namespace": "{{Space.Name}}"} }""");
}
