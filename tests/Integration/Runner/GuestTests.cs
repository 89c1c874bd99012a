using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Text;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Real guests on a real QEMU: how they begin, live and end.</summary>
public sealed class GuestTests
{
    private const int Interrupt = 2;
    private const int KillSignal = 9;
    private const int Terminate = 15;

    [Fact]
    public async Task A_guest_boots_from_a_new_overlay_and_powers_itself_off()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();

        RunnerState running = await runner.UntilPhaseAsync(RunnerPhases.Running);
        (await runner.ReadyAsync()).ShouldBe(HttpStatusCode.OK);
        running.Disk.ShouldNotBeNull().Created.ShouldBeTrue();
        running.Disk.VirtualSizeBytes.ShouldBe(256L << 20);
        running.Accelerator.ShouldNotBeNull().Reason.ShouldBe("Requested");
        running.QemuVersion.ShouldNotBeNullOrEmpty();
        StartTimeline times = running.Timeline.ShouldNotBeNull();
        new[] { times.RunnerStarted, times.DiskReady, times.QemuStarted, times.GuestRunning }.ShouldAllBe(time => time != null);
        (times.GuestRunning - times.RunnerStarted)!.Value.ShouldBeGreaterThan(TimeSpan.Zero);

        await runner.SeesAsync(BootSector.Greeting);
        await ConsoleClient.TypeAsync(runner, "p");

