using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Names one object of a kind.</summary>
/// <param name="Namespace">The namespace; empty for objects of the whole cluster.</param>
/// <param name="Name">The name.</param>
public readonly record struct ObjectKey(string Namespace, string Name)
{
    /// <summary>The key of an object.</summary>
    public static ObjectKey Of(IMetadata<V1ObjectMeta> entity)
    {
        ArgumentNullException.ThrowIfNull(entity);
        return new ObjectKey(entity.Metadata.NamespaceProperty ?? "", entity.Metadata.Name);
    }

    /// <summary><c>namespace/name</c>, or the name alone for objects of the whole cluster.</summary>
    public override string ToString() => string.IsNullOrEmpty(Namespace) ? Name : $"{Namespace}/{Name}";
}
