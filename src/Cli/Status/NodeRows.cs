using System.Globalization;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Status;

/// <summary>LabNodes as rows of a table. Pure.</summary>
internal static class NodeRows
{
    /// <summary>The table's heads.</summary>
    internal static IReadOnlyList<string> Heads(bool everywhere) =>
        [.. everywhere ? (string[])["NAMESPACE"] : [], "NAME", "IMAGE", "PHASE", "REASON", "NODE", "IP", "RESTARTS", "DISK", "AGE"];

    /// <summary>One row.</summary>
    /// <param name="node">The LabNode.</param>
    /// <param name="everywhere">Whether its namespace is shown.</param>
    /// <param name="now">The present time.</param>
    internal static IReadOnlyList<string> Row(V1Alpha1LabNode node, bool everywhere, DateTimeOffset now) =>
    [
        .. everywhere ? (string[])[node.Metadata.NamespaceProperty] : [],
        node.Metadata.Name,
        node.Spec.Image,
        node.Status?.Phase ?? "-",
        Conditions.Find(node.Status?.Conditions, ConditionTypes.Ready)?.Reason ?? "-",
        node.Status?.Pod?.Node ?? "-",
        node.Status?.Pod?.Ip ?? "-",
        (node.Status?.Restarts?.Count ?? 0).ToString(CultureInfo.InvariantCulture),
        Sizes.Write(node.Status?.Disk?.ActualSizeBytes),
        node.Metadata.CreationTimestamp is { } made ? KubectlDurations.Write(now - made) : "-",
    ];
}
