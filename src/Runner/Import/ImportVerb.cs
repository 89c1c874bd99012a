using System.Security.Cryptography;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Http;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary><c>sandlabx-runner import</c>: brings a base image to its claim, verified before it gets its name.</summary>
internal sealed class ImportVerb(RunnerSurroundings surroundings, StateHub states, Shutdown shutdown, TimeProvider clock)
{
    /// <summary>Runs it.</summary>
    /// <exception cref="RunnerEndException">The image was refused, or can't be had.</exception>
    internal async Task<TerminationReport> RunAsync(string? configuration)
    {
        ImportConfig config = Configuration.ReadImport(configuration);
        try
        {
            ImageReport image = await (config.Mounted is { } mounted ? JudgeAsync(config, mounted) : ImportAsync(config)).ConfigureAwait(false);
            return new TerminationReport
            {
                Reason = TerminationReasons.Imported,
                Message = $"The image is there and verified: {image.FileSizeBytes} bytes, virtual size {image.VirtualSizeBytes}.",
                At = clock.GetUtcNow(),
                Image = image,
            };
        }
        catch (OperationCanceledException) when (shutdown.Asked.IsCancellationRequested)
        {
            throw new RunnerEndException(TerminationReasons.ImportInterrupted, "The import was told to stop; what it received is kept, and the next one goes on from there.");
        }
    }

    private void Waiting() => states.Change(state => state with { Phase = RunnerPhases.WaitingForLock });

    /// <summary>It stays where it is: nothing is written.</summary>
    private async Task<ImageReport> JudgeAsync(ImportConfig config, MountedSource source)
    {
        states.Change(state => state with { Phase = RunnerPhases.Verifying });
        await using FileStream file = MountedFile.Open(source, out string path);
        string sha256 = await MountedFile.HashAsync(file, Progress, clock, shutdown.Asked).ConfigureAwait(false);
        if (!IsWished(config, sha256))
        {
            throw Mismatch(config, sha256);
        }

        string full = Path.Combine(source.Root, path);
        MountedFile.MustBeQcow2(full);
        return (await new ImageMaker(config, states, shutdown.Asked).VerifyAsync(full).ConfigureAwait(false)) with { Path = path };
    }

    private async Task<ImageReport> ImportAsync(ImportConfig config)
    {
        string folder = Path.GetDirectoryName(config.TargetPath)!;
        Directory.CreateDirectory(folder);
        using OverlayLock folderLock = await OverlayLock.WaitAsync(
            () => Task.FromResult(OverlayLock.TryTake(Path.Combine(folder, ".import.lock"))), Waiting, surroundings.LockLimit, $"the lock of {folder}", clock, shutdown.Asked).ConfigureAwait(false);
        string reportPath = Path.Combine(folder, ContractNames.ImageReportFile);
        if (File.Exists(config.TargetPath))
        {
            return await FoundAsync(config, reportPath).ConfigureAwait(false);
        }

        return await (config switch
        {
            { Url: { } url } => DownloadAsync(config, new Download(new Uri(url), config.Sha256)),
            { Oci: { } oci } => PullAsync(config, oci),
            { File: { } file } => CopyAsync(config, file),
            _ => ReceiveAsync(config),
        }).ConfigureAwait(false);
    }

    private async Task<ImageReport> DownloadAsync(ImportConfig config, Download wanted)
    {
        string partial = config.TargetPath + ".partial";
        states.Change(state => state with { Phase = RunnerPhases.Downloading });
        using var downloader = new Downloader(wanted, partial, Progress, clock);
        await FetchAsync(config, downloader).ConfigureAwait(false);
        try
        {
            ImageReport image = await TakeAsync(config, partial).ConfigureAwait(false);
            downloader.Finish();
            return image;
        }
        catch (RunnerEndException)
        {
            // The digest was right, so no other bytes would come: it need not take up room.
            downloader.Discard();
            throw;
        }
    }

    private async Task FetchAsync(ImportConfig config, Downloader downloader)
    {
        while (true)
        {
            (string sha256, bool resumed) = await downloader.FetchAsync(shutdown.Asked).ConfigureAwait(false);
            if (IsWished(config, sha256))
            {
                return;
            }

            downloader.Discard();
            if (!resumed)
            {
                throw Mismatch(config, sha256);
            }

            // An earlier pod's bytes may have been the wrong ones; what comes from one hand is judged.
            Log.Line("download.mismatch", ("sha256", sha256), ("next", "all of it anew"));
        }
    }

