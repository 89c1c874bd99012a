using k8s.Models;
using SandLabX.Contract;

namespace SandLabX.Entities;

/// <summary>The runner's container image, and how it is pulled.</summary>
/// <param name="Image">The image.</param>
/// <param name="PullPolicy">Its pull policy.</param>
/// <param name="PullSecret">The secret that it is pulled with, in the pod's namespace; empty for none.</param>
public sealed record RunnerImage(string Image, string PullPolicy, string PullSecret);

/// <summary>What every pod of the product has in common: the runner, restricted as Pod Security asks for.</summary>
public static class RunnerPods
{
    /// <summary>Name of the container.</summary>
    public const string ContainerName = "runner";

    /// <summary>The user and group of every pod: nobody's on the host.</summary>
    private const long User = 65532;

    /// <summary>A pod; its metadata and further volumes are the caller's.</summary>
    /// <param name="runner">The runner's image.</param>
    /// <param name="verb">What the runner does.</param>
    /// <param name="config">What it is told, as JSON.</param>
    /// <param name="resources">What it may use.</param>
    /// <param name="graceSeconds">Seconds between SIGTERM and SIGKILL.</param>
    public static V1Pod Make(RunnerImage runner, string verb, string config, V1ResourceRequirements resources, int graceSeconds) => new()
    {
        ApiVersion = "v1",
        Kind = "Pod",
        Spec = new V1PodSpec
        {
            RestartPolicy = "Never",
            AutomountServiceAccountToken = false,
            EnableServiceLinks = false,
            TerminationGracePeriodSeconds = graceSeconds,
            ImagePullSecrets = runner.PullSecret.Length > 0 ? [new V1LocalObjectReference { Name = runner.PullSecret }] : null,
            SecurityContext = new V1PodSecurityContext
            {
                RunAsNonRoot = true,
                RunAsUser = User,
                RunAsGroup = User,
                FsGroup = User,
                FsGroupChangePolicy = "OnRootMismatch",
                SeccompProfile = new V1SeccompProfile { Type = "RuntimeDefault" },
            },
            Containers =
            [
                new V1Container
                {
                    Name = ContainerName,
                    Image = runner.Image,
                    ImagePullPolicy = runner.PullPolicy,
                    Args = [verb],
                    Env =
                    [
                        new V1EnvVar { Name = ContractNames.ConfigVariable, Value = config },
                        new V1EnvVar { Name = ContractNames.PodUidVariable, ValueFrom = new V1EnvVarSource { FieldRef = new V1ObjectFieldSelector { ApiVersion = "v1", FieldPath = "metadata.uid" } } },
                    ],
                    Ports = [new V1ContainerPort { Name = "runner", ContainerPort = ContractNames.Port }],
                    Resources = resources,
                    SecurityContext = new V1SecurityContext
                    {
                        AllowPrivilegeEscalation = false,
                        ReadOnlyRootFilesystem = true,
                        RunAsNonRoot = true,
                        Capabilities = new V1Capabilities { Drop = ["ALL"] },
                    },
                    VolumeMounts = [new V1VolumeMount { Name = "run", MountPath = ContractNames.RunDirectory }],
                },
            ],
            Volumes = [new V1Volume { Name = "run", EmptyDir = new V1EmptyDirVolumeSource() }],
        },
    };

    /// <summary>Shows a pod a base image, read-only; what it is pulled with, where it is a container image, becomes one of the pod's pull secrets.</summary>
    /// <param name="pod">The pod, with the runner as its first container.</param>
    /// <param name="name">Name of the volume.</param>
    /// <param name="folder">The folder that it is in, there.</param>
    /// <param name="claim">The claim that holds it; null where a container image does.</param>
    /// <param name="volume">The container image that holds it; null where a claim does.</param>
    public static void MountImage(V1PodSpec pod, string name, string folder, string? claim, LabImageVolume? volume)
    {
        pod.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = name, MountPath = folder, ReadOnlyProperty = true });
        if (volume is null)
        {
            pod.Volumes.Add(ClaimVolume(name, claim!, readOnly: true));
            return;
        }

        // What a digest names never changes: once a node has it, no registry is asked.
        pod.Volumes.Add(new V1Volume { Name = name, Image = new V1ImageVolumeSource { Reference = volume.Reference, PullPolicy = "IfNotPresent" } });
        if (volume.PullSecret is { } secret && pod.ImagePullSecrets?.Any(each => each.Name == secret) != true)
        {
            pod.ImagePullSecrets = [.. pod.ImagePullSecrets ?? [], new V1LocalObjectReference { Name = secret }];
        }
    }

    /// <summary>Lets a pod hear of what is wished while it runs: the kubelet shows its annotations as files of <see cref="ContractNames.WishDirectory"/>.</summary>
    /// <param name="pod">The pod, with the runner as its first container.</param>
    /// <param name="wishes">The files, and the annotation that each shows.</param>
    public static void MountWishes(V1PodSpec pod, params (string File, string Annotation)[] wishes)
    {
        pod.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = "wishes", MountPath = ContractNames.WishDirectory, ReadOnlyProperty = true });
        pod.Volumes.Add(new V1Volume
        {
            Name = "wishes",
            DownwardAPI = new V1DownwardAPIVolumeSource
            {
                Items =
                [
                    .. wishes.Select(wish => new V1DownwardAPIVolumeFile
                    {
                        Path = wish.File,
                        FieldRef = new V1ObjectFieldSelector { ApiVersion = "v1", FieldPath = $"metadata.annotations['{wish.Annotation}']" },
                    }),
                ],
            },
        });
    }

    /// <summary>A volume from a claim.</summary>
    public static V1Volume ClaimVolume(string name, string claim, bool readOnly) => new()
    {
        Name = name,
        PersistentVolumeClaim = new V1PersistentVolumeClaimVolumeSource { ClaimName = claim, ReadOnlyProperty = readOnly ? true : null },
    };
}
