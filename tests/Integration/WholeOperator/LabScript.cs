using System.Text.Json.Nodes;
using System.Text.RegularExpressions;
using k8s;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.WholeOperator;

/// <summary>How a run of the script left the namespace, with all that differs from run to run taken out; and what it cost.</summary>
/// <param name="State">Statuses, claims and pods, as lines.</param>
/// <param name="Events">Kinds, names and reasons of all events.</param>
/// <param name="Requests">Requests that the operator sent until then.</param>
/// <param name="Struck">How many of those, and of the lines of its watches, met with a fault.</param>
internal sealed record LabOutcome(IReadOnlyList<string> State, IReadOnlySet<string> Events, int Requests, int Struck);

/// <summary>The same lives of an image and three LabNodes, whatever befalls the operator's requests meanwhile.</summary>
internal sealed partial class LabScript : IAsyncDisposable
{
    private const string Sha256 = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    private readonly KubeApi _api;
    private readonly string _space;
    private readonly FaultProxy _proxy;
    private readonly LabOperator _operator;

    private LabScript(KubeApi api, string space, FaultProxy proxy, LabOperator op, PodLives pods, Audit audit)
    {
        (_api, _space, _proxy, _operator, Pods, Audit) = (api, space, proxy, op, pods, audit);
    }

    public PodLives Pods { get; }

    public Audit Audit { get; }

    public LabOperator Operator => _operator;

    public FaultProxy Proxy => _proxy;

    /// <summary>Puts a proxy, an operator behind it and the rest of a cluster around a namespace of their own.</summary>
    public static async Task<LabScript> PrepareAsync(ApiServerFixture fixture, int seed, params ApiFault[] kinds)
    {
        await fixture.InstallAsync(typeof(V1Alpha1LabImage), typeof(V1Alpha1LabNode));
        try
        {
            await fixture.Api.CreateAsync(
                new V1StorageClass
                {
                    Metadata = new V1ObjectMeta { Name = "standard", Annotations = new Dictionary<string, string> { ["storageclass.kubernetes.io/is-default-class"] = "true" } },
                    Provisioner = "tests",
                },
                default);
        }
        catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
        {
            // Another run's.
        }

        string space = await fixture.CreateNamespaceAsync();
        FaultProxy proxy = await FaultProxy.StartAsync(fixture.Server.Port, seed, kinds);
        var audit = new Audit(fixture.Config, space);
        var pods = new PodLives(fixture.Config, space);
        return new LabScript(fixture.Api, space, proxy, await LabOperator.StartAsync(ApiServer.Via(fixture.Config, proxy.Port), space), pods, audit);
    }

    /// <summary>Runs it. Each step waits for the one before, with the faults going on.</summary>
    public async Task RunAsync()
    {
        await _api.CreateAsync(
            new V1Alpha1LabImage { Metadata = Meta("base"), Spec = new LabImageSpec { Source = new LabImageSource { Url = "http://images/base.qcow2" }, Sha256 = Sha256 } }, default);
        await Eventually.BeTrueAsync(
            async () => (await _api.GetAsync<V1Alpha1LabImage>(new ObjectKey(_space, "base"), default))?.Status?.Phase == ImagePhases.Ready, "the image is ready");
        await MakeAsync("a");
        await MakeAsync("kept");
        await MakeAsync("gone", n =>
        {
            n.PowerState = PowerStates.Stopped;
            n.Disk.ReclaimPolicy = ReclaimPolicies.Delete;
        });
        await Task.WhenAll(PhaseAsync("a", NodePhases.Running), PhaseAsync("kept", NodePhases.Running), PhaseAsync("gone", NodePhases.Stopped));

        await PatchAsync("a", """{"spec": {"powerState": "Stopped"} }""");
        await PatchAsync("kept", """{"spec": {"powerState": "Suspended"} }""");
        await PatchAsync("gone", """{"spec": {"powerState": "Running"} }""");
        await Task.WhenAll(PhaseAsync("a", NodePhases.Stopped), PhaseAsync("kept", NodePhases.Suspended), PhaseAsync("gone", NodePhases.Running));

        await PatchAsync("a", """{"spec": {"powerState": "Running"} }""");
        await PatchAsync("kept", """{"spec": {"powerState": "Running"} }""");
        await PatchAsync("gone", """{"spec": {"disk": {"revision": "second"} } }""");
        await Task.WhenAll(PhaseAsync("a", NodePhases.Running), PhaseAsync("kept", NodePhases.Running), SeenAsync("gone", s => s is { Phase: NodePhases.Running, Disk.Revision: "second" }));

        // A second wipe back to the first disk, a restart, a reset; and one that powers itself off.
        await PatchAsync("gone", """{"spec": {"disk": {"revision": "initial"} } }""");
        await PatchAsync("kept", """{"spec": {"restartRevision": "once", "resetRevision": "once"} }""");
        Pods.End("a", Contract.TerminationReasons.GuestShutdown);
        await Task.WhenAll(
            PhaseAsync("a", NodePhases.Stopped),
            SeenAsync("kept", s => s is { Phase: NodePhases.Running, RestartRevision: "once", ResetRevision: "once" }),
            SeenAsync("gone", s => s is { Phase: NodePhases.Running, Disk.Revision: "initial" }));

        await Task.WhenAll(DeleteAsync("kept"), DeleteAsync("gone"));
        await MakeAsync("kept");
        await PhaseAsync("kept", NodePhases.Running);
    }

