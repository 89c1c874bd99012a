using System.Threading.Channels;
using SandLabX.Contract;
using SandLabX.Runner.Http;

namespace SandLabX.Runner.Qemu;

/// <summary>Lives through a guest's life: brings what happens to <see cref="GuestLife"/>, does what it says, and publishes its state.</summary>
internal sealed class GuestSession
{
    // A guest in its boot loader misses the power button, so it is pressed again; a system that heard it ignores the rest.
    private static readonly TimeSpan s_askAgain = TimeSpan.FromSeconds(2);

    // From "quit" to SIGKILL: what flushing a disk's caches may take. The operator's pods have this much more grace than their guests.
    private static readonly TimeSpan s_quitLimit = TimeSpan.FromSeconds(10);

    private static readonly TimeSpan s_lookForRoom = TimeSpan.FromSeconds(2);

    // A volume that failed is tried again, by letting the guest go on, which first repeats what failed; when it has run this long, the volume works.
    private static readonly TimeSpan s_tryDisk = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan s_diskHeld = TimeSpan.FromSeconds(5);

    // The kubelet takes about a second to show a changed annotation; this adds little to it, and two small files are quickly read.
    private static readonly TimeSpan s_lookForWishes = TimeSpan.FromMilliseconds(250);
    private const long RoomNeeded = 16L * 1024 * 1024;

    // A save that had no room is tried again once there is this much more, no sooner: the guest stands meanwhile.
    private static readonly TimeSpan s_lookForStateRoom = TimeSpan.FromSeconds(10);
    private const long MoreRoom = 64L * 1024 * 1024;

    private const string GrowId = "grow";

    private readonly Channel<GuestEvent> _events = Channel.CreateUnbounded<GuestEvent>(new UnboundedChannelOptions { SingleReader = true });
    private readonly RunnerConfig _config;
    private readonly QemuProcess _qemu;
    private readonly Wishes _wishes;
    private readonly StateTransfer _transfer;
    private readonly StateHub _states;
    private readonly TimeProvider _clock;

    // QEMU's end is told last, after everything it said before.
    private readonly TaskCompletionSource _monitorDone = new(TaskCreationOptions.RunContinuationsAsynchronously);

    private bool _looksForRoom;
    private bool _triesDisk;
    private bool _looksForStateRoom;
    private long _roomAtFailure;

    internal GuestSession(RunnerConfig config, QemuProcess qemu, Wishes wishes, StateTransfer transfer, StateHub states, TimeProvider clock)
    {
        _wishes = wishes;
        _transfer = transfer;
        _config = config;
        _qemu = qemu;
        _states = states;
        _clock = clock;
        Use = new UseWatch(qemu.Monitor, states, clock);
    }

    /// <summary>Whether anybody uses the guest.</summary>
    internal UseWatch Use { get; }

    /// <summary>Runs to the guest's end.</summary>
    /// <param name="stop">The runner was told to end.</param>
    /// <returns>How it ended, and QEMU's exit code.</returns>
    internal async Task<(GuestEnd End, int QemuExitCode)> RunAsync(CancellationToken stop)
    {
        using var over = new CancellationTokenSource();
        Task<GuestEvent.QemuEnded> ended = AwaitEndAsync();
        _ = FollowMonitorAsync(over.Token);
        string power = _wishes.ReadPower();
        var life = new GuestLife { Wish = power == PowerWishes.Off ? PowerWishes.Running : power, IsLoading = _transfer.Resumes };
        if (power == PowerWishes.Off)
        {
            _events.Writer.TryWrite(new GuestEvent.StopAsked());
        }

        _ = EveryAsync(s_lookForWishes, () => _wishes.Changed(mayGrow: _states.Current.State.Phase is RunnerPhases.Running or RunnerPhases.Paused), over.Token);

        // Also for a signal that came long before: the registration then runs at once.
        await using CancellationTokenRegistration asked = stop.Register(() => _events.Writer.TryWrite(new GuestEvent.StopAsked()));
        await foreach (GuestEvent happened in _events.Reader.ReadAllAsync(CancellationToken.None).ConfigureAwait(false))
        {
            GuestLife before = life;
            (life, IReadOnlyList<GuestCommand> commands) = life.On(happened);
            Publish(life);
            StartTimers(before, life, over.Token);
            foreach (GuestCommand command in commands)
            {
                await DoAsync(command, life, over.Token).ConfigureAwait(false);
            }

            if (life.QemuIsGone)
            {
                break;
            }
        }

        await over.CancelAsync().ConfigureAwait(false);
        return (life.End!, (await ended.ConfigureAwait(false)).ExitCode);
    }

