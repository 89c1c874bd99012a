using SandLabX.Contract;

namespace SandLabX.Runner.Qemu;

/// <summary>What can happen to a guest.</summary>
internal abstract record GuestEvent
{
    /// <summary>The monitor answered for the first time: QEMU's run state.</summary>
    internal sealed record Connected(string Status) : GuestEvent;

    /// <summary>The guest's processors stand.</summary>
    internal sealed record Stopped : GuestEvent;

    /// <summary>They run again; since when, by QEMU's clock.</summary>
    internal sealed record Resumed(DateTimeOffset At) : GuestEvent;

    /// <summary>QEMU is done with the guest.</summary>
    internal sealed record Shutdown(bool ByGuest, string Reason) : GuestEvent;

    /// <summary>The guest's kernel panicked.</summary>
    internal sealed record Panicked : GuestEvent;

    /// <summary>The machine was reset: by its guest, which then reboots, or by a wish; and when, by QEMU's clock.</summary>
    internal sealed record Reset(bool ByGuest, DateTimeOffset At) : GuestEvent;

    /// <summary>An access of the disk failed.</summary>
    internal sealed record DiskError(bool Pauses, bool NoSpace, string Message) : GuestEvent;

    /// <summary>QEMU came upon damage in the disk; when it is fatal, it does not touch the disk any more.</summary>
    internal sealed record DiskCorrupted(bool Fatal, string Message) : GuestEvent;

    /// <summary>Time to see whether a disk that failed works again.</summary>
    internal sealed record TryDisk : GuestEvent;

    /// <summary>A guest that was let go on after its disk failed has run for a while.</summary>
    internal sealed record DiskHeld : GuestEvent;

    /// <summary>The guest is to power off: SIGTERM, or a wish.</summary>
    internal sealed record StopAsked : GuestEvent;

    /// <summary>Time to press the power button once more.</summary>
    internal sealed record AskAgain : GuestEvent;

    /// <summary>The guest had its time to power off.</summary>
    internal sealed record GraceOver : GuestEvent;

    /// <summary>The claim has room again.</summary>
    internal sealed record RoomFound : GuestEvent;

    /// <summary>What the guest should do: one of <see cref="PowerWishes"/>, but for <see cref="PowerWishes.Off"/>.</summary>
    internal sealed record PowerWished(string Power) : GuestEvent;

    /// <summary>The state of a guest that was being saved is on the claim, under a name that counts for nothing yet.</summary>
    internal sealed record StateReceived : GuestEvent;

    /// <summary>It is the guest's now.</summary>
    internal sealed record StateKept : GuestEvent;

    /// <summary>A guest could not be saved.</summary>
    internal sealed record SaveFailed(string Message) : GuestEvent;

    /// <summary>What stood in the way of saving may be gone.</summary>
    internal sealed record SaveAgain : GuestEvent;

    /// <summary>A guest that was suspended is as it was.</summary>
    internal sealed record StateLoaded : GuestEvent;

    /// <summary>Its state can't be used.</summary>
    internal sealed record LoadFailed(string Message) : GuestEvent;

    /// <summary>It is wished that the machine is reset, once.</summary>
    internal sealed record ResetWished : GuestEvent;

    /// <summary>It is wished that the disk grows.</summary>
    internal sealed record GrowWished : GuestEvent;

    /// <summary>QEMU's process ended; whether the kernel has killed one of the container's for its memory meanwhile.</summary>
    internal sealed record QemuEnded(int ExitCode, string Errors, bool OutOfMemory = false) : GuestEvent;
}

/// <summary>What the runner is to do with QEMU.</summary>
internal enum GuestCommand
{
    /// <summary>Press the power button (ACPI).</summary>
    PowerDown,

    /// <summary>Let a paused guest run.</summary>
    Continue,

    /// <summary>Let the guest's processors stand.</summary>
    Pause,

    /// <summary>Press the reset button.</summary>
    Reset,

    /// <summary>Grow the disk.</summary>
    Grow,

    /// <summary>Save the guest, which stands, beside its disk.</summary>
    Save,

    /// <summary>Make the state that was received the guest's.</summary>
    KeepState,

    /// <summary>Load a suspended guest.</summary>
    Load,

    /// <summary>The saved state counts no more: its guest is about to run on.</summary>
    ForgetState,

    /// <summary>End QEMU, its disk flushed.</summary>
    Quit,
}

