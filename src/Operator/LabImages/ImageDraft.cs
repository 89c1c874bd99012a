using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabImages;

/// <summary>The plan in the making: the next status and the intents, with the words in which the planner writes them. Lives for one call of the planner.</summary>
internal sealed class ImageDraft
{
    private readonly List<Intent> _intents = [];
    private TimeSpan? _again;
    private bool _released;

    public ImageDraft(ImageObservation seen, OperatorOptions options, DateTimeOffset now)
    {
        Seen = seen;
        Options = options;
        Now = now;
        Name = ImageObjects.Key(seen.Image).Name;
        Before = seen.Image.Status ?? new LabImageStatus();
        Status = JsonSerializer.Deserialize<LabImageStatus>(JsonSerializer.Serialize(Before))!;
        Status.ObservedGeneration = seen.Image.Metadata.Generation;
        Status.Conditions ??= [];
    }

    public ImageObservation Seen { get; }

    public OperatorOptions Options { get; }

    public DateTimeOffset Now { get; }

    /// <summary>Name of the claim and of the pod of what the spec asks for.</summary>
    public string Name { get; }

    /// <summary>The status so far.</summary>
    public LabImageStatus Before { get; }

    /// <summary>The next status.</summary>
    public LabImageStatus Status { get; }

    public LabImageSource Source => Seen.Image.Spec.Source;

    public V1PersistentVolumeClaim? Claim => Seen.Claims.FirstOrDefault(c => c.Metadata.Name == Name);

    public V1Pod? Pod => Seen.Pods.FirstOrDefault(p => p.Metadata.Name == Name);

    /// <summary>The container image itself is shown to the pods; there is no claim.</summary>
    public bool IsMounted => ImageSources.IsMounted(Seen.Image.Spec);

    public void Do(Intent intent) => _intents.Add(intent);

    /// <summary>Look again after this time.</summary>
    public void Again(TimeSpan after) => _again = after;

    /// <summary>Whether nothing is left of it, so that it may go.</summary>
    public void Release(bool isGone) => _released = isGone;

    public void Ready(bool is_, string reason, string message) => Conditions.Set(
        Status.Conditions!, ConditionTypes.Ready, is_ ? "True" : "False", reason, message, Seen.Image.Metadata.Generation, Now);

    public void DeletePod(V1Pod pod)
    {
        if (pod.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeletePod(ObjectKey.Of(pod), pod.Metadata.Uid));
        }
    }

    public void DeleteClaim(V1PersistentVolumeClaim claim)
    {
        if (claim.Metadata.DeletionTimestamp is null)
        {
            Do(new Intent.DeleteClaim(ObjectKey.Of(claim), claim.Metadata.Uid));
        }
    }

    /// <summary>Whether an import's pod was made for what the spec says now.</summary>
    public bool WasToldThis(V1Pod pod) => NodeObjects.WasMadeFor(pod, Annotations.ImportHash, ImageObjects.ImportHash(Seen.Image));

    public bool IsReady(LabImageStatus status) => status.Digest == "sha256:" + Seen.Image.Spec.Sha256
        && (IsMounted ? ImageSources.IsVolume(Seen.Image.Spec, status.Volume) : status.Claim == Name && Claim is { Metadata.DeletionTimestamp: null });

    /// <summary>Puts on record how an import ended. True when the pod has ended.</summary>
    public bool TakeEnd(V1Pod pod)
    {
        LabNodeTermination? end = NodeEnds.Read(pod, Now);
        if (end is null || pod.Metadata.DeletionTimestamp is not null || Status.LastFailure?.PodUid == pod.Metadata.Uid)
        {
            return end is not null;
        }

        TerminationReport? report = NodeEnds.ParseReport(NodeEnds.RunnerStatus(pod)?.State?.Terminated?.Message);
        if (report is { Reason: TerminationReasons.Imported, Image: { } image } && image.Sha256 == Seen.Image.Spec.Sha256)
        {
            if ((IsMounted || image.Path is not null) && !WasToldThis(pod))
            {
                // It looked at another container image, or brought the bytes to a claim; what is asked for now is looked at next.
                return true;
            }

            Status.Claim = image.Path is null ? Name : null;
            Status.Volume = image.Path is { } path ? ImageSources.Volume(Seen.Image.Spec, path, image.FileSizeBytes) : null;
            Status.Digest = "sha256:" + image.Sha256;
            Status.Format = image.Format;
            Status.SourceFormat = image.SourceFormat;
            Status.VirtualSizeBytes = image.VirtualSizeBytes;
            Status.FileSizeBytes = image.FileSizeBytes;
            Status.ImportedAt = end.At;
            return true;
        }

        // Servers before 1.31 do not know the field, drop it, and take what is left for an empty folder.
        bool unmounted = IsMounted && WasToldThis(pod) && !pod.Spec.Volumes.Any(volume => volume.Image is not null);
        string reason = unmounted ? "NoImageVolumes" : end.Reason!;
        string? told = null;
        _ = pod.Metadata.Annotations?.TryGetValue(Annotations.ImportHash, out told);
        string hash = ImageObjects.TryKey(told ?? "", pod.Spec.Containers[0].Image);
        int failed = Status.LastFailure?.ImportHash == hash ? Status.LastFailure.Consecutive + 1 : 1;
        Status.LastFailure = new LabImageFailure
        {
            Reason = reason,
            Message = unmounted ? RefusalAdvice.NoImageVolumes : end.Message,
            At = end.At,
            PodUid = pod.Metadata.Uid,
            ImportHash = hash,
            Consecutive = failed,
            NextAt = ImageSources.IsPersons(Source, reason) ? NodeEnds.Instant(Now.UtcDateTime)
                : ImagePlanner.IsFinal(reason) ? null
                : NodeEnds.Instant((Now + NodeEnds.Delay(failed, pod.Metadata.Uid)).UtcDateTime),
        };
        return true;
    }

    public Plan<LabImageStatus> Build()
    {
        V1Condition ready = Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);
        V1Condition? was = Before.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
        if (ready.Reason != was?.Reason && ready.Reason is not ("Importing" or "AwaitingUpload" or "DeletingClaim"))
        {
            Do(new Intent.Announce(ready.Status != "True", ready.Reason, ready.Message));
        }

        return new Plan<LabImageStatus>(Status, [.. _intents], _again, _released);
    }
}
