using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Cli.Doctor;

/// <summary>All that the checks look at, as it was at one time.</summary>
internal sealed record Facts
{
    /// <summary>The API server's clock, or ours when it told none.</summary>
    public required DateTimeOffset Now { get; init; }

    /// <summary>The namespace that the user chose.</summary>
    public required string Space { get; init; }

    /// <summary>The API server's version.</summary>
    public required Fetched<VersionInfo> Server { get; init; }

    /// <summary>The definitions of our kinds.</summary>
    public required Fetched<IReadOnlyList<V1CustomResourceDefinition>> Definitions { get; init; }

    /// <summary>What those of this program's version look like.</summary>
    public required IReadOnlyList<V1CustomResourceDefinition> Expected { get; init; }

    /// <summary>Deployments of an operator, of all namespaces.</summary>
    public required Fetched<IReadOnlyList<V1Deployment>> Operators { get; init; }

    /// <summary>Leases in the operators' namespaces.</summary>
    public required Fetched<IReadOnlyList<V1Lease>> Leases { get; init; }

    /// <summary>Storage classes.</summary>
    public required Fetched<IReadOnlyList<V1StorageClass>> Classes { get; init; }

    /// <summary>The chosen namespace.</summary>
    public required Fetched<V1Namespace> Namespace { get; init; }

    /// <summary>Nodes of the cluster.</summary>
    public required Fetched<IReadOnlyList<V1Node>> Nodes { get; init; }

    /// <summary>All pods of the cluster.</summary>
    public required Fetched<IReadOnlyList<V1Pod>> AllPods { get; init; }

    /// <summary>Pods of the chosen namespace that the operator made.</summary>
    public required Fetched<IReadOnlyList<V1Pod>> Pods { get; init; }

    /// <summary>LabNodes of the chosen namespace.</summary>
    public required Fetched<IReadOnlyList<V1Alpha1LabNode>> LabNodes { get; init; }

    /// <summary>LabImages of the chosen namespace.</summary>
    public required Fetched<IReadOnlyList<V1Alpha1LabImage>> LabImages { get; init; }

    /// <summary>Claims of the chosen namespace that the operator made.</summary>
    public required Fetched<IReadOnlyList<V1PersistentVolumeClaim>> Claims { get; init; }

    /// <summary>The rights that verbs need, and whether the user has each; null where the server did not say.</summary>
    public required IReadOnlyList<(Right Right, bool? Allowed)> Rights { get; init; }
}

/// <summary>A right that verbs need.</summary>
/// <param name="Verb">Of the API, such as <c>get</c>.</param>
/// <param name="Group">API group; empty for the core.</param>
/// <param name="Resource">Resource, with its subresource after a slash.</param>
/// <param name="Uses">The verbs of this program that need it.</param>
internal sealed record Right(string Verb, string Group, string Resource, string Uses)
{
    /// <summary>All of them. A WebSocket is opened by a GET, which servers before 1.35 authorise as <c>get</c> and later ones as <c>create</c> as well.</summary>
    internal static IReadOnlyList<Right> All { get; } =
    [
        new("list", Api.Group, "labnodes", "all"),
        new("watch", Api.Group, "labnodes", "status -w, and every verb that waits"),
        new("patch", Api.Group, "labnodes", "start, stop, pause, suspend, restart, reset, wipe"),
        new("get", "", "pods/exec", "console, vnc"),
        new("create", "", "pods/exec", "console, vnc"),
        new("list", Api.Group, "labimages", "doctor, prune"),
        new("create", Api.Group, "labimages", "image upload --create, import, migrate"),
        new("watch", Api.Group, "labimages", "image upload"),
        new("list", "", "pods", "image upload, doctor, prune"),
        new("get", "", "pods/portforward", "image upload, export, import, migrate"),
        new("create", "", "pods/portforward", "image upload, export, import, migrate"),
        new("update", "", "pods/proxy", "image upload, import and migrate do without, several times as slow"),
        new("create", "", "pods", "export, import, migrate"),
        new("delete", "", "pods", "export, import, migrate"),
        new("patch", "", "pods", "import, migrate"),
        new("create", Api.Group, "labnodes", "import, migrate"),
        new("patch", Api.Group, "labnodes/status", "import, migrate"),
        new("create", "", "persistentvolumeclaims", "import, migrate"),
        new("list", "", "persistentvolumeclaims", "doctor, prune, migrate"),
        new("delete", "", "persistentvolumeclaims", "prune"),
    ];
}
