using System.Text.Json.Nodes;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Migration;

/// <summary>How one node's move ended.</summary>
/// <param name="Node">The node.</param>
/// <param name="Fault">Why it was not moved; null when it was.</param>
internal sealed record NodeOutcome(PlannedNode Node, string? Fault);

/// <summary>A plan, and what became of it, for people and for programs.</summary>
internal static class PlanReport
{
    /// <summary>The plan, or with <paramref name="outcomes"/> the result, as data.</summary>
    internal static JsonObject Data(MigrationPlan plan, IReadOnlyList<NodeOutcome>? outcomes)
    {
        var faults = outcomes?.ToDictionary(o => o.Node.Node.Id, o => o.Fault, StringComparer.Ordinal);
        return new JsonObject
        {
            ["images"] = List(plan.Images, i => new JsonObject
            {
                ["name"] = i.Name,
                ["file"] = i.Base.File,
                ["sha256"] = i.Base.Sha256,
                ["bytes"] = i.Base.Bytes,
                ["exists"] = i.Exists,
            }),
            [outcomes is null ? "move" : "moved"] = List(plan.Nodes.Where(n => outcomes is null || (faults!.TryGetValue(n.Node.Id, out string? fault) && fault is null)), Node),
            ["failed"] = List(outcomes?.Where(o => o.Fault is not null) ?? [], o =>
            {
                JsonObject node = Node(o.Node);
                node["message"] = o.Fault;
                return node;
            }),
            ["present"] = List(plan.Present, p => new JsonObject { ["id"] = p.Node.Id, ["oldName"] = p.Node.Name, ["name"] = p.Name }),
            ["skipped"] = List(plan.Skipped, s => new JsonObject { ["id"] = s.Node.Id, ["oldName"] = s.Node.Name, ["reason"] = s.Reason, ["message"] = s.Message }),
            ["orphans"] = List(plan.Orphans, o => new JsonObject { ["file"] = o.Overlay.File, ["bytes"] = o.Overlay.Bytes, ["message"] = o.Message }),
            ["losses"] = List(plan.Losses, l => new JsonObject { ["message"] = l.What, ["ids"] = List(l.Ids, id => JsonValue.Create(id)) }),
            ["notes"] = List(plan.Notes, n => JsonValue.Create(n)),
        };
    }

    /// <summary>The manifests of what would be created, for who keeps them in Git. Claims name the digest of a base that is not there yet, and the claim that the operator will give it.</summary>
    internal static IEnumerable<object> Objects(MigrationPlan plan, string space, MigrationWishes wishes)
    {
        Dictionary<string, PlannedImage> images = plan.Images.ToDictionary(i => i.Name, StringComparer.Ordinal);
        foreach (PlannedImage image in plan.Images.Where(i => !i.Exists))
        {
            yield return Typed(Manifests.Image(image, space, wishes.StorageClass), "LabImage");
        }

        foreach (PlannedNode node in plan.Nodes)
        {
            PlannedImage image = images[node.Image];
            if (node.Overlay is not null)
            {
                var backing = new LabNodeBacking
                {
                    Image = image.Name,
                    Claim = $"labimage-{image.Name}-{image.Base.Sha256[..12]}",
                    Digest = "sha256:" + image.Base.Sha256,
                };
                yield return Manifests.Claim(node, backing, space, wishes, "ReadWriteOnce");
            }

            yield return Typed(Manifests.Node(node, space, wishes, image.Base.Header!.VirtualSizeBytes), "LabNode");
        }
    }

