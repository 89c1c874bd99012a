using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Carries intents out against the API server.</summary>
public sealed class IntentExecutor(KubeApi api, EvictionGuards guards, ILogger<IntentExecutor> log)
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
            Intent.CreateClaim create => CreateAsync(create.Claim, stop),
            Intent.CreatePod create => CreateAsync(create.Pod, stop),
            Intent.WishOfPod wish => api.AnnotateAsync<V1Pod>(wish.Key, wish.Uid, wish.Annotations!, null, stop),
            Intent.NoteOnClaim note => api.AnnotateAsync<V1PersistentVolumeClaim>(note.Key, note.Uid, note.Annotations, note.ResourceVersion, stop),
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
            Intent.GuardPod guard => guards.GuardAsync(guard.Pod, stop),
            Intent.UnguardPod guard => guards.UnguardAsync(guard.Pod, stop),
            Intent.DeleteNode delete => api.DeleteAsync<V1Alpha1LabNode>(delete.Key, delete.Uid, about.Metadata.ResourceVersion, stop),
            Intent.Announce tell => api.PublishEventAsync(about, tell.Warning ? "Warning" : "Normal", tell.Reason, tell.Message, stop),
            _ => throw new InvalidOperationException($"Intent {intent.GetType().Name} has no executor."),
        }).ConfigureAwait(false);
    }

    /// <summary>
    /// A name that is taken by something of the product's is no refusal: the answer to an earlier try was lost, or the watch is late. What that is, is decided
    /// from the cache, once it is in there. (Of what is not the product's the cache never hears: that is told.)
    /// </summary>
    private async Task CreateAsync<T>(T wanted, CancellationToken stop)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        try
        {
            await api.CreateAsync(wanted, stop).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
        {
            T? there = await api.GetAsync<T>(ObjectKey.Of(wanted), stop).ConfigureAwait(false);
            if (there is null || (there.Metadata.Labels?.TryGetValue(Labels.ManagedBy, out string? by) == true && by == Labels.ManagedByValue))
            {
                throw new KubeException(KubeError.Conflict, e.Message);
            }

            throw;
        }
    }

    private static string Name(Intent intent) => intent switch
    {
        Intent.CreateClaim create => $"create claim {create.Claim.Metadata.Name}",
        Intent.CreatePod create => $"create pod {create.Pod.Metadata.Name}",
        Intent.WishOfPod wish => $"write {string.Join(", ", wish.Annotations.Select(a => $"{a.Key}={a.Value}"))} on pod {wish.Key.Name} (uid {wish.Uid})",
        Intent.NoteOnClaim note => $"note on claim {note.Key.Name} (uid {note.Uid}) what its disks stand on: {note.Annotations[Annotations.BackingClaim] ?? note.Annotations[Annotations.BackingVolume]}, {note.Annotations[Annotations.OtherBases] ?? "nothing else"}",
        Intent.GrowClaim grow => $"grow claim {grow.Key.Name} (uid {grow.Uid}) to {Quantities.Format(grow.Bytes)}",
        Intent.DeletePod delete => $"delete pod {delete.Key.Name} (uid {delete.Uid})",
        Intent.DeleteClaim delete => $"delete claim {delete.Key.Name} (uid {delete.Uid})",
        Intent.GuardPod guard => $"guard pod {guard.Pod.Metadata.Name} (uid {guard.Pod.Metadata.Uid}) from evictions",
        Intent.UnguardPod guard => $"let evictions of pod {guard.Pod.Metadata.Name} (uid {guard.Pod.Metadata.Uid}) through",
        Intent.DeleteNode delete => $"delete LabNode {delete.Key.Name} (uid {delete.Uid})",
        Intent.Announce tell => $"announce {tell.Reason}",
        _ => intent.GetType().Name,
    };
}
