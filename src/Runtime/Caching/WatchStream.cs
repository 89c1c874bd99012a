using System.Buffers;
using System.IO.Pipelines;
using System.Runtime.CompilerServices;
using System.Text.Json;

namespace SandLabX.Runtime;

/// <summary>One line of a watch.</summary>
/// <param name="Type">ADDED, MODIFIED, DELETED, BOOKMARK or ERROR.</param>
/// <param name="Object">The object, or a Status for ERROR.</param>
internal readonly record struct WatchEvent(string Type, JsonElement Object);

/// <summary>Reads the newline-delimited JSON of a watch.</summary>
internal static class WatchStream
{
    /// <summary>The server's store takes 1.5 MiB an object; a line that is far longer is no event.</summary>
    private const int MaxLine = 16 * 1024 * 1024;

    /// <summary>The events, until the server closes the stream. Half a line at the end is dropped: whoever resumes from the last version gets it again.</summary>
    /// <exception cref="JsonException">A whole line is no watch event.</exception>
    public static async IAsyncEnumerable<WatchEvent> ReadAsync(Stream stream, [EnumeratorCancellation] CancellationToken stop)
    {
        PipeReader reader = PipeReader.Create(stream);
        try
        {
            while (true)
            {
                ReadResult read = await reader.ReadAsync(stop).ConfigureAwait(false);
                ReadOnlySequence<byte> rest = read.Buffer;
                while (rest.PositionOf((byte)'\n') is { } end)
                {
                    ReadOnlySequence<byte> line = rest.Slice(0, end);
                    rest = rest.Slice(rest.GetPosition(1, end));
                    if (!IsBlank(line))
                    {
                        yield return Parse(line);
                    }
                }

                if (read.IsCompleted)
                {
                    yield break;
                }

                if (rest.Length > MaxLine)
                {
                    throw new JsonException($"A line of the watch is longer than {MaxLine} bytes.");
                }

                reader.AdvanceTo(rest.Start, rest.End);
            }
        }
        finally
        {
            await reader.CompleteAsync().ConfigureAwait(false);
        }
    }

    private static bool IsBlank(ReadOnlySequence<byte> line)
    {
        foreach (ReadOnlyMemory<byte> part in line)
        {
            if (part.Span.IndexOfAnyExcept((byte)' ', (byte)'\r', (byte)'\t') >= 0)
            {
                return false;
            }
        }

        return true;
    }

    private static WatchEvent Parse(ReadOnlySequence<byte> line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement root = document.RootElement;
        return root.ValueKind == JsonValueKind.Object
            && root.TryGetProperty("type", out JsonElement type) && type.ValueKind == JsonValueKind.String
            && root.TryGetProperty("object", out JsonElement item) && item.ValueKind == JsonValueKind.Object
            ? new WatchEvent(type.GetString()!, item.Clone())
            : throw new JsonException("A line of the watch is JSON, but no event.");
    }
}