/// <summary>How a guest ended.</summary>
/// <param name="Reason">One of <see cref="TerminationReasons"/>.</param>
/// <param name="Message">What happened, and the way out.</param>
internal sealed record GuestEnd(string Reason, string Message);

/// <summary>Where a guest is in its life. Pure: an event gives the next state and what to do.</summary>
internal sealed record GuestLife
{
    /// <summary>
    /// What comes from the guest so soon after a reset belongs to it: SeaBIOS resets once more when it finds that it has run before, and a kernel may ask again
    /// before it is heard. Measured with eight guests on two cores under TCG: 26 to 220 ms; the rest is for hosts that are busier.
    /// </summary>
    private static readonly TimeSpan s_sameReset = TimeSpan.FromSeconds(5);

    private static readonly IReadOnlyList<GuestCommand> s_nothing = [];

    /// <summary>The monitor answered.</summary>
    internal bool IsConnected { get; init; }

    /// <summary>The guest's processors run.</summary>
    internal bool IsRunning { get; init; }

    /// <summary>The guest ran at least once.</summary>
    internal bool HasRun { get; init; }

    /// <summary>The runner was told to end.</summary>
    internal bool StopWasAsked { get; init; }

    /// <summary>What the guest should do: one of <see cref="PowerWishes"/>, but for <see cref="PowerWishes.Off"/>.</summary>
    internal string Wish { get; init; } = PowerWishes.Running;

    /// <summary>The guest is being saved.</summary>
    internal bool IsSaving { get; init; }

    /// <summary>Why it could not be saved, while that is wished.</summary>
    internal string? SaveError { get; init; }

    /// <summary>A suspended guest is being loaded.</summary>
    internal bool IsLoading { get; init; }

    /// <summary>Its grace period is over.</summary>
    internal bool GraceIsOver { get; init; }

    /// <summary>The disk error that paused the guest.</summary>
    internal IoErrorReport? IoError { get; init; }

    /// <summary>Resets so far; those that belong to one count as one.</summary>
    internal int Resets { get; init; }

    /// <summary>Since when the guest has run after the last of them; null where there was none, and while it has not.</summary>
    internal DateTimeOffset? RunsSinceReset { get; init; }

    /// <summary>Those of them that the guest asked for itself.</summary>
    internal int Reboots { get; init; }

    /// <summary>When the last of those was.</summary>
    internal DateTimeOffset? RebootedAt { get; init; }

    /// <summary>How it ended; null while it lives. QEMU's process may still be there.</summary>
    internal GuestEnd? End { get; init; }

    /// <summary>QEMU's process is gone.</summary>
    internal bool QemuIsGone { get; init; }

    /// <summary>One of <see cref="RunnerPhases"/>.</summary>
    internal string Phase =>
        QemuIsGone ? RunnerPhases.Ended
        : End is not null || (StopWasAsked && !IsSaving) ? RunnerPhases.ShuttingDown
        : IsSaving ? RunnerPhases.Saving
        : IsRunning && IoError is null ? RunnerPhases.Running
        : HasRun ? RunnerPhases.Paused
        : RunnerPhases.Starting;