    /// <summary>Prints the plan, or the result, for people.</summary>
    internal static void Print(Output output, MigrationPlan plan, IReadOnlyList<NodeOutcome>? outcomes)
    {
        Dictionary<string, string?> faults = outcomes?.ToDictionary(o => o.Node.Node.Id, o => o.Fault, StringComparer.Ordinal) ?? [];
        IEnumerable<IReadOnlyList<string>> rows =
        [
            .. plan.Nodes.Select(n => (string[])[Old(n.Node), n.Name, n.Image, n.Overlay is null ? "none yet" : Sizes.Write(n.Overlay.Bytes), State(n, outcomes, faults)]),
            .. plan.Present.Select(p => (string[])[Old(p.Node), p.Name, "", "", "there already"]),
            .. plan.Skipped.Select(s => (string[])[Old(s.Node), "", "", "", s.Reason]),
        ];
        output.Table(["OLD NAME", "NAME", "IMAGE", "DISK", outcomes is null ? "PLAN" : "RESULT"], rows);
        Section(output, "Left behind:", plan.Skipped.Where(s => s.Reason != SkipReasons.NotSelected).Select(s => $"{Old(s.Node)}: {s.Message}"));
        Section(output, "Failed:", outcomes?.Where(o => o.Fault is not null).Select(o => $"{Old(o.Node.Node)}: {o.Fault}") ?? []);
        Section(output, "Overlays without a node:", plan.Orphans.Select(o => $"{o.Overlay.File} ({Sizes.Write(o.Overlay.Bytes)}): {o.Message}"));
        Section(output, "Could not be read:", plan.Losses.Select(l => l.Ids.Count > 0 ? $"{l.What} It names {string.Join(", ", l.Ids.Select(i => Printable.Line(i, 60)))}." : l.What));
        Section(output, "To know:", [.. plan.Nodes.SelectMany(n => n.Notes.Select(note => $"{Old(n.Node)}: {note}")), .. plan.Notes]);
    }

    /// <summary>What the user does next.</summary>
    internal static IEnumerable<string> Next(MigrationPlan plan, IReadOnlyList<NodeOutcome> outcomes)
    {
        NodeOutcome? first = outcomes.FirstOrDefault(o => o.Fault is null);
        if (first is not null)
        {
            yield return $"The moved VMs are stopped. Start one with 'kubectl sandlabx start {first.Node.Name}', and look at it with 'kubectl sandlabx console {first.Node.Name}'.";
            yield return "Nothing of the old installation was changed. Keep it until you have seen that they run; never start a VM there and here, as its two disks would part.";
        }

        if (outcomes.Any(o => o.Fault is not null) || plan.Skipped.Any(s => s.Reason != SkipReasons.NotSelected) || plan.Losses.Count > 0)
        {
            yield return "Run this again when what is told above was mended: it moves only what is missing.";
        }
    }

    private static string State(PlannedNode node, IReadOnlyList<NodeOutcome>? outcomes, Dictionary<string, string?> faults) =>
        outcomes is null ? "move" : !faults.TryGetValue(node.Node.Id, out string? fault) ? "not begun" : fault is null ? "moved" : "failed";

    private static string Old(OldNode node) => Printable.Line(node.Name, 40);

    private static void Section(Output output, string head, IEnumerable<string> lines)
    {
        string[] all = [.. lines];
        if (all.Length == 0)
        {
            return;
        }

        output.Line();
        output.Line(head);
        foreach (string line in all)
        {
            output.Line("  " + line);
        }
    }

    private static JsonObject Node(PlannedNode node) => new()
    {
        ["id"] = node.Node.Id,
        ["oldName"] = node.Node.Name,
        ["name"] = node.Name,
        ["diskId"] = node.DiskId,
        ["image"] = node.Image,
        ["overlay"] = node.Overlay?.File,
        ["bytes"] = node.Overlay?.Bytes,
        ["notes"] = List(node.Notes, n => JsonValue.Create(n)),
    };

    private static JsonArray List<T>(IEnumerable<T> items, Func<T, JsonNode?> item) => [.. items.Select(item)];

    private static T Typed<T>(T entity, string kind)
        where T : k8s.IKubernetesObject
    {
        entity.ApiVersion = $"{Api.Group}/{Api.Version}";
        entity.Kind = kind;
        return entity;
    }
}
