using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Images;
using SandLabX.Cli.Migration;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>A disk that is to be a LabNode's, and lies in a file here.</summary>
/// <param name="Node">Name of the LabNode.</param>
/// <param name="DiskId">The disk's id.</param>
/// <param name="Path">The file; only read.</param>
/// <param name="SourceBacking">The backing file that it names.</param>
/// <param name="VirtualSizeBytes">What its guest sees.</param>
/// <param name="ClaimBytes">What its claim asks for.</param>
/// <param name="StorageClass">Storage class of the claim; null for the cluster's default.</param>
/// <param name="CreatedAt">When it was made; null when that is not known.</param>
/// <param name="Revision">What it is called; empty for the first one.</param>
/// <param name="Guest">What its guest needs; null for a BIOS and no cloud-init, which must not take a guest that has its users for a new one.</param>
/// <param name="Source">Where the cluster reads the very same file by itself; null when it is sent.</param>
internal sealed record DiskShipment(
    string Node, string DiskId, string Path, string SourceBacking, long VirtualSizeBytes, long ClaimBytes, string? StorageClass, DateTimeOffset? CreatedAt, string Revision = "", LabImageGuest? Guest = null,
    FileOnClaim? Source = null);

/// <summary>
/// Brings a disk to its claim. Each step sees whether it is done, so that a run that was cut off anywhere is followed by one that goes on: the claim is
/// made; a pod receives the bytes, or copies them from another claim, proves that they read as they did, and gives them their name.
/// </summary>
/// <param name="cluster">The target.</param>
/// <param name="settings">What the installation chose.</param>
/// <param name="patience">How long the pod may take to start.</param>
/// <param name="clock">Measures waits.</param>
internal sealed class DiskMover(Cluster cluster, RunnerSettings settings, TimeSpan patience, TimeProvider clock)
{
    /// <summary>What a base is to its disks, as a LabImage that is ready tells it.</summary>
    internal static LabNodeBacking BackingOf(V1Alpha1LabImage image) => new() { Image = image.Metadata.Name, Claim = image.Status!.Claim, Volume = image.Status.Volume, Digest = image.Status.Digest };

