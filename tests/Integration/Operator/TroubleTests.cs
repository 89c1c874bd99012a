using System.Diagnostics;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Prometheus;
using SandLabX.Entities;
using SandLabX.Integration.Cluster;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Validation;
using SandLabX.Runtime;

namespace SandLabX.Integration.Operator;

/// <summary>The operator, with its generated role, on a real API server: nodes that are lost, evictions, records that do not agree, and limits.</summary>
[Collection(OnApiServer.Name)]
public sealed class TroubleTests(ApiServerFixture fixture, ITestOutputHelper output)
{
    [Fact]
    public async Task A_lost_nodes_guest_is_waited_for_and_starts_elsewhere_once_Kubernetes_has_removed_its_pod()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        await using LabOperator op = await LabOperator.StartAsync(fixture, space);
        V1Pod first = await cluster.RunOnAsync("n1-" + space, "a");

        await cluster.HostAsync("n1-" + space, "Unknown");
        V1Alpha1LabNode lost = await cluster.AwaitNodeAsync("a", n => n.Status?.Phase == NodePhases.NodeLost, "is lost");
        V1Condition ready = HandMadeCluster.Condition(lost, ConditionTypes.Ready)!;
        (ready.Status, ready.Reason).ShouldBe(("False", "NodeLost"));
        ready.Message.ShouldContain("n1-" + space);
        lost.Status!.Pod!.Uid.ShouldBe(first.Metadata.Uid);
        await Eventually.BeTrueAsync(async () => (await cluster.EventsAsync("LabNode", "a")).Count(e => e.Reason == "NodeLost") == 1, "one event tells it");

        // As after the pod's toleration: Kubernetes asks for its end, and nobody answers.
        await cluster.MarkForDeletionAsync("labnode-a");
        await fixture.Api.PatchAsync<V1Alpha1LabNode>(new ObjectKey(space, "a"), JsonNode.Parse("""{"metadata": {"labels": {"seen": "yes"} } }""")!.AsObject(), default);
        await cluster.HostAsync("n1-" + space, "Unknown");
        V1Alpha1LabNode still = await cluster.NodeNowAsync("a");
        (still.Status!.Phase, (await cluster.PodAsync("labnode-a")).Metadata.Uid).ShouldBe((NodePhases.NodeLost, first.Metadata.Uid));

