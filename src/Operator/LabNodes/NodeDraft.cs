using System.Collections.Immutable;
using System.Text.Json;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.Validation;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <summary>The plan in the making: the next status and the intents, with the words in which the planner writes them. Lives for one call of the planner.</summary>
internal sealed partial class NodeDraft
{
    private readonly List<Intent> _intents = [];
    private readonly LabNodeStatus _before;
    private TimeSpan? _again;
    private bool _released;
    private bool _settled;

    public NodeDraft(NodeObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        Seen = seen;
        Options = options;
        Now = now;
        _before = seen.Node.Status ?? new LabNodeStatus();
        Status = Copy(_before);
        Status.ObservedGeneration = seen.Node.Metadata.Generation;
        Status.Conditions ??= [];
        Claim = seen.Claim is { } claim && IsNodesClaim(claim) ? claim : null;
        Alive = seen.Pod is { } pod && Owns(pod) && pod.Status?.Phase is not ("Succeeded" or "Failed") ? pod : null;
        if (Claim is not null && !ClaimHoldsAnotherDisk)
        {
            DescribeClaim(Claim);
        }
    }

    public NodeObservation Seen { get; }

    public OperatorOptions Options { get; }

    public DateTimeOffset Now { get; }

    /// <summary>The next status.</summary>
    public LabNodeStatus Status { get; }

    /// <summary>The claim, when it is this LabNode's.</summary>
    public V1PersistentVolumeClaim? Claim { get; }

    /// <summary>The pod, when it is this LabNode's and has not ended.</summary>
    public V1Pod? Alive { get; }

    /// <summary>What the disk is based on, as its claim says.</summary>
    public LabNodeBacking? Backing => Status.Disk?.Backing;

    public bool Owns(V1Pod pod) => pod.Metadata.OwnerReferences?.Any(o => o.Controller == true && o.Uid == Seen.Node.Metadata.Uid) == true;

    /// <summary>The claim says that it holds another disk than the one on record, which was made already.</summary>
    public bool ClaimHoldsAnotherDisk => Claim is not null && StateAudit.HoldsAnotherDisk(Claim, _before.Disk);

    /// <summary>The cluster's node of the pod was lost when this was last looked at.</summary>
    public bool WasLost => LostHosts.IsLost(_before);

    /// <summary>Since when the guest is being stopped; now, when it was not.</summary>
    public DateTimeOffset StoppingSince =>
        _before.Phase == NodePhases.Stopping && _before.Conditions?.FirstOrDefault(c => c is { Type: ConditionTypes.Ready, Status: "False" })?.LastTransitionTime is { } since
            ? new DateTimeOffset(since, TimeSpan.Zero)
            : Now;

    /// <summary>The guest is on record as one that runs, or stands, in the pod that is there.</summary>
    public bool GuestRuns => Alive is not null && Status.Pod?.Uid == Alive.Metadata.Uid;

    public void Do(Intent intent) => _intents.Add(intent);

    /// <summary>Look again after this time; the shortest that was asked for counts.</summary>
    public void Again(TimeSpan after) => _again = _again < after ? _again : after;

    public void Release()
    {
        _released = true;
        Ready(false, "Released", "Nothing is left to do; the LabNode goes.");
    }

    public void Phase(string phase) => Status.Phase = phase;

    public void Ready(bool is_, string reason, string message) => Set(ConditionTypes.Ready, is_, reason, message);

    /// <summary>Sets a condition that is not always there.</summary>
    public void Set(string type, bool is_, string reason, string message) => Set(type, (bool?)is_, reason, message);

    /// <summary>Sets such a condition to False; people hear of a new reason, unless it is told already.</summary>
    public void Trouble(string type, string reason, string message)
    {
        V1Condition? was = _before.Conditions?.FirstOrDefault(c => c.Type == type);
        Set(type, (bool?)false, reason, message);
        bool told = _intents.OfType<Intent.Announce>().Any(a => a.Reason == reason) || Status.Conditions!.Any(c => c.Type == ConditionTypes.Ready && c.Reason == reason);
        if ((was?.Status != "False" || was.Reason != reason) && !told)
        {
            Do(new Intent.Announce(true, reason, message));
        }
    }