    /// <summary>From a registry: the blob itself, or the disk in one of the layers.</summary>
    private async Task<ImageReport> PullAsync(ImportConfig config, OciSource oci)
    {
        states.Change(state => state with { Phase = RunnerPhases.Downloading });
        OciReference reference = OciReference.Parse(oci.Reference)!;
        using var registry = new Registry(oci, reference);
        IReadOnlyList<OciBlob> blobs = await registry.FindAsync(shutdown.Asked).ConfigureAwait(false);
        if (blobs is [{ IsLayer: false } file])
        {
            return IsWished(config, file.Digest) ? await DownloadAsync(config, Wanted(registry, file)).ConfigureAwait(false) : throw Mismatch(config, file.Digest);
        }

        string layer = config.TargetPath + ".layer", disk = config.TargetPath + ".partial";
        foreach (OciBlob blob in blobs)
        {
            using var downloader = new Downloader(Wanted(registry, blob), layer, Progress, clock);
            (string sha256, _) = await downloader.FetchAsync(shutdown.Asked).ConfigureAwait(false);
            if (sha256 != blob.Digest)
            {
                downloader.Discard();
                throw new RunnerEndException(TerminationReasons.DownloadFailed, $"{oci.Reference} can't be pulled: the registry gave sha256 {sha256} for the layer {blob.Digest}.");
            }

            string? found;
            try
            {
                states.Change(state => state with { Phase = RunnerPhases.Converting });
                var limits = new UnpackLimits(config.MaxVirtualSizeBytes, Math.Max(1, (config.ClaimBytes ?? long.MaxValue) - blob.Bytes));
                found = await LayerReader.ExtractAsync(layer, oci.Path, disk, limits, shutdown.Asked).ConfigureAwait(false);
            }
            catch (RunnerEndException)
            {
                downloader.Discard();
                File.Delete(disk);
                throw;
            }

            downloader.Discard();
            if (found is not null)
            {
                return await TakeOrDeleteAsync(config, disk, found).ConfigureAwait(false);
            }

            states.Change(state => state with { Phase = RunnerPhases.Downloading });
        }

        throw OciManifest.Unusable(oci.Path is null ? "none of its layers has a file in /disk" : $"none of its layers has a file {ImageVerdicts.Shortened(oci.Path)}");
    }

    private static Download Wanted(Registry registry, OciBlob blob) =>
        new(registry.Blob(blob), blob.Digest) { AuthorizeAsync = registry.AuthorizeAsync, IsContentAddressed = true };

    private async Task<ImageReport> CopyAsync(ImportConfig config, FileSource file)
    {
        states.Change(state => state with { Phase = RunnerPhases.Downloading });
        string copy = config.TargetPath + ".partial";
        try
        {
            long room = config.ClaimBytes ?? long.MaxValue;
            string sha256 = await ClaimFile.CopyAsync(file, copy, "Correct spec.source.claim.path, which names the file itself.", new UnpackLimits(config.MaxVirtualSizeBytes, room), Progress, clock, shutdown.Asked).ConfigureAwait(false);
            return await TakeOrDeleteAsync(config, copy, sha256).ConfigureAwait(false);
        }
        catch
        {
            // It is still where it came from.
            File.Delete(copy);
            throw;
        }
    }

    private async Task<ImageReport> TakeOrDeleteAsync(ImportConfig config, string path, string sha256)
    {
        try
        {
            return IsWished(config, sha256) ? await TakeAsync(config, path).ConfigureAwait(false) : throw Mismatch(config, sha256);
        }
        catch (RunnerEndException)
        {
            File.Delete(path);
            throw;
        }
    }

