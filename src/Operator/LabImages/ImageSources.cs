using System.Text.Json;
using System.Text.RegularExpressions;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;

namespace SandLabX.Operator.LabImages;

/// <summary>What differs from one kind of source to another.</summary>
public static partial class ImageSources
{
    /// <summary>The longest path of a file within a container image: an overlay's header has room for 1,023 characters, those of its folder included.</summary>
    private const int MaxVolumePath = 900;

    /// <summary>What is wrong with where an image comes from and how it is delivered; null when nothing is.</summary>
    public static string? Wrong(LabImageSpec spec) => Wrong(spec.Source) ?? (IsMounted(spec) ? WrongVolume(spec) : null);

    /// <summary>Whether pods mount the container image itself, and nothing is imported.</summary>
    public static bool IsMounted(LabImageSpec spec) => spec.Delivery == Deliveries.ImageVolume;

    /// <summary>Whether a volume is what the spec asks for.</summary>
    public static bool IsVolume(LabImageSpec spec, LabImageVolume? volume) =>
        volume is not null && spec.Source.Oci is { } oci && volume.Reference == oci.Reference && volume.PullSecret == oci.PullSecret && (oci.Path is null || volume.Path == oci.Path.TrimStart('/'));

    /// <summary>The volume that the spec asks for, once its file is known.</summary>
    public static LabImageVolume Volume(LabImageSpec spec, string path, long fileBytes) =>
        new() { Reference = spec.Source.Oci!.Reference, Path = path, PullSecret = spec.Source.Oci.PullSecret, FileSizeBytes = fileBytes };

    private static string? WrongVolume(LabImageSpec spec) => spec.Source.Oci switch
    {
        null => $"spec.delivery is ImageVolume, which needs a container image in spec.source.oci; {Field(spec.Source)} names none. Take delivery Shared or Copy, or put the image into a registry.",
        { Reference: var reference } when !Digest().IsMatch(reference) =>
            $"spec.source.oci.reference is \"{reference}\"; with delivery ImageVolume it must name a digest, registry/repository@sha256:…: what a tag names can become another image under the disks that stand on it.",
        { PlainHttp: true } => "spec.source.oci.plainHttp has no effect with delivery ImageVolume: the cluster's nodes pull the image as their container runtime is set up. Take it away.",
        { Path: { } path } when path.Length > MaxVolumePath || !IsInside(path.TrimStart('/')) =>
            $"spec.source.oci.path is \"{path}\"; give the file's path within the container image, such as disk/debian.qcow2, in at most {MaxVolumePath} characters and without parts that are . or .. or empty.",
        _ when spec.Compress => "spec.compress is true, and with delivery ImageVolume the file stays as it is. Take it away, or take delivery Shared.",
        _ => null,
    };

    private static string? Wrong(LabImageSource source)
    {
        string[] given = [.. Given(source)];
        return (given.Length, source) switch
        {
            (0, _) => "spec.source names no source. Set one of url, oci, claim and upload.",
            ( > 1, _) => $"spec.source names {given.Length} sources: {string.Join(", ", given)}. Keep one.",
            (_, { Url: { } text }) when !Uri.TryCreate(text, UriKind.Absolute, out Uri? url) || url.Scheme is not ("http" or "https") => "spec.source.url is no http or https address.",
            (_, { Oci: { } oci }) when oci.Reference.Length == 0 || oci.Reference.Any(c => char.IsWhiteSpace(c) || char.IsControl(c)) || oci.Reference.Contains("://", StringComparison.Ordinal) =>
                $"spec.source.oci.reference is \"{oci.Reference}\"; give registry/repository:tag, without a scheme.",
            (_, { Claim: { } claim }) when claim.Name.Length == 0 => "spec.source.claim.name is empty; name a claim of this namespace.",
            (_, { Claim: { } claim }) when !IsInside(claim.Path) => $"spec.source.claim.path is \"{claim.Path}\"; give the file's path within the volume, such as images/debian.qcow2, without parts that are . or .. or empty.",
            _ => null,
        };
    }

    /// <summary>The field that says where the bytes come from.</summary>
    public static string Field(LabImageSource source) => $"spec.source.{Given(source).FirstOrDefault() ?? "url"}";

