using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Between JSON and objects. Reading never hides an object: what a type can't hold is left out of it and told.</summary>
internal static class KubeJson
{
    /// <summary>An object with more unreadable fields than this is reduced to its metadata.</summary>
    private const int MaxFaults = 16;

    public static JsonObject Write(object value) => (JsonObject)JsonNode.Parse(KubernetesJson.Serialize(value))!;

    /// <summary>A deep copy.</summary>
    public static T Clone<T>(T value) => KubernetesJson.Deserialize<T>(KubernetesJson.Serialize(value));

    /// <summary>Reads an object that the server sent.</summary>
    /// <param name="json">The object.</param>
    /// <param name="faults">What had to be left out; empty almost always.</param>
    /// <exception cref="KubeException">It is no object with metadata at all.</exception>
    public static T Read<T>(JsonElement json, out IReadOnlyList<string> faults)
        where T : IKubernetesObject<V1ObjectMeta>
    {
        faults = [];
        T read;
        try
        {
            read = KubernetesJson.Deserialize<T>(json);
        }
        catch (Exception e) when (IsUnreadable(e))
        {
            read = Salvage<T>(json, e, out faults);
        }

        if (read is null || string.IsNullOrEmpty(read.Metadata?.Name))
        {
            throw new KubeException($"What the server sent is no {typeof(T).Name}: {Head(json)}");
        }

        // Items of a list carry neither.
        ResourceType type = ResourceType.Of<T>();
        read.ApiVersion = type.ApiVersion;
        read.Kind = type.Kind;
        return read;
    }

    private static T Salvage<T>(JsonElement json, Exception fault, out IReadOnlyList<string> faults)
        where T : IKubernetesObject<V1ObjectMeta>
    {
        if (JsonNode.Parse(json.GetRawText()) is not JsonObject tree)
        {
            throw new KubeException($"What the server sent is no {typeof(T).Name}: {Head(json)}", fault);
        }

        var told = new List<string>();
        faults = told;
        for (int i = 0; i < MaxFaults && fault is JsonException { Path: { } path } && Remove(tree, path); i++)
        {
            told.Add(path);
            try
            {
                return KubernetesJson.Deserialize<T>(tree);
            }
            catch (Exception e) when (IsUnreadable(e))
            {
                fault = e;
            }
        }

        told.Add("all but metadata: " + fault.Message);
        foreach (string name in tree.Select(p => p.Key).Where(k => k is not ("metadata" or "apiVersion" or "kind")).ToList())
        {
            tree.Remove(name);
        }

        try
        {
            return KubernetesJson.Deserialize<T>(tree);
        }
        catch (Exception e) when (IsUnreadable(e))
        {
            throw new KubeException($"The metadata of a {typeof(T).Name} can't be read: {Head(json)}", e);
        }
    }

    private static bool IsUnreadable(Exception e) => e is JsonException or FormatException or NotSupportedException or InvalidOperationException or ArgumentException or OverflowException;

    /// <summary>Removes what a path of System.Text.Json leads to, such as <c>$.spec.items[2].kind</c> or <c>$.labels['a.b/c']</c>.</summary>
    private static bool Remove(JsonObject tree, string path)
    {
        JsonNode? at = tree;
        JsonNode? parent = null;
        object? last = null;
        foreach (object step in Steps(path))
        {
            parent = at;
            last = step;
            at = (at, step) switch
            {
                (JsonObject o, string name) => o[name],
                (JsonArray a, int index) when index < a.Count => a[index],
                _ => null,
            };
            if (at is null)
            {
                break;
            }
        }

        switch (parent, last)
        {
            case (JsonObject o, string name):
                return o.Remove(name);
            case (JsonArray a, int index) when index < a.Count:
                a.RemoveAt(index);
                return true;
            default:
                return false;
        }
    }

    private static IEnumerable<object> Steps(string path)
    {
        int i = path.StartsWith('$') ? 1 : 0;
        while (i < path.Length)
        {
            if (path[i] == '.')
            {
                int end = path.IndexOfAny(['.', '['], i + 1);
                end = end < 0 ? path.Length : end;
                yield return path[(i + 1)..end];
                i = end;
            }
            else if (path.AsSpan(i).StartsWith("['"))
            {
                int end = path.IndexOf("']", i, StringComparison.Ordinal);
                if (end < 0)
                {
                    yield break;
                }

                yield return path[(i + 2)..end];
                i = end + 2;
            }
            else
            {
                int end = path.IndexOf(']', i);
                if (end < 0 || !int.TryParse(path.AsSpan(i + 1, end - i - 1), out int index))
                {
                    yield break;
                }

                yield return index;
                i = end + 1;
            }
        }
    }

    private static string Head(JsonElement json)
    {
        string text = json.GetRawText();
        return text.Length > 200 ? text[..200] : text;
    }
}
