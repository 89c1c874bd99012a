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
    public const string ContainerName = RunnerPods.ContainerName;

    /// <summary>The longest name a LabNode or LabImage can have: its pod's and claim's names and labels are made from it and end at 63 characters.</summary>
    public const int MaxNameLength = Api.MaxNameLength;

    /// <summary>What QEMU and the runner take beside the guest's memory and per-CPU needs; measured, see docs/BENCHMARKS.md.</summary>
    private const long BaseOverheadBytes = 80 * Quantities.MiB;

    /// <summary>What the limit allows beyond the request: a reboot or reset takes 32 MiB more for a moment (measured with QEMU 7.2, 1 and 4 CPUs).</summary>
    private const long PeakBytes = 48 * Quantities.MiB;

    /// <summary>Per virtual CPU: thread stacks and TCG's per-thread state.</summary>
    private const long OverheadPerCpuBytes = 8 * Quantities.MiB;

    /// <summary>The pod's grace exceeds the guest's by this many seconds: QEMU flushes its disk after the plug was pulled.</summary>
    private const int FlushSeconds = 15;

    /// <summary>Name of a LabNode's pod. Fixed, so that the API server admits one at a time.</summary>
    public static ObjectKey PodKey(V1Alpha1LabNode node) => new(node.Metadata.NamespaceProperty, "labnode-" + node.Metadata.Name);

    /// <summary>Name of a LabNode's claim. Fixed, so that a LabNode of the same name finds its disk again.</summary>
    public static ObjectKey ClaimKey(V1Alpha1LabNode node) => new(node.Metadata.NamespaceProperty, "labnode-" + node.Metadata.Name);

    /// <summary>The overlay's absolute path in the pod.</summary>
    public static string OverlayPath(string diskId) => $"{ContractNames.OverlayDirectory}/node_{diskId}.qcow2";

    /// <summary>What a disk's claim asks for; see <see cref="DiskClaims.Bytes"/>.</summary>
    public static long ClaimBytes(long diskBytes) => DiskClaims.Bytes(diskBytes);

    /// <summary>The claim of a disk that does not exist yet.</summary>
    /// <param name="node">The LabNode.</param>
    /// <param name="backing">The base image.</param>
    /// <param name="diskBytes">What the guest is to see.</param>
    /// <param name="options">The installation's choices.</param>
    public static V1PersistentVolumeClaim Claim(V1Alpha1LabNode node, DiskBase backing, long diskBytes, OperatorOptions options) => DiskClaims.Make(
        ClaimKey(node), node.Metadata.Name, node.Metadata.Uid, backing, node.Spec.Disk.StorageClassName, options.DiskAccessMode, ClaimBytes(diskBytes + (backing.CopyBytes ?? 0)));

    /// <summary>
    /// All that a pod takes, in short: from the spec what only a start can change, after a dot from the installation, and after another one what changes
    /// while a guest runs, too. A pod with another hash would be made otherwise today.
    /// </summary>
    /// <param name="node">The LabNode.</param>
    /// <param name="options">The installation's choices.</param>
    /// <param name="saved">What its guest is resumed from; null when it boots, with the machine of the spec.</param>
    public static string StartHash(V1Alpha1LabNode node, OperatorOptions options, LabNodeSavedState? saved = null) => string.Create(
        CultureInfo.InvariantCulture,
        $"{Hash($"{Cpus(node, saved)}\n{Memory(node, saved)}\n{node.Spec.Accelerator}\n{node.Spec.GracePeriodSeconds}{NodeMedia.Fingerprint(node.Spec)}")}.{Hash($"{options.RunnerImage}\n{options.KvmResource}")}.{Hash($"{node.Spec.Disk.Size}")}");

    /// <summary>What is wished of the guest of a pod, as annotations that the kubelet shows to its runner.</summary>
    /// <param name="spec">The LabNode's spec.</param>
    /// <param name="power">What the guest should be, one of <see cref="PowerStates"/>, where that is not what the spec says.</param>
    public static IReadOnlyDictionary<string, string> Wishes(LabNodeSpec spec, string? power = null) => new Dictionary<string, string>
    {
        [Annotations.PowerWish] = (power ?? spec.PowerState) switch
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
        DiskBase backing = start.Base ?? DiskBases.Present(claim)!;
        bool isOwn = backing.Claim == claim.Metadata.Name, copies = backing.CopyBytes is not null && !isOwn;
        string imageFolder = DiskBase.FolderOf(backing.Image, backing.Sha256, isCopy: false);
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
            KeepDamaged = node.Spec.Disk.KeepDamaged,
            FullCheck = start.FullCheck,
            Repair = node.Spec.Disk.Repair,
            CheckOnly = start.CheckOnly,
            ResetRevision = node.Spec.ResetRevision ?? "",
            BackingPath = backing.Path,
            BackingCopyFrom = copies ? $"{imageFolder}/{ContractNames.ImageFile}" : null,
            BackingSha256 = backing.Sha256,
            BackingFileBytes = backing.Volume?.FileSizeBytes,
            Cpus = cpus,
            MemoryBytes = memory,
            Accelerator = node.Spec.Accelerator,
            GracePeriodSeconds = node.Spec.GracePeriodSeconds,
            Seed = NodeMedia.Seed(node, backing),
            CdromPath = start.Cdrom is { } disc ? $"{ContractNames.CdromDirectory}/{DiskBase.FileOf(disc.Volume)}" : null,
            CdromFirst = node.Spec.Cdrom?.Boot == CdromBoots.BeforeDisk,
            Uefi = backing.Firmware == Firmwares.Uefi,
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
            Labels = DiskClaims.NodeLabels(node.Metadata.Name),
            Annotations = notes,
            OwnerReferences = [OwnerOf(node)],
        };
        pod.Spec.Tolerations = [Tolerated("node.kubernetes.io/not-ready"), Tolerated("node.kubernetes.io/unreachable")];
        V1Container runner = pod.Spec.Containers[0];
        runner.VolumeMounts.Add(new V1VolumeMount { Name = "disk", MountPath = ContractNames.OverlayDirectory });
        if (!isOwn)
        {
            RunnerPods.MountImage(pod.Spec, "image", imageFolder, backing.Claim, backing.Volume);
        }

        runner.ReadinessProbe = new V1Probe
        {
            // Kubernetes' own view, for Services and kubectl wait. The operator hears of readiness from the runner's
            // event stream at once, so the period quantises nothing that matters.
            HttpGet = new V1HTTPGetAction { Path = "/readyz", Port = ContractNames.Port },
            PeriodSeconds = 5,
            TimeoutSeconds = 3,
            FailureThreshold = 3,
        };
        pod.Spec.Volumes.Add(RunnerPods.ClaimVolume("disk", claim.Metadata.Name, readOnly: false));
        NodeMedia.Mount(pod, node.Spec, config.Seed is not null, start.Cdrom);
        RunnerPods.MountWishes(
            pod.Spec, (ContractNames.PowerFile, Annotations.PowerWish), (ContractNames.ResetFile, Annotations.ResetWish), (ContractNames.SizeFile, Annotations.SizeWish));
        return pod;
    }

    /// <summary>What every pod of the product has in common: the runner, restricted as Pod Security asks for.</summary>
    public static V1Pod RunnerPod(OperatorOptions options, string verb, string config, V1ResourceRequirements resources, int graceSeconds) => RunnerPods.Make(
        new RunnerImage(options.RunnerImage, options.RunnerImagePullPolicy, options.RunnerImagePullSecret), verb, config, resources, graceSeconds);

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

    /// <summary>
    /// How long a node may be silent before the cluster is to ask for the pod's end: 30 s instead of the default of 300. The pod stays until the node is heard
    /// of again or declared out of service, and nothing is started before; but that declaration then takes effect at once.
    /// </summary>
    private static V1Toleration Tolerated(string taint) => new() { Key = taint, OperatorProperty = "Exists", Effect = "NoExecute", TolerationSeconds = 30 };

    /// <summary>The guest's memory in bytes, whole MiB.</summary>
    private static long Memory(V1Alpha1LabNode node, LabNodeSavedState? saved) => saved?.MemoryBytes ?? (Quantities.Parse(node.Spec.Memory) / Quantities.MiB * Quantities.MiB);

    private static int Cpus(V1Alpha1LabNode node, LabNodeSavedState? saved) => saved?.Cpus ?? node.Spec.Cpus;

    private static string Hash(string text) => Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)))[..16];

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
