using System.Globalization;
using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Migration;

/// <summary>Brings a base image to the cluster, once for all the nodes that stand on it.</summary>
/// <param name="cluster">The target.</param>
/// <param name="storageClass">Storage class of its claim; null for the cluster's default.</param>
/// <param name="patience">How long the image's pod may take to start.</param>
/// <param name="clock">Measures waits.</param>
internal sealed class ImageMover(Cluster cluster, string? storageClass, TimeSpan patience, TimeProvider clock)
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(250);

    /// <summary>Creates its LabImage if there is none, sends the bytes unless the cluster reads them by itself, and waits until they were verified.</summary>
    /// <returns>The LabImage, ready.</returns>
    /// <exception cref="CliException">It did not become ready.</exception>
    internal async Task<V1Alpha1LabImage> MoveAsync(PlannedImage image, Action<string, long> progress, CancellationToken stop)
    {
        var key = new ObjectKey(cluster.Namespace, image.Name);
        if (!image.Exists)
        {
            await CreateAsync(image, stop).ConfigureAwait(false);
        }

        long began = clock.GetTimestamp();
        string? at = null, failed = null;
        while (true)
        {
            V1Alpha1LabImage seen = await cluster.Api.GetAsync<V1Alpha1LabImage>(key, stop).ConfigureAwait(false)
                ?? throw new CliException(ExitCodes.Failed, $"LabImage {key} was deleted meanwhile.");
            Judge(seen, image);
            failed ??= seen.Status?.LastFailure?.PodUid ?? "";
            if (seen.Status is { Phase: ImagePhases.BackOff, LastFailure: { Reason: TerminationReasons.SourceUnusable } failure } && failure.PodUid != failed)
            {
                // It is tried again for ever, and only a person can mend it.
                throw new CliException(ExitCodes.Failed, Told(seen, image));
            }

            if (seen.Status?.Phase == ImagePhases.Ready)
            {
                return seen;
            }

            V1Pod? pod = seen.Spec.Source.Upload is null ? null : await PodAsync(seen, stop).ConfigureAwait(false);
            if (pod is not null)
            {
                await SendAsync(pod, image, progress, stop).ConfigureAwait(false);
                began = clock.GetTimestamp();
            }
            else if (seen.Status?.Progress is { } now && now != at)
            {
                (at, began) = (now, clock.GetTimestamp());
            }
            else if (clock.GetElapsedTime(began) > patience)
            {
                throw new CliException(ExitCodes.Failed, $"LabImage {key} waits for {KubectlDurations.Write(patience)} now: {Why(seen)}");
            }

            long? copied = Copied(seen, image);
            progress(copied is null ? "being checked" : "being copied", copied ?? image.Base.Bytes);
            await Task.Delay(s_look, clock, stop).ConfigureAwait(false);
        }
    }

    /// <summary>How many bytes its pod has copied by itself; null when it is past that, or does not.</summary>
    private static long? Copied(V1Alpha1LabImage seen, PlannedImage image) =>
        seen.Spec.Source.Claim is null ? null
        : seen.Status?.Progress is not { } progress ? 0
        : int.TryParse(progress.AsSpan().TrimEnd('%'), NumberStyles.None, CultureInfo.InvariantCulture, out int percent) ? image.Base.Bytes / 100 * percent
        : null;

    private async Task CreateAsync(PlannedImage image, CancellationToken stop)
    {
        try
        {
            await cluster.Api.CreateAsync(Manifests.Image(image, cluster.Namespace, storageClass), stop).ConfigureAwait(false);
        }
        catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
        {
            // Made by a run at the same time; whether it is the right one is looked at like any other's.
        }
    }

    private async Task SendAsync(V1Pod pod, PlannedImage image, Action<string, long> progress, CancellationToken stop)
    {
        await using FileStream file = SourceFile.Open(image.Base.Path);
        using var client = UploadClient.To(cluster, ObjectKey.Of(pod), clock);
        try
        {
            await client.SendAsync(
                file, sent => progress("sent", sent), s => RunnerPod.LivesAsync(cluster, pod, s), stop).ConfigureAwait(false);
        }
        catch (UploadRefusedException e)
        {
            throw new CliException(ExitCodes.Failed, $"{e.Reason}: {e.Message}", e);
        }
    }

    /// <summary>The pod of its import, when it runs.</summary>
    private async Task<V1Pod?> PodAsync(V1Alpha1LabImage image, CancellationToken stop)
    {
        IReadOnlyList<V1Pod> pods = await cluster.Api.ListAsync<V1Pod>(cluster.Namespace, $"{Labels.Image}={image.Metadata.Name}", stop).ConfigureAwait(false);
        return pods.FirstOrDefault(p => p.Metadata.DeletionTimestamp is null && p.Status?.Phase == "Running" && RunnerPod.End(p) is null);
    }

    private static void Judge(V1Alpha1LabImage seen, PlannedImage image)
    {
        if (seen.Metadata.DeletionTimestamp is not null || seen.Spec.Sha256 != image.Base.Sha256)
        {
            throw new CliException(ExitCodes.Refused, $"LabImage {image.Name} is another one by now, or is being deleted. Run this again.");
        }

        if (seen.Status?.Phase == ImagePhases.Ready && seen.Status.Digest != "sha256:" + image.Base.Sha256)
        {
            throw new CliException(ExitCodes.Refused, $"LabImage {image.Name} holds {seen.Status.Digest}, which is not the base image's sha256:{image.Base.Sha256}. No disk may stand on it; rename it and run this again.");
        }

        if (seen.Status is { Phase: ImagePhases.Failed } && seen.Status.ObservedGeneration == seen.Metadata.Generation)
        {
            throw new CliException(ExitCodes.Failed, Told(seen, image));
        }
    }

    /// <summary>Why its import failed, and what is to be done where the claim is at fault that it was to be read from.</summary>
    private static string Told(V1Alpha1LabImage seen, PlannedImage image)
    {
        string wayOut = seen.Spec.Source.Claim is { } claim && SourceClaim.IsAtFault(seen.Status?.LastFailure?.Reason)
            ? new FileOnClaim(claim.Name, claim.Path).WayOut(seen.Metadata.NamespaceProperty, image.Base.Path) + " Mend it, or delete the LabImage, and run this again."
            : "";
        return $"LabImage {image.Name}: {Why(seen)}{wayOut}";
    }

    private static string Why(V1Alpha1LabImage image) => Conditions.Find(image.Status?.Conditions, ConditionTypes.Ready) is { } ready
        ? $"{ready.Reason}: {ready.Message}"
        : "the operator has not seen it yet. Is it installed ('kubectl sandlabx doctor')?";
}
