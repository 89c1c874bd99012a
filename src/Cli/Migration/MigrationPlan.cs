using SandLabX.Entities;

namespace SandLabX.Cli.Migration;

/// <summary>What the target namespace has already.</summary>
/// <param name="Nodes">Its LabNodes.</param>
/// <param name="Claims">Its disks' claims: name, and the annotations on it.</param>
/// <param name="Images">Its LabImages.</param>
internal sealed record ClusterFacts(IReadOnlyList<V1Alpha1LabNode> Nodes, IReadOnlyList<ClaimFacts> Claims, IReadOnlyList<V1Alpha1LabImage> Images)
{
    /// <summary>A namespace with nothing in it.</summary>
    internal static ClusterFacts Empty { get; } = new([], [], []);
}

/// <summary>A disk's claim.</summary>
/// <param name="Name">Its name.</param>
/// <param name="DiskId">The disk on it; null when its annotations name none.</param>
internal sealed record ClaimFacts(string Name, string? DiskId);

/// <summary>What the user wishes.</summary>
internal sealed record MigrationWishes
{
    /// <summary>Names or ids of the nodes that are to be moved; empty for all.</summary>
    public IReadOnlyList<string> Only { get; init; } = [];

    /// <summary>Base images, by file name, that are taken although there are signs that they are not the bytes the overlays were made on.</summary>
    public IReadOnlyList<string> AcceptedBases { get; init; } = [];

    /// <summary>Storage class of all claims; null for the cluster's default.</summary>
    public string? StorageClass { get; init; }
}

/// <summary>A base image that the moved nodes need.</summary>
/// <param name="Name">Name of the LabImage.</param>
/// <param name="Base">The file it is made of.</param>
/// <param name="Exists">A LabImage of just this digest is there and is used.</param>
/// <param name="Guest">What guests of it need; null for a BIOS and no cloud-init.</param>
/// <param name="Source">Where the cluster reads its file by itself; null where it is sent.</param>
internal sealed record PlannedImage(string Name, BaseFacts Base, bool Exists, LabImageGuest? Guest = null, FileOnClaim? Source = null);

/// <summary>A node that is moved.</summary>
/// <param name="Node">Its record.</param>
/// <param name="Name">Name of the LabNode.</param>
/// <param name="DiskId">The id of its disk: <c>/overlays/node_&lt;id&gt;.qcow2</c>.</param>
/// <param name="Image">Name of its LabImage.</param>
/// <param name="BaseFile">The base's file, by its name in the images' folder.</param>
/// <param name="Overlay">Its overlay; null for a node that was never started, whose disk is made at its first start.</param>
/// <param name="Notes">What is not as it was, each a sentence.</param>
/// <param name="Source">Where the cluster reads its overlay by itself; null where it is sent.</param>
internal sealed record PlannedNode(
    OldNode Node, string Name, string DiskId, string Image, string BaseFile, OverlayFacts? Overlay, IReadOnlyList<string> Notes, FileOnClaim? Source = null);

/// <summary>A node that is not moved.</summary>
/// <param name="Node">Its record.</param>
/// <param name="Reason">One of <see cref="SkipReasons"/>.</param>
/// <param name="Message">What was found, and the way out.</param>
internal sealed record SkippedNode(OldNode Node, string Reason, string Message);

/// <summary>An overlay that no record names.</summary>
/// <param name="Overlay">The file.</param>
/// <param name="Message">What can be said of it.</param>
internal sealed record OrphanOverlay(OverlayFacts Overlay, string Message);

/// <summary>What moving in will do.</summary>
/// <param name="Images">The base images, each once.</param>
/// <param name="Nodes">The nodes that are moved.</param>
/// <param name="Present">The nodes that were moved by an earlier run, under their names here.</param>
/// <param name="Skipped">The nodes that are not.</param>
/// <param name="Orphans">Overlays without a node.</param>
/// <param name="Losses">What of the old state can't be read.</param>
/// <param name="Notes">What else is worth a word.</param>
internal sealed record MigrationPlan(
    IReadOnlyList<PlannedImage> Images,
    IReadOnlyList<PlannedNode> Nodes,
    IReadOnlyList<(OldNode Node, string Name)> Present,
    IReadOnlyList<SkippedNode> Skipped,
    IReadOnlyList<OrphanOverlay> Orphans,
    IReadOnlyList<Loss> Losses,
    IReadOnlyList<string> Notes);

/// <summary>The closed list of reasons for which a node stays behind.</summary>
internal static class SkipReasons
{
    /// <summary>Another record has the same id.</summary>
    internal const string DuplicateId = "DuplicateId";

    /// <summary><c>--only</c> names others.</summary>
    internal const string NotSelected = "NotSelected";

    /// <summary>The overlay's file can't be read.</summary>
    internal const string OverlayUnreadable = "OverlayUnreadable";

    /// <summary>A QEMU has the overlay open.</summary>
    internal const string OverlayInUse = "OverlayInUse";

    /// <summary>The overlay is no qcow2 file, is marked corrupt, or has what no overlay of the platform had.</summary>
    internal const string OverlayUnusable = "OverlayUnusable";

    /// <summary>The overlay names no backing file, or one that is no file of an images' folder.</summary>
    internal const string BackingUnexpected = "BackingUnexpected";

    /// <summary>The base is not in the images' folder.</summary>
    internal const string BaseMissing = "BaseMissing";

    /// <summary>The base can't be read, is no qcow2 file, or does not stand alone.</summary>
    internal const string BaseUnusable = "BaseUnusable";

    /// <summary>There are signs that the base is not the bytes that the overlay was made on.</summary>
    internal const string BaseDoubtful = "BaseDoubtful";
}
