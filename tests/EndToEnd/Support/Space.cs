using System.Collections.Concurrent;
using System.Text.Json.Nodes;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd.Support;

/// <summary>A namespace of one scenario, made when its first test needs it, with the tiny guest's LabImage in it.</summary>
public sealed class Space : IAsyncLifetime
{
    /// <summary>The LabImage that every scenario has.</summary>
    public const string Tiny = "tiny";

    private readonly ConcurrentDictionary<string, ConcurrentBag<string>> _nodes = new();
    private readonly SemaphoreSlim _making = new(1);
    private bool _made;

    public string Name { get; } = $"e2e-{Guid.NewGuid().ToString("N")[..8]}";

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    /// <summary>The namespace goes, and with it all its LabNodes: nobody waits for it.</summary>
    public async ValueTask DisposeAsync()
    {
        _making.Dispose();
        if (_made)
        {
            await Lab.KubectlAsync("delete", "namespace", Name, "--wait=false");
        }
    }

    /// <summary>Makes what is missing; a base image that is not wanted is left out.</summary>
    internal async Task MakeAsync(bool withImage = true)
    {
        await _making.WaitAsync();
        try
        {
            if (_made)
            {
                return;
            }

            await Lab.ApplyAsync($$"""
                {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "{{Name}}", "labels": {
                  "sandlabx.io/e2e": "true", "pod-security.kubernetes.io/enforce": "restricted"} } }
                """);
            _made = true;
            if (withImage)
            {
                await ImageAsync(Tiny, Lab.TinyUrl, Lab.TinySha256);
                await AwaitImageAsync(Tiny, i => i.Status?.Phase == ImagePhases.Ready, "the tiny guest's image is ready");
            }
        }
        finally
        {
            _making.Release();
        }
    }

    /// <summary>A LabImage; what else its storage and its spec should be is given as fields of theirs, in YAML's flow style.</summary>
    internal Task ImageAsync(string name, string url, string sha256, string size = "64Mi", string storage = "", string spec = "") => Lab.ApplyAsync($$"""
        apiVersion: sandlabx.io/v1alpha1
        kind: LabImage
        metadata: {name: "{{name}}", namespace: {{Name}}}
        spec: {source: {url: "{{url}}"}, sha256: "{{sha256}}", storage: {size: {{size}}{{(storage.Length > 0 ? ", " + storage : "")}} }{{(spec.Length > 0 ? ", " + spec : "")}} }
        """);

    /// <summary>A LabNode of 128 MiB; what else it should be is given as fields of its spec, in YAML's flow style.</summary>
    internal Task NodeAsync(string name, string spec = "", string disk = "", string image = Tiny)
    {
        _nodes.GetOrAdd(TestContext.Current.Test!.UniqueID, _ => []).Add(name);
        return Lab.ApplyAsync($$"""
            apiVersion: sandlabx.io/v1alpha1
            kind: LabNode
            metadata: {name: "{{name}}", namespace: {{Name}}}
            spec: {image: {{image}}, memory: 128Mi, disk: { {{disk}} }{{(spec.Length > 0 ? ", " + spec : "")}} }
            """);
    }

    /// <summary>Deletes the LabNodes of the present test, so that they take no time of the others; nobody waits for it.</summary>
    internal async Task TidyAsync()
    {
        if (_nodes.TryRemove(TestContext.Current.Test!.UniqueID, out ConcurrentBag<string>? names))
        {
            await Lab.KubectlAsync(["-n", Name, "delete", "labnodes", "--ignore-not-found", "--wait=false", .. names.Distinct()]);
        }
    }

    internal Task<V1Alpha1LabNode?> NodeNowAsync(string name) => NowAsync<V1Alpha1LabNode>(new ObjectKey(Name, name));

    internal Task<V1Alpha1LabImage?> ImageNowAsync(string name) => NowAsync<V1Alpha1LabImage>(new ObjectKey(Name, name));

    internal Task<V1Pod?> PodNowAsync(string node) => NowAsync<V1Pod>(new ObjectKey(Name, "labnode-" + node));

    internal Task<V1PersistentVolumeClaim?> ClaimNowAsync(string node) => NowAsync<V1PersistentVolumeClaim>(new ObjectKey(Name, "labnode-" + node));

    internal Task<V1Alpha1LabNode> PatchNodeAsync(string name, string patch) =>
        Lab.Api.PatchAsync<V1Alpha1LabNode>(new ObjectKey(Name, name), JsonNode.Parse(patch)!.AsObject(), CancellationToken.None);

    internal Task<V1Alpha1LabImage> PatchImageAsync(string name, string patch) =>
        Lab.Api.PatchAsync<V1Alpha1LabImage>(new ObjectKey(Name, name), JsonNode.Parse(patch)!.AsObject(), CancellationToken.None);

    internal Task PowerAsync(string name, string state) => PatchNodeAsync(name, $$"""{"spec": {"powerState": "{{state}}"} }""");

    internal async Task<V1Alpha1LabNode> AwaitNodeAsync(string name, Func<V1Alpha1LabNode, bool> holds, string what, double seconds = Eventually.Patience) =>
        (await Eventually.SeesAsync($"LabNode {name}: {what}", () => NodeNowAsync(name), n => n is not null && holds(n), seconds, Describe))!;

