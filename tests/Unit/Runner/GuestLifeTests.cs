using FsCheck;
using FsCheck.Fluent;
using SandLabX.Contract;
using SandLabX.Runner.Posix;
using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public class GuestLifeTests
{
    private static readonly GuestEvent s_running = new GuestEvent.Connected("running");
    private static readonly GuestEvent s_off = new GuestEvent.Shutdown(ByGuest: true, "guest-shutdown");
    private static readonly GuestEvent s_stop = new GuestEvent.StopAsked();
    private static readonly GuestEvent s_again = new GuestEvent.AskAgain();
    private static readonly GuestEvent s_graceOver = new GuestEvent.GraceOver();
    private static readonly GuestEvent s_full = new GuestEvent.DiskError(Pauses: true, NoSpace: true, "No space left on device");
    private static readonly GuestEvent s_failed = new GuestEvent.DiskError(Pauses: true, NoSpace: false, "Input/output error");

    [Fact]
    public void It_runs_the_moment_the_monitor_says_so()
    {
        After().Phase.ShouldBe(RunnerPhases.Starting);
        After(s_running).Phase.ShouldBe(RunnerPhases.Running);
        After(new GuestEvent.Connected("prelaunch")).Phase.ShouldBe(RunnerPhases.Starting);
        After(new GuestEvent.Connected("prelaunch"), Resumed(0)).Phase.ShouldBe(RunnerPhases.Running);
    }

    [Fact]
    public void A_guest_stands_and_goes_on_as_is_wished()
    {
        Commands(s_running, new GuestEvent.PowerWished(PowerWishes.Paused)).ShouldBe([GuestCommand.Pause]);
        Commands(s_running, new GuestEvent.PowerWished(PowerWishes.Paused), new GuestEvent.Stopped(), new GuestEvent.PowerWished(PowerWishes.Running)).ShouldBe([GuestCommand.Continue]);
        After(s_running, new GuestEvent.PowerWished(PowerWishes.Paused), new GuestEvent.Stopped()).Phase.ShouldBe(RunnerPhases.Paused);

        // Whoever let it go on: it stands again. And one that was to stand from the first stands as soon as it runs.
        Commands(s_running, new GuestEvent.PowerWished(PowerWishes.Paused), new GuestEvent.Stopped(), Resumed(0)).ShouldBe([GuestCommand.Pause]);
        (new GuestLife { Wish = PowerWishes.Paused }).On(s_running).Commands.ShouldBe([GuestCommand.Pause]);
    }

    [Fact]
    public void Room_on_a_full_claim_lets_no_guest_go_on_that_is_to_stand()
    {
        GuestEvent[] paused = [s_running, s_full, new GuestEvent.Stopped(), new GuestEvent.PowerWished(PowerWishes.Paused)];
        Commands([.. paused, new GuestEvent.RoomFound()]).ShouldBeEmpty();
        Commands([.. paused, new GuestEvent.RoomFound(), new GuestEvent.PowerWished(PowerWishes.Running)]).ShouldBe([GuestCommand.Continue]);

        // And a wish to go on makes no room.
        Commands([.. paused, new GuestEvent.PowerWished(PowerWishes.Running)]).ShouldBeEmpty();
    }

    [Fact]
    public void A_guest_is_saved_while_it_stands_and_ends_once_its_state_is_kept()
    {
        GuestEvent wish = new GuestEvent.PowerWished(PowerWishes.Suspended);
        GuestEvent received = new GuestEvent.StateReceived();
        Commands(s_running, wish).ShouldBe([GuestCommand.Pause, GuestCommand.Save]);
        Commands(s_running, new GuestEvent.Stopped(), wish).ShouldBe([GuestCommand.Save]);
        Commands(wish, s_running).ShouldBe([GuestCommand.Pause, GuestCommand.Save]);
        After(s_running, wish, new GuestEvent.Stopped()).Phase.ShouldBe(RunnerPhases.Saving);
        Commands(s_running, wish, new GuestEvent.Stopped(), received).ShouldBe([GuestCommand.KeepState]);
        Commands(s_running, wish, new GuestEvent.Stopped(), received, new GuestEvent.StateKept()).ShouldBe([GuestCommand.Quit]);
        After(s_running, wish, new GuestEvent.Stopped(), received, new GuestEvent.StateKept()).End!.Reason.ShouldBe(TerminationReasons.Suspended);

        // A guest that powered itself off at that moment is off; its state is nobody's.
        Commands(s_running, wish, s_off, received).ShouldBeEmpty();

        // Who is told to end while it saves ends by having saved, whatever the grace period.
        GuestEvent[] told = [s_running, wish, new GuestEvent.Stopped(), s_stop, s_again, s_graceOver];
        Commands(told).ShouldBeEmpty();
        After([.. told, received, new GuestEvent.StateKept()]).End!.Reason.ShouldBe(TerminationReasons.Suspended);
        After([.. told, new GuestEvent.SaveFailed("full")]).End!.Reason.ShouldBe(TerminationReasons.HostPowerOff);
    }

    [Fact]
    public void A_guest_that_can_not_be_saved_goes_on_until_that_is_tried_again()
    {
        GuestEvent[] failed = [s_running, new GuestEvent.PowerWished(PowerWishes.Suspended), new GuestEvent.Stopped(), new GuestEvent.SaveFailed("full")];
        Commands(failed).ShouldBe([GuestCommand.Continue]);
        Commands([.. failed, Resumed(0)]).ShouldBeEmpty();
        After([.. failed, Resumed(0)]).Phase.ShouldBe(RunnerPhases.Running);
        Commands([.. failed, Resumed(0), new GuestEvent.SaveAgain()]).ShouldBe([GuestCommand.Pause, GuestCommand.Save]);
        After([.. failed, Resumed(0), new GuestEvent.PowerWished(PowerWishes.Running)]).SaveError.ShouldBeNull();
    }

    [Fact]
    public void A_suspended_guest_goes_on_only_after_its_state_counts_no_more()
    {
        GuestEvent waits = new GuestEvent.Connected("inmigrate");
        GuestEvent loaded = new GuestEvent.StateLoaded();
        var asleep = new GuestLife { IsLoading = true };
        Run(asleep, waits).Commands.ShouldBe([GuestCommand.Load]);
        Run(asleep, waits, loaded).Commands.ShouldBe([GuestCommand.ForgetState, GuestCommand.Continue]);
        Run(asleep, waits, loaded, Resumed(0)).Life.Phase.ShouldBe(RunnerPhases.Running);

        // A power button is of no use before.
        Run(asleep, waits, s_stop, s_again).Commands.ShouldBeEmpty();
        Run(asleep, waits, s_stop, loaded).Commands.ShouldBe([GuestCommand.ForgetState, GuestCommand.Continue, GuestCommand.PowerDown]);

        // One that is to stand does not run for a moment first.
        (GuestLife stands, IReadOnlyList<GuestCommand> commands) = Run(asleep with { Wish = PowerWishes.Paused }, waits, loaded);
        (stands.Phase, commands.ShouldHaveSingleItem()).ShouldBe((RunnerPhases.Paused, GuestCommand.ForgetState));

        // What can't be loaded is left as it is.
        Run(asleep, waits, new GuestEvent.LoadFailed("damaged")).Life.End!.Reason.ShouldBe(TerminationReasons.SavedStateUnusable);
        Run(asleep, waits, new GuestEvent.QemuEnded(1, "load of migration failed")).Life.End!.Reason.ShouldBe(TerminationReasons.SavedStateUnusable);
        Run(asleep, waits, new GuestEvent.QemuEnded(137, "")).Life.End!.Reason.ShouldBe(TerminationReasons.QemuCrashed);
    }

    [Fact]
    public void A_reset_is_for_a_guest_that_lives_and_is_to_live()
    {
        Commands(s_running, new GuestEvent.ResetWished()).ShouldBe([GuestCommand.Reset]);
        Commands(new GuestEvent.ResetWished()).ShouldBeEmpty();
        Commands(s_running, s_stop, new GuestEvent.ResetWished()).ShouldBeEmpty();
        Commands(s_running, s_off, new GuestEvent.ResetWished()).ShouldBeEmpty();
    }

    [Theory]
    [InlineData("shutdown", TerminationReasons.GuestShutdown)]
    [InlineData("guest-panicked", TerminationReasons.GuestPanicked)]
    public void What_happened_before_the_monitor_answered_is_known(string status, string reason)
    {
        (GuestLife life, IReadOnlyList<GuestCommand> commands) = new GuestLife().On(new GuestEvent.Connected(status));

        life.End!.Reason.ShouldBe(reason);
        commands.ShouldBe([GuestCommand.Quit]);
    }

    [Fact]
    public void Each_end_has_its_reason()
    {
        Reason(s_running, s_off).ShouldBe(TerminationReasons.GuestShutdown);
        Reason(s_running, s_stop, s_off).ShouldBe(TerminationReasons.HostShutdown);
        Reason(s_running, s_stop, s_graceOver).ShouldBe(TerminationReasons.HostPowerOff);
        Reason(s_running, s_stop, s_graceOver, s_off).ShouldBe(TerminationReasons.HostPowerOff);
        Reason(s_running, new GuestEvent.Panicked(), new GuestEvent.Stopped()).ShouldBe(TerminationReasons.GuestPanicked);
        Reason(s_running, new GuestEvent.QemuEnded(137, "")).ShouldBe(TerminationReasons.QemuCrashed);
        Reason(s_running, new GuestEvent.Shutdown(ByGuest: false, "host-signal")).ShouldBe(TerminationReasons.QemuCrashed);
        Reason(new GuestEvent.QemuEnded(1, "no such device")).ShouldBe(TerminationReasons.QemuStartFailed);
        Reason(new GuestEvent.QemuEnded(1, "Failed to get \"write\" lock\nIs another process using the image?")).ShouldBe(TerminationReasons.OverlayLocked);
        Reason(new GuestEvent.QemuEnded(139, "")).ShouldBe(TerminationReasons.QemuCrashed);
    }

    [Fact]
    public void QEMUs_own_exit_does_not_overwrite_the_reason() =>
        Reason(s_running, s_off, new GuestEvent.Shutdown(ByGuest: false, "host-qmp-quit"), new GuestEvent.QemuEnded(0, "")).ShouldBe(TerminationReasons.GuestShutdown);

    [Fact]
    public void The_power_button_is_pressed_when_the_monitor_is_there_and_again_until_it_is_over()
    {
        Commands(s_running, s_stop).ShouldBe([GuestCommand.PowerDown]);
        Commands(s_running, s_stop, s_again).ShouldBe([GuestCommand.PowerDown]);
        Commands(s_stop).ShouldBeEmpty();
        Commands(s_stop, s_running).ShouldBe([GuestCommand.PowerDown]);
        Commands(s_running, s_stop, s_off, s_again).ShouldBeEmpty();
    }

    [Fact]
    public void A_second_SIGTERM_does_nothing() => Commands(s_running, s_stop, s_stop).ShouldBeEmpty();

    [Fact]
    public void A_paused_guest_runs_to_see_its_power_button() =>
        Commands(s_running, new GuestEvent.Stopped(), s_stop).ShouldBe([GuestCommand.Continue, GuestCommand.PowerDown]);

    [Fact]
    public void A_full_claim_pauses_and_room_lets_it_go_on()
    {
        GuestLife paused = After(s_running, s_full, new GuestEvent.Stopped());
        paused.Phase.ShouldBe(RunnerPhases.Paused);
        paused.IoError.ShouldBe(new IoErrorReport(true, "No space left on device"));
        Commands(s_running, s_full, new GuestEvent.Stopped(), new GuestEvent.RoomFound()).ShouldBe([GuestCommand.Continue]);

        GuestLife resumed = After(s_running, s_full, new GuestEvent.Stopped(), Resumed(0));
        resumed.Phase.ShouldBe(RunnerPhases.Running);
        resumed.IoError.ShouldBeNull();
        Commands(s_running, new GuestEvent.RoomFound()).ShouldBeEmpty();
    }

    [Fact]
    public void An_error_that_is_told_to_the_guest_does_not_pause_it() =>
        After(s_running, new GuestEvent.DiskError(Pauses: false, NoSpace: false, "Input/output error")).IoError.ShouldBeNull();

    [Fact]
    public void A_QEMU_that_the_kernel_killed_for_its_memory_is_told_from_one_that_somebody_killed()
    {
        Reason(s_running, new GuestEvent.QemuEnded(137, "", OutOfMemory: true)).ShouldBe(TerminationReasons.OutOfMemory);
        Reason(s_running, new GuestEvent.QemuEnded(137, "")).ShouldBe(TerminationReasons.QemuCrashed);
        Reason(s_running, new GuestEvent.QemuEnded(1, "", OutOfMemory: true)).ShouldBe(TerminationReasons.QemuCrashed);
        ControlGroup.Count("oom_kill_disable 0\nunder_oom 0\noom_kill 3\n").ShouldBe(3);
        ControlGroup.Count("low 0\nhigh 0\nmax 12\noom 1\noom_kill 1\noom_group_kill 0\n").ShouldBe(1);
        ControlGroup.Count("").ShouldBe(0);
    }

    [Fact]
    public void Resets_are_counted_and_those_that_the_guest_asked_for_too()
    {
        GuestLife life = After(s_running, Reset(0), Reset(1, byGuest: false));
        (life.Resets, life.Reboots, life.RebootedAt).ShouldBe((2, 1, Second(0)));
    }

    [Fact]
    public void What_the_firmware_adds_to_a_reset_is_part_of_it()
    {
        GuestLife life = After(s_running, Reset(0), Reset(0.2), Reset(0.21));
        (life.Resets, life.Reboots, life.RebootedAt).ShouldBe((1, 1, Second(0)));

        // Nor does a guest that is reset reboot by itself.
        life = After(s_running, Reset(0, byGuest: false), Reset(0.2));
        (life.Resets, life.Reboots, life.RebootedAt).ShouldBe((1, 0, (DateTimeOffset?)null));

        // Also when it stands for an hour in between, as the firmware does not run then.
        life = After(s_running, new GuestEvent.Stopped(), Reset(0, byGuest: false), Resumed(3600), Reset(3600.2), Reset(3700));
        (life.Resets, life.Reboots, life.RebootedAt).ShouldBe((2, 1, Second(3700)));
        After(s_running, Reset(0), new GuestEvent.Stopped(), Resumed(3600), Reset(3600.2)).Reboots.ShouldBe(2);
        After(new GuestEvent.Connected("prelaunch"), Resumed(0), Reset(1)).Reboots.ShouldBe(1);

        // One that does nothing but reboot is told of, all the same, and so is one whose host's clock is set back.
        After([s_running, .. Enumerable.Range(0, 60).Select(i => Reset(i))]).Reboots.ShouldBe(12);
        After(s_running, Reset(0), Reset(-3600)).Reboots.ShouldBe(2);
    }

    [Fact]
    public void A_disk_that_fails_is_tried_again_and_works_once_its_guest_has_run_for_a_while()
    {
        GuestEvent[] failed = [s_running, s_failed, new GuestEvent.Stopped()];
        After(failed).Phase.ShouldBe(RunnerPhases.Paused);
        After(failed).IoError.ShouldBe(new IoErrorReport(false, "Input/output error"));
        Commands([.. failed, new GuestEvent.RoomFound()]).ShouldBeEmpty();
        Commands([.. failed, new GuestEvent.TryDisk()]).ShouldBe([GuestCommand.Continue]);

        // Going on is no proof yet, and what fails again is no news.
        GuestEvent[] tried = [.. failed, new GuestEvent.TryDisk(), Resumed(0)];
        After(tried).Phase.ShouldBe(RunnerPhases.Paused);
        After([.. tried, s_failed, new GuestEvent.Stopped(), new GuestEvent.DiskHeld()]).ShouldBe(After(failed));
        GuestLife works = After([.. tried, new GuestEvent.DiskHeld()]);
        (works.Phase, works.IoError).ShouldBe((RunnerPhases.Running, null));

        // One that is to stand is not let go for it; one that is to power off is.
        Commands([.. failed, new GuestEvent.PowerWished(PowerWishes.Paused), new GuestEvent.TryDisk()]).ShouldBeEmpty();
        Commands([.. failed, s_stop]).ShouldBe([GuestCommand.Continue, GuestCommand.PowerDown]);
    }

    [Fact]
    public void Damage_that_QEMU_comes_upon_ends_the_guest_as_such()
    {
        GuestLife life = After(s_running, new GuestEvent.DiskCorrupted(Fatal: true, "overlaps with active L2 table"), s_failed, new GuestEvent.QemuEnded(0, ""));
        life.End!.Reason.ShouldBe(TerminationReasons.OverlayCorrupt);
        life.End.Message.ShouldContain("overlaps with active L2 table");
        life.End.Message.ShouldContain("spec.disk.repair");
        After(s_running, new GuestEvent.DiskCorrupted(Fatal: false, "odd entry")).End.ShouldBeNull();
    }

    [Fact]
    public void An_end_that_came_while_the_disk_held_the_guest_up_says_so()
    {
        After(s_running, s_full, new GuestEvent.Stopped(), s_stop, s_graceOver).End!.Message.ShouldContain("claim was full");
        After(s_running, s_failed, new GuestEvent.Stopped(), s_stop, s_graceOver).End!.Message.ShouldContain("Input/output error");
        After(s_running, s_failed, new GuestEvent.Stopped(), new GuestEvent.QemuEnded(137, "")).End!.Message.ShouldContain("Input/output error");
        After(s_running, s_stop, s_graceOver).End!.Message.ShouldNotContain("disk");
    }

    /// <summary>Laws of any life: the first end stands, "quit" is said once, nothing follows QEMU's exit, and an exit is always an end with a reason.</summary>
    [Fact]
    public void Any_sequence_of_events_keeps_the_laws()
    {
        GuestEvent[] all =
        [
            s_running, new GuestEvent.Connected("paused"), new GuestEvent.Stopped(), Resumed(0), s_off, new GuestEvent.Shutdown(false, "host-qmp-quit"),
            new GuestEvent.Panicked(), Reset(0), Reset(1, byGuest: false), s_full, s_failed, new GuestEvent.TryDisk(), new GuestEvent.DiskHeld(), new GuestEvent.DiskCorrupted(true, "bad"), s_stop, s_again, s_graceOver, new GuestEvent.RoomFound(), new GuestEvent.QemuEnded(137, ""),
            new GuestEvent.PowerWished(PowerWishes.Suspended), new GuestEvent.PowerWished(PowerWishes.Paused), new GuestEvent.PowerWished(PowerWishes.Running), new GuestEvent.StateReceived(),
            new GuestEvent.StateKept(), new GuestEvent.SaveFailed("full"), new GuestEvent.SaveAgain(), new GuestEvent.Connected("inmigrate"), new GuestEvent.StateLoaded(), new GuestEvent.LoadFailed("bad"),
        ];
        Prop.ForAll(Gen.Elements(all).ListOf().ToArbitrary(), ArbMap.Default.ArbFor<bool>(), (events, resumes) =>
        {
            var life = new GuestLife { IsLoading = resumes };
            GuestEnd? firstEnd = null;
            int quits = 0;
            foreach (GuestEvent happened in events)
            {
                bool wasGone = life.QemuIsGone;
                (life, IReadOnlyList<GuestCommand> commands) = life.On(happened);
                firstEnd ??= life.End;
                life.End.ShouldBe(firstEnd);
                quits += commands.Count(c => c == GuestCommand.Quit);
                (wasGone && commands.Count > 0).ShouldBeFalse();
            }

            quits.ShouldBeLessThanOrEqualTo(1);
            (life.QemuIsGone && life.End is null).ShouldBeFalse();
        }).QuickCheckThrowOnFailure();
    }

    private static GuestEvent.Reset Reset(double second, bool byGuest = true) => new(byGuest, Second(second));

    private static GuestEvent.Resumed Resumed(double second) => new(Second(second));

    private static DateTimeOffset Second(double second) => DateTimeOffset.UnixEpoch.AddDays(1).AddSeconds(second);

    private static GuestLife After(params GuestEvent[] events) => events.Aggregate(new GuestLife(), (life, e) => life.On(e).Life);

    private static (GuestLife Life, IReadOnlyList<GuestCommand> Commands) Run(GuestLife from, params GuestEvent[] events) =>
        events[..^1].Aggregate(from, (life, e) => life.On(e).Life).On(events[^1]);

    private static string? Reason(params GuestEvent[] events) => After(events).End?.Reason;

    /// <summary>What the last event calls for.</summary>
    private static IReadOnlyList<GuestCommand> Commands(params GuestEvent[] events) => After(events[..^1]).On(events[^1]).Commands;
}
