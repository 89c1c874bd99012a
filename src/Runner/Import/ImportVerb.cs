using System.Security.Cryptography;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Http;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary><c>sandlabx-runner import</c>: brings a base image to its claim, verified before it gets its name.</summary>
internal sealed class ImportVerb(RunnerSurroundings surroundings, StateHub states, Shutdown shutdown, TimeProvider clock)
{
    // qemu-img reads bytes here that nobody vouches for. A sound image of 1 TiB needs 32 MiB of tables and some seconds.
    private const long ToolMemory = 1024L * 1024 * 1024;
    private const int ToolCpuSeconds = 300;
    private static readonly TimeSpan s_toolLimit = TimeSpan.FromMinutes(10);

    /// <summary>Runs it.</summary>
    /// <exception cref="RunnerEndException">The image was refused, or can't be had.</exception>
    internal async Task<TerminationReport> RunAsync(string? configuration)
    {
        ImportConfig config = Configuration.ReadImport(configuration);
        string folder = Path.GetDirectoryName(config.TargetPath)!;
        try
        {
            Directory.CreateDirectory(folder);
            using OverlayLock folderLock = await OverlayLock.WaitAsync(
                () => Task.FromResult(OverlayLock.TryTake(Path.Combine(folder, ".import.lock"))), Waiting, surroundings.LockLimit, $"the lock of {folder}", clock, shutdown.Asked).ConfigureAwait(false);
            ImageReport image = await ImportAsync(config, folder).ConfigureAwait(false);
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

    private async Task<ImageReport> ImportAsync(ImportConfig config, string folder)
    {
        string reportPath = Path.Combine(folder, ContractNames.ImageReportFile);
        if (File.Exists(config.TargetPath))
        {
            return await FoundAsync(config, reportPath).ConfigureAwait(false);
        }

        string partial = config.TargetPath + ".partial";
        states.Change(state => state with { Phase = RunnerPhases.Downloading });
        using var downloader = new Downloader(config, partial, Progress, clock);
        await DownloadAsync(config, downloader).ConfigureAwait(false);
        ImageReport image;
        try
        {
            image = await VerifyAsync(config, partial).ConfigureAwait(false);
        }
        catch (RunnerEndException)
        {
            // The digest was right, so no other bytes would come: it need not take up room.
            downloader.Discard();
            throw;
        }

        // The report first: where the image's name is, all is done.
        SaveReport(reportPath, image);
        Files.Sync(partial);
        File.SetUnixFileMode(partial, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        File.Move(partial, config.TargetPath);
        Files.SyncFolder(folder);
        downloader.Finish();
        return image;
    }

    private async Task DownloadAsync(ImportConfig config, Downloader downloader)
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
            report = await VerifyAsync(config, config.TargetPath).ConfigureAwait(false);
            SaveReport(reportPath, report);
        }

        return report;
    }

    private async Task<ImageReport> VerifyAsync(ImportConfig config, string path)
    {
        states.Change(state => state with { Phase = RunnerPhases.Verifying });
        byte[] start = Qcow2Header.ReadStart(path);
        Refuse(ImageVerdicts.JudgeHeader(start, config.MaxVirtualSizeBytes));
        using var children = new Children();
        var tool = new Tool(children);
        long size = new FileInfo(path).Length;
        ToolResult info = await RunAsync(tool, QemuImg.Info(path)).ConfigureAwait(false);
        Refuse(ImageVerdicts.JudgeInfo(info, config.MaxVirtualSizeBytes, out long virtualSize));
        Refuse(ImageVerdicts.JudgeCheck(await RunAsync(tool, QemuImg.Check(path)).ConfigureAwait(false), size, Qcow2Header.Parse(start)!.ClusterBytes));
        return new ImageReport(config.Sha256.ToLowerInvariant(), "qcow2", virtualSize, size);
    }

    private Task<ToolResult> RunAsync(Tool tool, IReadOnlyList<string> command) =>
        tool.RunAsync(QemuImg.Limited(command, ToolMemory, ToolCpuSeconds), s_toolLimit, shutdown.Asked);

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

    private static RunnerEndException Mismatch(ImportConfig config, string sha256) => new(
        TerminationReasons.DigestMismatch,
        $"{DownloadRules.Shown(new Uri(config.Url))} has sha256 {sha256}, not {config.Sha256.ToLowerInvariant()} as asked for. Correct the sha256 if these are the right bytes, or the address if not.");

    private static void Refuse(DiskFault? fault)
    {
        if (fault is not null)
        {
            throw new RunnerEndException(fault.Reason, fault.Message);
        }
    }
}
