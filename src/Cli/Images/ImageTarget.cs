using k8s.Models;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Images;

/// <summary>The LabImage that a file is uploaded to: found or made, and its import's pod.</summary>
/// <param name="call">The run of the verb.</param>
/// <param name="name">The LabImage.</param>
internal sealed class ImageTarget(Call call, string name)
{
    /// <summary>Makes sure that it is there, waits for an upload and wants these bytes.</summary>
    /// <param name="sha256">The file's digest.</param>
    /// <param name="make">What to make its claim with when it is missing; null not to make it.</param>
    /// <exception cref="CliException">It is missing, or is another image.</exception>
    internal async Task PrepareAsync(string sha256, LabImageStorage? make)
    {
        V1Alpha1LabImage? found = await call.Cluster.Api.GetAsync<V1Alpha1LabImage>(new ObjectKey(call.Cluster.Namespace, name), call.Stop).ConfigureAwait(false);
        if (found is null)
        {
            await CreateAsync(sha256, make ?? throw new CliException(
                ExitCodes.NotFound, $"Namespace {call.Cluster.Namespace} has no LabImage {name}. --create makes it.")).ConfigureAwait(false);
            call.Out.Note($"labimage/{name} created");
        }
        else if (WhyNot(found, sha256) is { } why)
        {
            throw new CliException(ExitCodes.Refused, why);
        }
    }

    /// <summary>Why a file of this digest can't be uploaded as this LabImage; null when it can. Pure.</summary>
    internal static string? WhyNot(V1Alpha1LabImage image, string sha256)
    {
        (string space, string name) = (image.Metadata.NamespaceProperty, image.Metadata.Name);
        return image.Metadata.DeletionTimestamp is not null ? $"LabImage {name} is being deleted. Upload under another name."
            : image.Spec.Source.Upload is null ? $"LabImage {name} is not an upload: its spec.source says where it comes from. Upload under another name."
            : image.Spec.Sha256 != sha256
                ? $"LabImage {name} waits for a file of SHA-256 {image.Spec.Sha256}; this one has {sha256}. Upload under another name; or, for a new revision: kubectl -n {space} patch labimage {name} --type merge -p '{{\"spec\":{{\"sha256\":\"{sha256}\"}}}}'"
            : null;
    }

    /// <summary>Waits until its import's pod takes an upload; null when the image is ready already.</summary>
    /// <exception cref="CliException">It failed, or takes too long.</exception>
    internal async Task<V1Pod?> PodAsync(TimeSpan patience)
    {
        string last = "the operator has not seen it yet";
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        limit.CancelAfter(patience);
        try
        {
            await foreach (IReadOnlyList<V1Pod> pods in call.Cluster.Api
                .FollowAsync<V1Pod>(call.Cluster.Namespace, $"{Labels.Image}={name}", call.Out.Warning, limit.Token).ConfigureAwait(false))
            {
                V1Alpha1LabImage image = await ImageAsync(limit.Token).ConfigureAwait(false);
                if (IsReady(image))
                {
                    return null;
                }

                if (pods.FirstOrDefault(p => IsImport(p, image)) is { } pod)
                {
                    return pod;
                }

                string words = Words(image);
                if (HasFailed(image))
                {
                    throw new CliException(ExitCodes.Failed, $"{name}: {words}");
                }

                if (words != last)
                {
                    call.Out.Note($"{name}: {words}");
                    last = words;
                }
            }
        }
        catch (OperationCanceledException) when (!call.Stop.IsCancellationRequested)
        {
            throw new CliException(ExitCodes.Failed, $"{name}: no import waits for a file after {KubectlDurations.Write(patience)}: {last}. --timeout waits longer.");
        }

        throw new OperationCanceledException(call.Stop);
    }

    /// <summary>Waits until the image is ready.</summary>
    /// <exception cref="CliException">It failed, or takes too long.</exception>
    internal async Task<V1Alpha1LabImage> ReadyAsync(TimeSpan patience)
    {
        string last = "";
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        limit.CancelAfter(patience);
        try
        {
            await foreach (IReadOnlyList<V1Alpha1LabImage> seen in call.Cluster.Api
                .FollowAsync<V1Alpha1LabImage>(call.Cluster.Namespace, null, call.Out.Warning, limit.Token).ConfigureAwait(false))
            {
                V1Alpha1LabImage image = seen.FirstOrDefault(i => i.Metadata.Name == name) ?? throw Gone();
                if (IsReady(image))
                {
                    return image;
                }

                last = Words(image);
                if (HasFailed(image))
                {
                    throw new CliException(ExitCodes.Failed, $"{name}: {last}");
                }
            }
        }
        catch (OperationCanceledException) when (!call.Stop.IsCancellationRequested)
        {
            throw new CliException(ExitCodes.Failed, $"{name}: the file is across, and the image not ready after {KubectlDurations.Write(patience)}: {last}");
        }

        throw new OperationCanceledException(call.Stop);
    }

    private async Task<V1Alpha1LabImage> ImageAsync(CancellationToken stop) =>
        await call.Cluster.Api.GetAsync<V1Alpha1LabImage>(new ObjectKey(call.Cluster.Namespace, name), stop).ConfigureAwait(false) ?? throw Gone();

    private CliException Gone() => new(ExitCodes.NotFound, $"LabImage {name} was deleted meanwhile.");

    private Task<V1Alpha1LabImage> CreateAsync(string sha256, LabImageStorage storage) => call.Cluster.Api.CreateAsync(
        new V1Alpha1LabImage
        {
            Metadata = new V1ObjectMeta { Name = name, NamespaceProperty = call.Cluster.Namespace },
            Spec = new LabImageSpec { Source = new LabImageSource { Upload = new LabImageUpload() }, Sha256 = sha256, Storage = storage },
        },
        call.Stop);

    private static bool IsImport(V1Pod pod, V1Alpha1LabImage image) =>
        pod.Metadata.DeletionTimestamp is null
        && pod.Metadata.Name.EndsWith(image.Spec.Sha256[..12], StringComparison.Ordinal)
        && pod.Status?.ContainerStatuses?.Any(c => c.Name == RunnerPods.ContainerName && c.State?.Running is not null) == true;

    private static bool HasFailed(V1Alpha1LabImage image) =>
        image.Status?.Phase == ImagePhases.Failed && image.Status.ObservedGeneration == image.Metadata.Generation;

    private static bool IsReady(V1Alpha1LabImage image) =>
        image.Status?.Phase == ImagePhases.Ready && image.Status.ObservedGeneration == image.Metadata.Generation;

    private static string Words(V1Alpha1LabImage image) =>
        Conditions.Find(image.Status?.Conditions, ConditionTypes.Ready) is { } ready ? $"{image.Status!.Phase} ({ready.Reason}): {ready.Message}" : image.Status?.Phase ?? "the operator has not seen it yet";
}