    /// <summary>What there is now.</summary>
    public async Task<LabOutcome> OutcomeAsync()
    {
        var lines = new List<string>();
        lines.AddRange((await _api.ListAsync<V1Alpha1LabImage>(_space, null, default)).Select(i => $"LabImage {i.Metadata.Name} {Tidy(i.Status)}"));
        lines.AddRange((await _api.ListAsync<V1Alpha1LabNode>(_space, null, default)).Select(n => $"LabNode {n.Metadata.Name} {Tidy(n.Status)}"));
        lines.AddRange((await _api.ListAsync<V1PersistentVolumeClaim>(_space, null, default))
            .Select(c => $"claim {c.Metadata.Name} {Tidy(c.Spec)} {Tidy(c.Metadata.Annotations)}{(c.Metadata.DeletionTimestamp is null ? "" : " being deleted")}"));
        lines.AddRange((await _api.ListAsync<V1Pod>(_space, null, default))
            .Select(p => $"pod {p.Metadata.Name} {p.Status.Phase} {Tidy(p.Metadata.Annotations)}{(p.Metadata.DeletionTimestamp is null ? "" : " being deleted")}"));
        lines.AddRange(Audit.PodsMade.Select(p => $"pods ever made of name {p.Key}: {p.Value}"));
        lines.AddRange(Audit.ClaimsMade.Select(c => $"claims ever made of name {c.Key}: {c.Value}"));
        lines.AddRange(Audit.ClaimsDeleted.Keys.Select(c => $"claim deleted: {c}"));
        IEnumerable<string> events = (await _api.ListAsync<Corev1Event>(_space, null, default)).Select(e => $"{e.InvolvedObject.Kind} {e.InvolvedObject.Name} {e.Reason}");
        return new LabOutcome([.. lines.Order(StringComparer.Ordinal)], events.ToHashSet(), _proxy.Requests, _proxy.Struck.Values.Sum());
    }

    public async ValueTask DisposeAsync()
    {
        await _operator.DisposeAsync();
        await Pods.DisposeAsync();
        await Audit.DisposeAsync();
        await _proxy.DisposeAsync();
    }

    private Task<V1Alpha1LabNode> MakeAsync(string name, Action<LabNodeSpec>? but = null)
    {
        var node = new V1Alpha1LabNode { Metadata = Meta(name), Spec = new LabNodeSpec { Image = "base", Memory = "128Mi" } };
        but?.Invoke(node.Spec);
        return _api.CreateAsync(node, default);
    }

    private Task<V1Alpha1LabNode> PatchAsync(string name, string patch) => _api.PatchAsync<V1Alpha1LabNode>(new ObjectKey(_space, name), JsonNode.Parse(patch)!.AsObject(), default);

    private async Task DeleteAsync(string name)
    {
        var key = new ObjectKey(_space, name);
        await _api.DeleteAsync<V1Alpha1LabNode>(key, (await _api.GetAsync<V1Alpha1LabNode>(key, default))!.Metadata.Uid, null, default);
        await Eventually.BeTrueAsync(async () => await _api.GetAsync<V1Alpha1LabNode>(key, default) is null, $"LabNode {name} is gone");
    }

    private Task PhaseAsync(string name, string phase) => SeenAsync(name, s => s.Phase == phase);

    private Task SeenAsync(string name, Func<LabNodeStatus, bool> holds) => Eventually.BeTrueAsync(
        async () => await _api.GetAsync<V1Alpha1LabNode>(new ObjectKey(_space, name), default) is { Status: { } status } node
            && status.ObservedGeneration == node.Metadata.Generation && holds(status),
        $"LabNode {name} is as asked");

    private V1ObjectMeta Meta(string name) => new() { NamespaceProperty = _space, Name = name };

    /// <summary>Times and UIDs are of each run; conditions are a set.</summary>
    private string Tidy(object? what)
    {
        JsonNode? json = what is null ? null : JsonNode.Parse(KubernetesJson.Serialize(what));
        if (json is JsonObject status && status["conditions"] is JsonArray conditions)
        {
            status["conditions"] = new JsonArray([.. conditions.OrderBy(c => (string?)c!["type"], StringComparer.Ordinal).Select(c => c!.DeepClone())]);
        }

        string text = Uids().Replace(Times().Replace(json?.ToJsonString() ?? "", "<time>"), "<uid>");
        return Hosts().Replace(text.Replace(_space, "<space>", StringComparison.Ordinal), "<ip>");
    }

    [GeneratedRegex("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")]
    private static partial Regex Uids();

    [GeneratedRegex(@"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")]
    private static partial Regex Times();

    [GeneratedRegex(@"127\.\d+\.\d+\.\d+")]
    private static partial Regex Hosts();
}
