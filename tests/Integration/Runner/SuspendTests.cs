using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Integration.Cluster;

namespace SandLabX.Integration.Runner;

/// <summary>A guest whose memory is saved beside its disk, and who goes on from it. A guest that had booted instead would greet.</summary>
public sealed class SuspendTests
{
    private const int Terminate = 15;

    [Fact]
    public async Task A_suspended_guest_goes_on_where_it_was()
    {
        using Lab lab = await Lab.MakeAsync();
        SavedState saved = await SuspendAsync(lab);
        saved.Bytes.ShouldBe(new FileInfo(State(lab)).Length);
        (saved.Cpus, saved.MemoryBytes, saved.Accelerator).ShouldBe((1, 64L << 20, Accelerators.Tcg));
        (await Machine.RunAsync("qemu-img", "check", lab.Overlay)).ShouldContain("No errors");

        // The disk's size is not what it wakes up to: it follows at the next boot.
        await using RunnerProcess second = Run(lab, PowerWishes.Running, "second", config => config with { DiskSizeBytes = 300L << 20 });
        RunnerState running = await second.UntilPhaseAsync(RunnerPhases.Running);
        running.Disk!.VirtualSizeBytes.ShouldBe(256L << 20);
        await ConsoleClient.TypeAsync(second, "hello");
        await second.SeesAsync("hello");
        second.Output.ShouldNotContain(BootSector.Greeting);
        (File.Exists(State(lab)), File.Exists(Marker(lab))).ShouldBe((false, false));

        // Once more, from a guest that was resumed, and this time into a pause.
        lab.Wish(PowerWishes.Suspended);
        await second.EndsForAsync(TerminationReasons.Suspended);
        await using RunnerProcess third = Run(lab, PowerWishes.Paused, "third");
        (await third.UntilPhaseAsync(RunnerPhases.Paused)).IoError.ShouldBeNull();
        lab.Wish(PowerWishes.Running);
        await third.UntilPhaseAsync(RunnerPhases.Running);
        await ConsoleClient.TypeAsync(third, "p");
        await third.EndsForAsync(TerminationReasons.GuestShutdown);
    }

    [Theory]
    [InlineData("cut")]
    [InlineData("flipped")]
    [InlineData("gone")]
    [InlineData("marker")]
    [InlineData("memory")]
    [InlineData("disk")]
    public async Task Saved_memory_that_does_not_fit_is_refused_and_left_until_it_is_given_up(string damage)
    {
        using Lab lab = await Lab.MakeAsync();
        await SuspendAsync(lab);
        byte[] state = await File.ReadAllBytesAsync(State(lab));
        switch (damage)
        {
            case "cut":
                await File.WriteAllBytesAsync(State(lab), state[..^1]);
                break;
            case "flipped":
                state[state.Length / 2] ^= 1;
                await File.WriteAllBytesAsync(State(lab), state);
                break;
            case "gone":
                File.Delete(State(lab));
                break;
            case "marker":
                await File.WriteAllTextAsync(Marker(lab), "{");
                break;
            case "disk":
                File.SetLastWriteTimeUtc(lab.Overlay, DateTime.UtcNow.AddMinutes(1));
                break;
        }

        byte[] marker = await File.ReadAllBytesAsync(Marker(lab));
        byte[] disk = await File.ReadAllBytesAsync(lab.Overlay);
        await using RunnerProcess refused = Run(lab, PowerWishes.Running, "refused", config => config with { MemoryBytes = damage == "memory" ? 128L << 20 : config.MemoryBytes });
        (await refused.EndsForAsync(TerminationReasons.SavedStateUnusable)).ShouldContain(damage == "marker" ? "delete it" : "spec.resetRevision");
        (await File.ReadAllBytesAsync(Marker(lab))).ShouldBe(marker);
        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(disk);

        await using RunnerProcess reset = Run(lab, PowerWishes.Running, "reset", config => config with { ResetRevision = damage == "marker" ? config.ResetRevision : "1" });
        if (damage == "marker")
        {
            // Nobody can tell which reset it had had: a person removes the file.
            await reset.EndsForAsync(TerminationReasons.SavedStateUnusable);
            return;
        }

        await reset.SeesAsync(BootSector.Greeting);
        (File.Exists(State(lab)), File.Exists(Marker(lab))).ShouldBe((false, false));
    }

