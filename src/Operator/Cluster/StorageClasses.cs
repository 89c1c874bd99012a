using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>Which storage classes the cluster has.</summary>
public sealed class StorageClasses(Cache<V1StorageClass> classes)
{
    private const string DefaultClass = "storageclass.kubernetes.io/is-default-class";

    /// <summary>True when a class of this name exists; for no name, when one is the default.</summary>
    public bool Knows(string? name) => string.IsNullOrEmpty(name)
        ? classes.List().Any(c => c.Metadata.Annotations is { } a && a.TryGetValue(DefaultClass, out string? value) && value == "true")
        : classes.Get(new ObjectKey("", name)) is not null;
}
