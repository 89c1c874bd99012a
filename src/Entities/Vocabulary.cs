namespace SandLabX.Entities;

/// <summary>The closed list of how disks come by their base image.</summary>
public static class Deliveries
{
    /// <summary>All read the one copy on the image's claim.</summary>
    public const string Shared = "Shared";

    /// <summary>Each disk has a copy of its own, beside it on its claim.</summary>
    public const string Copy = "Copy";

    /// <summary>The file stays in the container image that it comes in: every pod that needs it mounts that, and no claim holds it.</summary>
    public const string ImageVolume = "ImageVolume";
}

/// <summary>Values of <c>spec.powerState</c>.</summary>
public static class PowerStates
{
    /// <summary>The guest should run.</summary>
    public const string Running = "Running";

    /// <summary>The guest should be off; its disk stays.</summary>
    public const string Stopped = "Stopped";

    /// <summary>The guest's processors should stand; its pod stays, and Running lets it go on at once.</summary>
    public const string Paused = "Paused";

    /// <summary>The guest's memory and devices should be on its claim, and its pod gone; Running lets it go on where it was.</summary>
    public const string Suspended = "Suspended";
}

/// <summary>Values of <c>spec.restartPolicy</c>: what follows when the guest ends by itself. What the cluster ends is always started again.</summary>
public static class RestartPolicies
{
    /// <summary>Start again, also after the guest powered itself off.</summary>
    public const string Always = "Always";

    /// <summary>Start again after a panic or a crash, not after a power-off.</summary>
    public const string OnFailure = "OnFailure";

    /// <summary>Stay off.</summary>
    public const string Never = "Never";
}

/// <summary>Values of <c>spec.disk.reclaimPolicy</c>: what becomes of the claim when its LabNode is deleted.</summary>
public static class ReclaimPolicies
{
    /// <summary>The claim stays; a LabNode of the same name finds its disk again.</summary>
    public const string Retain = "Retain";

    /// <summary>The claim is deleted with the LabNode.</summary>
    public const string Delete = "Delete";
}

/// <summary>Values of a LabNode's <c>status.phase</c>.</summary>
public static class NodePhases
{
    /// <summary>Seen, nothing decided yet.</summary>
    public const string Pending = "Pending";

    /// <summary>Its image is not there or not ready.</summary>
    public const string WaitingForImage = "WaitingForImage";

    /// <summary>Its claim is not there, not bound or not usable.</summary>
    public const string WaitingForVolume = "WaitingForVolume";

    /// <summary>No node of the cluster has room for its pod.</summary>
    public const string Unschedulable = "Unschedulable";

    /// <summary>Its pod is on its way; the guest does not run yet.</summary>
    public const string Starting = "Starting";

    /// <summary>The guest runs.</summary>
    public const string Running = "Running";

    /// <summary>The guest's processors stand: as asked, or by an error of its disk.</summary>
    public const string Paused = "Paused";

    /// <summary>The guest stands while its memory is saved.</summary>
    public const string Suspending = "Suspending";

    /// <summary>The guest's memory is on its claim, and no pod is there.</summary>
    public const string Suspended = "Suspended";

    /// <summary>The guest was asked to power off, or its pod goes.</summary>
    public const string Stopping = "Stopping";

    /// <summary>Off: as asked, or because the guest powered itself off.</summary>
    public const string Stopped = "Stopped";

    /// <summary>It ended too soon too often; <c>status.restarts.nextAt</c> says when it is tried again.</summary>
    public const string BackOff = "BackOff";

    /// <summary>It can't go on until a person decides; the condition Ready says what.</summary>
    public const string Failed = "Failed";

    /// <summary>It is being deleted.</summary>
    public const string Deleting = "Deleting";

    /// <summary>The cluster's node that its pod is on is silent; what became of its guest can't be known, and none is started elsewhere.</summary>
    public const string NodeLost = "NodeLost";
}

/// <summary>Values of <c>spec.evictionPolicy</c>: what an eviction of the guest's pod meets, such as a drain of its node.</summary>
public static class EvictionPolicies
{
    /// <summary>The guest is stopped in order and starts elsewhere.</summary>
    public const string Stop = "Stop";

    /// <summary>It is refused, by a PodDisruptionBudget, as long as the guest has a pod.</summary>
    public const string Block = "Block";
}

/// <summary>Values of a LabImage's <c>status.phase</c>.</summary>
public static class ImagePhases
{
    /// <summary>Seen; the import has not begun.</summary>
    public const string Pending = "Pending";

    /// <summary>Bytes are being received or checked.</summary>
    public const string Importing = "Importing";

    /// <summary>Verified; disks can be based on it.</summary>
    public const string Ready = "Ready";

    /// <summary>The last try failed in a way that may pass; it is tried again.</summary>
    public const string BackOff = "BackOff";

    /// <summary>Refused, until the spec is corrected.</summary>
    public const string Failed = "Failed";

    /// <summary>It is being deleted.</summary>
    public const string Deleting = "Deleting";
}

/// <summary>Types of conditions.</summary>
public static class ConditionTypes
{
    /// <summary>The object is as its spec asks. A node that is stopped as asked is ready in this sense.</summary>
    public const string Ready = "Ready";

    /// <summary>The LabNode's base image is there.</summary>
    public const string ImageReady = "ImageReady";

    /// <summary>The LabNode's claim and overlay are there and sound.</summary>
    public const string DiskReady = "DiskReady";

    /// <summary>Nothing is wrong inside of the LabNode's disk, as its last check found.</summary>
    public const string DiskHealthy = "DiskHealthy";

    /// <summary>The guest runs on KVM; when not, the reason says why.</summary>
    public const string Accelerated = "Accelerated";

    /// <summary>The spec says what the guest that runs does not have yet; the next start brings it.</summary>
    public const string RestartRequired = "RestartRequired";

    /// <summary>The LabNode's record, claims and pods agree; when not, the reason says what does not, and nothing is changed unasked. Absent as long as they always did.</summary>
    public const string Consistent = "Consistent";

    /// <summary>With spec.evictionPolicy Block: evictions of the guest's pod are refused. Absent without that, and while there is no pod.</summary>
    public const string EvictionBlocked = "EvictionBlocked";
}
