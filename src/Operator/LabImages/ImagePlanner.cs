using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabImages;

/// <summary>Decides about a LabImage. Pure: the same observation at the same time gives the same plan.</summary>
public static class ImagePlanner
{
    /// <summary>The plan for one observation.</summary>
    public static Plan<LabImageStatus> Plan(ImageObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        var draft = new Draft(seen, options, now);
        if (seen.Image.Metadata.DeletionTimestamp is not null)
        {
            draft.Delete();
        }
        else if (draft.SpecIsUsable())
        {
            draft.Import();
        }

        return draft.Build();
    }

    /// <summary>True when only a corrected spec helps: the bytes themselves were refused.</summary>
    public static bool IsFinal(string reason) => reason is TerminationReasons.DigestMismatch or TerminationReasons.UnknownFormat or TerminationReasons.DecompressedTooLarge
        or TerminationReasons.HasBackingFile or TerminationReasons.HasDataFile or TerminationReasons.Encrypted
        or TerminationReasons.VirtualSizeTooLarge or TerminationReasons.ImageCorrupt or TerminationReasons.InvalidConfiguration
        or TerminationReasons.NoSpace or TerminationReasons.ArtifactUnusable;

    private sealed class Draft
    {
        /// <summary>How many disks are named that keep an image from being deleted; the rest is counted.</summary>
        private const int NamedUsers = 10;

        private readonly ImageObservation _seen;
        private readonly OperatorOptions _options;
        private readonly DateTimeOffset _now;
        private readonly LabImageStatus _before;
        private readonly LabImageStatus _status;
        private readonly List<Intent> _intents = [];
        private readonly string _name;
        private TimeSpan? _again;
        private bool _released;

        public Draft(ImageObservation seen, OperatorOptions options, DateTimeOffset now)
        {
            _seen = seen;
            _options = options;
            _now = now;
            _before = seen.Image.Status ?? new LabImageStatus();
            _status = JsonSerializer.Deserialize<LabImageStatus>(JsonSerializer.Serialize(_before))!;
            _status.ObservedGeneration = seen.Image.Metadata.Generation;
            _status.Conditions ??= [];
            _name = ImageObjects.Key(seen.Image).Name;
        }

        private LabImageSource Source => _seen.Image.Spec.Source;

        private V1PersistentVolumeClaim? Claim => _seen.Claims.FirstOrDefault(c => c.Metadata.Name == _name);

        private V1Pod? Pod => _seen.Pods.FirstOrDefault(p => p.Metadata.Name == _name);

        private bool IsMounted => ImageSources.IsMounted(_seen.Image.Spec);

        public void Delete()
        {
            _status.Phase = ImagePhases.Deleting;
            foreach (V1Pod pod in _seen.Pods)
            {
                DeletePod(pod);
            }

            string[] users = [.. _seen.Users.Values.SelectMany(u => u).Order(StringComparer.Ordinal)];
            if (users.Length > 0)
            {
                string more = users.Length > NamedUsers ? $" and {users.Length - NamedUsers} more" : "";
                Ready(false, "InUse", $"{users.Length} disk(s) are based on it: claims {string.Join(", ", users.Take(NamedUsers))}{more}. It goes when they are gone; delete those LabNodes (and retained claims) first.");
                return;
            }

            if (_seen.Pods.IsEmpty)
            {
                foreach (V1PersistentVolumeClaim claim in _seen.Claims)
                {
                    DeleteClaim(claim);
                }
            }

            _released = _seen.Pods.IsEmpty && _seen.Claims.IsEmpty;
            Ready(false, "DeletingClaim", "Its pods and claims are being deleted.");
        }

        public bool SpecIsUsable()
        {
            LabImageSpec spec = _seen.Image.Spec;
            string? wrong =
                _seen.Image.Metadata.Name.Length > NodeObjects.MaxNameLength
                    ? $"metadata.name has {_seen.Image.Metadata.Name.Length} characters; a LabImage's name has at most {NodeObjects.MaxNameLength}. Create it under a shorter name."
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

            _status.Phase = ImagePhases.Failed;
            Ready(false, "InvalidSpec", wrong);
            return false;
        }

