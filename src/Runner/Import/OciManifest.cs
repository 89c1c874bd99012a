using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner.Import;

/// <summary>A blob that a manifest names.</summary>
/// <param name="Digest">Its digest, 64 hexadecimal digits.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="MediaType">What it is said to be.</param>
/// <param name="Title">The file's name that it was pushed with; null when there is none.</param>
internal sealed record OciBlob(string Digest, long Bytes, string MediaType, string? Title)
{
    /// <summary>True for a layer of a container image: an archive, of which one file is wanted.</summary>
    internal bool IsLayer => MediaType.Contains(".tar", StringComparison.Ordinal) && (MediaType.Contains("layer", StringComparison.Ordinal) || MediaType.Contains("rootfs", StringComparison.Ordinal));
}

/// <summary>Reads what a registry answers. It is hostile: of each thing no more is believed than that it was said.</summary>
internal static class OciManifest
{
    private const int MaxLayers = 128;

    /// <summary>What the registry is asked for, in this order of preference.</summary>
    internal static readonly string[] Accepted =
    [
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
    ];

    /// <summary>Reads a manifest or an index.</summary>
    /// <returns>The digest of the manifest for linux/amd64 where it is an index; else the blobs to look into, in this order.</returns>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.ArtifactUnusable"/>.</exception>
    internal static (string? Manifest, IReadOnlyList<OciBlob> Blobs) Read(ReadOnlyMemory<byte> json, string? path)
    {
        try
        {
            using JsonDocument document = JsonDocument.Parse(json);
            JsonElement root = document.RootElement;
            if (root.TryGetProperty("manifests", out JsonElement manifests))
            {
                return (ForThisPlatform(manifests), []);
            }

            return root.TryGetProperty("layers", out JsonElement layers)
                ? (null, Chosen([.. layers.EnumerateArray().Select(Blob)], path))
                : throw Unusable("its manifest has no layers");
        }
        catch (Exception e) when (e is JsonException or KeyNotFoundException or InvalidOperationException or FormatException)
        {
            throw Unusable($"its manifest can't be read: {e.Message}");
        }
    }

    internal static RunnerEndException Unusable(string why) => new(TerminationReasons.ArtifactUnusable, $"The artifact can't be used: {why}.");

    private static string ForThisPlatform(JsonElement manifests)
    {
        JsonElement[] all = [.. manifests.EnumerateArray()];
        JsonElement[] fit = [.. all.Where(m => !m.TryGetProperty("platform", out JsonElement p)
            || (p.TryGetProperty("os", out JsonElement os) && os.GetString() == "linux" && p.TryGetProperty("architecture", out JsonElement architecture) && architecture.GetString() == "amd64"))];
        return fit.Length switch
        {
            0 => throw Unusable("its index has nothing for linux/amd64"),
            _ => Digest(fit[0]),
        };
    }

    private static List<OciBlob> Chosen(OciBlob[] blobs, string? path)
    {
        if (blobs.Length is 0 or > MaxLayers)
        {
            throw Unusable($"its manifest has {blobs.Length} layers");
        }

        OciBlob[] files = [.. blobs.Where(b => !b.IsLayer)];
        if (files.Length == 0)
        {
            // What is on top hides what is below.
            return [.. blobs.Reverse()];
        }

        OciBlob[] named = path is null ? files : [.. files.Where(f => f.Title == path)];
        return named.Length == 1 ? [named[0]] : throw Unusable(
            named.Length == 0 ? $"it has no file {ImageVerdicts.Shortened(path!)}; it has {Names(files)}" : $"it has {files.Length} files, {Names(files)}. Name one in spec.source.oci.path");
    }

    private static OciBlob Blob(JsonElement blob) => new(
        Digest(blob),
        blob.GetProperty("size").GetInt64() is >= 0 and var bytes ? bytes : throw Unusable("a blob of it has a negative size"),
        blob.TryGetProperty("mediaType", out JsonElement type) ? type.GetString() ?? "" : "",
        blob.TryGetProperty("annotations", out JsonElement notes) && notes.ValueKind == JsonValueKind.Object && notes.TryGetProperty("org.opencontainers.image.title", out JsonElement title) ? title.GetString() : null);

    private static string Digest(JsonElement descriptor)
    {
        const string prefix = "sha256:";
        string digest = descriptor.GetProperty("digest").GetString() ?? "";
        return digest.StartsWith(prefix, StringComparison.Ordinal) && digest.Length == prefix.Length + 64 && digest.Skip(prefix.Length).All(char.IsAsciiHexDigitLower)
            ? digest[prefix.Length..]
            : throw Unusable("a digest of it is no sha256");
    }

    private static string Names(OciBlob[] files) => string.Join(", ", files.Take(5).Select(f => ImageVerdicts.Shortened(f.Title ?? "one without a name")));
}