    private async Task<ImageReport> ReceiveAsync(ImportConfig config)
    {
        string partial = config.TargetPath + ".upload";
        using UploadReceiver receiver = await UploadReceiver.OpenAsync(partial, config.ClaimBytes ?? long.MaxValue, Progress, clock, shutdown.Asked).ConfigureAwait(false);
        using var server = new UploadServer(surroundings.UploadPort, surroundings.SealedPort, receiver, IsWished(config, receiver.Digest));
        surroundings.TellPort("upload-port", surroundings.UploadPort, server.Port);
        surroundings.TellPort("sealed-port", surroundings.SealedPort, server.SealedPort);
        states.Change(state => state with { Phase = RunnerPhases.Receiving, ReceivedBytes = receiver.Received });
        return await server.ServeAsync(
            async sha256 =>
            {
                try
                {
                    return IsWished(config, sha256) ? await TakeAsync(config, partial).ConfigureAwait(false) : throw Mismatch(config, sha256);
                }
                catch (RunnerEndException)
                {
                    receiver.Discard();
                    throw;
                }
            },
            shutdown.Asked).ConfigureAwait(false);
    }

    /// <summary>Makes the image of a file whose digest is right; the file goes once the image is there.</summary>
    private async Task<ImageReport> TakeAsync(ImportConfig config, string delivered)
    {
        var maker = new ImageMaker(config, states, shutdown.Asked);
        maker.Clean();
        (string path, ImageReport image) = await maker.MakeAsync(delivered).ConfigureAwait(false);

        // The report first: where the image's name is, all is done.
        SaveReport(Path.Combine(Path.GetDirectoryName(path)!, ContractNames.ImageReportFile), image);
        Files.Sync(path);
        File.SetUnixFileMode(path, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        File.Move(path, config.TargetPath);
        Files.SyncFolder(Path.GetDirectoryName(path)!);
        File.Delete(delivered);
        maker.Clean();
        return image;
    }

    /// <summary>The image is there from an earlier import.</summary>
    private async Task<ImageReport> FoundAsync(ImportConfig config, string reportPath)
    {
        ImageReport? report = Files.ReadJson(reportPath, ContractJson.Default.ImageReport);
        string sha256 = report?.Sha256 ?? await HashAsync(config.TargetPath).ConfigureAwait(false);
        if (!IsWished(config, sha256))
        {
            throw new RunnerEndException(
                TerminationReasons.DigestMismatch, $"{config.TargetPath} is there already, with sha256 {sha256} and not {config.Sha256}. Use another claim for another image.");
        }

        if (report is null)
        {
            report = await new ImageMaker(config, states, shutdown.Asked).VerifyAsync(config.TargetPath).ConfigureAwait(false);
            SaveReport(reportPath, report);
        }

        return report;
    }

    private async Task<string> HashAsync(string path)
    {
        states.Change(state => state with { Phase = RunnerPhases.Verifying });
        await using var file = new FileStream(path, FileMode.Open, FileAccess.Read);
        return Convert.ToHexStringLower(await SHA256.HashDataAsync(file, shutdown.Asked).ConfigureAwait(false));
    }

    private void Progress(long received, long? total) => states.Change(state => state with { ReceivedBytes = received, TotalBytes = total });

    private static void SaveReport(string path, ImageReport image)
    {
        Files.WriteJson(path + ".new", image, ContractJson.Default.ImageReport);
        File.Move(path + ".new", path, overwrite: true);
        Files.SyncFolder(Path.GetDirectoryName(path)!);
    }

    private static bool IsWished(ImportConfig config, string sha256) => string.Equals(sha256, config.Sha256, StringComparison.OrdinalIgnoreCase);

    private static RunnerEndException Mismatch(ImportConfig config, string sha256)
    {
        (string what, string wayOut) = config switch
        {
            { Url: { } url } => (DownloadRules.Shown(new Uri(url)), "Correct the sha256 if these are the right bytes, or the address if not."),
            { Oci: { } oci } => ($"The disk in {oci.Reference}", "Correct the sha256 if these are the right bytes, or the reference if not."),
            { Mounted: not null } => ("The file in the container image", "Correct the sha256 if these are the right bytes, or the reference and the path if not."),
            { File: { } file } => (ImageVerdicts.Shortened(file.Path), "Correct the sha256 if these are the right bytes, or the path if not."),
            _ => ("What was uploaded", "Upload the right file, or correct the sha256 if this is the right one."),
        };
        return new(TerminationReasons.DigestMismatch, $"{what} has sha256 {sha256}, not {config.Sha256.ToLowerInvariant()} as asked for. {wayOut}");
    }
}