    private async Task<GuestEvent.QemuEnded> AwaitEndAsync()
    {
        GuestEvent.QemuEnded ended = await _qemu.EndAsync().ConfigureAwait(false);
        await _monitorDone.Task.ConfigureAwait(false);
        _events.Writer.TryWrite(ended);
        return ended;
    }

    private async Task FollowMonitorAsync(CancellationToken over)
    {
        try
        {
            await foreach (QmpMessage message in _qemu.Monitor.ReadAsync(over).ConfigureAwait(false))
            {
                switch (message)
                {
                    case QmpMessage.Greeting greeting:
                        _states.Change(state => state with { QemuVersion = greeting.Version });
                        await _qemu.Monitor.SendAsync("qmp_capabilities").ConfigureAwait(false);
                        await _qemu.Monitor.SendAsync("query-status").ConfigureAwait(false);
                        _ = Use.RunAsync(over);
                        break;
                    case QmpMessage.Status status:
                        _events.Writer.TryWrite(new GuestEvent.Connected(status.Name));
                        break;
                    case QmpMessage.Happened happened:
                        Log.Line("guest", ("event", happened.Name));
                        _events.Writer.TryWrite(happened.Event);
                        break;
                    case QmpMessage.Migration or QmpMessage.Error { Id: StateTransfer.CommandId }:
                        _transfer.Hear(message);
                        break;
                    case QmpMessage.Done { Id: GrowId }:
                        _states.Change(state => state with { Disk = state.Disk! with { VirtualSizeBytes = _wishes.SizeTold } });
                        break;
                    case QmpMessage.Answer answer:
                        Use.Hear(answer);
                        break;
                    case QmpMessage.Error error when error.Id.StartsWith(UseWatch.IdPrefix, StringComparison.Ordinal):
                        Use.Refused(error.Description);
                        break;
                    case QmpMessage.Error error:
                        Log.Line("monitor.error", ("says", error.Description));
                        break;
                }
            }
        }
        catch (InvalidDataException e)
        {
            // Without its monitor a guest can neither be watched nor stopped.
            Log.Line("monitor.broken", ("error", e.Message));
            _qemu.Kill();
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
        finally
        {
            _transfer.GiveUp();
            _monitorDone.TrySetResult();
        }
    }

    private void Publish(GuestLife life)
    {
        // The last phase is published by the one who wrote the termination report, after that.
        string phase = life.QemuIsGone ? RunnerPhases.ShuttingDown : life.Phase;
        _states.Change(state => state with
        {
            Phase = phase,
            IoError = life.IoError,
            SaveError = life.SaveError,
            Resets = life.Resets,
            Reboots = life.Reboots,
            RebootedAt = life.RebootedAt,
            ResetRevision = _wishes.ResetDone,
            LastUsedAt = life.HasRun && state.Timeline is { GuestRunning: null } ? _clock.GetUtcNow() : state.LastUsedAt,
            Timeline = life.HasRun && state.Timeline is { GuestRunning: null } timeline ? timeline with { GuestRunning = _clock.GetUtcNow() } : state.Timeline,
        });
    }

    private void StartTimers(GuestLife before, GuestLife life, CancellationToken over)
    {
        if (life.StopWasAsked && !before.StopWasAsked)
        {
            _ = AfterAsync(TimeSpan.FromSeconds(_config.GracePeriodSeconds), new GuestEvent.GraceOver(), over);
            _ = EveryAsync(s_askAgain, () => new GuestEvent.AskAgain(), over);
        }

        if (life.SaveError is not null && before.SaveError is null)
        {
            _roomAtFailure = Room() ?? long.MaxValue - MoreRoom;
            if (!_looksForStateRoom)
            {
                _looksForStateRoom = true;
                _ = EveryAsync(s_lookForStateRoom, LookForStateRoom, over);
            }
        }

        if (life.IoError is { NoSpace: false } error && before.IoError is null)
        {
            Log.Line("disk.failed", ("says", error.Message));
            if (!_triesDisk)
            {
                _triesDisk = true;
                _ = EveryAsync(s_tryDisk, () => _states.Current.State.IoError is { NoSpace: false } ? new GuestEvent.TryDisk() : null, over);
            }
        }

        if (life is { IsRunning: true, IoError: not null } && !before.IsRunning)
        {
            _ = AfterAsync(s_diskHeld, new GuestEvent.DiskHeld(), over);
        }

        if (life.IoError is { NoSpace: true } && before.IoError is null)
        {
            Log.Line("disk.full", ("claim", Path.GetDirectoryName(_config.OverlayPath)), ("says", life.IoError.Message));
            if (!_looksForRoom)
            {
                _looksForRoom = true;
                _ = EveryAsync(s_lookForRoom, LookForRoom, over);
            }
        }
    }

    private GuestEvent? LookForRoom()
    {
        return _states.Current.State.IoError is { NoSpace: true } && Room() >= RoomNeeded ? new GuestEvent.RoomFound() : null;
    }

    private GuestEvent? LookForStateRoom() =>
        _states.Current.State.SaveError is not null && Room() >= _roomAtFailure + MoreRoom ? new GuestEvent.SaveAgain() : null;

    /// <summary>The claim's free bytes; null when they can't be told.</summary>
    private long? Room()
    {
        try
        {
            return new DriveInfo(_config.OverlayPath).AvailableFreeSpace;
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            Log.Line("disk.unreadable", ("error", e.Message));
            return null;
        }
    }

    private async Task DoAsync(GuestCommand command, GuestLife life, CancellationToken over)
    {
        switch (command)
        {
            case GuestCommand.PowerDown:
                await _qemu.Monitor.SendAsync("system_powerdown").ConfigureAwait(false);
                break;
            case GuestCommand.Continue:
                await _qemu.Monitor.SendAsync("cont").ConfigureAwait(false);
                break;
            case GuestCommand.Pause:
                await _qemu.Monitor.SendAsync("stop").ConfigureAwait(false);
                break;
            case GuestCommand.Reset:
                await _qemu.Monitor.SendAsync("system_reset").ConfigureAwait(false);
                break;
            case GuestCommand.Grow:
                await _qemu.Monitor.SendAsync("block_resize", $"{{\"node-name\":\"{BlockNodes.Disk}\",\"size\":{_wishes.SizeTold}}}", GrowId).ConfigureAwait(false);
                break;
            case GuestCommand.Save:
                _ = TellAsync(_transfer.SaveAsync(over));
                break;
            case GuestCommand.KeepState:
                _events.Writer.TryWrite(_transfer.Keep(_states.Current.State.Accelerator!.Name, _wishes.ResetDone));
                break;
            case GuestCommand.Load:
                _ = TellAsync(_transfer.LoadAsync(over));
                break;
            case GuestCommand.ForgetState:
                _transfer.Forget();
                break;
            case GuestCommand.Quit:
                Log.Line("guest.end", ("reason", life.End?.Reason));
                if (life.IsConnected)
                {
                    await _qemu.Monitor.SendAsync("quit").ConfigureAwait(false);
                    _ = KillAfterAsync(over);
                }
                else
                {
                    _qemu.Kill();
                }

                break;
        }
    }

    private async Task TellAsync(Task<GuestEvent?> outcome)
    {
        if (await outcome.ConfigureAwait(false) is { } happened)
        {
            _events.Writer.TryWrite(happened);
        }
    }

    private async Task KillAfterAsync(CancellationToken over)
    {
        try
        {
            await Task.Delay(s_quitLimit, _clock, over).ConfigureAwait(false);
            Log.Line("qemu.kill", ("after", $"{s_quitLimit.TotalSeconds:0}s"));
            _qemu.Kill();
        }
        catch (OperationCanceledException)
        {
            // It went by itself.
        }
    }

    private async Task AfterAsync(TimeSpan time, GuestEvent then, CancellationToken over)
    {
        try
        {
            await Task.Delay(time, _clock, over).ConfigureAwait(false);
            _events.Writer.TryWrite(then);
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    private async Task EveryAsync(TimeSpan period, Func<GuestEvent?> look, CancellationToken over)
    {
        try
        {
            using var timer = new PeriodicTimer(period, _clock);
            while (await timer.WaitForNextTickAsync(over).ConfigureAwait(false))
            {
                if (look() is { } seen)
                {
                    _events.Writer.TryWrite(seen);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }
}
