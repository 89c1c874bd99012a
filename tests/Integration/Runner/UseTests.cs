using System.Diagnostics;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>What a runner takes for use of its guest, and what it does not.</summary>
public sealed class UseTests
{
    /// <summary>A runner tells of use so often at most.</summary>
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(10);

    [Fact]
    public async Task Typing_is_use_and_neither_probes_nor_listeners_nor_an_idle_console_are()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 });
        RunnerState running = await runner.UntilPhaseAsync(RunnerPhases.Running);
        DateTimeOffset start = running.LastUsedAt.ShouldNotBeNull();
        start.ShouldBe(running.Timeline!.GuestRunning!.Value, RunnerProcess.Patience);

        // For longer than a use would stay untold: more than one look at the guest.
        using Socket console = await ConsoleClient.ConnectAsync(runner);
        for (long began = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(began) < 2.5 * s_period;)
        {
            (await runner.ReadyAsync()).ShouldBe(HttpStatusCode.OK);
            (await runner.UntilAsync(_ => true)).LastUsedAt.ShouldBe(start);
        }

        DateTimeOffset typed = DateTimeOffset.UtcNow;
        await console.SendAsync("A"u8.ToArray());
        RunnerState used = await runner.UntilAsync(state => state.LastUsedAt > start);
        used.LastUsedAt!.Value.ShouldBeInRange(typed, DateTimeOffset.UtcNow);

        // What follows at once is not told: it would keep all who listen busy.
        await console.SendAsync("BCD"u8.ToArray());
        await runner.SeesAsync("ABCD");
        (await runner.UntilAsync(_ => true)).LastUsedAt.ShouldBe(used.LastUsedAt);
        await Lab.StopAsync(runner);
    }

    [Fact]
    public async Task An_open_screen_is_use_for_as_long_as_it_is_open()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 });
        DateTimeOffset start = (await runner.UntilPhaseAsync(RunnerPhases.Running)).LastUsedAt!.Value;
        using (var screen = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified))
        {
            await screen.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(runner.RunDirectory, "vnc.sock")));
            byte[] greeting = new byte[12];
            await screen.ReceiveAsync(greeting);
            Encoding.ASCII.GetString(greeting).ShouldStartWith("RFB");
            DateTimeOffset once = (await runner.UntilAsync(state => state.LastUsedAt > start)).LastUsedAt!.Value;
            (await runner.UntilAsync(state => state.LastUsedAt > once)).LastUsedAt!.Value.ShouldBeGreaterThanOrEqualTo(once + s_period);
        }

        await Lab.StopAsync(runner);
    }

    [Fact]
    public async Task What_a_guest_receives_over_its_network_is_use()
    {
        using Lab lab = await Lab.MakeAsync();
        string? tiny = Environment.GetEnvironmentVariable("SANDLABX_TINY_PATH");
        Assert.SkipWhen(string.IsNullOrEmpty(tiny), "SANDLABX_TINY_PATH is not set; docs/DEVELOPMENT.md says how.");
        File.Copy(tiny!, lab.Base, overwrite: true);
        string digest = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(lab.Base)));
        lab.WriteReport(digest);
        await using RunnerProcess runner = lab.Run(config => config with { BackingSha256 = digest, MemoryBytes = 128L << 20, GracePeriodSeconds = 0 });
        await runner.SeesAsync("SANDLABX-TINY READY");

        // The command is typed, which is use as well; what it does comes after that is told.
        await ConsoleClient.TypeAsync(runner, "sh busybox ifconfig eth0 10.0.2.15 up && echo up && busybox sleep 25 && busybox ping -c 100 -i 0.1 10.0.2.2 > /dev/null; echo pinged\n");
        await runner.SeesAsync("| up");
        DateTimeOffset typed = DateTimeOffset.UtcNow;
        RunnerState used = await runner.UntilAsync(state => state.LastUsedAt > typed);
        used.LastUsedAt!.Value.ShouldBeGreaterThan(typed + TimeSpan.FromSeconds(20));
        await Lab.StopAsync(runner);
    }
}
