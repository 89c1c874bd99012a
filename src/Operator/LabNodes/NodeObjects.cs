using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <summary>The claim and the pod that a LabNode gets, as pure functions of what is known.</summary>
public static class NodeObjects
{
    /// <summary>Name of the container in every pod that the operator makes.</summary>
    public const string ContainerName = "runner";

    /// <summary>The longest name a LabNode or LabImage can have: its pod's and claim's names and labels are made from it and end at 63 characters.</summary>
    public const int MaxNameLength = 43;

    /// <summary>What QEMU and the runner take beside the guest's memory and per-CPU needs; measured, see docs/BENCHMARKS.md.</summary>
    private const long BaseOverheadBytes = 80 * Quantities.MiB;

    /// <summary>What the limit allows beyond the request: a reboot or reset takes 32 MiB more for a moment (measured with QEMU 7.2, 1 and 4 CPUs).</summary>
    private const long PeakBytes = 48 * Quantities.MiB;

    /// <summary>Per virtual CPU: thread stacks and TCG's per-thread state.</summary>
    private const long OverheadPerCpuBytes = 8 * Quantities.MiB;

    /// <summary>The user and group of every pod: nobody's on the host.</summary>
    private const long RunnerUser = 65532;

    /// <summary>The pod's grace exceeds the guest's by this many seconds: QEMU flushes its disk after the plug was pulled.</summary>
    private const int FlushSeconds = 15;

    /// <summary>Name of a LabNode's pod. Fixed, so that the API server admits one at a time.</summary>
    public static ObjectKey PodKey(V1Alpha1LabNode node) => new(node.Metadata.NamespaceProperty, "labnode-" + node.Metadata.Name);

    /// <summary>Name of a LabNode's claim. Fixed, so that a LabNode of the same name finds its disk again.</summary>
    public static ObjectKey ClaimKey(V1Alpha1LabNode node) => new(node.Metadata.NamespaceProperty, "labnode-" + node.Metadata.Name);

    /// <summary>The overlay's absolute path in the pod.</summary>
    public static string OverlayPath(string diskId) => $"{ContractNames.OverlayDirectory}/node_{diskId}.qcow2";

    /// <summary>What the claim asks for: the disk, 6 % for the file system's and the image's own tables, and 128 MiB; in whole MiB.</summary>
    public static long ClaimBytes(long diskBytes)
    {
        long needed = diskBytes + (diskBytes / 100 * 6) + (128 * Quantities.MiB);
        return (needed + Quantities.MiB - 1) / Quantities.MiB * Quantities.MiB;
    }

