using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>The pod that receives or copies a disk, as a pure function of what is known.</summary>
internal static class AdoptPods
{
    // A comparison of two disks' tables, and qemu-img's own needs; page cache is not counted against anybody.
    private const string Memory = "1280Mi";

    private const int GraceSeconds = 10;

    /// <summary>A pod that nobody feeds any more does not stand for ever; what it received is kept.</summary>
    private const long DeadlineSeconds = 24 * 3600;

    /// <summary>The pod.</summary>
    /// <param name="key">Its namespace and name.</param>
    /// <param name="node">Name of the LabNode.</param>
    /// <param name="config">What it is told.</param>
    /// <param name="backing">The base image.</param>
    /// <param name="runner">The runner's image.</param>
    /// <param name="source">The claim that it copies the disk from, of which it is told the file; null when the disk is sent.</param>
    internal static V1Pod Make(ObjectKey key, string node, AdoptConfig config, LabNodeBacking backing, RunnerImage runner, string? source = null)
    {
        string json = JsonSerializer.Serialize(config, ContractJson.Default.AdoptConfig);
        var resources = new V1ResourceRequirements
        {
            Requests = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("100m"), ["memory"] = new("128Mi") },
            Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("2"), ["memory"] = new(Memory) },
        };
        V1Pod pod = RunnerPods.Make(runner, "adopt", json, resources, GraceSeconds);
        pod.Metadata = new V1ObjectMeta
        {
            Name = key.Name,
            NamespaceProperty = key.Namespace,
            // Not the label of a LabNode's own pod: this is none.
            Labels = new Dictionary<string, string> { [Labels.ManagedBy] = Labels.ManagedByValue },
            Annotations = new Dictionary<string, string>
            {
                [Annotations.TransferHash] = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(json + runner.Image + source)))[..16],
            },
        };
        pod.Spec.ActiveDeadlineSeconds = DeadlineSeconds;
        V1Container container = pod.Spec.Containers[0];
        container.VolumeMounts.Add(new V1VolumeMount { Name = "disk", MountPath = ContractNames.OverlayDirectory });
        pod.Spec.Volumes.Add(RunnerPods.ClaimVolume("disk", DiskClaims.NameOf(node), readOnly: false));
        RunnerPods.MountWishes(pod.Spec, (ContractNames.DigestFile, Annotations.TransferDigest));
        RunnerPods.MountImage(pod.Spec, "image", ImageDirectory(backing), backing.Claim, backing.Volume);
        if (source is not null)
        {
            // The volume is read-only, not its mount alone: else the kubelet would give all files in it to the pod's group.
            container.VolumeMounts.Add(new V1VolumeMount { Name = "source", MountPath = ContractNames.SourceDirectory, ReadOnlyProperty = true });
            pod.Spec.Volumes.Add(RunnerPods.ClaimVolume("source", source, readOnly: true));
        }

        return pod;
    }

    /// <summary>The base image's path in the pod, as it is in the pod of a guest.</summary>
    internal static string BackingPath(LabNodeBacking backing) => $"{ImageDirectory(backing)}/{DiskBase.FileOf(backing.Volume)}";

    private static string ImageDirectory(LabNodeBacking backing) => DiskBase.FolderOf(backing.Image!, backing.Digest!["sha256:".Length..], backing.Copy == true);
}