        public void Import()
        {
            ForgetUnusedRevisions();
            if (Pod is { } done && TakeEnd(done))
            {
                DeletePod(done);
            }

            _status.Delivery = ImageSources.Delivery(_seen.Image.Spec);
            if (IsReady(_status))
            {
                _status.Phase = ImagePhases.Ready;
                _status.Progress = null;
                _status.LastFailure = null;
                Ready(true, "Verified", $"sha256 matches; {_status.Format}, virtual size {Quantities.Format(_status.VirtualSizeBytes ?? 0)}, {(_status.Volume is { } volume ? $"{volume.Path} in {volume.Reference}" : $"on claim {_status.Claim}")}.");
                return;
            }

            if (Pod is { } pod)
            {
                Watch(pod);
                return;
            }

            if (!MayTry())
            {
                return;
            }

            Start();
        }

        public Plan<LabImageStatus> Build()
        {
            V1Condition ready = _status.Conditions!.First(c => c.Type == ConditionTypes.Ready);
            V1Condition? was = _before.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            if (ready.Reason != was?.Reason && ready.Reason is not ("Importing" or "AwaitingUpload" or "DeletingClaim" or "Retrying" or "VolumePending"))
            {
                _intents.Add(new Intent.Announce(ready.Status != "True", ready.Reason, ready.Message));
            }

            return new Plan<LabImageStatus>(_status, [.. _intents], _again, _released);
        }

        private bool IsReady(LabImageStatus status) => status.Digest == "sha256:" + _seen.Image.Spec.Sha256
            && (IsMounted ? ImageSources.IsVolume(_seen.Image.Spec, status.Volume) : status.Claim == _name && Claim is { Metadata.DeletionTimestamp: null });

        /// <summary>Older revisions that no disk is based on are of no use once the present one is ready; nor is any claim of an image that is mounted.</summary>
        private void ForgetUnusedRevisions()
        {
            foreach (V1Pod pod in _seen.Pods.Where(p => p.Metadata.Name != _name))
            {
                DeletePod(pod);
            }

            if (!IsReady(_before))
            {
                return;
            }

            foreach (V1PersistentVolumeClaim claim in _seen.Claims.Where(c => (IsMounted || c.Metadata.Name != _name) && !_seen.Users.ContainsKey(c.Metadata.Name)))
            {
                DeleteClaim(claim);
            }
        }

        /// <summary>Puts on record how an import ended. True when the pod has ended.</summary>
        private bool TakeEnd(V1Pod pod)
        {
            LabNodeTermination? end = NodeEnds.Read(pod, _now);
            if (end is null || pod.Metadata.DeletionTimestamp is not null || _status.LastFailure?.PodUid == pod.Metadata.Uid)
            {
                return end is not null;
            }

            TerminationReport? report = NodeEnds.ParseReport(NodeEnds.RunnerStatus(pod)?.State?.Terminated?.Message);
            if (report is { Reason: TerminationReasons.Imported, Image: { } image } && image.Sha256 == _seen.Image.Spec.Sha256)
            {
                if ((IsMounted || image.Path is not null) && !WasToldThis(pod))
                {
                    // It looked at another container image, or brought the bytes to a claim; what is asked for now is looked at next.
                    return true;
                }

                _status.Claim = image.Path is null ? _name : null;
                _status.Volume = image.Path is { } path ? ImageSources.Volume(_seen.Image.Spec, path, image.FileSizeBytes) : null;
                _status.Digest = "sha256:" + image.Sha256;
                _status.Format = image.Format;
                _status.SourceFormat = image.SourceFormat;
                _status.VirtualSizeBytes = image.VirtualSizeBytes;
                _status.FileSizeBytes = image.FileSizeBytes;
                _status.ImportedAt = end.At;
                return true;
            }

            // Servers before 1.31 do not know the field, drop it, and take what is left for an empty folder.
            bool unmounted = IsMounted && WasToldThis(pod) && !pod.Spec.Volumes.Any(volume => volume.Image is not null);
            string reason = unmounted ? "NoImageVolumes" : end.Reason!;
            string? told = null;
            _ = pod.Metadata.Annotations?.TryGetValue(Annotations.ImportHash, out told);
            string hash = ImageObjects.TryKey(told ?? "", pod.Spec.Containers[0].Image);
            int failed = _status.LastFailure?.ImportHash == hash ? _status.LastFailure.Consecutive + 1 : 1;
            _status.LastFailure = new LabImageFailure
            {
                Reason = reason,
                Message = unmounted ? RefusalAdvice.NoImageVolumes : end.Message,
                At = end.At,
                PodUid = pod.Metadata.Uid,
                ImportHash = hash,
                Consecutive = failed,
                NextAt = ImageSources.IsPersons(Source, reason) ? NodeEnds.Instant(_now.UtcDateTime)
                    : IsFinal(reason) ? null
                    : NodeEnds.Instant((_now + NodeEnds.Delay(failed, pod.Metadata.Uid)).UtcDateTime),
            };
            return true;
        }