    /// <summary>The next state, and what to do.</summary>
    internal (GuestLife Life, IReadOnlyList<GuestCommand> Commands) On(GuestEvent happened)
    {
        if (QemuIsGone)
        {
            return (this, s_nothing);
        }

        return happened switch
        {
            GuestEvent.Connected connected => OnConnected(connected.Status),
            GuestEvent.Stopped => (this with { IsRunning = false }, s_nothing),
            // Whether a disk that failed works again is known when what it failed at was tried once more.
            GuestEvent.Resumed resumed => (this with
            {
                IsRunning = true, HasRun = true, IoError = IoError is { NoSpace: false } ? IoError : null, RunsSinceReset = RunsSinceReset ?? (Resets > 0 ? resumed.At : null),
            }).Obey(),
            GuestEvent.Shutdown { ByGuest: true } => OnEnd(StopWasAsked
                ? new(TerminationReasons.HostShutdown, "The guest was asked to power off and did.")
                : new(TerminationReasons.GuestShutdown, "The guest powered itself off.")),
            GuestEvent.Shutdown shutdown => End is null
                ? OnEnd(new(TerminationReasons.QemuCrashed, $"QEMU was ended from outside ({shutdown.Reason})."))
                : (this, s_nothing),
            GuestEvent.Panicked => OnEnd(new(TerminationReasons.GuestPanicked, "The guest's kernel panicked; its console tells more.")),
            GuestEvent.Reset reset => (OnReset(reset), s_nothing),
            GuestEvent.DiskError { Pauses: true } error => (this with { IoError = new(error.NoSpace, error.Message), IsRunning = false }, s_nothing),
            GuestEvent.DiskCorrupted { Fatal: true } damage => OnEnd(new(
                TerminationReasons.OverlayCorrupt, $"QEMU came upon damage in the disk while the guest ran, and will not touch it any more: {damage.Message}. {Disk.OverlayVerdicts.WayOut}")),
            GuestEvent.TryDisk when IoError is { NoSpace: false } && !IsRunning && End is null && Wish != PowerWishes.Paused => (this, [GuestCommand.Continue]),
            GuestEvent.DiskHeld when IoError is { NoSpace: false } && IsRunning => (this with { IoError = null }).Obey(),
            GuestEvent.StopAsked when !StopWasAsked => (this with { StopWasAsked = true }).Ask(),
            GuestEvent.AskAgain => Ask(),
            GuestEvent.GraceOver => (this with { GraceIsOver = true }).PullPlug(),
            GuestEvent.RoomFound when IoError is { NoSpace: true } && End is null =>
                Wish == PowerWishes.Running ? (this, [GuestCommand.Continue]) : (this with { IoError = null }).Obey(),
            GuestEvent.PowerWished wish => (this with { Wish = wish.Power, SaveError = null }).Obey(),
            GuestEvent.StateReceived when IsSaving && End is null => (this, [GuestCommand.KeepState]),
            GuestEvent.StateKept => (this with { IsSaving = false }).OnEnd(new(TerminationReasons.Suspended, "The guest was suspended; it goes on where it was.")),
            GuestEvent.SaveFailed failed => (this with { IsSaving = false, SaveError = failed.Message }).PullPlugOrGoOn(),
            GuestEvent.SaveAgain => (this with { SaveError = null }).Obey(),
            GuestEvent.StateLoaded when IsLoading && End is null => (this with { IsLoading = false }).GoOnFromState(),
            GuestEvent.LoadFailed failed => OnEnd(new(TerminationReasons.SavedStateUnusable, failed.Message)),
            GuestEvent.ResetWished => (this, IsConnected && End is null && !StopWasAsked ? [GuestCommand.Reset] : s_nothing),
            GuestEvent.GrowWished => (this, IsConnected && HasRun && !IsSaving && End is null ? [GuestCommand.Grow] : s_nothing),
            GuestEvent.QemuEnded ended => (this with { QemuIsGone = true, IsRunning = false, End = End ?? Told(EndOf(ended)) }, s_nothing),
            _ => (this, s_nothing),
        };
    }

    private GuestLife OnReset(GuestEvent.Reset reset)
    {
        if (reset.ByGuest && RunsSinceReset is { } since && (reset.At - since).Duration() < s_sameReset)
        {
            return this;
        }

        // The firmware of a guest that stands comes to it when the guest goes on.
        GuestLife counted = this with { Resets = Resets + 1, RunsSinceReset = IsRunning ? reset.At : null };
        return reset.ByGuest ? counted with { Reboots = Reboots + 1, RebootedAt = reset.At } : counted;
    }

    private (GuestLife, IReadOnlyList<GuestCommand>) OnConnected(string status)
    {
        GuestLife connected = this with { IsConnected = true };
        return status switch
        {
            // What happened before the monitor answered is known by the state it led to.
            "shutdown" => connected.On(new GuestEvent.Shutdown(ByGuest: true, "guest-shutdown")),
            "guest-panicked" => connected.On(new GuestEvent.Panicked()),
            "running" => (connected with { IsRunning = true, HasRun = true }).AskOrObey(),
            "prelaunch" or "inmigrate" => (connected, IsLoading && End is null ? [GuestCommand.Load] : s_nothing),
            _ => (connected with { HasRun = true }).AskOrObey(),
        };
    }

    /// <summary>A first end stands: what follows it (QEMU's own exit, say) is its consequence.</summary>
    private (GuestLife, IReadOnlyList<GuestCommand>) OnEnd(GuestEnd end) =>
        End is null ? (this with { End = Told(end), IsRunning = false }, [GuestCommand.Quit]) : (this, s_nothing);

