using System.Globalization;
using System.Text.Json;
using System.Text.Json.Serialization;
using k8s.Models;
using SandLabX.Contract;

namespace SandLabX.Entities;

/// <summary>A base image on which a disk of a claim stands, or is about to.</summary>
/// <param name="Image">Name of the LabImage; part of the path that the overlay names.</param>
/// <param name="Claim">Name of the claim that holds it; null where <see cref="Volume"/> does.</param>
/// <param name="Sha256">Its SHA-256, 64 hexadecimal digits.</param>
/// <param name="Firmware">What guests of it boot with, one of <see cref="Firmwares"/>.</param>
/// <param name="CloudInit">Whether cloud-init is in it.</param>
public sealed record DiskBase(string Image, string? Claim, string Sha256, string Firmware, bool CloudInit)
{
    /// <summary>The revision (<c>spec.disk.revision</c>) of the disk that is to be made on it; null once that is there.</summary>
    public string? For { get; init; }

    /// <summary>Size of its file in bytes, where the disk has a copy of its own beside it; null where it is read from its image's claim.</summary>
    public long? CopyBytes { get; init; }

    /// <summary>The container image that holds it; null where <see cref="Claim"/> does.</summary>
    public LabImageVolume? Volume { get; init; }

    /// <summary>The folder that it is in, in a guest's pod.</summary>
    [JsonIgnore]
    public string Folder => FolderOf(Image, Sha256, CopyBytes is not null);

    /// <summary>Its path in a guest's pod; overlays name it.</summary>
    [JsonIgnore]
    public string Path => $"{Folder}/{FileOf(Volume)}";

    /// <summary>The folder of a base, in a guest's pod: that of its image, or one of its own beside the overlay.</summary>
    public static string FolderOf(string image, string sha256, bool isCopy) =>
        isCopy ? $"{ContractNames.OverlayDirectory}/{ContractNames.BaseCopyPrefix}{sha256[..12]}" : $"{ContractNames.ImageDirectory}/{image}";

    /// <summary>The file of an image within its folder.</summary>
    public static string FileOf(LabImageVolume? volume) => volume?.Path ?? ContractNames.ImageFile;

    /// <summary>One that is shared, as a status tells of it.</summary>
    /// <param name="backing">What the status tells; all of it is known.</param>
    /// <param name="guest">What guests of it need.</param>
    public static DiskBase Of(LabNodeBacking backing, LabImageGuest guest) =>
        new(backing.Image!, backing.Claim, backing.Digest!["sha256:".Length..], guest.Firmware, guest.CloudInit) { Volume = backing.Volume };

    /// <summary>As statuses tell it.</summary>
    public LabNodeBacking ToBacking() => new() { Image = Image, Claim = Claim, Volume = Volume, Digest = "sha256:" + Sha256, Copy = CopyBytes is null ? null : true };

    /// <summary>Whether a status tells of this one.</summary>
    public bool Is(LabNodeBacking? backing) => backing is not null && backing.Claim == Claim && backing.Volume == Volume && (backing.Copy == true) == (CopyBytes is not null) && backing.Digest == "sha256:" + Sha256;

    /// <summary>The present revision of an image; null when it is not ready.</summary>
    public static DiskBase? Of(V1Alpha1LabImage image) =>
        image.Status is { Phase: ImagePhases.Ready, Digest: { } digest, VirtualSizeBytes: not null } status && (status.Claim is not null || status.Volume is not null)
            ? new DiskBase(image.Metadata.Name, status.Claim, digest["sha256:".Length..], image.Spec.Guest.Firmware, image.Spec.Guest.CloudInit)
            {
                Volume = status.Volume,
                CopyBytes = image.Spec.Delivery == Deliveries.Copy ? image.Status.FileSizeBytes ?? image.Status.VirtualSizeBytes : null,
            }
            : null;
}

/// <summary>The bases that the claim of a LabNode notes, as annotations: what it names here is not deleted with its LabImage's revision.</summary>
public static class DiskBases
{
    private static readonly JsonSerializerOptions s_json = new() { PropertyNamingPolicy = JsonNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>That of the present disk; null for a claim that holds none of ours.</summary>
    public static DiskBase? Present(V1PersistentVolumeClaim? claim) =>
        Note(claim, Annotations.BackingImage) is { } image && Note(claim, Annotations.BackingSha256) is { } sha256
        && (Note(claim, Annotations.BackingClaim), Read<LabImageVolume>(Note(claim, Annotations.BackingVolume))) is var (holder, volume) && (holder is not null || volume is not null)
            ? new DiskBase(image, holder, sha256, Note(claim, Annotations.Firmware) ?? Firmwares.Bios, Note(claim, Annotations.CloudInit) == "true")
            {
                Volume = volume,
                CopyBytes = long.TryParse(Note(claim, Annotations.BackingCopyBytes), NumberStyles.None, CultureInfo.InvariantCulture, out long bytes) ? bytes : null,
            }
            : null;

    /// <summary>Those of kept disks, and of one that is to be made; empty also for a note that can't be read.</summary>
    public static IReadOnlyList<DiskBase> Others(V1PersistentVolumeClaim? claim) => Read<DiskBase[]>(Note(claim, Annotations.OtherBases)) ?? [];

    /// <summary>All of them, the present one first.</summary>
    public static IEnumerable<DiskBase> All(V1PersistentVolumeClaim? claim) => Present(claim) is { } present ? [present, .. Others(claim)] : [];

    /// <summary>What copies of bases take on the claim, in bytes.</summary>
    public static long CopiesOn(V1PersistentVolumeClaim claim) => All(claim).DistinctBy(each => each.Path).Sum(each => each.CopyBytes ?? 0);

    /// <summary>Names of the claims that hold them: none of these may go. One counts even where the rest of its note is lost.</summary>
    public static IEnumerable<string> ClaimsOf(V1PersistentVolumeClaim claim) =>
        (Note(claim, Annotations.BackingClaim) is { } present ? [present] : Array.Empty<string>()).Concat(Others(claim).Select(other => other.Claim).OfType<string>()).Distinct();

    /// <summary>The annotations that say so; null for one that is to go.</summary>
    public static Dictionary<string, string?> Notes(DiskBase present, IReadOnlyCollection<DiskBase> others) => new()
    {
        [Annotations.BackingImage] = present.Image,
        [Annotations.BackingClaim] = present.Claim,
        [Annotations.BackingVolume] = present.Volume is null ? null : JsonSerializer.Serialize(present.Volume, s_json),
        [Annotations.BackingSha256] = present.Sha256,
        [Annotations.Firmware] = present.Firmware,
        [Annotations.CloudInit] = present.CloudInit ? "true" : "false",
        [Annotations.BackingCopyBytes] = present.CopyBytes?.ToString(CultureInfo.InvariantCulture),
        [Annotations.OtherBases] = others.Count == 0 ? null : JsonSerializer.Serialize(others, s_json),
    };

    private static T? Read<T>(string? noted) where T : class
    {
        try
        {
            return noted is null ? null : JsonSerializer.Deserialize<T>(noted, s_json);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static string? Note(V1PersistentVolumeClaim? claim, string annotation) =>
        claim?.Metadata.Annotations is { } notes && notes.TryGetValue(annotation, out string? noted) ? noted : null;
}
