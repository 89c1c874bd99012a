using System.Text.Json.Nodes;

namespace SandLabX.Runtime;

/// <summary>JSON merge patches (RFC 7386).</summary>
internal static class MergePatch
{
    /// <summary>What makes <paramref name="from"/> into <paramref name="to"/>: changed members, and null for those that go; null when they are equal. Lists are replaced whole.</summary>
    public static JsonObject? Diff(JsonObject from, JsonObject to)
    {
        var patch = new JsonObject();
        foreach ((string name, JsonNode? value) in to)
        {
            // A null in a merge patch removes, so a member that is null is one that is absent.
            if (value is null || JsonNode.DeepEquals(from[name], value))
            {
                continue;
            }

            if (from[name] is not JsonObject before || value is not JsonObject after)
            {
                patch[name] = value.DeepClone();
            }
            else if (Diff(before, after) is { } inner)
            {
                patch[name] = inner;
            }
        }

        foreach ((string name, JsonNode? value) in from)
        {
            if (value is not null && to[name] is null)
            {
                patch[name] = null;
            }
        }

        return patch.Count == 0 ? null : patch;
    }
}
