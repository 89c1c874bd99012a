using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Operator.LabImages;

/// <summary>Decides about a LabImage. Pure: the same observation at the same time gives the same plan.</summary>
public static class ImagePlanner
{
    /// <summary>How many disks are named that keep an image from being deleted; the rest is counted.</summary>
    private const int NamedUsers = 10;

    /// <summary>The plan for one observation.</summary>
    public static Plan<LabImageStatus> Plan(ImageObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        var draft = new ImageDraft(seen, options, now);
        if (seen.Image.Metadata.DeletionTimestamp is not null)
        {
            Delete(draft);
        }
        else if (SpecIsUsable(draft))
        {
            Import(draft);
        }

        return draft.Build();
    }

    /// <summary>True when only a corrected spec helps: the bytes themselves were refused.</summary>
    public static bool IsFinal(string reason) => reason is TerminationReasons.DigestMismatch or TerminationReasons.UnknownFormat or TerminationReasons.DecompressedTooLarge
        or TerminationReasons.HasBackingFile or TerminationReasons.HasDataFile or TerminationReasons.Encrypted
        or TerminationReasons.VirtualSizeTooLarge or TerminationReasons.ImageCorrupt or TerminationReasons.InvalidConfiguration
        or TerminationReasons.NoSpace or TerminationReasons.ArtifactUnusable;

    private static void Delete(ImageDraft draft)
    {
        draft.Status.Phase = ImagePhases.Deleting;
        foreach (V1Pod pod in draft.Seen.Pods)
        {
            draft.DeletePod(pod);
        }

        string[] users = [.. draft.Seen.Users.Values.SelectMany(u => u).Order(StringComparer.Ordinal)];
        if (users.Length > 0)
        {
            string more = users.Length > NamedUsers ? $" and {users.Length - NamedUsers} more" : "";
            draft.Ready(false, "InUse", $"{users.Length} disk(s) are based on it: claims {string.Join(", ", users.Take(NamedUsers))}{more}. It goes when they are gone; delete those LabNodes (and retained claims) first.");
            return;
        }

        if (draft.Seen.Pods.IsEmpty)
        {
            foreach (V1PersistentVolumeClaim claim in draft.Seen.Claims)
            {
                draft.DeleteClaim(claim);
            }
        }

        draft.Release(draft.Seen.Pods.IsEmpty && draft.Seen.Claims.IsEmpty);
        draft.Ready(false, "DeletingClaim", "Its pods and claims are being deleted.");
    }

    private static bool SpecIsUsable(ImageDraft draft)
    {
        LabImageSpec spec = draft.Seen.Image.Spec;
        string? wrong =
            draft.Seen.Image.Metadata.Name.Length > NodeObjects.MaxNameLength
                ? $"metadata.name has {draft.Seen.Image.Metadata.Name.Length} characters; a LabImage's name has at most {NodeObjects.MaxNameLength}. Create it under a shorter name."
            : spec.Sha256.Length != 64 || spec.Sha256.Any(c => !char.IsAsciiHexDigitLower(c))
                ? $"spec.sha256 is \"{spec.Sha256}\"; give the 64 lower-case hexadecimal digits that sha256sum prints."
            : ImageSources.Wrong(spec) is { } source ? source
            : !Quantities.TryParse(spec.Storage.Size, out long size) || size < Quantities.MiB
                ? $"spec.storage.size is \"{spec.Storage.Size}\"; give a quantity of at least 1Mi, such as 10Gi."
            : null;
        if (wrong is null)
        {
            return true;
        }

        draft.Status.Phase = ImagePhases.Failed;
        draft.Ready(false, "InvalidSpec", wrong);
        return false;
    }

    private static void Import(ImageDraft draft)
    {
        ForgetUnusedRevisions(draft);
        if (draft.Pod is { } done && draft.TakeEnd(done))
        {
            draft.DeletePod(done);
        }

        draft.Status.Delivery = ImageSources.Delivery(draft.Seen.Image.Spec);
        if (draft.IsReady(draft.Status))
        {
            draft.Status.Phase = ImagePhases.Ready;
            draft.Status.Progress = null;
            draft.Status.LastFailure = null;
            draft.Ready(true, "Verified", $"sha256 matches; {draft.Status.Format}, virtual size {Quantities.Format(draft.Status.VirtualSizeBytes ?? 0)}, {(draft.Status.Volume is { } volume ? $"{volume.Path} in {volume.Reference}" : $"on claim {draft.Status.Claim}")}.");
            return;
        }

        if (draft.Pod is { } pod)
        {
            Watch(draft, pod);
            return;
        }

        if (!MayTry(draft))
        {
            return;
        }

        Start(draft);
    }

