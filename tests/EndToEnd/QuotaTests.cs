using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A server that refuses what the operator asks for.</summary>
public sealed class QuotaTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task A_quota_that_refuses_the_pod_is_told_in_the_servers_words_and_the_LabNode_runs_once_it_is_raised()
    {
        await QuotaAsync("100Mi");
        await Space.NodeAsync("poor");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("poor", n => Space.Condition(n, ConditionTypes.Ready)?.Reason == "RefusedByServer", "is refused");
        string message = Space.Condition(node, ConditionTypes.Ready)!.Message;
        Output.WriteLine(message);
        message.ShouldContain("exceeded quota");
        message.ShouldContain("labnode-poor");
        message.ShouldContain("limited: requests.memory=100Mi");
        node.Status!.Phase.ShouldBe(NodePhases.Unschedulable);
        await Space.EventAsync("LabNode", "poor", "Warning", "RefusedByServer", "exceeded quota");
        (await Space.PodNowAsync("poor")).ShouldBeNull();

        await QuotaAsync("4Gi");
        node = await Space.AwaitPhaseAsync("poor", NodePhases.Running);
        (node.Status!.Restarts?.Count ?? 0).ShouldBe(0);
        (await Space.EventsAsync("LabNode", "poor")).Count(e => e.Reason == "RefusedByServer").ShouldBe(1, "one trouble, one event");
    }

    private Task QuotaAsync(string memory) => Lab.ApplyAsync($$"""
        apiVersion: v1
        kind: ResourceQuota
        metadata: {name: small, namespace: {{Space.Name}}}
        spec: {hard: {requests.memory: {{memory}} } }
        """);
}
