using System.Collections.Concurrent;
using System.Reflection;
using System.Text;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Where the API server keeps the objects of a C# type.</summary>
internal sealed record ResourceType(string Group, string Version, string Kind, string Plural, bool Namespaced)
{
    /// <summary>The client's models do not say which of them are cluster-wide.</summary>
    private static readonly HashSet<string> s_clusterKinds =
    [
        "APIService", "CSIDriver", "CSINode", "CertificateSigningRequest", "ClusterRole", "ClusterRoleBinding", "ComponentStatus",
        "CustomResourceDefinition", "FlowSchema", "IngressClass", "MutatingWebhookConfiguration", "Namespace", "Node", "PersistentVolume",
        "PriorityClass", "PriorityLevelConfiguration", "RuntimeClass", "StorageClass", "ValidatingAdmissionPolicy",
        "ValidatingAdmissionPolicyBinding", "ValidatingWebhookConfiguration", "VolumeAttachment", "VolumeAttributesClass",
    ];

    private static readonly ConcurrentDictionary<Type, ResourceType> s_known = new();

    public string ApiVersion => Group.Length == 0 ? Version : $"{Group}/{Version}";

    public static ResourceType Of<T>() => Of(typeof(T));

    public static ResourceType Of(Type type) => s_known.GetOrAdd(type, static t =>
    {
        KubernetesEntityAttribute names = t.GetCustomAttribute<KubernetesEntityAttribute>()
            ?? throw new InvalidOperationException($"{t} has no [KubernetesEntity].");
        bool namespaced = t.GetCustomAttribute<EntityScopeAttribute>() is { } scope
            ? scope.Scope == EntityScope.Namespaced
            : t.Namespace != typeof(V1Pod).Namespace || !s_clusterKinds.Contains(names.Kind);
        string plural = string.IsNullOrEmpty(names.PluralName) ? Lower(names.Kind) + "s" : names.PluralName;
        return new ResourceType(names.Group ?? "", names.ApiVersion, names.Kind, plural, namespaced);
    });

    /// <summary>The path of the collection, or of one object, or of an object's subresource. An empty namespace means all of them, or a cluster-wide kind.</summary>
    public string Path(string? space, string? name = null, string? subresource = null)
    {
        var path = new StringBuilder(Group.Length == 0 ? "/api/" : $"/apis/{Group}/").Append(Version);
        if (Namespaced && !string.IsNullOrEmpty(space))
        {
            path.Append("/namespaces/").Append(Uri.EscapeDataString(space));
        }

        path.Append('/').Append(Plural);
        if (name is not null)
        {
            path.Append('/').Append(Uri.EscapeDataString(name));
        }

        return subresource is null ? path.ToString() : path.Append('/').Append(subresource).ToString();
    }

    private static string Lower(string kind) =>
#pragma warning disable CA1308 // Names in API paths are lower case.
        kind.ToLowerInvariant();
#pragma warning restore CA1308
}