        (TerminationReport report, int exitCode) = await runner.EndAsync();
        report.Reason.ShouldBe(TerminationReasons.GuestShutdown);
        exitCode.ShouldBe(0);
        report.QemuExitCode.ShouldBe(0);
        report.Console.ShouldNotBeNull().ShouldContain(BootSector.Greeting);
        report.Timeline.ShouldBe(running.Timeline);
        File.Exists(lab.Marker).ShouldBeTrue();
        string chain = await Machine.RunAsync("qemu-img", "info", "--backing-chain", lab.Overlay);
        chain.ShouldContain($"backing file: {lab.Base}");
    }

    [Fact]
    public async Task A_disk_that_is_there_is_used_again()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await using RunnerProcess runner = lab.Run(config => config with { OverlayExpected = true });

        (await runner.UntilPhaseAsync(RunnerPhases.Running)).Disk!.Created.ShouldBeFalse();
    }

    [Fact]
    public async Task A_guest_that_knows_no_power_button_has_its_plug_pulled_after_the_grace_period()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 8 });
        await runner.SeesAsync(BootSector.Greeting);

        long asked = Stopwatch.GetTimestamp();
        runner.Signal(Terminate);
        (await runner.UntilPhaseAsync(RunnerPhases.ShuttingDown)).ShouldNotBeNull();
        (await runner.ReadyAsync()).ShouldBe(HttpStatusCode.ServiceUnavailable);
        runner.Signal(Terminate);

        await runner.EndsForAsync(TerminationReasons.HostPowerOff);
        Stopwatch.GetElapsedTime(asked).ShouldBeGreaterThan(TimeSpan.FromSeconds(8));
    }

    [Fact]
    public async Task Without_a_grace_period_the_plug_is_pulled_at_once()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 });
        await runner.SeesAsync(BootSector.Greeting);
        runner.Signal(Interrupt);

        await runner.EndsForAsync(TerminationReasons.HostPowerOff);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(60)]
    [InlineData(150)]
    [InlineData(250)]
    public async Task A_signal_at_any_moment_of_the_start_ends_it_in_order(int milliseconds)
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 1 });

        // From the port's file on the runner can be told to end; before that it is not yet the runner.
        await runner.UntilAsync(_ => true);
        await Task.Delay(milliseconds);
        runner.Signal(Terminate);

        (TerminationReport report, int exitCode) = await runner.EndAsync();
        report.Reason.ShouldBeOneOf(TerminationReasons.HostShutdown, TerminationReasons.HostPowerOff);
        exitCode.ShouldBe(0);

        // Whatever was cut off: the next start has a whole disk, or none and makes one.
        await using RunnerProcess next = lab.Run(name: "next");
        await next.SeesAsync(BootSector.Greeting);
        Directory.GetFiles(lab.Claim, "*.new").ShouldBeEmpty();
    }

    [Fact]
    public async Task A_killed_QEMU_is_told_from_all_other_ends()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        RunnerProcess.SignalTo(runner.QemuId(), KillSignal);

        (TerminationReport report, int exitCode) = await runner.EndAsync();
        report.Reason.ShouldBe(TerminationReasons.QemuCrashed);
        report.QemuExitCode.ShouldBe(128 + KillSignal);
        report.Console.ShouldNotBeNull().ShouldContain(BootSector.Greeting);
        exitCode.ShouldBe(1);
    }

    [Fact]
    public async Task QEMU_does_not_outlive_a_killed_runner_and_the_disk_starts_again()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        int qemu = runner.QemuId();
        runner.Signal(KillSignal);
        await runner.Process.WaitForExitAsync();

        await using RunnerProcess next = lab.Run(name: "next");
        await next.SeesAsync(BootSector.Greeting);
        RunnerProcess.Lives(qemu).ShouldBeFalse();
    }

    [Fact]
    public async Task As_process_1_it_hears_of_every_childs_end()
    {
        Machine.NeedsRoot("make a PID namespace");
        using Lab lab = await Lab.MakeAsync();
        for (int start = 0; start < 2; start++)
        {
            await using RunnerProcess runner = lab.Run(environment: RunnerProcess.AsInit);
            await runner.SeesAsync(BootSector.Greeting);
            await ConsoleClient.TypeAsync(runner, "p");
            await runner.EndsForAsync(TerminationReasons.GuestShutdown);
        }
    }

    [Fact]
    public async Task A_reset_is_counted_and_the_guest_goes_on()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(environment: lab.Wishes);
        await runner.SeesAsync(BootSector.Greeting);
        DateTimeOffset asked = DateTimeOffset.UtcNow;
        await ConsoleClient.TypeAsync(runner, "r");
        (await runner.UntilAsync(state => state.Resets >= 1)).Phase.ShouldBe(RunnerPhases.Running);
        await runner.SeesAsync(BootSector.Greeting, times: 2);

        // QEMU told of more: the firmware resets once again, and a guest may ask again before it is carried out. A pause is told after all of them.
        lab.Wish(PowerWishes.Paused);
        RunnerState state = await runner.UntilPhaseAsync(RunnerPhases.Paused);
        (state.Resets, state.Reboots).ShouldBe((1, 1));
        state.RebootedAt.ShouldNotBeNull().ShouldBeInRange(asked, DateTimeOffset.UtcNow);
    }

    [Fact]
    public async Task Wishes_make_it_stand_go_on_and_reset_once()
    {
        using Lab lab = await Lab.MakeAsync();
        lab.Wish("before", ContractNames.ResetFile);
        await using RunnerProcess runner = lab.Run(config => config with { ResetRevision = "before", GracePeriodSeconds = 0 }, environment: lab.Wishes);
        await runner.SeesAsync(BootSector.Greeting);

        lab.Wish(PowerWishes.Paused);
        RunnerState paused = await runner.UntilPhaseAsync(RunnerPhases.Paused);
        paused.IoError.ShouldBeNull();
        (paused.Resets, paused.ResetRevision).ShouldBe((0, "before"));
        lab.Wish(PowerWishes.Running);
        await runner.UntilPhaseAsync(RunnerPhases.Running);

        lab.Wish("1", ContractNames.ResetFile);
        await runner.UntilAsync(state => state is { Resets: >= 1, ResetRevision: "1" });
        await runner.SeesAsync(BootSector.Greeting, times: 2);

        // A wish that is taken back is none; and one that asks to stand and to be reset gets both.
        lab.Wish(PowerWishes.Paused);
        lab.Wish("2", ContractNames.ResetFile);
        await runner.UntilAsync(state => state is { Phase: RunnerPhases.Paused, ResetRevision: "2", Resets: >= 2 });
        lab.Wish(PowerWishes.Running);
        await runner.UntilPhaseAsync(RunnerPhases.Running);
        await runner.SeesAsync(BootSector.Greeting, times: 3);

        // The firmware resets too, each time; but the guest did not reboot by itself.
        lab.Wish(PowerWishes.Paused);
        paused = await runner.UntilPhaseAsync(RunnerPhases.Paused);
        (paused.Resets, paused.Reboots).ShouldBe((2, 0));
        await Lab.StopAsync(runner);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_guest_that_stands_is_let_go_to_power_off_be_it_by_a_wish_or_a_signal(bool byWish)
    {
        using Lab lab = await Lab.MakeAsync();
        lab.Wish(PowerWishes.Paused);
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 1 }, environment: lab.Wishes);
        await runner.UntilPhaseAsync(RunnerPhases.Paused);
        if (byWish)
        {
            lab.Wish(PowerWishes.Off);
        }
        else
        {
            runner.Signal(Terminate);
        }

        await runner.EndsForAsync(TerminationReasons.HostPowerOff);
    }

    [Fact]
    public async Task The_console_serves_many_clients_and_late_ones_see_the_last_lines()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        using Socket first = await ConsoleClient.ConnectAsync(runner);
        (await ConsoleClient.ReadUntilAsync(first, BootSector.Greeting)).ShouldContain(BootSector.Greeting);
        using Socket live = await ConsoleClient.ConnectAsync(runner, "console-live.sock");
        using Socket silent = await ConsoleClient.ConnectAsync(runner);

        await live.SendAsync("HELLO"u8.ToArray());

        (await ConsoleClient.ReadUntilAsync(live, "HELLO")).ShouldBe("HELLO");
        await ConsoleClient.ReadUntilAsync(first, "HELLO");
        await runner.SeesAsync("HELLO");
    }

    [Fact]
    public async Task A_disk_grows_while_its_guest_runs_and_a_smaller_size_is_no_wish()
    {
        using Lab lab = await Lab.MakeAsync();
        lab.Wish($"{100L << 20}", ContractNames.SizeFile);
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 }, environment: lab.Wishes);
        (await runner.UntilPhaseAsync(RunnerPhases.Running)).Disk!.VirtualSizeBytes.ShouldBe(256L << 20);
        lab.Wish($"{300L << 20}", ContractNames.SizeFile);
        await runner.UntilAsync(state => state.Disk!.VirtualSizeBytes == 300L << 20);
        await Lab.StopAsync(runner);
        (await Machine.RunAsync("qemu-img", "info", lab.Overlay)).ShouldContain("300 MiB");
    }

    [Fact]
    public async Task The_console_verb_runs_a_script()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        (await ScriptAsync(runner, "--expect", BootSector.Greeting, "--send", "XY", "--expect", "XY")).ShouldBe(0);
        (await ScriptAsync(runner, "--send", "Z", "--expect", "NOT THERE", "--timeout", "0.5")).ShouldBe(1);
        (await ScriptAsync(runner, "--nonsense")).ShouldBe(2);
        (await ScriptAsync(runner, "--send", "p")).ShouldBe(0);
        await runner.EndsForAsync(TerminationReasons.GuestShutdown);
    }

    [Fact]
    public async Task A_reader_that_takes_nothing_holds_up_nobody()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        var stuck = new List<TcpClient>();
        for (int i = 0; i < 5; i++)
        {
            var client = new TcpClient("127.0.0.1", runner.Port);
            await client.Client.SendAsync(Encoding.ASCII.GetBytes(i % 2 == 0 ? "GET /v1/events HTTP/1.1\r\n\r\n" : "GET /v1/ev"));
            stuck.Add(client);
        }

        (await runner.ReadyAsync()).ShouldBe(HttpStatusCode.OK);
        await ConsoleClient.TypeAsync(runner, "p");
        await runner.EndsForAsync(TerminationReasons.GuestShutdown);
        stuck.ForEach(client => client.Dispose());
    }

    [Fact]
    public async Task A_log_at_a_standstill_holds_up_nobody()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(environment: RunnerProcess.Unread);
        await runner.UntilPhaseAsync(RunnerPhases.Running);
        using Socket client = await ConsoleClient.ConnectAsync(runner);
        await ConsoleClient.ReadUntilAsync(client, BootSector.Greeting);

        // Three times what a pipe holds.
        await client.SendAsync("f"u8.ToArray());
        (await ConsoleClient.ReadUntilAsync(client, "|")).Length.ShouldBeGreaterThan(192 * 1024);

        await client.SendAsync("p"u8.ToArray());
        await runner.EndsForAsync(TerminationReasons.GuestShutdown);
    }

    [Fact]
    public async Task The_stream_ends_with_the_end()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        Task<RunnerState> end = runner.UntilPhaseAsync(RunnerPhases.Ended);
        await ConsoleClient.TypeAsync(runner, "p");

        (await end).Phase.ShouldBe(RunnerPhases.Ended);
    }

    [Theory]
    [InlineData("no JSON")]
    [InlineData("{\"cpus\": 1}")]
    public async Task Nonsense_for_a_configuration_is_said_to_be_nonsense(string config)
    {
        string folder = Directory.CreateTempSubdirectory("sandlabx-runner-").FullName;
        await using RunnerProcess runner = RunnerProcess.Start(folder, "run", config);

        await runner.EndsForAsync(TerminationReasons.InvalidConfiguration);
        Directory.Delete(folder, recursive: true);
    }

    private static async Task<int> ScriptAsync(RunnerProcess runner, params string[] arguments)
    {
        ProcessStartInfo start = RunnerProcess.Command(["console", .. arguments]);
        start.Environment["SANDLABX_RUN_DIR"] = runner.RunDirectory;
        using Process process = Process.Start(start)!;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        await process.StandardError.ReadToEndAsync();
        await output;
        await process.WaitForExitAsync();
        return process.ExitCode;
    }
}
