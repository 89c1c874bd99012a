using System.Reflection;
using System.Text.Json.Serialization;
using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Base of custom resources without a spec; <see cref="KubernetesEntityAttribute"/> on the class says what it is called.</summary>
public abstract class CustomKubernetesEntity : IKubernetesObject<V1ObjectMeta>
{
    /// <summary>Fills <see cref="ApiVersion"/> and <see cref="Kind"/> from the class's <see cref="KubernetesEntityAttribute"/>.</summary>
    /// <exception cref="InvalidOperationException">The class has no such attribute.</exception>
    protected CustomKubernetesEntity()
    {
        KubernetesEntityAttribute names = GetType().GetCustomAttribute<KubernetesEntityAttribute>()
            ?? throw new InvalidOperationException($"{GetType()} has no [KubernetesEntity].");
        ApiVersion = string.IsNullOrEmpty(names.Group) ? names.ApiVersion : $"{names.Group}/{names.ApiVersion}";
        Kind = names.Kind;
    }

    /// <summary><c>group/version</c>.</summary>
    [JsonPropertyName("apiVersion")]
    public string ApiVersion { get; set; }

    /// <summary>The kind.</summary>
    [JsonPropertyName("kind")]
    public string Kind { get; set; }

    /// <summary>Name, labels, owners and what else Kubernetes keeps of every object.</summary>
    [JsonPropertyName("metadata")]
    public V1ObjectMeta Metadata { get; set; } = new();
}

/// <summary>Base of custom resources that have a spec.</summary>
/// <typeparam name="TSpec">What the object should be.</typeparam>
public abstract class CustomKubernetesEntity<TSpec> : CustomKubernetesEntity, ISpec<TSpec>
    where TSpec : new()
{
    /// <summary>What the object should be.</summary>
    [JsonPropertyName("spec")]
    public TSpec Spec { get; set; } = new();
}

/// <summary>Base of custom resources that have a spec and a status; the status is a subresource.</summary>
/// <typeparam name="TSpec">What the object should be.</typeparam>
/// <typeparam name="TStatus">What the object is.</typeparam>
public abstract class CustomKubernetesEntity<TSpec, TStatus> : CustomKubernetesEntity<TSpec>, IStatus<TStatus?>
    where TSpec : new()
    where TStatus : class
{
    /// <summary>What the object is; absent until its controller first wrote it.</summary>
    [JsonPropertyName("status")]
    public TStatus? Status { get; set; }
}
