using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A volume that fails under a guest that runs: QEMU's own error injection stands between its disk and the claim's file.</summary>
public sealed class IoErrorTests
{
    [Fact]
    public async Task A_volume_that_fails_pauses_the_guest_which_goes_on_once_it_works_again()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        RunnerState failed = await FailAsync(runner, goesOn: true);
        failed.IoError.ShouldNotBeNull().NoSpace.ShouldBeFalse();
        failed.IoError.Message.ShouldContain("write of disk: Input/output error");

        // The one write that failed is made again: the guest hears of no error.
        (await runner.UntilPhaseAsync(RunnerPhases.Running)).IoError.ShouldBeNull();
        await runner.SeesAsync("......");
        runner.Output.ShouldNotContain("E.");
    }

    [Fact]
    public async Task An_end_that_comes_while_the_volume_fails_says_so()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 1 });
        await FailAsync(runner, goesOn: false);
        runner.Signal(15);

        (await runner.EndsForAsync(TerminationReasons.HostPowerOff)).ShouldContain("its disk had failed (write of disk: Input/output error)");
    }

    /// <summary>Writes of the disk fail: one, or all.</summary>
    private static async Task<RunnerState> FailAsync(RunnerProcess runner, bool goesOn)
    {
        await runner.SeesAsync(BootSector.Greeting);
        using QmpClient monitor = await QmpClient.ConnectAsync(runner);
        await monitor.DoAsync($$"""
            {"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "bad", "image": "disk-file",
              "inject-error": [{"event": "write_aio", "errno": 5, "immediately": false, "once": {{(goesOn ? "true" : "false")}} }]} }
            """.ReplaceLineEndings(" "));
        await monitor.DoAsync("""
            {"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "disk", "file": "bad", "backing": "base",
              "discard": "unmap", "detect-zeroes": "unmap", "l2-cache-size": 8388608}]} }
            """.ReplaceLineEndings(" "));
        await ConsoleClient.TypeAsync(runner, "w");
        return await runner.UntilPhaseAsync(RunnerPhases.Paused);
    }
}