    /// <summary>Brings it.</summary>
    /// <param name="disk">The disk.</param>
    /// <param name="bringing">Gives the image that it stands on there, once that is ready; the disk is read meanwhile.</param>
    /// <param name="progress">Told what is being done, and of how many bytes.</param>
    /// <param name="stop">Ends it early; the next run goes on.</param>
    /// <exception cref="CliException">It was refused, or could not be brought.</exception>
    internal async Task MoveAsync(DiskShipment disk, Task<V1Alpha1LabImage> bringing, Action<string, long> progress, CancellationToken stop)
    {
        if (bringing.IsCompleted)
        {
            // No disk is read for a base that is known not to come.
            await bringing.ConfigureAwait(false);
        }

        await using FileStream file = SourceFile.Open(disk.Path);
        SourceFacts before = SourceFile.Look(disk.Path);
        var told = new DiskProgress(progress, file.Length);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Task<string> reading = ReadAsync(disk, file, before, told, over.Token);
        try
        {
            LabNodeBacking backing = BackingOf(await bringing.ConfigureAwait(false));
            V1PersistentVolumeClaim claim = await ClaimAsync(disk, backing, stop).ConfigureAwait(false);
            var config = new AdoptConfig
            {
                Node = $"{cluster.Namespace}/{disk.Node}",
                DiskId = disk.DiskId,
                OverlayPath = $"{ContractNames.OverlayDirectory}/node_{disk.DiskId}.qcow2",
                BackingPath = AdoptPods.BackingPath(backing),
                BackingFileBytes = backing.Volume?.FileSizeBytes,
                BackingSha256 = backing.Digest!["sha256:".Length..],
                File = disk.Source is { } source ? new FileSource(ContractNames.SourceDirectory, source.Path) : null,
                SourceBacking = disk.SourceBacking,
                VirtualSizeBytes = disk.VirtualSizeBytes,
                ClaimBytes = claim.Spec.Resources.Requests["storage"].ToInt64(),
                CreatedAt = disk.CreatedAt,
                DiskRevision = disk.Revision,
            };
            TerminationReport report = await AdoptAsync(disk, config, backing, file, reading, told, over).ConfigureAwait(false);
            if (report.Reason != TerminationReasons.Adopted)
            {
                throw new CliException(ExitCodes.Failed, $"{report.Reason}: {report.Message}{WayOut(report.Reason, disk, config.ClaimBytes.Value)}");
            }
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await ((Task)reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        Unchanged(disk, file, before);
    }

    /// <summary>Reads it for its digest.</summary>
    private static async Task<string> ReadAsync(DiskShipment disk, FileStream file, SourceFacts before, DiskProgress told, CancellationToken stop)
    {
        string sha256 = await Digest.Sha256Async(file, told.Read, stop).ConfigureAwait(false);
        Unchanged(disk, file, before);
        return sha256;
    }

    private async Task<V1PersistentVolumeClaim> ClaimAsync(DiskShipment disk, LabNodeBacking backing, CancellationToken stop)
    {
        var key = new ObjectKey(cluster.Namespace, DiskClaims.NameOf(disk.Node));
        V1PersistentVolumeClaim wish = DiskClaims.Make(key, disk.Node, disk.DiskId, DiskBase.Of(backing, disk.Guest ?? new LabImageGuest()), disk.StorageClass, settings.DiskAccessMode, disk.ClaimBytes);
        V1PersistentVolumeClaim? there = await cluster.Api.GetAsync<V1PersistentVolumeClaim>(key, stop).ConfigureAwait(false);
        there ??= await cluster.Api.CreateAsync(wish, stop).ConfigureAwait(false);
        foreach ((string annotation, string value) in wish.Metadata.Annotations)
        {
            string? found = there.Metadata.Annotations?.TryGetValue(annotation, out string? noted) == true ? noted : null;
            if (found != value)
            {
                throw new CliException(ExitCodes.Refused, $"Claim {key} is there and its {annotation} is {found ?? "missing"}, not {value}: it holds another disk. It was left alone; rename or delete it.");
            }
        }

        return there;
    }

    /// <summary>Has a pod take it, which may begin with its bytes before their digest is known here.</summary>
    private async Task<TerminationReport> AdoptAsync(
        DiskShipment disk, AdoptConfig config, LabNodeBacking backing, FileStream file, Task<string> reading, DiskProgress told, CancellationTokenSource over)
    {
        var key = new ObjectKey(cluster.Namespace, "adopt-" + disk.Node);
        V1Pod pod = await RunnerPod.EnsureAsync(cluster, AdoptPods.Make(key, disk.Node, config, backing, settings.Runner, disk.Source?.Claim), over.Token).ConfigureAwait(false);
        Task<TerminationReport> taking = TakeAsync(disk, pod, file, told, over.Token);
        Task announcing = AnnounceAsync(pod, reading, over.Token);
        try
        {
            if (await Task.WhenAny(taking, announcing).ConfigureAwait(false) == announcing)
            {
                await announcing.ConfigureAwait(false);
            }

            return await taking.ConfigureAwait(false);
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(taking, announcing).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

            // Also when the user has had enough: what the pod received stays on the claim.
            using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(5), clock);
            await RunnerPod.DeleteAsync(cluster, pod, soon.Token).ConfigureAwait(false);
        }
    }

    private async Task<TerminationReport> TakeAsync(DiskShipment disk, V1Pod pod, FileStream file, DiskProgress told, CancellationToken stop)
    {
        V1Pod started = await RunnerPod.StartedAsync(cluster, pod, patience, stop).ConfigureAwait(false);
        if (disk.Source is not null)
        {
            return await CopyVoice.EndedAsync(cluster, started, told.Brought, clock, stop).ConfigureAwait(false);
        }

        await SendAsync(started, file, told, stop).ConfigureAwait(false);
        return await RunnerPod.EndedAsync(cluster, started, stop).ConfigureAwait(false);
    }

    private async Task AnnounceAsync(V1Pod pod, Task<string> reading, CancellationToken stop)
    {
        string sha256 = await reading.ConfigureAwait(false);
        if (pod.Metadata.Annotations.TryGetValue(Annotations.TransferDigest, out string? earlier) && earlier != sha256)
        {
            throw new CliException(ExitCodes.Refused, $"The disk was announced to pod {pod.Metadata.Name} as sha256 {earlier} by an earlier run, and has {sha256} now: it was written meanwhile. Run this again.");
        }

        await RunnerPod.AnnotateAsync(cluster, pod, Annotations.TransferDigest, sha256, stop).ConfigureAwait(false);
    }

    private async Task SendAsync(V1Pod pod, FileStream file, DiskProgress told, CancellationToken stop)
    {
        using var client = UploadClient.To(cluster, ObjectKey.Of(pod), clock);
        try
        {
            await client.SendAsync(
                file, sent => told.Brought(sent < file.Length ? "sent" : "being checked", sent), s => RunnerPod.LivesAsync(cluster, pod, s), stop).ConfigureAwait(false);
        }
        catch (UploadRefusedException)
        {
            // The pod's last word says it as well.
        }
    }

    private static void Unchanged(DiskShipment disk, FileStream file, SourceFacts before)
    {
        if (SourceFile.IsInUse(file.SafeFileHandle) || SourceFile.Look(disk.Path) != before)
        {
            throw new CliException(ExitCodes.Refused, $"{disk.Path} was written while it was read: does its VM run there? Stop it, delete claim and LabNode here if they are there, and run this again.");
        }
    }

    private string WayOut(string reason, DiskShipment disk, long asked) => disk.Source is { } source && SourceClaim.IsAtFault(reason)
        ? source.WayOut(cluster.Namespace, disk.Path)
        : reason == TerminationReasons.NoSpace
        ? $" Claim {DiskClaims.NameOf(disk.Node)} of namespace {cluster.Namespace} asks for {Quantities.Format(asked)}, and the disk wishes for {Quantities.Format(disk.ClaimBytes)}: raise that, where its storage class allows expansion, or delete the claim and name another class with --storage-class."
        : reason == TerminationReasons.InvalidConfiguration
        ? " Is SandLabX in the cluster of this program's version? 'kubectl sandlabx doctor' tells."
        : "";
}
