using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>The LabNodes that a verb is about.</summary>
internal static class LabNodes
{
    /// <summary>All of a namespace, or of the cluster when <paramref name="space"/> is empty, in order.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="space">The namespace; empty for all.</param>
    /// <param name="selector">As <c>kubectl -l</c> takes it; null for all.</param>
    /// <param name="stop">Ends it.</param>
    internal static async Task<IReadOnlyList<V1Alpha1LabNode>> ListAsync(Cluster cluster, string space, string? selector, CancellationToken stop) =>
        [.. Ordered(await cluster.Api.ListAsync<V1Alpha1LabNode>(space, selector, stop).ConfigureAwait(false))];

    /// <summary>One LabNode of the chosen namespace.</summary>
    /// <exception cref="CliException">It is not there.</exception>
    internal static async Task<V1Alpha1LabNode> GetAsync(Cluster cluster, string name, CancellationToken stop) =>
        await cluster.Api.GetAsync<V1Alpha1LabNode>(new ObjectKey(cluster.Namespace, name), stop).ConfigureAwait(false)
        ?? throw await MissingAsync(cluster, [name], stop).ConfigureAwait(false);

    /// <summary>Those that are named, or all, or those that match; in the order in which they were named.</summary>
    /// <exception cref="CliException">One is not there, none matches, or nothing says which.</exception>
    internal static async Task<IReadOnlyList<V1Alpha1LabNode>> ChosenAsync(
        Cluster cluster, IReadOnlyList<string> names, bool all, string? selector, CancellationToken stop)
    {
        if ((names.Count > 0 ? 1 : 0) + (all ? 1 : 0) + (selector is null ? 0 : 1) != 1)
        {
            throw new CliException(ExitCodes.Usage, "Say which LabNodes: their names, or --all of the namespace, or a selector (-l); one of the three.");
        }

        IReadOnlyList<V1Alpha1LabNode> found = await ListAsync(cluster, cluster.Namespace, selector, stop).ConfigureAwait(false);
        if (names.Count == 0)
        {
            return found.Count > 0 || all
                ? found
                : throw new CliException(ExitCodes.NotFound, $"No LabNode of namespace {cluster.Namespace} matches {selector}.");
        }

        string[] wanted = [.. names.Distinct(StringComparer.Ordinal)];
        Dictionary<string, V1Alpha1LabNode> byName = found.ToDictionary(n => n.Metadata.Name, StringComparer.Ordinal);
        string[] missing = [.. wanted.Where(n => !byName.ContainsKey(n))];
        return missing.Length == 0
            ? [.. wanted.Select(n => byName[n])]
            : throw Missing(cluster.Namespace, missing, [.. byName.Keys]);
    }

    /// <summary>By namespace and name.</summary>
    internal static IEnumerable<V1Alpha1LabNode> Ordered(IEnumerable<V1Alpha1LabNode> nodes) => nodes
        .OrderBy(n => n.Metadata.NamespaceProperty, StringComparer.Ordinal)
        .ThenBy(n => n.Metadata.Name, StringComparer.Ordinal);

    private static async Task<CliException> MissingAsync(Cluster cluster, IReadOnlyList<string> missing, CancellationToken stop) =>
        Missing(cluster.Namespace, missing, [.. (await ListAsync(cluster, cluster.Namespace, null, stop).ConfigureAwait(false)).Select(n => n.Metadata.Name)]);

    private static CliException Missing(string space, IReadOnlyList<string> missing, IReadOnlyList<string> present)
    {
        const int shown = 10;
        string there = present.Count switch
        {
            0 => "It has none.",
            <= shown => $"It has {string.Join(", ", present)}.",
            _ => $"It has {string.Join(", ", present.Take(shown))} and {present.Count - shown} more.",
        };
        return new CliException(
            ExitCodes.NotFound, $"Namespace {space} has no LabNode {string.Join(", ", missing)}. {there} Another namespace? -n names it.");
    }
}