    [Fact]
    public async Task A_claim_without_room_lets_the_guest_go_on_and_more_room_suspends_it()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(1);
        using Lab lab = await Lab.MakeAsync(claim.Folder);
        await using RunnerProcess runner = Run(lab, PowerWishes.Running, "first");
        await runner.SeesAsync(BootSector.Greeting);
        lab.Wish(PowerWishes.Suspended);
        RunnerState failed = await runner.UntilAsync(state => state is { Phase: RunnerPhases.Running, SaveError: not null });
        failed.SaveError!.ShouldContain("no room");
        Directory.GetFiles(lab.Claim, "*state*").ShouldBeEmpty();
        await ConsoleClient.TypeAsync(runner, "hello");
        await runner.SeesAsync("hello");

        await claim.GrowAsync(200);
        await runner.EndsForAsync(TerminationReasons.Suspended);
        await using RunnerProcess second = Run(lab, PowerWishes.Running, "second");
        await second.UntilPhaseAsync(RunnerPhases.Running);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(20)]
    [InlineData(100)]
    public async Task A_runner_that_is_told_to_end_while_it_saves_has_saved(int milliseconds)
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = Run(lab, PowerWishes.Running, "first", config => config with { GracePeriodSeconds = 0 });
        await runner.SeesAsync(BootSector.Greeting);
        lab.Wish(PowerWishes.Suspended);
        await runner.UntilAsync(state => state.Phase is RunnerPhases.Saving or RunnerPhases.ShuttingDown);
        await Task.Delay(milliseconds);
        if (!runner.Process.HasExited)
        {
            runner.Signal(Terminate);
        }

        await runner.EndsForAsync(TerminationReasons.Suspended);
    }

    /// <summary>Whenever the power fails: the guest goes on where it was, or boots from a whole disk, and never anything in between.</summary>
    [Fact]
    public async Task A_kill_at_any_moment_leaves_a_guest_that_goes_on_or_boots()
    {
        int seed = Environment.GetEnvironmentVariable("SANDLABX_SEED") is { Length: > 0 } given ? int.Parse(given) : Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"SANDLABX_SEED={seed}");
        var random = new Random(seed);
        using Lab lab = await Lab.MakeAsync();
        for (int round = 0; round < 8; round++)
        {
            await using RunnerProcess runner = Run(lab, PowerWishes.Suspended, $"{round}");
            string seen = "nothing";
            try
            {
                // It resumes, or boots, and is at once to be suspended: a kill after either phase and a moment more.
                string phase = random.Next(2) == 0 ? RunnerPhases.Starting : RunnerPhases.Saving;
                seen = (await runner.UntilAsync(state => state.Phase == phase || state.Phase == RunnerPhases.Ended)).Phase;
                await Task.Delay(random.Next(60));
                runner.Process.Kill();
            }
            catch (InvalidOperationException)
            {
                // It was quicker.
            }

            await runner.Process.WaitForExitAsync();
            bool kept = File.Exists(Marker(lab));
            TestContext.Current.TestOutputHelper?.WriteLine($"{round}: killed at {seen}; saved memory {(kept ? "is there" : "is not there")}");
            await using RunnerProcess next = Run(lab, PowerWishes.Running, $"{round}-next");
            await next.UntilPhaseAsync(RunnerPhases.Running);
            if (!kept)
            {
                await next.SeesAsync(BootSector.Greeting);
            }

            await ConsoleClient.TypeAsync(next, "p");
            await next.EndsForAsync(TerminationReasons.GuestShutdown);
            (await Machine.RunAsync("qemu-img", "check", lab.Overlay)).ShouldContain("No errors");
        }
    }

    private static async Task<SavedState> SuspendAsync(Lab lab)
    {
        await using RunnerProcess runner = Run(lab, PowerWishes.Running, "suspended");
        await runner.SeesAsync(BootSector.Greeting);
        lab.Wish(PowerWishes.Suspended);
        (TerminationReport report, int exitCode) = await runner.EndAsync();
        (report.Reason, exitCode).ShouldBe((TerminationReasons.Suspended, 0), report.Message);
        SavedState saved = report.SavedState.ShouldNotBeNull();
        saved.ShouldBe(JsonSerializer.Deserialize(await File.ReadAllTextAsync(Marker(lab)), ContractJson.Default.SavedState));
        return saved;
    }

    private static RunnerProcess Run(Lab lab, string wish, string name, Func<RunnerConfig, RunnerConfig>? with = null)
    {
        lab.Wish(wish);
        return lab.Run(with, name, lab.Wishes);
    }

    private static string State(Lab lab) => Path.Combine(lab.Claim, "node_t1.state");

    private static string Marker(Lab lab) => Path.Combine(lab.Claim, "node_t1.state.json");
}