    /// <summary>Older revisions that no disk is based on are of no use once the present one is ready; nor is any claim of an image that is mounted.</summary>
    private static void ForgetUnusedRevisions(ImageDraft draft)
    {
        foreach (V1Pod pod in draft.Seen.Pods.Where(p => p.Metadata.Name != draft.Name))
        {
            draft.DeletePod(pod);
        }

        if (!draft.IsReady(draft.Before))
        {
            return;
        }

        foreach (V1PersistentVolumeClaim claim in draft.Seen.Claims.Where(c => (draft.IsMounted || c.Metadata.Name != draft.Name) && !draft.Seen.Users.ContainsKey(c.Metadata.Name)))
        {
            draft.DeleteClaim(claim);
        }
    }

    /// <summary>False while the last failure forbids a try; phase and condition say so.</summary>
    private static bool MayTry(ImageDraft draft)
    {
        if (draft.Status.LastFailure is not { } failure || failure.ImportHash != ImageObjects.TryKey(ImageObjects.ImportHash(draft.Seen.Image), draft.Options.RunnerImage))
        {
            return true;
        }

        if (failure.NextAt is not { } next)
        {
            draft.Status.Phase = ImagePhases.Failed;
            draft.Status.Progress = null;
            string field = failure.Reason switch
            {
                TerminationReasons.DigestMismatch => $"Correct spec.sha256 or {ImageSources.Field(draft.Source)}.",
                TerminationReasons.NoSpace => $"Raise spec.storage.size (now {draft.Seen.Image.Spec.Storage.Size}).",
                _ => $"Correct {ImageSources.Field(draft.Source)} and spec.sha256.",
            };
            draft.Ready(false, failure.Reason!, $"{failure.Message} {field}");
            return false;
        }

        if (next > draft.Now.UtcDateTime)
        {
            draft.Status.Phase = ImagePhases.BackOff;
            draft.Status.Progress = null;
            draft.Ready(false, failure.Reason!, $"{failure.Message} {ImageSources.Field(draft.Source)} is tried again at {next:HH:mm:ss}Z (try {failure.Consecutive + 1}).");
            draft.Again(next - draft.Now.UtcDateTime);
            return false;
        }

        return true;
    }

    private static void Start(ImageDraft draft)
    {
        draft.Status.Phase = ImagePhases.Importing;
        draft.Status.Progress = null;
        if (!draft.IsMounted && !SeeToClaim(draft))
        {
            return;
        }

        if (draft.Seen.Refusal is { } refusal)
        {
            draft.Status.Phase = ImagePhases.Pending;
            draft.Ready(false, "RefusedByServer", RefusalAdvice.Tell(refusal, null, null, "spec.storage.size"));
            return;
        }

        draft.Ready(false, "Importing", BeingImported(draft));
        if (draft.IsMounted || draft.Seen.StorageClassKnown || draft.Claim is not null)
        {
            draft.Do(new Intent.CreatePod(ImageObjects.Pod(draft.Seen.Image, draft.Options)));
        }
    }