        /// <summary>False while the last failure forbids a try; phase and condition say so.</summary>
        private bool MayTry()
        {
            if (_status.LastFailure is not { } failure || failure.ImportHash != ImageObjects.TryKey(ImageObjects.ImportHash(_seen.Image), _options.RunnerImage))
            {
                return true;
            }

            if (failure.NextAt is not { } next)
            {
                _status.Phase = ImagePhases.Failed;
                _status.Progress = null;
                string field = failure.Reason switch
                {
                    TerminationReasons.DigestMismatch => $"Correct spec.sha256 or {ImageSources.Field(Source)}.",
                    TerminationReasons.NoSpace => $"Raise spec.storage.size (now {_seen.Image.Spec.Storage.Size}).",
                    _ => $"Correct {ImageSources.Field(Source)} and spec.sha256.",
                };
                Ready(false, failure.Reason!, $"{failure.Message} {field}");
                return false;
            }

            if (next > _now.UtcDateTime)
            {
                _status.Phase = ImagePhases.BackOff;
                _status.Progress = null;
                Ready(false, failure.Reason!, $"{failure.Message} {ImageSources.Field(Source)} is tried again at {next:HH:mm:ss}Z (try {failure.Consecutive + 1}).");
                _again = next - _now.UtcDateTime;
                return false;
            }

            return true;
        }

        private void Start()
        {
            _status.Phase = ImagePhases.Importing;
            _status.Progress = null;
            if (!IsMounted && !SeeToClaim())
            {
                return;
            }

            if (_seen.Refusal is { } refusal)
            {
                _status.Phase = ImagePhases.Pending;
                Ready(false, "RefusedByServer", RefusalAdvice.Tell(refusal, null, null, "spec.storage.size"));
                return;
            }

            Ready(false, "Importing", BeingImported());
            if (IsMounted || _seen.StorageClassKnown || Claim is not null)
            {
                _intents.Add(new Intent.CreatePod(ImageObjects.Pod(_seen.Image, _options)));
            }
        }

        /// <summary>Sees to the claim that the import writes to; false while it has to go first, or waits for its storage class.</summary>
        private bool SeeToClaim()
        {
            if (Claim is not { } claim)
            {
                _intents.Add(new Intent.CreateClaim(ImageObjects.Claim(_seen.Image)));
                return true;
            }

            if (claim.Metadata.DeletionTimestamp is not null)
            {
                Ready(false, "Importing", $"Claim {_name} goes first; then it is made anew.");
                return false;
            }

            // A claim of an import that never ended well holds nothing that is needed: a corrected size or class makes it anew.
            if (IsOutdated(claim))
            {
                DeleteClaim(claim);
                Ready(false, "Importing", $"Claim {_name} is made anew with the size and class that the spec names now.");
                return false;
            }

            if (!_seen.StorageClassKnown && string.IsNullOrEmpty(claim.Spec.VolumeName))
            {
                _status.Phase = ImagePhases.Pending;
                string? wanted = claim.Spec.StorageClassName;
                Ready(false, string.IsNullOrEmpty(wanted) ? "NoDefaultStorageClass" : "StorageClassNotFound", string.IsNullOrEmpty(wanted)
                    ? "spec.storage.storageClassName is not set and the cluster has no default storage class. Name a class, or mark one as the default."
                    : $"spec.storage.storageClassName names {wanted}, which the cluster does not have. Name one of `kubectl get storageclass`, or create it.");
                return false;
            }

            return true;
        }