    /// <summary>The claim of a disk that does not exist yet.</summary>
    public static V1PersistentVolumeClaim Claim(V1Alpha1LabNode node, LabNodeBacking backing, long diskBytes, OperatorOptions options) => new()
    {
        ApiVersion = "v1",
        Kind = "PersistentVolumeClaim",
        Metadata = new V1ObjectMeta
        {
            Name = ClaimKey(node).Name,
            NamespaceProperty = node.Metadata.NamespaceProperty,
            Labels = NodeLabels(node),
            // No owner reference: garbage collection must never reach a disk. The finalizer deletes it, when asked, by UID.
            Annotations = new Dictionary<string, string>
            {
                [Annotations.DiskId] = node.Metadata.Uid,
                [Annotations.BackingImage] = backing.Image!,
                [Annotations.BackingClaim] = backing.Claim!,
                [Annotations.BackingSha256] = backing.Digest!["sha256:".Length..],
            },
        },
        Spec = new V1PersistentVolumeClaimSpec
        {
            AccessModes = [options.DiskAccessMode],
            StorageClassName = node.Spec.Disk.StorageClassName,
            Resources = new V1VolumeResourceRequirements
            {
                Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new(Quantities.Format(ClaimBytes(diskBytes))) },
            },
        },
    };

    /// <summary>
    /// All that a pod takes, in short: from the spec what only a start can change, after a dot from the installation, and after another one what changes
    /// while a guest runs, too. A pod with another hash would be made otherwise today.
    /// </summary>
    /// <param name="node">The LabNode.</param>
    /// <param name="options">The installation's choices.</param>
    /// <param name="saved">What its guest is resumed from; null when it boots, with the machine of the spec.</param>
    public static string StartHash(V1Alpha1LabNode node, OperatorOptions options, LabNodeSavedState? saved = null) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Hash($"{Cpus(node, saved)}\n{Memory(node, saved)}\n{node.Spec.Accelerator}\n{node.Spec.GracePeriodSeconds}")}.{Hash($"{options.RunnerImage}\n{options.KvmResource}")}.{Hash($"{node.Spec.Disk.Size}")}");

    /// <summary>What is wished of the guest of a pod, as annotations that the kubelet shows to its runner.</summary>
    public static IReadOnlyDictionary<string, string> Wishes(LabNodeSpec spec) => new Dictionary<string, string>
    {
        [Annotations.PowerWish] = spec.PowerState switch
        {
            PowerStates.Paused => PowerWishes.Paused,
            PowerStates.Suspended => PowerWishes.Suspended,
            _ => PowerWishes.Running,
        },
        [Annotations.ResetWish] = spec.ResetRevision ?? "",
    };

    /// <summary>Whether the runner of a pod is shown wishes; those of earlier versions are not.</summary>
    public static bool HearsWishes(V1Pod pod) => pod.Metadata.Annotations?.ContainsKey(Annotations.PowerWish) == true;

    /// <summary>Whether the guest of a pod was wished off.</summary>
    public static bool WasToldToPowerOff(V1Pod pod) => WasMadeFor(pod, Annotations.PowerWish, PowerWishes.Off);

    /// <summary>Whether a pod was made for this revision, which one of its annotations notes; a pod without the annotation was made for none.</summary>
    public static bool WasMadeFor(V1Pod pod, string annotation, string? revision) =>
        (pod.Metadata.Annotations?.TryGetValue(annotation, out string? made) == true ? made : "") == (revision ?? "");

    /// <summary>The pod that runs the guest on the disk of <paramref name="claim"/>.</summary>
    /// <param name="node">The LabNode; its memory was checked to be a quantity.</param>
    /// <param name="claim">Its claim, with the annotations that say what the disk is.</param>
    /// <param name="diskBytes">The size a new overlay gets; null for the image's.</param>
    /// <param name="start">What kind of start it is.</param>
    /// <param name="options">The installation's choices.</param>
    public static V1Pod Pod(V1Alpha1LabNode node, V1PersistentVolumeClaim claim, long? diskBytes, NodeStart start, OperatorOptions options)
    {
        IDictionary<string, string> disk = claim.Metadata.Annotations;
        string imageDirectory = $"{ContractNames.ImageDirectory}/{disk[Annotations.BackingImage]}";
        long memory = Memory(node, start.Resumes);
        int cpus = Cpus(node, start.Resumes);
        var config = new RunnerConfig
        {
            Node = $"{node.Metadata.NamespaceProperty}/{node.Metadata.Name}",
            DiskId = disk[Annotations.DiskId],
            OverlayPath = OverlayPath(disk[Annotations.DiskId]),
            OverlayExpected = start.DiskExpected,
            DiskSizeBytes = diskBytes,
            DiskRevision = start.DiskRevision ?? "",
            Wipe = start.Wipe,
            KeepWiped = node.Spec.Disk.KeepWiped,
            ResetRevision = node.Spec.ResetRevision ?? "",
            BackingPath = $"{imageDirectory}/{ContractNames.ImageFile}",
            BackingSha256 = disk[Annotations.BackingSha256],
            Cpus = cpus,
            MemoryBytes = memory,
            Accelerator = node.Spec.Accelerator,
            GracePeriodSeconds = node.Spec.GracePeriodSeconds,
        };

        bool kvm = node.Spec.Accelerator != Accelerators.Tcg && options.KvmResource.Length > 0;
        V1Pod pod = RunnerPod(
            options,
            "run",
            JsonSerializer.Serialize(config, ContractJson.Default.RunnerConfig),
            Resources(memory + Overhead(memory, cpus), cpus, kvm ? options.KvmResource : null),
            node.Spec.GracePeriodSeconds + FlushSeconds);
        var notes = new Dictionary<string, string>(Wishes(node.Spec))
        {
            [Annotations.StartHash] = StartHash(node, options, start.Resumes),
            [Annotations.RestartRevision] = start.RestartRevision ?? "",
            [Annotations.DiskRevision] = start.DiskRevision ?? "",
        };
        pod.Metadata = new V1ObjectMeta
        {
            Name = PodKey(node).Name,
            NamespaceProperty = node.Metadata.NamespaceProperty,
            Labels = NodeLabels(node),
            Annotations = notes,
            OwnerReferences = [OwnerOf(node)],
        };
        pod.Spec.Tolerations = [Tolerated("node.kubernetes.io/not-ready"), Tolerated("node.kubernetes.io/unreachable")];
        V1Container runner = pod.Spec.Containers[0];
        runner.VolumeMounts.Add(new V1VolumeMount { Name = "disk", MountPath = ContractNames.OverlayDirectory });
        runner.VolumeMounts.Add(new V1VolumeMount { Name = "image", MountPath = imageDirectory, ReadOnlyProperty = true });
        runner.VolumeMounts.Add(new V1VolumeMount { Name = "wishes", MountPath = ContractNames.WishDirectory, ReadOnlyProperty = true });
        runner.ReadinessProbe = new V1Probe
        {
            // Kubernetes' own view, for Services and kubectl wait. The operator hears of readiness from the runner's
            // event stream at once, so the period quantises nothing that matters.
            HttpGet = new V1HTTPGetAction { Path = "/readyz", Port = ContractNames.Port },
            PeriodSeconds = 5,
            TimeoutSeconds = 3,
            FailureThreshold = 3,
        };
        pod.Spec.Volumes.Add(ClaimVolume("disk", claim.Metadata.Name, readOnly: false));
        pod.Spec.Volumes.Add(ClaimVolume("image", disk[Annotations.BackingClaim], readOnly: true));
        pod.Spec.Volumes.Add(new V1Volume
        {
            Name = "wishes",
            DownwardAPI = new V1DownwardAPIVolumeSource { Items = [Wish(ContractNames.PowerFile, Annotations.PowerWish), Wish(ContractNames.ResetFile, Annotations.ResetWish), Wish(ContractNames.SizeFile, Annotations.SizeWish)] },
        });
        return pod;
    }

    /// <summary>What every pod of the product has in common: the runner, restricted as Pod Security asks for.</summary>
    public static V1Pod RunnerPod(OperatorOptions options, string verb, string config, V1ResourceRequirements resources, int graceSeconds) => new()
    {
        ApiVersion = "v1",
        Kind = "Pod",
        Spec = new V1PodSpec
        {
            RestartPolicy = "Never",
            AutomountServiceAccountToken = false,
            EnableServiceLinks = false,
            TerminationGracePeriodSeconds = graceSeconds,
            ImagePullSecrets = options.RunnerImagePullSecret.Length > 0 ? [new V1LocalObjectReference { Name = options.RunnerImagePullSecret }] : null,
            SecurityContext = new V1PodSecurityContext
            {
                RunAsNonRoot = true,
                RunAsUser = RunnerUser,
                RunAsGroup = RunnerUser,
                FsGroup = RunnerUser,
                FsGroupChangePolicy = "OnRootMismatch",
                SeccompProfile = new V1SeccompProfile { Type = "RuntimeDefault" },
            },
            Containers =
            [
                new V1Container
                {
                    Name = ContainerName,
                    Image = options.RunnerImage,
                    ImagePullPolicy = options.RunnerImagePullPolicy,
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

    /// <summary>Memory that QEMU and the runner take beside the guest's, in bytes: a base, a share per CPU, and the page tables that map the guest (1/512).</summary>
    public static long Overhead(long memoryBytes, int cpus) => BaseOverheadBytes + (cpus * OverheadPerCpuBytes) + (memoryBytes / 512);

    /// <summary>A controller's owner reference to the LabNode.</summary>
    public static V1OwnerReference OwnerOf(k8s.IKubernetesObject<V1ObjectMeta> owner) => new()
    {
        ApiVersion = owner.ApiVersion,
        Kind = owner.Kind,
        Name = owner.Metadata.Name,
        Uid = owner.Metadata.Uid,
        Controller = true,
        BlockOwnerDeletion = true,
    };

    /// <summary>A volume from a claim.</summary>
    public static V1Volume ClaimVolume(string name, string claim, bool readOnly) => new()
    {
        Name = name,
        PersistentVolumeClaim = new V1PersistentVolumeClaimVolumeSource { ClaimName = claim, ReadOnlyProperty = readOnly ? true : null },
    };

    /// <summary>
    /// How long a node may be silent before the cluster is to ask for the pod's end: 30 s instead of the default of 300. The pod stays until the node is heard
    /// of again or declared out of service, and nothing is started before; but that declaration then takes effect at once.
    /// </summary>
    private static V1Toleration Tolerated(string taint) => new() { Key = taint, OperatorProperty = "Exists", Effect = "NoExecute", TolerationSeconds = 30 };

    private static V1DownwardAPIVolumeFile Wish(string file, string annotation) =>
        new() { Path = file, FieldRef = new V1ObjectFieldSelector { ApiVersion = "v1", FieldPath = $"metadata.annotations['{annotation}']" } };

    /// <summary>The guest's memory in bytes, whole MiB.</summary>
    private static long Memory(V1Alpha1LabNode node, LabNodeSavedState? saved) => saved?.MemoryBytes ?? (Quantities.Parse(node.Spec.Memory) / Quantities.MiB * Quantities.MiB);

    private static int Cpus(V1Alpha1LabNode node, LabNodeSavedState? saved) => saved?.Cpus ?? node.Spec.Cpus;

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];

    private static Dictionary<string, string> NodeLabels(V1Alpha1LabNode node) => new()
    {
        [Labels.ManagedBy] = Labels.ManagedByValue,
        [Labels.Node] = node.Metadata.Name,
    };

    private static V1ResourceRequirements Resources(long memory, int cpus, string? device)
    {
        var requests = new Dictionary<string, ResourceQuantity>
        {
            // A tenth of the CPUs: lab machines idle most of the time. The limit adds half a CPU for QEMU's own threads.
            ["cpu"] = new((cpus * 100).ToString(CultureInfo.InvariantCulture) + "m"),
            ["memory"] = new(Quantities.Format(memory)),
        };
        var limits = new Dictionary<string, ResourceQuantity>
        {
            ["cpu"] = new(((cpus * 1000) + 500).ToString(CultureInfo.InvariantCulture) + "m"),
            ["memory"] = new(Quantities.Format(memory + PeakBytes)),
        };
        if (device is not null)
        {
            requests[device] = new ResourceQuantity("1");
            limits[device] = new ResourceQuantity("1");
        }

        return new V1ResourceRequirements { Requests = requests, Limits = limits };
    }
}