    /// <summary>The source as it may be shown: without what may be secret in it.</summary>
    public static string Shown(LabImageSource source) => source switch
    {
        { Url: { } text } => Uri.TryCreate(text, UriKind.Absolute, out Uri? url)
            ? url.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped)
            : "spec.source.url",
        { Oci: { } oci } => oci.Reference,
        { Claim: { } claim } => $"{claim.Path} on claim {claim.Name}",
        _ => "What is uploaded",
    };

    /// <summary>How an image reaches the LabNodes.</summary>
    public static LabImageDelivery Delivery(LabImageSpec spec) =>
        spec.Delivery == Deliveries.Copy ? new LabImageDelivery { Mode = Deliveries.Copy, Reason = "spec.delivery is Copy: each disk that is made gets a copy of its own, and its LabNode runs wherever its own claim can go." }
        : IsMounted(spec) ? new LabImageDelivery { Mode = Deliveries.ImageVolume, Reason = "spec.delivery is ImageVolume: each node of the cluster pulls the container image once, and the pods on it mount that." }
        : spec.Storage.AccessMode != "ReadWriteOnce" ? new LabImageDelivery { Mode = Deliveries.Shared, Reason = $"spec.storage.accessMode is {spec.Storage.AccessMode}: LabNodes on all nodes of the cluster read the one copy." }
        : new LabImageDelivery { Mode = "OneNode", Reason = "spec.storage.accessMode is ReadWriteOnce: LabNodes read the one copy on the node of the cluster that has its volume." };

    /// <summary>All that a source says, in one text.</summary>
    public static string Told(LabImageSource source) => JsonSerializer.Serialize(source);

    /// <summary>True when the import waits for a person to send the bytes, or receives them.</summary>
    public static bool Awaits(LabImageSource source, V1Pod pod, RunnerState? runner) =>
        source.Upload is not null && (runner is null ? pod.Status?.Phase == "Running" : runner.Phase == RunnerPhases.Receiving);

    /// <summary>What the person is told who is to send the bytes; after a try that was refused, why.</summary>
    public static string HowToUpload(V1Alpha1LabImage image)
    {
        string how = $"Waits for the file: kubectl sandlabx image upload {image.Metadata.Name} <file> -n {image.Metadata.NamespaceProperty}";
        return image.Status?.LastFailure is { Reason: TerminationReasons.DigestMismatch } last ? $"{how}. The last one was refused: {last.Message}" : how;
    }

    /// <summary>True for ends that need no wait before the next try: the wrong file was uploaded, or the waiting pod was ended.</summary>
    public static bool IsPersons(LabImageSource source, string reason) =>
        source.Upload is not null && reason is (TerminationReasons.DigestMismatch or TerminationReasons.ImportInterrupted);

    /// <summary>Adds to an import's pod what its source needs there: the container image, the pull secret as a file, or the other claim.</summary>
    public static void Equip(V1PodSpec pod, LabImageSpec spec)
    {
        LabImageSource source = spec.Source;
        if (IsMounted(spec))
        {
            RunnerPods.MountImage(pod, "source", ContractNames.SourceDirectory, claim: null, Volume(spec, source.Oci!.Path ?? "", 0));
            return;
        }

        if (source.Oci?.PullSecret is { } secret)
        {
            // Optional: a pod that waits for a Secret says nothing; the runner does.
            pod.Volumes.Add(new V1Volume
            {
                Name = "pull-secret",
                Secret = new V1SecretVolumeSource
                {
                    SecretName = secret,
                    Optional = true,
                    DefaultMode = 0x120,   // 0440
                    Items = [new V1KeyToPath { Key = ".dockerconfigjson", Path = Path.GetFileName(ContractNames.PullSecretPath) }],
                },
            });
            pod.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = "pull-secret", MountPath = Path.GetDirectoryName(ContractNames.PullSecretPath)!, ReadOnlyProperty = true });
        }

        if (source.Claim is { } claim)
        {
            pod.Volumes.Add(RunnerPods.ClaimVolume("source", claim.Name, readOnly: true));
            pod.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = "source", MountPath = ContractNames.SourceDirectory, ReadOnlyProperty = true });
        }
    }

    /// <summary>What the runner is told of a registry; null when it is not to pull from one.</summary>
    public static OciSource? Oci(LabImageSpec spec) => IsMounted(spec) || spec.Source.Oci is not { } oci ? null : new OciSource(oci.Reference)
    {
        Path = oci.Path,
        AuthPath = oci.PullSecret is null ? null : ContractNames.PullSecretPath,
        PlainHttp = oci.PlainHttp,
    };

    /// <summary>What the runner is told of another claim; null when that is not the source.</summary>
    public static FileSource? File(LabImageSource source) => source.Claim is { } claim ? new FileSource(ContractNames.SourceDirectory, claim.Path) : null;

    /// <summary>What the runner is told of a container image that is mounted; null when the spec asks for none.</summary>
    public static MountedSource? Mounted(LabImageSpec spec) => IsMounted(spec) ? new MountedSource(ContractNames.SourceDirectory, spec.Source.Oci!.Path?.TrimStart('/')) : null;

    [GeneratedRegex("^[^@]+@sha256:[0-9a-f]{64}$", RegexOptions.CultureInvariant)]
    private static partial Regex Digest();

    private static bool IsInside(string path) => path.Length > 0 && path.Split('/').All(part => part is not ("" or "." or ".."));

    private static IEnumerable<string> Given(LabImageSource source)
    {
        if (source.Url is not null)
        {
            yield return "url";
        }

        if (source.Oci is not null)
        {
            yield return "oci";
        }

        if (source.Claim is not null)
        {
            yield return "claim";
        }

        if (source.Upload is not null)
        {
            yield return "upload";
        }
    }
}
