using SandLabX.Entities;

namespace SandLabX.Operator;

/// <summary>What an installation can choose; read from the environment (section <c>SANDLABX</c>, so <c>SANDLABX__RUNNERIMAGE</c>).</summary>
public sealed class OperatorOptions
{
    /// <summary>The container image of the runner, which is in every pod that the operator makes.</summary>
    public string RunnerImage { get; set; } = "";

    /// <summary>Pull policy of the runner's image.</summary>
    public string RunnerImagePullPolicy { get; set; } = "IfNotPresent";

    /// <summary>Secret, in the namespace of the pods, with which the runner's image is pulled; empty for none.</summary>
    public string RunnerImagePullSecret { get; set; } = "";

    /// <summary>Extended resource under which a device plugin offers /dev/kvm, such as <c>devices.kubevirt.io/kvm</c>; empty when the cluster has none: accelerator Auto is TCG then.</summary>
    public string KvmResource { get; set; } = "";

    /// <summary>Access mode of the disks' claims: ReadWriteOnce, or ReadWriteOncePod where server and storage driver know it.</summary>
    public string DiskAccessMode { get; set; } = "ReadWriteOnce";

    /// <summary>The largest virtual size an imported image may have, in bytes. Default 2 TiB.</summary>
    public long MaxImageVirtualSizeBytes { get; set; } = 2048L * 1024 * Quantities.MiB;

    /// <summary>Time between two validations of all LabNodes, claims and pods, as hh:mm:ss; the first comes when the operator begins to lead. Default 01:00:00, at least 10 s.</summary>
    public TimeSpan ValidationInterval { get; set; } = TimeSpan.FromHours(1);

    /// <summary>The namespace that is watched; empty for all.</summary>
    public string WatchNamespace { get; set; } = "";

    /// <summary>The operator's own namespace: its lease lives there.</summary>
    public string Namespace { get; set; } = "sandlabx-system";

    /// <summary>TCP port of /metrics, /healthz and /readyz.</summary>
    public int Port { get; set; } = 8080;
}
