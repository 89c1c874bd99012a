using System.Globalization;
using System.Text.Json;

namespace SandLabX.Cli.Migration;

/// <summary>Reads the fields of one record, under all the names that they had, and notes whatever it can't take as it is written.</summary>
/// <param name="record">The record; an object.</param>
internal sealed class NodeFields(JsonElement record)
{
    private const int MinMemoryMiB = 16;
    private const int MaxMemoryMiB = 1024 * 1024;
    private const int MaxCpus = 64;

    // Runtime state that means nothing once the platform is down, and what the record says twice.
    private static readonly HashSet<string> s_known = new(StringComparer.Ordinal)
    {
        "id", "name", "osType", "os", "os_type", "status", "overlayPath", "overlay_path", "resources", "image", "image_metadata",
        "ram", "ram_mb", "cpus", "cpu_cores", "createdAt", "updatedAt", "startedAt", "stoppedAt", "wipedAt", "created_at", "updated_at", "started_at", "stopped_at", "wiped_at",
        "vncPort", "vnc_port", "guacConnectionId", "guac_connection_id", "guacUrl", "guac_url", "pid", "user_id", "lab_id",
    };

    private readonly List<string> _notes = [];

    /// <summary>Whether an object looks like a node's record; used where a damaged file leaves no other way to tell.</summary>
    internal static bool LooksLikeNode(JsonElement element) =>
        element.ValueKind == JsonValueKind.Object && element.TryGetProperty("id", out _)
        && (element.TryGetProperty("overlayPath", out _) || element.TryGetProperty("osType", out _) || element.TryGetProperty("os", out _) || element.TryGetProperty("resources", out _));

    /// <summary>The node; null when nothing says which one it is.</summary>
    internal OldNode? Read()
    {
        string? overlay = Text("overlayPath", "overlay_path");
        if (Id(overlay) is not { } id)
        {
            return null;
        }

        string? name = Text("name");
        if (string.IsNullOrWhiteSpace(name))
        {
            name = "node-" + id[..Math.Min(8, id.Length)];
            Note($"it has no name; {name} is what the platform would have called it");
        }

        var node = new OldNode
        {
            Id = id,
            Name = name,
            OsType = Text("osType", "os", "os_type") is { Length: > 0 } os ? os : OldNode.DefaultOsType,
            Status = Text("status"),
            OverlayPath = overlay,
            ImagePath = ImagePath(),
            MemoryMiB = Number("memory", "MiB", OldNode.DefaultMemoryMiB, MinMemoryMiB, MaxMemoryMiB, "ram", "ram_mb", "memoryMb", "memory_mb", "memory"),
            Cpus = Number("CPUs", "", OldNode.DefaultCpus, 1, MaxCpus, "cpus", "cpu", "vcpus", "cpu_cores"),
            CreatedAt = Time("createdAt", "created_at"),
            StartedAt = Time("startedAt", "started_at"),
            StoppedAt = Time("stoppedAt", "stopped_at"),
            WipedAt = Time("wipedAt", "wiped_at"),
        };
        string[] extra = [.. record.EnumerateObject().Select(p => p.Name).Where(n => !s_known.Contains(n)).Take(5)];
        if (extra.Length > 0)
        {
            Note($"what it says under {string.Join(", ", extra)} is not carried over");
        }

        return node with { Notes = _notes };
    }

    private string? Id(string? overlay)
    {
        if (Text("id") is { Length: > 0 } id)
        {
            return id;
        }

        string? file = overlay is null ? null : Path.GetFileName(overlay);
        if (file is null || !file.StartsWith("node_", StringComparison.Ordinal) || !file.EndsWith(".qcow2", StringComparison.Ordinal) || file.Length <= 11)
        {
            return null;
        }

        Note("it has no id; the one in its overlay's name is taken");
        return file["node_".Length..^".qcow2".Length];
    }

    private string? ImagePath()
    {
        foreach (string name in (ReadOnlySpan<string>)["image", "image_metadata"])
        {
            if (record.TryGetProperty(name, out JsonElement image) && image.ValueKind == JsonValueKind.Object && image.TryGetProperty("path", out JsonElement path))
            {
                return TextOf(path);
            }
        }

        return null;
    }

    private int Number(string what, string unit, int otherwise, int least, int most, params ReadOnlySpan<string> names)
    {
        if (!Find(names, out JsonElement value))
        {
            return otherwise;
        }

        string shown = value.ValueKind is JsonValueKind.String ? TextOf(value) ?? "" : value.GetRawText();
        if (!decimal.TryParse(shown, NumberStyles.Float, CultureInfo.InvariantCulture, out decimal number) || number <= 0)
        {
            Note($"its {what} is {Shown(shown)}; {otherwise}{(unit.Length > 0 ? " " + unit : "")} is taken, as the platform would have");
            return otherwise;
        }

        int taken = (int)Math.Clamp(decimal.Truncate(number), least, most);
        if (taken != number)
        {
            Note($"its {what} is {Shown(shown)}; {taken}{(unit.Length > 0 ? " " + unit : "")} is taken");
        }

        return taken;
    }

    /// <summary>A value of the record, or of its resources.</summary>
    private bool Find(ReadOnlySpan<string> names, out JsonElement value)
    {
        bool nested = record.TryGetProperty("resources", out JsonElement resources) && resources.ValueKind == JsonValueKind.Object;
        foreach (string name in names)
        {
            if ((nested && resources.TryGetProperty(name, out value)) || record.TryGetProperty(name, out value))
            {
                if (value.ValueKind != JsonValueKind.Null)
                {
                    return true;
                }
            }
        }

        value = default;
        return false;
    }

    private DateTimeOffset? Time(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (!record.TryGetProperty(name, out JsonElement value) || value.ValueKind == JsonValueKind.Null)
            {
                continue;
            }

            if (value.ValueKind == JsonValueKind.String
                && DateTimeOffset.TryParse(TextOf(value), CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal | DateTimeStyles.AdjustToUniversal, out DateTimeOffset time))
            {
                return time;
            }

            Note($"its {name} is {Shown(value.GetRawText())}, which is no time; it is left out");
        }

        return null;
    }

    private string? Text(params ReadOnlySpan<string> names)
    {
        foreach (string name in names)
        {
            if (record.TryGetProperty(name, out JsonElement value) && TextOf(value) is { } text)
            {
                return text;
            }
        }

        return null;
    }

    private string? TextOf(JsonElement value)
    {
        try
        {
            return value.ValueKind switch
            {
                JsonValueKind.String => value.GetString(),
                JsonValueKind.Number => value.GetRawText(),
                _ => null,
            };
        }
        catch (InvalidOperationException)
        {
            Note("one of its texts is not UTF-8 and is left out");
            return null;
        }
    }

    private void Note(string what) => _notes.Add(what);

    private static string Shown(string text) => '"' + Printable.Line(text, 40) + '"';
}