    /// <summary>Waits for a phase that answers the present spec.</summary>
    internal Task<V1Alpha1LabNode> AwaitPhaseAsync(string name, string phase, double seconds = Eventually.Patience) =>
        AwaitNodeAsync(name, n => n.Status?.Phase == phase && n.Status.ObservedGeneration == n.Metadata.Generation, $"phase {phase}", seconds);

    internal async Task<V1Alpha1LabImage> AwaitImageAsync(string name, Func<V1Alpha1LabImage, bool> holds, string what, double seconds = Eventually.Patience) =>
        (await Eventually.SeesAsync($"LabImage {name}: {what}", () => ImageNowAsync(name), i => i is not null && holds(i), seconds,
            i => $"phase {i?.Status?.Phase}, {Describe(i?.Status?.Conditions)}"))!;

    /// <summary>Waits until an object is gone.</summary>
    internal Task GoneAsync(string kind, string name, double seconds = Eventually.Patience) => Eventually.SucceedsAsync(
        $"{kind} {name} is gone",
        async () =>
        {
            Outcome seen = await Lab.KubectlAsync("-n", Name, "get", kind, name, "--ignore-not-found", "-o", "name");
            return seen with { Code = seen.Code == 0 && seen.Output.Trim().Length == 0 ? 0 : 1 };
        },
        seconds);

    /// <summary>The events about an object, as lines of type, reason and message.</summary>
    internal async Task<IReadOnlyList<(string Type, string Reason, string Message)>> EventsAsync(string kind, string name)
    {
        IReadOnlyList<Corev1Event> all = await Lab.Api.ListAsync<Corev1Event>(Name, null, CancellationToken.None);
        return [.. all.Where(e => e.InvolvedObject.Kind == kind && e.InvolvedObject.Name == name).Select(e => (e.Type, e.Reason, e.Message))];
    }

    /// <summary>Waits for an event about an object: events are told after what they tell of.</summary>
    internal Task EventAsync(string kind, string name, string type, string reason, params string[] words) => Eventually.SeesAsync(
        $"an event {reason} about {kind} {name}, with the words {string.Join(", ", words)}",
        () => EventsAsync(kind, name),
        events => events.Any(e => e.Type == type && e.Reason == reason && words.All(e.Message.Contains)),
        describe: events => string.Join('\n', events));

    /// <summary>A guest that runs and has said that it is ready.</summary>
    internal async Task<Guest> RunningGuestAsync(string name, double seconds = Eventually.Patience)
    {
        await AwaitPhaseAsync(name, NodePhases.Running, seconds);
        var guest = new Guest(this, name);
        await guest.ReadyAsync();
        return guest;
    }

    /// <summary>What there is to know when a test failed.</summary>
    internal async Task<string> DiagnoseAsync()
    {
        if (!_made)
        {
            return "";
        }

        var text = new System.Text.StringBuilder();
        string[][] questions =
        [
            ["get", "labimages,labnodes", "-o", "yaml"],
            ["get", "pods,pvc", "-o", "wide"],
            ["describe", "pods"],
            ["get", "events", "--sort-by=.lastTimestamp"],
            ["logs", "-l", "app.kubernetes.io/managed-by=sandlabx", "--prefix", "--tail=40"],
        ];
        foreach (string[] question in questions)
        {
            Outcome answer = await Lab.KubectlAsync(["-n", Name, .. question]);
            text.AppendLine($"--- kubectl -n {Name} {string.Join(' ', question)}").AppendLine(answer.ToString());
        }

        Outcome log = await Lab.KubectlAsync("-n", Lab.OperatorNamespace, "logs", Lab.OperatorDeployment, "--tail=2000");
        text.AppendLine("--- the operator's log about it, the last 60 lines")
            .AppendJoin('\n', log.Output.Split('\n').Where(l => l.Contains(Name, StringComparison.Ordinal) || l.Contains("Error", StringComparison.Ordinal)).TakeLast(60));
        return text.ToString();
    }

    internal static V1Condition? Condition(V1Alpha1LabNode node, string type) => node.Status?.Conditions?.FirstOrDefault(c => c.Type == type);

    internal static V1Condition? Condition(V1Alpha1LabImage image, string type) => image.Status?.Conditions?.FirstOrDefault(c => c.Type == type);

    /// <summary>An object as it is now; null when it is not there. An API server that a test has struck is waited for.</summary>
    private static Task<T?> NowAsync<T>(ObjectKey key)
        where T : class, k8s.IKubernetesObject<V1ObjectMeta> =>
        Eventually.SeesAsync($"the API server tells of {key}", () => Lab.Api.GetAsync<T>(key, CancellationToken.None), _ => true);

    private static string Describe(V1Alpha1LabNode? node) => node is null ? "no such LabNode"
        : $"phase {node.Status?.Phase}, pod {node.Status?.Pod?.Uid}, ends {string.Join(',', node.Status?.Terminations?.Select(t => t.Reason) ?? [])}, {Describe(node.Status?.Conditions)}";

    private static string Describe(IEnumerable<V1Condition>? conditions) =>
        string.Join("; ", conditions?.Select(c => $"{c.Type}={c.Status} {c.Reason}: {c.Message}") ?? []);
}
