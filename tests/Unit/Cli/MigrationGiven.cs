using k8s.Models;
using SandLabX.Cli.Migration;
using SandLabX.Contract;
using SandLabX.Entities;

namespace SandLabX.Unit.Cli;

/// <summary>Old installations as tests need them: sound, but for what a test changes.</summary>
internal static class MigrationGiven
{
    public const string Id = "3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e";
    public const long Size = 256L << 20;

    public static readonly DateTimeOffset T0 = new(2025, 10, 20, 13, 0, 0, TimeSpan.Zero);

    public static OldNode Node(string id = Id, string name = "web", Func<OldNode, OldNode>? with = null)
    {
        var node = new OldNode { Id = id, Name = name, OsType = "debian", OverlayPath = $"/overlays/node_{id}.qcow2", CreatedAt = T0 };
        return with is null ? node : with(node);
    }

    public static Qcow2Header Header(string? backing, long size = Size) =>
        new(3, size, false, backing, backing is null ? null : "qcow2", false, false, false, false, 65536, new Qcow2Table(196608, 1), new Qcow2Table(65536, 8192));

    public static OverlayFacts Overlay(string id = Id, string? backing = "/images/debian-13.qcow2", Func<OverlayFacts, OverlayFacts>? with = null)
    {
        var overlay = new OverlayFacts($"node_{id}.qcow2", $"/old/overlays/node_{id}.qcow2", 1 << 20, T0.AddDays(1), Header(backing));
        return with is null ? overlay : with(overlay);
    }

    public static BaseFacts Base(string file = "debian-13.qcow2", char digit = 'd', Func<BaseFacts, BaseFacts>? with = null)
    {
        var found = new BaseFacts(file, "/old/images/" + file, 10 << 20, T0.AddDays(-1), Header(null), new string(digit, 64));
        return with is null ? found : with(found);
    }

    public static Survey Survey(IEnumerable<OverlayFacts> overlays, params BaseFacts[] bases) => new([.. overlays], bases.ToDictionary(b => b.File));

    public static OldState State(params OldNode[] nodes) => new(nodes, [], []);

    public static MigrationPlan Plan(OldState state, Survey survey, ClusterFacts? cluster = null, MigrationWishes? wishes = null) =>
        MigrationPlanner.Plan(state, survey, cluster ?? ClusterFacts.Empty, wishes ?? new MigrationWishes());

    /// <summary>One node, its overlay and its base.</summary>
    public static MigrationPlan PlanOne(
        Func<OldNode, OldNode>? node = null,
        Func<OverlayFacts, OverlayFacts>? overlay = null,
        Func<BaseFacts, BaseFacts>? @base = null,
        MigrationWishes? wishes = null) =>
        Plan(State(Node(with: node)), Survey([Overlay(with: overlay)], Base(with: @base)), wishes: wishes);

    public static V1Alpha1LabNode LabNode(string name, string? migratedId = null) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = name,
            NamespaceProperty = "labs",
            Annotations = migratedId is null ? null : new Dictionary<string, string> { [Annotations.MigratedId] = migratedId },
        },
    };

    public static V1Alpha1LabImage LabImage(string name, string sha256) => new()
    {
        Metadata = new V1ObjectMeta { Name = name, NamespaceProperty = "labs" },
        Spec = new LabImageSpec { Sha256 = sha256 },
    };
}