    /// <summary>Takes such a condition away.</summary>
    public void Drop(string type)
    {
        if (Status.Conditions!.FirstOrDefault(c => c.Type == type) is { } condition)
        {
            Status.Conditions!.Remove(condition);
        }
    }

    public void Image(bool? is_, string reason, string message) => Set(ConditionTypes.ImageReady, is_, reason, message);

    public void Disk(bool? is_, string reason, string message) => Set(ConditionTypes.DiskReady, is_, reason, message);

    /// <summary>Not ready, for the reason of another condition.</summary>
    public void ReadyAs(string type)
    {
        V1Condition cause = Status.Conditions!.First(c => c.Type == type);
        Ready(false, cause.Reason, cause.Message);
    }

    public void DeletePod(V1Pod pod)
    {
        if (pod.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeletePod(NodeObjects.PodKey(Seen.Node), pod.Metadata.Uid));
        }
    }

    /// <summary>Deletes a claim with whatever it holds, or <paramref name="unchanged"/> only: one that is still as it was observed.</summary>
    public void DeleteClaim(V1PersistentVolumeClaim claim, bool unchanged = false)
    {
        if (claim.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeleteClaim(NodeObjects.ClaimKey(Seen.Node), claim.Metadata.Uid, unchanged ? claim.Metadata.ResourceVersion : null));
        }
    }

    /// <summary>A reset of a suspended guest: its memory is given up. The runner does the same when it sees the revision.</summary>
    public void ForgetSavedStateWhenReset()
    {
        if (Alive is null && Status.SavedState is not null && (Seen.Node.Spec.ResetRevision ?? "") != (Status.ResetRevision ?? ""))
        {
            Status.SavedState = null;
            Do(new Intent.Announce(false, "SavedStateDiscarded", "spec.resetRevision changed: the suspended guest's memory is given up, and the next start boots from its disk."));
        }
    }

    /// <summary>No guest runs, so none lacks anything.</summary>
    public void NoRestartRequired()
    {
        if (Status.Conditions!.Any(c => c.Type == ConditionTypes.RestartRequired))
        {
            Set(ConditionTypes.RestartRequired, false, "NotRunning", "No guest runs; the next start applies the spec.");
        }
    }

    public Plan<LabNodeStatus> Build()
    {
        if (Status.Conditions!.All(c => c.Type != ConditionTypes.Ready))
        {
            Ready(false, "Pending", "Nothing is decided yet.");
        }

        // One rule for all trouble: when Ready begins to be false for a new reason that is not a step on the way, people hear of it.
        V1Condition ready = Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);
        V1Condition? was = _before.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
        bool told = _intents.OfType<Intent.Announce>().Any(a => a.Reason == ready.Reason);
        if (ready.Status == "False" && ready.Reason != was?.Reason && !told && !s_steps.Contains(ready.Reason))
        {
            Do(new Intent.Announce(true, ready.Reason, ready.Message));
        }

        return new Plan<LabNodeStatus>(Status, [.. _intents], _again, _released);
    }

    private static readonly ImmutableHashSet<string> s_steps =
        ["Pending", "Starting", "StoppingGuest", "GuestEnding", "DeletingClaim", "Released", "ImageNotReady", "VolumePending", "CdromNotReady", "ReplacingClaim", "ReplacingPod", "Restarting", "Pausing", "Resuming", "Suspending", "Wiping", "CheckingDisk", "CopyingImage"];

    private void Set(string type, bool? is_, string reason, string message) => Conditions.Set(
        Status.Conditions!, type, is_ switch { true => "True", false => "False", null => "Unknown" }, reason, message, Seen.Node.Metadata.Generation, Now);

    private bool IsNodesClaim(V1PersistentVolumeClaim claim) =>
        claim.Metadata.Labels is { } labels && labels.TryGetValue(Labels.Node, out string? node) && node == Seen.Node.Metadata.Name
        && claim.Metadata.Annotations is { } notes && notes.ContainsKey(Annotations.DiskId) && DiskBases.Present(claim) is not null;

    // Through JSON: the observation is shared with the cache and must stay as it is.
    private static LabNodeStatus Copy(LabNodeStatus status) => JsonSerializer.Deserialize<LabNodeStatus>(JsonSerializer.Serialize(status))!;
}
