using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Transfer;

/// <summary>The first entry of an exported file: what VM it holds, and the digests of what follows. docs/MIGRATION.md describes the file.</summary>
internal sealed record ExportManifest
{
    /// <summary>The value of <see cref="Format"/>: another one is another kind of file.</summary>
    internal const string Version = "sandlabx.io/export/v1";

    /// <summary>Name of the manifest's own entry.</summary>
    internal const string Entry = "sandlabx.json";

    /// <summary>Name of the overlay's entry.</summary>
    internal const string OverlayEntry = "overlay.qcow2";

    /// <summary>Name of the base image's entry.</summary>
    internal const string BaseEntry = "base.qcow2";

    /// <summary>The longest manifest that is read.</summary>
    internal const int MaxBytes = 1024 * 1024;

    // What qemu-img can make of a disk; a larger claim to size is a lie.
    private const long MaxFileBytes = 1L << 46;

    private static readonly JsonSerializerOptions s_json = new()
    {
        PropertyNamingPolicy = JsonNamingPolicy.CamelCase,
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull,
        RespectNullableAnnotations = true,
        RespectRequiredConstructorParameters = true,
        WriteIndented = true,
    };

    /// <summary>Always <see cref="Version"/>.</summary>
    public required string Format { get; init; }

    /// <summary>Name of the LabNode.</summary>
    public required string Node { get; init; }

    /// <summary>Its spec, as the API has it.</summary>
    public required JsonObject Spec { get; init; }

    /// <summary>Its disk's id.</summary>
    public required string DiskId { get; init; }

    /// <summary>What its disk is called.</summary>
    public string? Revision { get; init; }

    /// <summary>When its disk was made, UTC.</summary>
    public DateTimeOffset? CreatedAt { get; init; }

    /// <summary>What its guest sees, in bytes.</summary>
    public required long VirtualSizeBytes { get; init; }

    /// <summary>The overlay.</summary>
    public required ExportedFile Overlay { get; init; }

    /// <summary>Name of the LabImage that the overlay stands on.</summary>
    public required string Image { get; init; }

    /// <summary>Digest by which that LabImage is known: of its file as it was delivered.</summary>
    public required string ImageSha256 { get; init; }

    /// <summary>What its guest needs, as its claim notes it.</summary>
    public LabImageGuest? Guest { get; init; }

    /// <summary>The base image's file; null when it is not in here.</summary>
    public ExportedFile? Base { get; init; }

    /// <summary>Writes it.</summary>
    internal byte[] Write() => JsonSerializer.SerializeToUtf8Bytes(this, s_json);

    /// <summary>Reads what a stranger may have written.</summary>
    /// <exception cref="CliException">It can't be meant.</exception>
    internal static ExportManifest Read(ReadOnlySpan<byte> json)
    {
        ExportManifest read;
        try
        {
            read = JsonSerializer.Deserialize<ExportManifest>(json, s_json) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw Wrong($"it can't be read ({e.Message})");
        }

        string? wrong =
            read.Format != Version ? $"its format is {Shown(read.Format)}, not {Version}"
            : !IsName(read.Node) ? $"node is {Shown(read.Node)}, no name of a LabNode"
            : !IsName(read.Image) ? $"image is {Shown(read.Image)}, no name of a LabImage"
            : Migration.SafeNames.DiskId(read.DiskId) != read.DiskId ? $"diskId is {Shown(read.DiskId)}, no id of a disk"
            : !IsDigest(read.ImageSha256) || !IsDigest(read.Overlay.Sha256) || (read.Base is { } there && !IsDigest(there.Sha256)) ? "a digest is no SHA-256"
            : read.Overlay.Bytes is <= 0 or > MaxFileBytes || read.Base?.Bytes is <= 0 or > MaxFileBytes || read.VirtualSizeBytes is <= 0 or > MaxFileBytes ? "a size is out of bounds"
            : read.Revision?.Length > 64 ? "revision is longer than 64 characters"
            : null;
        return wrong is null ? read : throw Wrong(wrong);
    }

    private static CliException Wrong(string what) => new(ExitCodes.Usage, $"The file is no export of a LabNode, or was changed: of its {Entry}, {what}.");

    private static bool IsName(string? name) => name is { Length: <= Api.MaxNameLength } && Migration.SafeNames.IsName(name);

    private static bool IsDigest(string? digest) => digest is { Length: 64 } && digest.All(char.IsAsciiHexDigitLower);

    private static string Shown(string? text) => $"\"{Migration.Printable.Line(text ?? "", 60)}\"";
}

/// <summary>A file in an export.</summary>
/// <param name="Sha256">Its digest, 64 hexadecimal digits.</param>
/// <param name="Bytes">Its length.</param>
internal sealed record ExportedFile(string Sha256, long Bytes);