    /// <summary>Sees to the claim that the import writes to; false while it has to go first, or waits for its storage class.</summary>
    private static bool SeeToClaim(ImageDraft draft)
    {
        if (draft.Claim is not { } claim)
        {
            draft.Do(new Intent.CreateClaim(ImageObjects.Claim(draft.Seen.Image)));
            return true;
        }

        if (claim.Metadata.DeletionTimestamp is not null)
        {
            draft.Ready(false, "Importing", $"Claim {draft.Name} goes first; then it is made anew.");
            return false;
        }

        // A claim of an import that never ended well holds nothing that is needed: a corrected size or class makes it anew.
        if (IsOutdated(draft, claim))
        {
            draft.DeleteClaim(claim);
            draft.Ready(false, "Importing", $"Claim {draft.Name} is made anew with the size and class that the spec names now.");
            return false;
        }

        if (!draft.Seen.StorageClassKnown && string.IsNullOrEmpty(claim.Spec.VolumeName))
        {
            draft.Status.Phase = ImagePhases.Pending;
            string? wanted = claim.Spec.StorageClassName;
            draft.Ready(false, string.IsNullOrEmpty(wanted) ? "NoDefaultStorageClass" : "StorageClassNotFound", string.IsNullOrEmpty(wanted)
                ? "spec.storage.storageClassName is not set and the cluster has no default storage class. Name a class, or mark one as the default."
                : $"spec.storage.storageClassName names {wanted}, which the cluster does not have. Name one of `kubectl get storageclass`, or create it.");
            return false;
        }

        return true;
    }

    private static void Watch(ImageDraft draft, V1Pod pod)
    {
        draft.Status.Phase = ImagePhases.Importing;
        bool over = NodeEnds.Read(pod, draft.Now) is not null;
        if (!over && !draft.WasToldThis(pod))
        {
            draft.DeletePod(pod);
            draft.Ready(false, "Importing", "The source was changed; the import begins anew.");
            return;
        }

        if (over || pod.Metadata.DeletionTimestamp is not null)
        {
            // The name frees itself; what follows is decided then. A refusal is told already now.
            if (MayTry(draft))
            {
                draft.Ready(false, "Importing", "The import begins anew.");
            }

            return;
        }

        V1PodCondition? scheduled = pod.Status?.Conditions?.FirstOrDefault(c => c.Type == "PodScheduled");
        V1ContainerStateWaiting? waiting = NodeEnds.RunnerStatus(pod)?.State?.Waiting;
        if (scheduled is { Status: "False" })
        {
            draft.Status.Phase = ImagePhases.Pending;
            draft.Ready(false, "Unschedulable", scheduled.Message ?? "The scheduler found no place for the import's pod.");
        }
        else if (waiting?.Reason is not null and not ("ContainerCreating" or "PodInitializing"))
        {
            draft.Ready(false, waiting.Reason, waiting.Message ?? "The kubelet can't start the import's container.");
        }
        else
        {
            if (ImageSources.Awaits(draft.Source, pod, draft.Seen.Runner))
            {
                draft.Ready(false, "AwaitingUpload", ImageSources.HowToUpload(draft.Seen.Image));
            }
            else
            {
                draft.Ready(false, "Importing", BeingImported(draft));
            }

            draft.Status.Progress = Progress(draft.Seen.Runner) ?? draft.Status.Progress;
        }
    }

    private static string BeingImported(ImageDraft draft) => $"{ImageSources.Shown(draft.Source)} is being {(draft.IsMounted ? "pulled and verified" : "imported")}.";

    /// <summary>In steps of a tenth: progress that people can follow, and at most a dozen writes.</summary>
    private static string? Progress(RunnerState? runner) => runner switch
    {
        { Phase: RunnerPhases.Verifying or RunnerPhases.Converting } => runner.Phase,
        { Phase: RunnerPhases.Downloading or RunnerPhases.Receiving, ReceivedBytes: { } got, TotalBytes: { } all and > 0 } => $"{got * 10 / all * 10}%",
        _ => null,
    };

    private static bool IsOutdated(ImageDraft draft, V1PersistentVolumeClaim claim)
    {
        LabImageStorage wish = draft.Seen.Image.Spec.Storage;
        bool size = Quantities.TryParse(wish.Size, out long wanted)
            && claim.Spec.Resources?.Requests is { } requests && requests.TryGetValue("storage", out ResourceQuantity? has)
            && has.ToDecimal() != wanted;
        bool otherClass = wish.StorageClassName is not null && wish.StorageClassName != claim.Spec.StorageClassName;
        bool dropped = wish.StorageClassName is null && !draft.Seen.StorageClassKnown && !string.IsNullOrEmpty(claim.Spec.StorageClassName);
        return (size || otherClass || dropped) && !draft.Seen.Users.ContainsKey(claim.Metadata.Name);
    }
}