        private void Watch(V1Pod pod)
        {
            _status.Phase = ImagePhases.Importing;
            bool over = NodeEnds.Read(pod, _now) is not null;
            if (!over && !WasToldThis(pod))
            {
                DeletePod(pod);
                Ready(false, "Importing", "The source was changed; the import begins anew.");
                return;
            }

            if (over || pod.Metadata.DeletionTimestamp is not null)
            {
                // The name frees itself; what follows is decided then. A refusal is told already now.
                if (MayTry())
                {
                    Ready(false, "Importing", "The import begins anew.");
                }

                return;
            }

            V1PodCondition? scheduled = pod.Status?.Conditions?.FirstOrDefault(c => c.Type == "PodScheduled");
            V1ContainerStateWaiting? waiting = NodeEnds.RunnerStatus(pod)?.State?.Waiting;
            if (scheduled is { Status: "False" })
            {
                _status.Phase = ImagePhases.Pending;
                Ready(false, "Unschedulable", scheduled.Message ?? "The scheduler found no place for the import's pod.");
            }
            else if (waiting?.Reason is not null and not ("ContainerCreating" or "PodInitializing"))
            {
                Ready(false, waiting.Reason, waiting.Message ?? "The kubelet can't start the import's container.");
            }
            else
            {
                if (ImageSources.Awaits(Source, pod, _seen.Runner))
                {
                    Ready(false, "AwaitingUpload", ImageSources.HowToUpload(_seen.Image));
                }
                else
                {
                    Ready(false, "Importing", BeingImported());
                }

                _status.Progress = Progress(_seen.Runner) ?? _status.Progress;
            }
        }

        /// <summary>Whether an import's pod was made for what the spec says now.</summary>
        private bool WasToldThis(V1Pod pod) => NodeObjects.WasMadeFor(pod, Annotations.ImportHash, ImageObjects.ImportHash(_seen.Image));

        private string BeingImported() => $"{ImageSources.Shown(Source)} is being {(IsMounted ? "pulled and verified" : "imported")}.";

        /// <summary>In steps of a tenth: progress that people can follow, and at most a dozen writes.</summary>
        private static string? Progress(RunnerState? runner) => runner switch
        {
            { Phase: RunnerPhases.Verifying or RunnerPhases.Converting } => runner.Phase,
            { Phase: RunnerPhases.Downloading or RunnerPhases.Receiving, ReceivedBytes: { } got, TotalBytes: { } all and > 0 } => $"{got * 10 / all * 10}%",
            _ => null,
        };

        private bool IsOutdated(V1PersistentVolumeClaim claim)
        {
            LabImageStorage wish = _seen.Image.Spec.Storage;
            bool size = Quantities.TryParse(wish.Size, out long wanted)
                && claim.Spec.Resources?.Requests is { } requests && requests.TryGetValue("storage", out ResourceQuantity? has)
                && has.ToDecimal() != wanted;
            bool otherClass = wish.StorageClassName is not null && wish.StorageClassName != claim.Spec.StorageClassName;
            bool dropped = wish.StorageClassName is null && !_seen.StorageClassKnown && !string.IsNullOrEmpty(claim.Spec.StorageClassName);
            return (size || otherClass || dropped) && !_seen.Users.ContainsKey(claim.Metadata.Name);
        }

        private void Ready(bool is_, string reason, string message) => Conditions.Set(
            _status.Conditions!, ConditionTypes.Ready, is_ ? "True" : "False", reason, message, _seen.Image.Metadata.Generation, _now);

        private void DeletePod(V1Pod pod)
        {
            if (pod.Metadata.DeletionTimestamp is null)
            {
                _intents.Add(new Intent.DeletePod(new ObjectKey(pod.Metadata.NamespaceProperty, pod.Metadata.Name), pod.Metadata.Uid));
            }
        }

        private void DeleteClaim(V1PersistentVolumeClaim claim)
        {
            if (claim.Metadata.DeletionTimestamp is null)
            {
                _intents.Add(new Intent.DeleteClaim(new ObjectKey(claim.Metadata.NamespaceProperty, claim.Metadata.Name), claim.Metadata.Uid));
            }
        }
    }
}
