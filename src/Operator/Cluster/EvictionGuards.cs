using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using k8s;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Guards pods from evictions, by a PodDisruptionBudget a pod, which goes with the pod. What came of it is noted on the pod.</summary>
[GenericRbac(Groups = ["policy"], Resources = ["poddisruptionbudgets"], Verbs = RbacVerb.Get | RbacVerb.Create | RbacVerb.Delete)]
public sealed class EvictionGuards(KubeApi api)
{
    /// <summary>What <see cref="Annotations.EvictionPolicy"/> begins with when the API server refused.</summary>
    public const string Refused = "Refused: ";

    // What the server of this process was found to serve; it is asked for the newer one first.
    private volatile bool _beta;

    /// <summary>Name of a pod's budget: with the beginning of its UID, as the former pod's may still be going.</summary>
    public static string NameOf(V1Pod pod) => $"{pod.Metadata.Name}-{pod.Metadata.Uid[..Math.Min(8, pod.Metadata.Uid.Length)]}";

    /// <summary>Makes the budget where there is none, and notes on the pod that it stands, or why not.</summary>
    /// <exception cref="KubeException">For what may pass by itself.</exception>
    public async Task GuardAsync(V1Pod pod, CancellationToken stop)
    {
        string note = EvictionPolicies.Block;
        try
        {
            await CreateAsync(pod, stop).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind is KubeError.Forbidden or KubeError.Invalid or KubeError.NotFound)
        {
            note = Refused + (e.Kind == KubeError.NotFound ? "the API server serves PodDisruptionBudgets neither of policy/v1 nor of policy/v1beta1." : RefusalAdvice.Words(e.Message));
        }

        await NoteAsync(pod, note, stop).ConfigureAwait(false);
    }

    /// <summary>Deletes the budget where there is one, and takes the note from the pod.</summary>
    /// <exception cref="KubeException">For what may pass by itself.</exception>
    public async Task UnguardAsync(V1Pod pod, CancellationToken stop)
    {
        await DeleteAsync<V1PodDisruptionBudget>(pod, stop).ConfigureAwait(false);
        await DeleteAsync<V1Beta1PodDisruptionBudget>(pod, stop).ConfigureAwait(false);
        await NoteAsync(pod, null, stop).ConfigureAwait(false);
    }

    private async Task CreateAsync(V1Pod pod, CancellationToken stop)
    {
        try
        {
            if (!_beta)
            {
                try
                {
                    await api.CreateAsync(Budget(pod), stop).ConfigureAwait(false);
                    return;
                }
                catch (KubeException e) when (e.Kind == KubeError.NotFound)
                {
                    // Older than 1.21, or the namespace is just going: then the next try says so.
                }
            }

            V1PodDisruptionBudget budget = Budget(pod);
            await api.CreateAsync(new V1Beta1PodDisruptionBudget { Metadata = budget.Metadata, Spec = budget.Spec }, stop).ConfigureAwait(false);
            _beta = true;
        }
        catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
        {
            // An operator before this one made it, and could not note it any more.
        }
    }

    private static V1PodDisruptionBudget Budget(V1Pod pod) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = NameOf(pod),
            NamespaceProperty = pod.Metadata.NamespaceProperty,
            Labels = new Dictionary<string, string> { [Labels.ManagedBy] = Labels.ManagedByValue, [Labels.Node] = pod.Metadata.Labels[Labels.Node] },
            OwnerReferences = [new V1OwnerReference { ApiVersion = "v1", Kind = "Pod", Name = pod.Metadata.Name, Uid = pod.Metadata.Uid }],
        },
        Spec = new V1PodDisruptionBudgetSpec
        {
            // Not maxUnavailable: that is refused for pods whose controller has no scale.
            MinAvailable = 1,
            Selector = new V1LabelSelector { MatchLabels = new Dictionary<string, string> { [Labels.Node] = pod.Metadata.Labels[Labels.Node] } },
        },
    };

    private async Task DeleteAsync<T>(V1Pod pod, CancellationToken stop)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        var key = new ObjectKey(pod.Metadata.NamespaceProperty, NameOf(pod));
        if (await api.GetAsync<T>(key, stop).ConfigureAwait(false) is { } budget)
        {
            await api.DeleteAsync<T>(key, budget.Metadata.Uid, null, stop).ConfigureAwait(false);
        }
    }

    /// <summary>With the UID, which can't be changed: a patch of another pod of the name is refused.</summary>
    private Task<V1Pod> NoteAsync(V1Pod pod, string? note, CancellationToken stop) => api.PatchAsync<V1Pod>(
        new ObjectKey(pod.Metadata.NamespaceProperty, pod.Metadata.Name),
        new JsonObject { ["metadata"] = new JsonObject { ["uid"] = pod.Metadata.Uid, ["annotations"] = new JsonObject { [Annotations.EvictionPolicy] = note } } },
        stop);
}

/// <summary>A PodDisruptionBudget as servers before 1.21 know it. What is used of it has the same fields.</summary>
[KubernetesEntity(Group = "policy", ApiVersion = "v1beta1", Kind = "PodDisruptionBudget", PluralName = "poddisruptionbudgets")]
public sealed class V1Beta1PodDisruptionBudget : IKubernetesObject<V1ObjectMeta>
{
    /// <inheritdoc/>
    [JsonPropertyName("apiVersion")]
    public string ApiVersion { get; set; } = "policy/v1beta1";

    /// <inheritdoc/>
    [JsonPropertyName("kind")]
    public string Kind { get; set; } = "PodDisruptionBudget";

    /// <inheritdoc/>
    [JsonPropertyName("metadata")]
    public V1ObjectMeta Metadata { get; set; } = new();

    /// <summary>What it asks for.</summary>
    [JsonPropertyName("spec")]
    public V1PodDisruptionBudgetSpec? Spec { get; set; }
}
