using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Carries intents out against the API server.</summary>
public sealed class IntentExecutor(KubeApi api, ILogger<IntentExecutor> log)
{
    /// <summary>Carries intents out in order, and stops at the first that the server refuses for what it asks (quota, admission, an invalid field).</summary>
    /// <returns>The refusal; null when all was done. Conflicts and faults on the way are thrown, to be tried again on a fresh observation.</returns>
    public async Task<Refusal?> ApplyAsync(IKubernetesObject<V1ObjectMeta> about, IEnumerable<Intent> intents, CancellationToken stop)
    {
        foreach (Intent intent in intents)
        {
            try
            {
                await ApplyAsync(about, intent, stop).ConfigureAwait(false);
            }
            catch (KubeException e) when (e.Kind is KubeError.Forbidden or KubeError.Invalid or KubeError.AlreadyExists)
            {
                string what = Name(intent);
                log.LogWarning("The API server refused to {What}: {Message}", what, e.Message);
                return new Refusal(what, e.Kind, e.Message, intent is Intent.GrowClaim);
            }
        }

        return null;
    }

    private async Task ApplyAsync(IKubernetesObject<V1ObjectMeta> about, Intent intent, CancellationToken stop)
    {
        if (intent is not Intent.Announce)
        {
            log.LogInformation("{Kind} {Namespace}/{Name}: {What}", about.Kind, about.Metadata.NamespaceProperty, about.Metadata.Name, Name(intent));
        }

        await (intent switch
        {
            Intent.CreateClaim create => api.CreateAsync(create.Claim, stop),
            Intent.CreatePod create => api.CreateAsync(create.Pod, stop),
            Intent.WishOfPod wish => api.PatchAsync<V1Pod>(wish.Key, Wishes(wish), stop),
            Intent.GrowClaim grow => api.PatchAsync<V1PersistentVolumeClaim>(
                grow.Key,
                new JsonObject
                {
                    ["metadata"] = new JsonObject { ["uid"] = grow.Uid },
                    ["spec"] = new JsonObject { ["resources"] = new JsonObject { ["requests"] = new JsonObject { ["storage"] = Quantities.Format(grow.Bytes) } } },
                },
                stop),
            Intent.DeletePod delete => api.DeleteAsync<V1Pod>(delete.Key, delete.Uid, null, stop),
            Intent.DeleteClaim delete => api.DeleteAsync<V1PersistentVolumeClaim>(delete.Key, delete.Uid, delete.ResourceVersion, stop),
            Intent.Announce tell => api.PublishEventAsync(about, tell.Warning ? "Warning" : "Normal", tell.Reason, tell.Message, stop),
            _ => throw new InvalidOperationException($"Intent {intent.GetType().Name} has no executor."),
        }).ConfigureAwait(false);
    }

    /// <summary>With the UID, which can't be changed: a patch of another pod of the name is refused.</summary>
    private static JsonObject Wishes(Intent.WishOfPod wish) => new()
    {
        ["metadata"] = new JsonObject
        {
            ["uid"] = wish.Uid,
            ["annotations"] = new JsonObject(wish.Annotations.Select(a => KeyValuePair.Create(a.Key, (JsonNode?)a.Value))),
        },
    };

    private static string Name(Intent intent) => intent switch
    {
        Intent.CreateClaim create => $"create claim {create.Claim.Metadata.Name}",
        Intent.CreatePod create => $"create pod {create.Pod.Metadata.Name}",
        Intent.WishOfPod wish => $"write {string.Join(", ", wish.Annotations.Select(a => $"{a.Key}={a.Value}"))} on pod {wish.Key.Name} (uid {wish.Uid})",
        Intent.GrowClaim grow => $"grow claim {grow.Key.Name} (uid {grow.Uid}) to {Quantities.Format(grow.Bytes)}",
        Intent.DeletePod delete => $"delete pod {delete.Key.Name} (uid {delete.Uid})",
        Intent.DeleteClaim delete => $"delete claim {delete.Key.Name} (uid {delete.Uid})",
        Intent.Announce tell => $"announce {tell.Reason}",
        _ => intent.GetType().Name,
    };
}
