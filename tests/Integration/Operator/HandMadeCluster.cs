using System.Text.Json;
using k8s;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Integration.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Integration.Operator;

/// <summary>
/// Does by hand what scheduler, kubelets, provisioner and controller manager do, on a real API server that has none of them: so a node of the cluster fails when,
/// and as, a test says.
/// </summary>
internal sealed class HandMadeCluster(ApiServerFixture fixture, string space) : IDisposable
{
    public const string Sha = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    private readonly Kubernetes _client = new(fixture.Config);

    public Kubernetes Client => _client;

    /// <summary>A default storage class, and LabImage <c>base</c>, imported.</summary>
    public async Task PrepareAsync()
    {
        try
        {
            await _client.StorageV1.CreateStorageClassAsync(new V1StorageClass
            {
                Metadata = new V1ObjectMeta { Name = "standard", Annotations = new Dictionary<string, string> { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
                Provisioner = "example.org/by-hand",
            });
        }
        catch (k8s.Autorest.HttpOperationException e) when (e.Response.StatusCode == System.Net.HttpStatusCode.Conflict)
        {
            // Of another test.
        }

        await fixture.Api.CreateAsync(
            new V1Alpha1LabImage
            {
                Metadata = new V1ObjectMeta { Name = "base", NamespaceProperty = space },
                Spec = new LabImageSpec { Source = new LabImageSource { Url = "http://images.invalid/base.qcow2" }, Sha256 = Sha },
            },
            default);
        V1Pod import = await PodAsync("labimage-base-" + Sha[..12]);
        var report = new TerminationReport { Reason = TerminationReasons.Imported, Message = "Imported.", At = DateTimeOffset.UtcNow, Image = new ImageReport(Sha, "qcow2", 256 << 20, 1 << 20) };
        await StatusAsync(import, "Succeeded", new V1ContainerState
        {
            Terminated = new V1ContainerStateTerminated { ExitCode = 0, FinishedAt = DateTime.UtcNow, Message = JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport) },
        });
    }

    public Task NodeAsync(string name, Action<LabNodeSpec>? change = null)
    {
        var node = new V1Alpha1LabNode { Metadata = new V1ObjectMeta { Name = name, NamespaceProperty = space }, Spec = new LabNodeSpec { Image = "base", Memory = "128Mi" } };
        change?.Invoke(node.Spec);
        return fixture.Api.CreateAsync(node, default);
    }

    /// <summary>All that a LabNode needs, and one that runs on a node of the cluster; gives its pod.</summary>
    public async Task<V1Pod> RunOnAsync(string host, string name, Action<LabNodeSpec>? change = null)
    {
        await PrepareAsync();
        await HostAsync(host, "True");
        await NodeAsync(name, change);
        return await RunAsync(name, host);
    }

    public async Task<V1Alpha1LabNode> NodeNowAsync(string name) => (await fixture.Api.GetAsync<V1Alpha1LabNode>(new ObjectKey(space, name), default))!;

    public async Task<V1Alpha1LabNode> AwaitNodeAsync(string name, Func<V1Alpha1LabNode, bool> holds, string what)
    {
        V1Alpha1LabNode? node = null;
        try
        {
            await Eventually.BeTrueAsync(async () => holds(node = await NodeNowAsync(name)), $"LabNode {name}: {what}");
        }
        catch (TimeoutException e)
        {
            throw new TimeoutException($"{e.Message}; it is: {JsonSerializer.Serialize(node?.Status)}", e);
        }

        return node!;
    }

    public static V1Condition? Condition(V1Alpha1LabNode node, string type) => Conditions.Find(node.Status?.Conditions, type);

    /// <summary>A pod, once the operator has made it; of another UID than <paramref name="former"/>.</summary>
    public async Task<V1Pod> PodAsync(string name, string? former = null)
    {
        V1Pod? pod = null;
        await Eventually.BeTrueAsync(
            async () => (pod = await fixture.Api.GetAsync<V1Pod>(new ObjectKey(space, name), default)) is not null && pod.Metadata.Uid != former, $"pod {name} is made");
        return pod!;
    }

    /// <summary>Binds the claim and starts the guest of a LabNode on a node of the cluster.</summary>
    public async Task<V1Pod> RunAsync(string name, string host, string? former = null)
    {
        V1Pod pod = await PodAsync("labnode-" + name, former);
        await _client.CoreV1.PatchNamespacedPersistentVolumeClaimAsync(Merge("""{"spec": {"volumeName": "by-hand"} }"""), "labnode-" + name, space);
        await _client.CoreV1.PatchNamespacedPersistentVolumeClaimStatusAsync(Merge("""{"status": {"phase": "Bound"} }"""), "labnode-" + name, space);
        await _client.CoreV1.CreateNamespacedPodBindingAsync(new V1Binding { Metadata = new V1ObjectMeta { Name = pod.Metadata.Name }, Target = new V1ObjectReference { Kind = "Node", Name = host } }, pod.Metadata.Name, space);
        await StatusAsync(pod, "Running", new V1ContainerState { Running = new V1ContainerStateRunning { StartedAt = DateTime.UtcNow } });
        await AwaitNodeAsync(name, n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid == pod.Metadata.Uid, "runs");
        return pod;
    }

    /// <summary>A node of the cluster, as its kubelet or, for Unknown, the node controller says it is.</summary>
    public async Task HostAsync(string name, string ready)
    {
        if ((await _client.CoreV1.ListNodeAsync()).Items.All(n => n.Metadata.Name != name))
        {
            await _client.CoreV1.CreateNodeAsync(new V1Node { Metadata = new V1ObjectMeta { Name = name } });
        }

        string now = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", System.Globalization.CultureInfo.InvariantCulture);
        await _client.CoreV1.PatchNodeStatusAsync(
            new V1Patch($$"""{"status": {"conditions": [{"type": "Ready", "status": "{{ready}}", "reason": "{{(ready == "Unknown" ? "NodeStatusUnknown" : "KubeletReady")}}", "lastTransitionTime": "{{now}}", "lastHeartbeatTime": "{{now}}"}] } }""", V1Patch.PatchType.StrategicMergePatch), name);
    }

    /// <summary>Asks for a pod's end; it stays, as there is no kubelet that ends it.</summary>
    public Task MarkForDeletionAsync(string pod) => _client.CoreV1.DeleteNamespacedPodAsync(pod, space);

    /// <summary>Removes a pod, as the controller manager does with those of a node that is out of service or gone.</summary>
    public Task RemoveAsync(string pod) => _client.CoreV1.DeleteNamespacedPodAsync(pod, space, gracePeriodSeconds: 0);

    public async Task<IReadOnlyList<Corev1Event>> EventsAsync(string kind, string name) =>
        [.. (await _client.CoreV1.ListNamespacedEventAsync(space)).Items.Where(e => e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name)];

    public static V1Patch Merge(string json) => new(json, V1Patch.PatchType.MergePatch);

    public void Dispose() => _client.Dispose();

    private async Task StatusAsync(V1Pod pod, string phase, V1ContainerState state)
    {
        string status = KubernetesJson.Serialize(new
        {
            status = new V1PodStatus
            {
                Phase = phase,
                Conditions = [new V1PodCondition { Type = "Ready", Status = phase == "Running" ? "True" : "False" }],
                ContainerStatuses = [new V1ContainerStatus { Name = NodeObjects.ContainerName, Image = "x", ImageID = "x", Ready = phase == "Running", RestartCount = 0, State = state }],
            },
        });
        await _client.CoreV1.PatchNamespacedPodStatusAsync(Merge(status), pod.Metadata.Name, space);
    }
}