    /// <summary>An end that came while the guest stood for its disk says so: what was done to end it is not what was wrong.</summary>
    private GuestEnd Told(GuestEnd end) => IoError is not { } error || end.Reason is not (TerminationReasons.HostPowerOff or TerminationReasons.QemuCrashed) ? end
        : end with { Message = $"{end.Message} It stood, as {(error.NoSpace ? "its claim was full" : $"its disk had failed ({error.Message})")}." };

    private (GuestLife, IReadOnlyList<GuestCommand>) AskOrObey() => StopWasAsked ? Ask() : Obey();

    /// <summary>Lets the guest stand, go on or be saved, as is wished. Who is asked to power off has to run, and who stands for want of room goes on when there is some.</summary>
    private (GuestLife, IReadOnlyList<GuestCommand>) Obey() =>
        !IsConnected || StopWasAsked || End is not null || !HasRun || IsSaving || IoError is not null ? (this, s_nothing)
        : Wish == PowerWishes.Suspended && SaveError is null ? (this with { IsSaving = true }, IsRunning ? [GuestCommand.Pause, GuestCommand.Save] : [GuestCommand.Save])
        : Wish == PowerWishes.Paused && IsRunning ? (this, [GuestCommand.Pause])
        : Wish != PowerWishes.Paused && !IsRunning ? (this, [GuestCommand.Continue])
        : (this, s_nothing);

    /// <summary>A state that is being saved is not given up for a grace period: whoever asked has the last word by SIGKILL.</summary>
    private (GuestLife, IReadOnlyList<GuestCommand>) PullPlug() => IsSaving && End is null
        ? (this, s_nothing)
        : OnEnd(new(TerminationReasons.HostPowerOff, "The guest was asked to power off, did not within its grace period, and its plug was pulled."));

    private (GuestLife, IReadOnlyList<GuestCommand>) PullPlugOrGoOn() => GraceIsOver ? PullPlug() : AskOrObey();

    /// <summary>A guest that was loaded runs on, or stands where that is wished; in any case what it was loaded from must not be loaded again.</summary>
    private (GuestLife, IReadOnlyList<GuestCommand>) GoOnFromState() => StopWasAsked ? (this, [GuestCommand.ForgetState, GuestCommand.Continue, GuestCommand.PowerDown])
        : Wish == PowerWishes.Paused ? (this with { HasRun = true }, [GuestCommand.ForgetState])
        : (this, [GuestCommand.ForgetState, GuestCommand.Continue]);

    /// <summary>Presses the power button, if that is what is wanted and there is a way to.</summary>
    private (GuestLife, IReadOnlyList<GuestCommand>) Ask() =>
        (this, !StopWasAsked || !IsConnected || End is not null || IsSaving || IsLoading ? s_nothing

            // A guest that stands can't see its power button.
            : IsRunning ? [GuestCommand.PowerDown] : [GuestCommand.Continue, GuestCommand.PowerDown]);

    private GuestEnd EndOf(GuestEvent.QemuEnded ended)
    {
        string said = Disk.OverlayVerdicts.OneLine(ended.Errors);
        if (ended is { OutOfMemory: true, ExitCode: 128 + Posix.Native.Kill })
        {
            return new(TerminationReasons.OutOfMemory, "The kernel killed QEMU: with the guest's memory it took more than its pod may. Please report this; a larger spec.memory makes more room meanwhile.");
        }

        if (IsLoading && ended.ExitCode < 128)
        {
            return new(TerminationReasons.SavedStateUnusable, $"QEMU can't load the guest's saved memory. {said} {Disk.StateKeeper.WayOut}");
        }

        if (!IsConnected && ended.ExitCode < 128)
        {
            return Disk.OverlayVerdicts.IsLocked(ended.Errors)
                ? new(TerminationReasons.OverlayLocked, $"Another process has the disk open. {said} Find the pod that uses this claim and end it.")
                : new(TerminationReasons.QemuStartFailed, $"QEMU refused to start (exit code {ended.ExitCode}). {said}");
        }

        string how = ended.ExitCode > 128 ? $"QEMU was killed by signal {ended.ExitCode - 128}." : $"QEMU ended by itself with exit code {ended.ExitCode}.";
        return new(TerminationReasons.QemuCrashed, said.Length == 0 ? how : $"{how} {said}");
    }
}
