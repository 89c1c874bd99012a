using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabImages;

/// <summary>The claim and the import's pod that a LabImage gets, as pure functions of its spec.</summary>
public static class ImageObjects
{
    /// <summary>An import streams, whatever the file's size: one of 4 GiB, converted, was measured to end well within 64 MiB, the page cache of what it writes included.</summary>
    private const string ImportMemory = "64Mi";

    /// <summary>The limit: a decompressor's window of 128 MiB, or the tables of a very large image, beside that.</summary>
    private const string ImportMemoryLimit = "256Mi";

    /// <summary>An interrupted import keeps what it has; it needs no long goodbye.</summary>
    private const int GraceSeconds = 10;

    /// <summary>Name of the claim and the pod of the spec's revision: the digest is the revision, so a changed one gets a claim of its own.</summary>
    public static ObjectKey Key(V1Alpha1LabImage image) =>
        new(image.Metadata.NamespaceProperty, $"labimage-{image.Metadata.Name}-{Revision(image)}");

    /// <summary>Twelve digits of the digest: enough to tell revisions of one image apart, short enough for a name.</summary>
    private static string Revision(V1Alpha1LabImage image) => image.Spec.Sha256.Length >= 12 ? image.Spec.Sha256[..12] : image.Spec.Sha256;

    /// <summary>What an import is told, in short: a changed source or claim is a new try.</summary>
    public static string ImportHash(V1Alpha1LabImage image) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(
        $"{image.Spec.Sha256}\n{image.Spec.Storage.Size}\n{image.Spec.Storage.StorageClassName}\n{image.Spec.Storage.AccessMode}\n{image.Spec.Compress}\n{ImageSources.Told(image.Spec.Source)}{(ImageSources.IsMounted(image.Spec) ? "\nmounted" : "")}")))[..16];

    /// <summary>What makes a try a new one: what the import is told, and the runner that carries it out.</summary>
    public static string TryKey(string importHash, string runnerImage) => $"{importHash}@{runnerImage}";

    /// <summary>The claim of the spec's revision.</summary>
    public static V1PersistentVolumeClaim Claim(V1Alpha1LabImage image) => new()
    {
        ApiVersion = "v1",
        Kind = "PersistentVolumeClaim",
        Metadata = new V1ObjectMeta
        {
            Name = Key(image).Name,
            NamespaceProperty = image.Metadata.NamespaceProperty,
            Labels = ImageLabels(image),
        },
        Spec = new V1PersistentVolumeClaimSpec
        {
            AccessModes = image.Spec.Storage.AccessMode == "ReadOnlyMany" ? ["ReadWriteOnce", "ReadOnlyMany"] : [image.Spec.Storage.AccessMode],
            StorageClassName = image.Spec.Storage.StorageClassName,
            Resources = new V1VolumeResourceRequirements
            {
                Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new(image.Spec.Storage.Size) },
            },
        },
    };

    /// <summary>The pod that imports the spec's revision.</summary>
    public static V1Pod Pod(V1Alpha1LabImage image, OperatorOptions options)
    {
        var config = new ImportConfig
        {
            Image = $"{image.Metadata.NamespaceProperty}/{image.Metadata.Name}",
            Url = image.Spec.Source.Url,
            Oci = ImageSources.Oci(image.Spec),
            File = ImageSources.File(image.Spec.Source),
            Mounted = ImageSources.Mounted(image.Spec),
            Sha256 = image.Spec.Sha256,
            Compress = image.Spec.Compress,
            ClaimBytes = Quantities.TryParse(image.Spec.Storage.Size, out long size) ? size : null,
            MaxVirtualSizeBytes = options.MaxImageVirtualSizeBytes,
        };
        var resources = new V1ResourceRequirements
        {
            Requests = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("100m"), ["memory"] = new(ImportMemory) },
            Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("2"), ["memory"] = new(ImportMemoryLimit) },
        };
        V1Pod pod = NodeObjects.RunnerPod(options, "import", JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig), resources, GraceSeconds);
        pod.Metadata = new V1ObjectMeta
        {
            Name = Key(image).Name,
            NamespaceProperty = image.Metadata.NamespaceProperty,
            Labels = ImageLabels(image),
            Annotations = new Dictionary<string, string> { [Annotations.ImportHash] = ImportHash(image) },
            OwnerReferences = [NodeObjects.OwnerOf(image)],
        };
        if (!ImageSources.IsMounted(image.Spec))
        {
            pod.Spec.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = "image", MountPath = ContractNames.ImportDirectory });
            pod.Spec.Volumes.Add(RunnerPods.ClaimVolume("image", Key(image).Name, readOnly: false));
        }

        ImageSources.Equip(pod.Spec, image.Spec);
        return pod;
    }

    private static Dictionary<string, string> ImageLabels(V1Alpha1LabImage image) => new()
    {
        [Labels.ManagedBy] = Labels.ManagedByValue,
        [Labels.Image] = image.Metadata.Name,
    };
}
