using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Http;
using SandLabX.Runner.Import;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Adopt;

/// <summary><c>sandlabx-runner adopt</c>: brings a disk that was made elsewhere to its claim, proved to be what it was before it gets its name.</summary>
internal sealed class AdoptVerb(RunnerSurroundings surroundings, StateHub states, Shutdown shutdown, TimeProvider clock)
{
    private const string CopyWayOut = "The claim must hold the very folder that the disk comes from, with the file itself in it.";

    private readonly AnnouncedDigest _announced = new(surroundings.WishDirectory, clock);

    /// <summary>Runs it.</summary>
    /// <exception cref="RunnerEndException">The disk was refused, or can't be had.</exception>
    internal async Task<TerminationReport> RunAsync(string? configuration)
    {
        AdoptConfig config = Configuration.ReadAdopt(configuration);
        RunnerConfig disk = Disk(config);
        try
        {
            using OverlayLock diskLock = await OverlayLock.WaitAsync(
                () => Task.FromResult(OverlayLock.TryTake(OverlayNames.Lock(disk))), Waiting, surroundings.LockLimit, $"the lock {OverlayNames.Lock(disk)}", clock, shutdown.Asked).ConfigureAwait(false);
            using var children = new Children();
            var adoption = new Adoption(config, disk, new Tool(children), clock);
            bool there = adoption.IsThere();
            DiskReport report = there ? adoption.Found() : await BringAsync(config, disk, adoption).ConfigureAwait(false);
            states.Change(state => state with { Disk = report });
            return new TerminationReport
            {
                Reason = TerminationReasons.Adopted,
                Message = there ? $"{disk.OverlayPath} is there already and was not touched." : $"{disk.OverlayPath} is there and reads as it did where it comes from.",
                At = clock.GetUtcNow(),
            };
        }
        catch (DirectoryNotFoundException)
        {
            throw new RunnerEndException(TerminationReasons.InvalidConfiguration, $"There is no folder {OverlayNames.Folder(disk)}: the disk's claim is not mounted.");
        }
        catch (OperationCanceledException) when (shutdown.Asked.IsCancellationRequested)
        {
            throw new RunnerEndException(
                TerminationReasons.ImportInterrupted,
                config.File is null ? "The adoption was told to stop; what it received is kept, and the next one goes on from there." : "The adoption was told to stop; the next one copies the disk anew.");
        }
    }

    private async Task<DiskReport> BringAsync(AdoptConfig config, RunnerConfig disk, Adoption adoption)
    {
        adoption.JudgeBase();
        return await (config.File is { } file ? CopyAsync(config, file, disk, adoption) : ReceiveAsync(config, disk, adoption)).ConfigureAwait(false);
    }

    private async Task<DiskReport> CopyAsync(AdoptConfig config, FileSource file, RunnerConfig disk, Adoption adoption)
    {
        states.Change(state => state with { Phase = RunnerPhases.Downloading });
        string copy = OverlayNames.Upload(disk);
        string sha256;
        try
        {
            var limits = new UnpackLimits(long.MaxValue, config.ClaimBytes ?? long.MaxValue);
            sha256 = await ClaimFile.CopyAsync(file, copy, CopyWayOut, limits, Progress, clock, shutdown.Asked).ConfigureAwait(false);
        }
        catch
        {
            // It is still where it came from.
            File.Delete(copy);
            throw;
        }

        try
        {
            return await _announced.OtherThanAsync(sha256, shutdown.Asked).ConfigureAwait(false) is { } other
                ? throw new RunnerEndException(
                    TerminationReasons.DigestMismatch,
                    $"{ImageVerdicts.Shortened(file.Path)} on the source's claim has sha256 {sha256}, not {other}: it is not the file that was announced, or was written meanwhile.")
                : await TakeAsync(adoption).ConfigureAwait(false);
        }
        catch (RunnerEndException)
        {
            File.Delete(copy);
            adoption.Discard();
            throw;
        }
    }

    private async Task<DiskReport> ReceiveAsync(AdoptConfig config, RunnerConfig disk, Adoption adoption)
    {
        using UploadReceiver receiver = await UploadReceiver.OpenAsync(OverlayNames.Upload(disk), config.ClaimBytes ?? long.MaxValue, Progress, clock, shutdown.Asked).ConfigureAwait(false);
        using var server = new UploadServer(surroundings.UploadPort, surroundings.SealedPort, receiver, _announced.IsKnownAs(receiver.Digest));
        surroundings.TellPort("upload-port", surroundings.UploadPort, server.Port);
        surroundings.TellPort("sealed-port", surroundings.SealedPort, server.SealedPort);
        states.Change(state => state with { Phase = RunnerPhases.Receiving, ReceivedBytes = receiver.Received });
        return await server.ServeAsync(
            async sha256 =>
            {
                try
                {
                    return await _announced.OtherThanAsync(sha256, shutdown.Asked).ConfigureAwait(false) is { } other
                        ? throw new RunnerEndException(TerminationReasons.DigestMismatch, $"What was sent has sha256 {sha256}, not {other}: it changed on the way, or while it was read. Send it again.")
                        : await TakeAsync(adoption).ConfigureAwait(false);
                }
                catch (RunnerEndException)
                {
                    // The sender has all of it still.
                    receiver.Discard();
                    adoption.Discard();
                    throw;
                }
            },
            shutdown.Asked).ConfigureAwait(false);
    }

    private Task<DiskReport> TakeAsync(Adoption adoption)
    {
        states.Change(state => state with { Phase = RunnerPhases.Verifying });
        return adoption.TakeAsync(shutdown.Asked);
    }

    private void Waiting() => states.Change(state => state with { Phase = RunnerPhases.WaitingForLock });

    private void Progress(long received, long? total) => states.Change(state => state with { ReceivedBytes = received, TotalBytes = total });

    /// <summary>The disk as a guest's start would be told of it; what is said of the machine is of no matter here.</summary>
    private static RunnerConfig Disk(AdoptConfig config) => new()
    {
        Node = config.Node,
        DiskId = config.DiskId,
        OverlayPath = config.OverlayPath,
        BackingPath = config.BackingPath,
        BackingFileBytes = config.BackingFileBytes,
        BackingSha256 = config.BackingSha256,
        DiskRevision = config.DiskRevision,
        Cpus = 1,
        MemoryBytes = 0,
        Accelerator = Accelerators.Tcg,
        GracePeriodSeconds = 0,
    };
}
