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

    [Fact]
    public async Task A_limit_range_that_refuses_the_pod_is_told_with_the_way_out_and_the_LabNode_runs_once_its_spec_fits()
    {
        await Lab.ApplyAsync($$"""
            apiVersion: v1
            kind: LimitRange
            metadata: {name: limits, namespace: {{Space.Name}}}
            spec: {limits: [{type: Container, max: {memory: 600Mi}, default: {memory: 16Mi, cpu: 10m}, defaultRequest: {memory: 16Mi, cpu: 10m} }, {type: PersistentVolumeClaim, max: {storage: 1Gi} }]}
            """);
        await Space.NodeAsync("greedy", "powerState: Stopped");
        await Space.PatchNodeAsync("greedy", """{"spec": {"powerState": "Running", "memory": "2Gi"} }""");
        await Space.NodeAsync("large", disk: "size: 2Gi");
        await RefusedAsync("greedy", "maximum memory usage per Container is 600Mi", "Lower spec.memory");
        await RefusedAsync("large", "maximum storage usage per PersistentVolumeClaim is 1Gi", "Lower spec.disk.size");

        // The defaults are for containers that name nothing: a guest keeps what its spec gives it.
        await Space.PatchNodeAsync("greedy", """{"spec": {"memory": "128Mi"} }""");
        await Space.AwaitPhaseAsync("greedy", NodePhases.Running);
        (await Space.PodNowAsync("greedy"))!.Spec.Containers[0].Resources.Requests["memory"].ToDecimal().ShouldBeGreaterThan(128 * Quantities.MiB);
        await Space.PatchNodeAsync("large", """{"spec": {"disk": {"size": "300Mi"} } }""");
        await Space.AwaitPhaseAsync("large", NodePhases.Running);
    }

    private async Task RefusedAsync(string name, params string[] words)
    {
        V1Alpha1LabNode node = await Space.AwaitNodeAsync(name, n => Space.Condition(n, ConditionTypes.Ready)?.Reason == "RefusedByServer", "is refused");
        string message = Space.Condition(node, ConditionTypes.Ready)!.Message;
        Output.WriteLine(message);
        words.ShouldAllBe(word => message.Contains(word));
        await Space.EventAsync("LabNode", name, "Warning", "RefusedByServer", words);
    }

    private Task QuotaAsync(string memory) => Lab.ApplyAsync($$"""
        apiVersion: v1
        kind: ResourceQuota
        metadata: {name: small, namespace: {{Space.Name}}}
        spec: {hard: {requests.memory: {{memory}} } }
        """);
}
