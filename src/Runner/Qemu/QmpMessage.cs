using System.Text.Json;

namespace SandLabX.Runner.Qemu;

/// <summary>What a line of QEMU's monitor means to the runner.</summary>
internal abstract record QmpMessage
{
    /// <summary>The monitor's first words.</summary>
    internal sealed record Greeting(string Version) : QmpMessage;

    /// <summary>The answer to <c>query-status</c>.</summary>
    internal sealed record Status(string Name) : QmpMessage;

    /// <summary>A command that was given an id was carried out.</summary>
    internal sealed record Done(string Id) : QmpMessage;

    /// <summary>What <see cref="UseWatch"/> asked for.</summary>
    internal sealed record Answer(string Id, JsonElement Value) : QmpMessage;

    /// <summary>A command was refused: which, by its id, and why.</summary>
    internal sealed record Error(string Id, string Description) : QmpMessage;

    /// <summary>How far a migration is, out or in: QEMU's word.</summary>
    internal sealed record Migration(string State) : QmpMessage;

    /// <summary>Something happened to the guest.</summary>
    internal sealed record Happened(string Name, GuestEvent Event) : QmpMessage;

    /// <summary>Reads one line; null for what is of no interest.</summary>
    /// <exception cref="JsonException">The line is not JSON.</exception>
    internal static QmpMessage? Parse(ReadOnlyMemory<byte> line)
    {
        using JsonDocument document = JsonDocument.Parse(line);
        JsonElement root = document.RootElement;
        if (root.TryGetProperty("QMP", out JsonElement greeting))
        {
            return new Greeting(VersionOf(greeting));
        }

        if (root.TryGetProperty("error", out JsonElement error))
        {
            return new Error(Text(root, "id"), Text(error, "desc"));
        }

        if (root.TryGetProperty("return", out JsonElement answer))
        {
            return Text(root, "id").StartsWith(UseWatch.IdPrefix, StringComparison.Ordinal) ? new Answer(Text(root, "id"), answer.Clone())
                : answer.ValueKind == JsonValueKind.Object && answer.TryGetProperty("status", out JsonElement status) ? new Status(status.GetString() ?? "")
                : Text(root, "id") is { Length: > 0 } id ? new Done(id) : null;
        }

        if (!root.TryGetProperty("event", out JsonElement name))
        {
            return null;
        }

        JsonElement data = root.TryGetProperty("data", out JsonElement found) ? found : default;
        return name.GetString() == "MIGRATION" ? new Migration(Text(data, "status")) : EventOf(name.GetString() ?? "", data, TimeOf(root)) is { } happened ? new Happened(name.GetString()!, happened) : null;
    }

    private static GuestEvent? EventOf(string name, JsonElement data, DateTimeOffset at) => name switch
    {
        "STOP" => new GuestEvent.Stopped(),
        "RESUME" => new GuestEvent.Resumed(at),
        "RESET" => new GuestEvent.Reset(Flag(data, "guest"), at),
        "SHUTDOWN" => new GuestEvent.Shutdown(Flag(data, "guest"), Text(data, "reason")),
        "GUEST_PANICKED" => new GuestEvent.Panicked(),
        "BLOCK_IMAGE_CORRUPTED" => new GuestEvent.DiskCorrupted(Flag(data, "fatal"), Text(data, "msg")),
        "BLOCK_IO_ERROR" => new GuestEvent.DiskError(
            Text(data, "action") == "stop", Flag(data, "nospace"), $"{Text(data, "operation")} of {Text(data, "node-name")}: {Text(data, "reason")}"),
        _ => null,
    };

    /// <summary>When an event was. QEMU writes -1 where its host's clock can't be read, which is as good as 1970.</summary>
    private static DateTimeOffset TimeOf(JsonElement root) =>
        root.TryGetProperty("timestamp", out JsonElement time)
        && Number(time, "seconds") is >= 0 and <= int.MaxValue and { } seconds && Number(time, "microseconds") is >= 0 and < 1_000_000 and { } microseconds
            ? DateTimeOffset.FromUnixTimeSeconds(seconds).AddMicroseconds(microseconds)
            : DateTimeOffset.UnixEpoch;

    private static long? Number(JsonElement data, string name) =>
        data.ValueKind == JsonValueKind.Object && data.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt64(out long number) ? number : null;

    private static string VersionOf(JsonElement greeting)
    {
        JsonElement version = greeting.GetProperty("version");
        JsonElement qemu = version.GetProperty("qemu");
        return $"{qemu.GetProperty("major")}.{qemu.GetProperty("minor")}.{qemu.GetProperty("micro")}";
    }

    private static string Text(JsonElement data, string name) =>
        data.ValueKind == JsonValueKind.Object && data.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    private static bool Flag(JsonElement data, string name) =>
        data.ValueKind == JsonValueKind.Object && data.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.True;
}
