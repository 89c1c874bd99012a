using SandLabX.Entities;

namespace SandLabX.Cli.Status;

/// <summary>A watched table where nothing can be redrawn: the table's heads once, then a line for each LabNode that changed.</summary>
internal sealed class StatusLines(bool everywhere)
{
    private readonly Dictionary<string, string> _shown = new(StringComparer.Ordinal);
    private bool _begun;

    /// <summary>The lines to print now: tab-separated, so that scripts can cut them.</summary>
    internal IReadOnlyList<string> Changes(IReadOnlyList<V1Alpha1LabNode> nodes, DateTimeOffset now)
    {
        var lines = new List<string>();
        if (!_begun)
        {
            lines.Add(string.Join('\t', NodeRows.Heads(everywhere)));
            _begun = true;
        }

        var present = new HashSet<string>(StringComparer.Ordinal);
        foreach (V1Alpha1LabNode node in nodes)
        {
            IReadOnlyList<string> row = NodeRows.Row(node, everywhere, now);
            string key = $"{node.Metadata.NamespaceProperty}/{node.Metadata.Name}";
            present.Add(key);

            // The age alone is no change.
            string content = string.Join('\t', row.Take(row.Count - 1));
            if (_shown.GetValueOrDefault(key) != content)
            {
                _shown[key] = content;
                lines.Add(string.Join('\t', row));
            }
        }

        foreach (string gone in _shown.Keys.Where(k => !present.Contains(k)).ToList())
        {
            _shown.Remove(gone);
            lines.Add($"{(everywhere ? gone.Replace('/', '\t') : gone[(gone.IndexOf('/', StringComparison.Ordinal) + 1)..])}\tdeleted");
        }

        return lines;
    }
}
