using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace SandLabX.Cli.Migration;

/// <summary>
/// Reads <c>nodes-state.json</c>. The platform wrote it whole and not atomically, so a crash leaves a torn one: what is whole in it is taken, and what is not is told.
/// </summary>
internal static partial class StateReader
{
    /// <summary>The only version there ever was.</summary>
    private const string Version = "1.0.0";

    // A file full of braces and little else would otherwise cost a search at each of them.
    private const int MaxFalseStarts = 10_000;

    private static readonly JsonReaderOptions s_options = new() { AllowTrailingCommas = true, CommentHandling = JsonCommentHandling.Skip, MaxDepth = 64 };

    /// <summary>Reads a state file's bytes.</summary>
    internal static OldState Read(ReadOnlySpan<byte> json)
    {
        var reading = new Reading();
        json = json.StartsWith(Encoding.UTF8.Preamble) ? json[Encoding.UTF8.Preamble.Length..] : json;
        if (json.TrimStart(" \t\r\n\0"u8).IsEmpty)
        {
            reading.Lose(json.IsEmpty ? "The file is empty." : $"The file has {json.Length} bytes, and nothing is written in them.", []);
            return reading.Result();
        }

        var reader = new Utf8JsonReader(json, s_options);
        long whole = 0;    // up to here all was read
        try
        {
            reader.Read();
            if (reader.TokenType == JsonTokenType.StartArray)
            {
                Nodes(ref reader, reading, ref whole);
            }
            else if (reader.TokenType == JsonTokenType.StartObject)
            {
                Document(ref reader, reading, ref whole);
            }
            else
            {
                reading.Lose("The file is JSON, but neither an object nor a list.", []);
            }

            if (reader.Read())
            {
                throw new JsonException("something follows the end");
            }
        }
        catch (Exception e) when (e is JsonException or InvalidOperationException)
        {
            Salvage(json, (int)whole, reading);
        }

        return reading.Result();
    }

    private static void Document(ref Utf8JsonReader reader, Reading reading, ref long whole)
    {
        bool found = false;
        while (reader.Read() && reader.TokenType == JsonTokenType.PropertyName)
        {
            string? name = reader.GetString();
            reader.Read();
            if (name == "nodes" && reader.TokenType == JsonTokenType.StartArray)
            {
                found = true;
                Nodes(ref reader, reading, ref whole);
            }
            else if (name == "version" && reader.TokenType == JsonTokenType.String)
            {
                string version = reader.GetString()!;
                if (version != Version)
                {
                    reading.Note($"The state's version is {Printable.Line(version, 20)}, not {Version} as all known ones; look at the plan closely.");
                }
            }
            else
            {
                reader.Skip();
            }

            whole = reader.BytesConsumed;
        }

        if (!found)
        {
            reading.Lose("The file has no list called nodes.", []);
        }
    }

    private static void Nodes(ref Utf8JsonReader reader, Reading reading, ref long whole)
    {
        whole = reader.BytesConsumed;
        while (reader.Read() && reader.TokenType != JsonTokenType.EndArray)
        {
            using JsonDocument element = JsonDocument.ParseValue(ref reader);
            reading.Take(element.RootElement, salvaged: false);
            whole = reader.BytesConsumed;
        }

        whole = reader.BytesConsumed;
    }

    /// <summary>From where the reading ended: every further record that is whole, and a word about what lies between.</summary>
    private static void Salvage(ReadOnlySpan<byte> json, int from, Reading reading)
    {
        int lost = from;     // where the present unreadable stretch begins
        int at = from;
        for (int falseStarts = 0; falseStarts < MaxFalseStarts && json[at..].IndexOf((byte)'{') is >= 0 and int next;)
        {
            at += next;
            if (TryRecord(json[at..], reading, out int length))
            {
                Lose(json, lost, at, reading);
                at += length;
                lost = at;
            }
            else
            {
                at++;
                falseStarts++;
            }
        }

        Lose(json, lost, json.Length, reading);
    }

    private static bool TryRecord(ReadOnlySpan<byte> json, Reading reading, out int length)
    {
        length = 0;
        var reader = new Utf8JsonReader(json, s_options);
        try
        {
            if (!JsonDocument.TryParseValue(ref reader, out JsonDocument? document))
            {
                return false;
            }

            using (document)
            {
                length = (int)reader.BytesConsumed;
                if (!NodeFields.LooksLikeNode(document.RootElement))
                {
                    return false;
                }

                reading.Take(document.RootElement, salvaged: true);
                return true;
            }
        }
        catch (JsonException)
        {
            return false;
        }
    }

    private static void Lose(ReadOnlySpan<byte> json, int from, int to, Reading reading)
    {
        ReadOnlySpan<byte> stretch = json[from..to];
        bool nothing = stretch.Trim(" \t\r\n,]}"u8).IsEmpty;
        if (nothing && (to < json.Length || stretch.Contains((byte)']')))
        {
            return;
        }

        int line = json[..from].Count((byte)'\n') + 1;
        string text = Encoding.UTF8.GetString(stretch);
        string[] ids = [.. Id().Matches(text).Select(m => m.Groups[1].Value).Distinct()];
        string what = nothing
            ? $"The file breaks off at byte {json.Length}; nothing says whether more followed."
            : string.Create(CultureInfo.InvariantCulture, $"{stretch.Length} bytes from byte {from} (line {line}) on can't be read.");
        reading.Lose(what, ids);
    }

    [GeneratedRegex("\"id\"\\s*:\\s*\"([^\"\\\\]{1,128})\"", RegexOptions.CultureInvariant)]
    private static partial Regex Id();

    /// <summary>What was read so far.</summary>
    private sealed class Reading
    {
        private readonly List<OldNode> _nodes = [];
        private readonly List<Loss> _losses = [];
        private readonly List<string> _notes = [];
        private int _elements;

        internal void Take(JsonElement element, bool salvaged)
        {
            _elements++;
            OldNode? node = element.ValueKind == JsonValueKind.Object ? new NodeFields(element).Read() : null;
            if (node is null)
            {
                Lose($"Entry {_elements} of the nodes has neither an id nor an overlay: {Printable.Line(element.GetRawText(), 80)}", []);
                return;
            }

            _nodes.Add(salvaged ? node with { Notes = [.. node.Notes, "its record stands behind a damaged stretch of the file"] } : node);
        }

        internal void Lose(string what, IReadOnlyList<string> ids) => _losses.Add(new Loss(what, ids));

        internal void Note(string what) => _notes.Add(what);

        internal OldState Result() => new(_nodes, _losses, _notes);
    }
}