        // Out of service: its controller removes the pod.
        await cluster.HostAsync("n2-" + space, "True");
        long declared = Stopwatch.GetTimestamp();
        await cluster.RemoveAsync("labnode-a");
        V1Pod second = await cluster.PodAsync("labnode-a", first.Metadata.Uid);
        output.WriteLine($"The successor's pod was there {Stopwatch.GetElapsedTime(declared).TotalSeconds:0.00} s after the first was removed");
        second.Spec.NodeName.ShouldBeNull("the scheduler decides where");
        await cluster.RunAsync("a", "n2-" + space, first.Metadata.Uid);
        V1Alpha1LabNode runs = await cluster.NodeNowAsync("a");
        runs.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("NodeLost");
        runs.Status.Pod!.Node.ShouldBe("n2-" + space);
    }

    [Fact]
    public async Task A_node_that_comes_back_leaves_its_guest_as_it_was()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        await using LabOperator op = await LabOperator.StartAsync(fixture, space);
        V1Pod pod = await cluster.RunOnAsync("n1-" + space, "a");
        LabNodeStatus before = (await cluster.NodeNowAsync("a")).Status!;
        await cluster.HostAsync("n1-" + space, "Unknown");
        await cluster.AwaitNodeAsync("a", n => n.Status?.Phase == NodePhases.NodeLost, "is lost");
        await cluster.HostAsync("n1-" + space, "True");
        V1Alpha1LabNode node = await cluster.AwaitNodeAsync("a", n => n.Status?.Phase == NodePhases.Running, "runs again");
        (node.Status!.Pod!.Uid, node.Status.StartedAt, node.Status.Terminations).ShouldBe((pod.Metadata.Uid, before.StartedAt, null));
    }

    [Fact]
    public async Task A_guest_is_guarded_from_evictions_as_long_as_its_spec_says_so()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        await using LabOperator op = await LabOperator.StartAsync(fixture, space);
        V1Pod pod = await cluster.RunOnAsync("n1-" + space, "a", spec => spec.EvictionPolicy = EvictionPolicies.Block);
        V1Alpha1LabNode node = await cluster.AwaitNodeAsync("a", n => HandMadeCluster.Condition(n, ConditionTypes.EvictionBlocked)?.Status == "True", "is guarded");
        output.WriteLine(HandMadeCluster.Condition(node, ConditionTypes.EvictionBlocked)!.Message);

        // (Of the version that this server has: 1.20 knows the older one alone.)
        V1Beta1PodDisruptionBudget budget = (await fixture.Api.GetAsync<V1Beta1PodDisruptionBudget>(new ObjectKey(space, EvictionGuards.NameOf(pod)), default))!;
        budget.Spec!.MinAvailable.ToString().ShouldBe("1");
        budget.Spec.Selector.MatchLabels[Labels.Node].ShouldBe("a");
        budget.Metadata.OwnerReferences.ShouldHaveSingleItem().Uid.ShouldBe(pod.Metadata.Uid, "it goes with the pod");

        await fixture.Api.PatchAsync<V1Alpha1LabNode>(new ObjectKey(space, "a"), JsonNode.Parse("""{"spec": {"evictionPolicy": "Stop"} }""")!.AsObject(), default);
        await cluster.AwaitNodeAsync("a", n => HandMadeCluster.Condition(n, ConditionTypes.EvictionBlocked) is null, "is guarded no more");
        await Eventually.BeTrueAsync(async () => await fixture.Api.GetAsync<V1Beta1PodDisruptionBudget>(ObjectKey.Of(budget), default) is null, "the budget is gone");
        await Eventually.BeTrueAsync(async () => !(await cluster.PodAsync("labnode-a")).Metadata.Annotations.ContainsKey(Annotations.EvictionPolicy), "and the note");
        (await cluster.NodeNowAsync("a")).Status!.Phase.ShouldBe(NodePhases.Running);
    }

    [Fact]
    public async Task A_guard_that_a_quota_refuses_is_told_and_the_guest_runs_on()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        await cluster.Client.CoreV1.CreateNamespacedResourceQuotaAsync(
            new V1ResourceQuota
            {
                Metadata = new V1ObjectMeta { Name = "none" },
                Spec = new V1ResourceQuotaSpec { Hard = new Dictionary<string, ResourceQuantity> { ["count/poddisruptionbudgets.policy"] = new("0") } },
            },
            space);
        await cluster.Client.CoreV1.PatchNamespacedResourceQuotaStatusAsync(
            HandMadeCluster.Merge("""{"status": {"hard": {"count/poddisruptionbudgets.policy": "0"}, "used": {"count/poddisruptionbudgets.policy": "0"} } }"""), "none", space);
        await using LabOperator op = await LabOperator.StartAsync(fixture, space);
        await cluster.RunOnAsync("n1-" + space, "a", spec => spec.EvictionPolicy = EvictionPolicies.Block);
        V1Alpha1LabNode node = await cluster.AwaitNodeAsync("a", n => HandMadeCluster.Condition(n, ConditionTypes.EvictionBlocked)?.Status == "False", "is told");
        V1Condition blocked = HandMadeCluster.Condition(node, ConditionTypes.EvictionBlocked)!;
        blocked.Reason.ShouldBe("RefusedByServer");
        blocked.Message.ShouldContain("exceeded quota: none");
        node.Status!.Phase.ShouldBe(NodePhases.Running);
        HandMadeCluster.Condition(node, ConditionTypes.Ready)!.Status.ShouldBe("True");
    }

    [Fact]
    public async Task What_does_not_agree_at_the_operators_start_is_told_by_condition_event_and_metric_and_left_alone()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        V1PersistentVolumeClaim orphan, own;
        await using (LabOperator before = await LabOperator.StartAsync(fixture, space))
        {
            await cluster.RunOnAsync("n1-" + space, "a");
            own = (await fixture.Api.GetAsync<V1PersistentVolumeClaim>(new ObjectKey(space, "labnode-a"), default))!;
        }

        // (What a runner would have told.)
        V1Alpha1LabNode made = await cluster.NodeNowAsync("a");
        LabNodeStatus told = (await cluster.NodeNowAsync("a")).Status!;
        told.Disk!.CreatedAt = told.StartedAt;
        await fixture.Api.PatchStatusAsync(made, told, default);

        // While no operator looks: a claim whose LabNode is gone, another disk in the place of a's, and a second pod on it.
        orphan = await fixture.Api.CreateAsync(Copy(own, "labnode-gone", "gone"), default);
        await fixture.Api.PatchAsync<V1PersistentVolumeClaim>(ObjectKey.Of(own), JsonNode.Parse($$"""{"metadata": {"annotations": {"{{Annotations.DiskId}}": "another"} } }""")!.AsObject(), default);
        V1Pod copy = await cluster.PodAsync("labnode-a");
        copy.Metadata = new V1ObjectMeta { Name = "copy", NamespaceProperty = space, Labels = copy.Metadata.Labels, OwnerReferences = copy.Metadata.OwnerReferences };
        copy.Spec.NodeName = null;
        copy.Status = null;
        await fixture.Api.CreateAsync(copy, default);

        await using LabOperator op = await LabOperator.StartAsync(fixture, space, options => options.ValidationInterval = TimeSpan.FromSeconds(10));
        V1Alpha1LabNode node = await cluster.AwaitNodeAsync("a", n => HandMadeCluster.Condition(n, ConditionTypes.Consistent)?.Status == "False", "does not agree");
        V1Condition consistent = HandMadeCluster.Condition(node, ConditionTypes.Consistent)!;
        output.WriteLine(consistent.Message);
        consistent.Reason.ShouldBe(Finding.DiskIdMismatch);
        consistent.Message.ShouldContain("another");
        consistent.Message.ShouldContain("copy");
        node.Status!.Disk!.Id.ShouldNotBe("another");
        node.Status.Phase.ShouldBe(NodePhases.Running, "a guest that runs is left alone");
        await Eventually.BeTrueAsync(async () => (await cluster.EventsAsync("PersistentVolumeClaim", "labnode-gone")).Any(e => e is { Reason: Finding.ClaimWithoutNode, Type: "Normal" }), "the claim has an event");
        await Eventually.BeTrueAsync(async () => (await cluster.EventsAsync("LabNode", "a")).Any(e => e is { Reason: Finding.DiskIdMismatch, Type: "Warning" }), "the LabNode has one");
        (Count(Finding.DiskIdMismatch), Count(Finding.TwoPodsOneClaim), Count(Finding.ClaimWithoutNode), Count(Finding.ClaimLost)).ShouldBe((1, 1, 1, 0));
        (await fixture.Api.GetAsync<V1PersistentVolumeClaim>(ObjectKey.Of(orphan), default)).ShouldNotBeNull();
        (await fixture.Api.GetAsync<V1Pod>(new ObjectKey(space, "copy"), default)).ShouldNotBeNull();

        // What is mended is told, at once by the LabNode and at the next validation by the metric; what lasts is not told again.
        await fixture.Api.PatchAsync<V1PersistentVolumeClaim>(ObjectKey.Of(own), JsonNode.Parse($$"""{"metadata": {"annotations": {"{{Annotations.DiskId}}": "{{own.Metadata.Annotations[Annotations.DiskId]}}"} } }""")!.AsObject(), default);
        await cluster.RemoveAsync("copy");
        await cluster.AwaitNodeAsync("a", n => HandMadeCluster.Condition(n, ConditionTypes.Consistent)?.Status == "True", "agrees again");
        await Eventually.BeTrueAsync(() => Count(Finding.DiskIdMismatch) == 0 && Count(Finding.TwoPodsOneClaim) == 0, "the metric says so");
        (await cluster.EventsAsync("PersistentVolumeClaim", "labnode-gone")).Count(e => e.Reason == Finding.ClaimWithoutNode).ShouldBe(1);
    }

    [Fact]
    public async Task A_limit_range_that_refuses_pod_or_claim_is_told_with_the_way_out_and_its_defaults_change_nothing()
    {
        string space = await fixture.CreateNamespaceAsync();
        using var cluster = new HandMadeCluster(fixture, space);
        await using LabOperator op = await LabOperator.StartAsync(fixture, space);
        await cluster.PrepareAsync();
        await cluster.Client.CoreV1.CreateNamespacedLimitRangeAsync(
            new V1LimitRange
            {
                Metadata = new V1ObjectMeta { Name = "small" },
                Spec = new V1LimitRangeSpec
                {
                    Limits =
                    [
                        new V1LimitRangeItem { Type = "Container", Max = new Dictionary<string, ResourceQuantity> { ["memory"] = new("300Mi") }, DefaultProperty = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("10m"), ["memory"] = new("16Mi"), ["ephemeral-storage"] = new("1Gi") } },
                        new V1LimitRangeItem { Type = "PersistentVolumeClaim", Max = new Dictionary<string, ResourceQuantity> { ["storage"] = new("1Gi") } },
                    ],
                },
            },
            space);
        await cluster.NodeAsync("greedy", spec => spec.Memory = "1Gi");
        await cluster.NodeAsync("large", spec => spec.Disk.Size = "2Gi");
        await cluster.NodeAsync("fits");
        string memory = await RefusedAsync("greedy");
        memory.ShouldContain("maximum memory usage per Container is 300Mi");
        memory.ShouldContain("Lower spec.memory");
        string storage = await RefusedAsync("large");
        storage.ShouldContain("maximum storage usage per PersistentVolumeClaim is 1Gi");
        storage.ShouldContain("Lower spec.disk.size");

        await cluster.HostAsync("n1-" + space, "True");
        V1Pod pod = await cluster.RunAsync("fits", "n1-" + space);
        pod.Spec.Containers[0].Resources.Limits["ephemeral-storage"].ToString().ShouldBe("1Gi", "the default was applied");
        pod.Spec.Containers[0].Resources.Requests["memory"].ToDecimal().ShouldBeGreaterThan(128 * Quantities.MiB, "and takes nothing away from the guest");
        V1Alpha1LabNode fits = await cluster.NodeNowAsync("fits");
        (HandMadeCluster.Condition(fits, ConditionTypes.Ready)!.Status, HandMadeCluster.Condition(fits, ConditionTypes.RestartRequired)!.Status).ShouldBe(("True", "False"));

        await fixture.Api.PatchAsync<V1Alpha1LabNode>(new ObjectKey(space, "greedy"), JsonNode.Parse("""{"spec": {"memory": "64Mi"} }""")!.AsObject(), default);
        await cluster.PodAsync("labnode-greedy");

        async Task<string> RefusedAsync(string name)
        {
            V1Alpha1LabNode node = await cluster.AwaitNodeAsync(name, n => HandMadeCluster.Condition(n, ConditionTypes.Ready)?.Reason == "RefusedByServer", "is refused");
            string message = HandMadeCluster.Condition(node, ConditionTypes.Ready)!.Message;
            output.WriteLine(message);
            return message;
        }
    }

    private static V1PersistentVolumeClaim Copy(V1PersistentVolumeClaim claim, string name, string node) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = name,
            NamespaceProperty = claim.Metadata.NamespaceProperty,
            Labels = new Dictionary<string, string>(claim.Metadata.Labels) { [Labels.Node] = node },
            Annotations = claim.Metadata.Annotations,
        },
        Spec = new V1PersistentVolumeClaimSpec { AccessModes = claim.Spec.AccessModes, Resources = claim.Spec.Resources },
    };

    /// <summary>The gauge that the code made: by its name, as a registry gives it.</summary>
    private static double Count(string kind) => Metrics.CreateGauge("sandlabx_inconsistencies", "", ["kind"]).WithLabels(kind).Value;
}
