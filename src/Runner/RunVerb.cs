using SandLabX.Contract;
using SandLabX.Runner.Boot;
using SandLabX.Runner.Consoles;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Http;
using SandLabX.Runner.Posix;
using SandLabX.Runner.Qemu;

namespace SandLabX.Runner;

/// <summary><c>sandlabx-runner run</c>: one guest, from its disk to its end.</summary>
internal sealed class RunVerb(RunnerSurroundings surroundings, StateHub states, Shutdown shutdown, TimeProvider clock)
{
    // Bytes of the console's end in which its last lines are looked for: control sequences can be most of them.
    private const int ConsoleTail = 64 * 1024;

    // After QEMU's end: what its last words may take to get out.
    private static readonly TimeSpan s_consoleDrain = TimeSpan.FromSeconds(1);

    /// <summary>Runs it.</summary>
    /// <exception cref="RunnerEndException">It ended before there was a guest.</exception>
    internal async Task<TerminationReport> RunAsync(string? configuration)
    {
        RunnerConfig config = Configuration.ReadRun(configuration);
        Directory.CreateDirectory(surroundings.RunDirectory);
        using var children = new Children();
        var tool = new Tool(children);

        using var giveUp = CancellationTokenSource.CreateLinkedTokenSource(shutdown.Asked);
        using OverlayLock diskLock = await LockAsync(config).ConfigureAwait(false);
        if (config.CheckOnly)
        {
            return await CheckAsync(config, diskLock, tool).ConfigureAwait(false);
        }

        var keeper = new StateKeeper(config, clock);
        SavedState? saved = keeper.Find();
        if (saved is not null)
        {
            // The guest goes on as the machine that it was, on the disk that it had.
            Log.Line("resume", ("saved", $"{saved.At:u}"), ("bytes", $"{saved.Bytes}"));
            config = config with
            {
                Accelerator = saved.Accelerator,
                DiskSizeBytes = null,
                OverlayExpected = true,
                DiskRevision = "",
                Wipe = false,
                FullCheck = null,
                Repair = null,
                Seed = saved.Seed ? config.Seed ?? new SeedConfig { HostName = config.DiskId } : null,
            };
            keeper = new StateKeeper(config, clock);
        }

        // At the same time as the disk: where KVM works, the test is free.
        Task<SelfTestResult?> test = AcceleratorChoice.TestAsync(config.Accelerator, surroundings.KvmDevice, tool, surroundings.RunDirectory, giveUp.Token);
        try
        {
            DiskReport disk = await PrepareAsync(config, diskLock, tool).ConfigureAwait(false);
            states.Change(state => state with { Disk = disk, Timeline = state.Timeline! with { DiskReady = clock.GetUtcNow() } });
            BootMedia media = await FindMediaAsync(config, saved, tool).ConfigureAwait(false);
            AcceleratorReport accelerator = AcceleratorChoice.Decide(config.Accelerator, await test.ConfigureAwait(false));
            states.Change(state => state with { Accelerator = accelerator });
            Log.Line("start", ("node", config.Node), ("disk", config.OverlayPath), ("created", disk.Created ? "yes" : "no"), ("accelerator", accelerator.Name), ("because", accelerator.Reason));
            return await LiveAsync(config, accelerator, media, children, diskLock, keeper, saved).ConfigureAwait(false);
        }
        catch
        {
            await giveUp.CancelAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Looks at the disk, and mends it where that is wished: all that a runner without a guest does. A disk that a suspended guest is to go on with is not touched.</summary>
    private async Task<TerminationReport> CheckAsync(RunnerConfig config, OverlayLock diskLock, Tool tool)
    {
        string? repair = File.Exists(OverlayNames.StateMarker(config)) ? null : config.Repair;
        config = config with { OverlayExpected = true, DiskRevision = "", Wipe = false, DiskSizeBytes = null, FullCheck = config.FullCheck ?? "", Repair = repair };
        DiskReport disk = await PrepareAsync(config, diskLock, tool).ConfigureAwait(false);
        states.Change(state => state with { Disk = disk });
        return new TerminationReport { Reason = TerminationReasons.Checked, Message = states.Current.State.Check!.Message, At = clock.GetUtcNow() };
    }

    private async Task<OverlayLock> LockAsync(RunnerConfig config)
    {
        try
        {
            return await OverlayLock.WaitAsync(
                () => Task.FromResult(OverlayLock.TryTake(OverlayNames.Lock(config))),
                Waiting,
                surroundings.LockLimit,
                $"the lock {OverlayNames.Lock(config)}",
                clock,
                shutdown.Asked).ConfigureAwait(false);
        }
        catch (DirectoryNotFoundException)
        {
            throw new RunnerEndException(TerminationReasons.InvalidConfiguration, $"There is no folder {OverlayNames.Folder(config)}: the disk's claim is not mounted.");
        }
    }

    private async Task<DiskReport> PrepareAsync(RunnerConfig config, OverlayLock diskLock, Tool tool)
    {
        states.Change(state => state with { Phase = RunnerPhases.Preparing });
        var keeper = new OverlayKeeper(config, diskLock, tool, states, clock);
        return await OverlayLock.WaitAsync(
            () => keeper.PrepareAsync(shutdown.Asked), Waiting, surroundings.LockLimit, $"{config.OverlayPath} open", clock, shutdown.Asked).ConfigureAwait(false);
    }

    private async Task<BootMedia> FindMediaAsync(RunnerConfig config, SavedState? saved, Tool tool)
    {
        if (config.CdromPath is { } disc && !File.Exists(disc))
        {
            throw new RunnerEndException(TerminationReasons.BackingMissing, $"The disc {disc} that spec.cdrom names is not on its image's claim. Import the image anew, or take spec.cdrom away.");
        }

        return new BootMedia(
            config.Seed is { } seed ? await new SeedDisk(surroundings.SeedDirectory, tool).MakeAsync(seed, config.DiskId, shutdown.Asked).ConfigureAwait(false) : null,
            config.CdromPath,
            saved?.Cdrom ?? config.CdromPath is not null,
            config.CdromFirst,
            config.Uefi ? FirmwareVariables.Find(config) : null);
    }

    private void Waiting() => states.Change(state => state with { Phase = RunnerPhases.WaitingForLock });

    private async Task<TerminationReport> LiveAsync(
        RunnerConfig config, AcceleratorReport accelerator, BootMedia media, Children children, OverlayLock diskLock, StateKeeper keeper, SavedState? saved)
    {
        shutdown.Asked.ThrowIfCancellationRequested();
        diskLock.MarkInUse();
        using QemuProcess qemu = await StartAsync(config, accelerator, media, children, diskLock, resumes: saved is not null).ConfigureAwait(false);
        using var console = new ConsoleHub(qemu.Serial, surroundings.RunDirectory);
        states.Change(state => state with { Phase = RunnerPhases.Starting, Timeline = state.Timeline! with { QemuStarted = clock.GetUtcNow() } });
        var transfer = new StateTransfer(keeper, qemu, media, surroundings.RunDirectory, saved);
        var session = new GuestSession(config, qemu, new Wishes(surroundings.WishDirectory, config.ResetRevision, states.Current.State.Disk!.VirtualSizeBytes), transfer, states, clock);
        console.Typed += session.Use.Touch;
        (GuestEnd end, int exitCode) = await session.RunAsync(shutdown.Asked).ConfigureAwait(false);
        if (exitCode == 0)
        {
            diskLock.MarkClean();
        }

        console.Drain(s_consoleDrain);

        if (end.Reason == TerminationReasons.OverlayCorrupt)
        {
            states.Change(state => state with { Check = new DiskCheckReport(clock.GetUtcNow(), DiskCheckKinds.Live, DiskCheckResults.Corrupt, end.Message) });
        }

        // What the disk takes now, not what it took at the start.
        states.Change(state => state with { Disk = state.Disk! with { ActualSizeBytes = Files.AllocatedBytes(config.OverlayPath) } });
        return new TerminationReport
        {
            Reason = end.Reason,
            Message = end.Message,
            At = clock.GetUtcNow(),
            QemuExitCode = exitCode,
            SavedState = end.Reason == TerminationReasons.Suspended ? transfer.Kept : null,
            Console = ConsoleText.LastLines(ConsoleText.Plain(console.Output.Tail(ConsoleTail))),
        };
    }

    private async Task<QemuProcess> StartAsync(RunnerConfig config, AcceleratorReport accelerator, BootMedia media, Children children, OverlayLock diskLock, bool resumes)
    {
        try
        {
            return await QemuProcess.StartAsync(children, config, accelerator.Name, media, surroundings.RunDirectory, diskLock, resumes).ConfigureAwait(false);
        }
        catch (IOException e)
        {
            throw new RunnerEndException(TerminationReasons.QemuStartFailed, e.Message);
        }
    }
}
