using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks on a claim that are nobody's there.</summary>
public sealed class StrayTests
{
    [Fact]
    public async Task Disks_of_others_on_the_claim_are_told_and_left_alone_and_kept_ones_are_not_meant()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        string stray = Path.Combine(lab.Claim, "node_other.qcow2");
        byte[] bytes = [1, 2, 3];
        await File.WriteAllBytesAsync(stray, bytes);
        await File.WriteAllBytesAsync(Path.Combine(lab.Claim, "node_other.kept-1.qcow2"), bytes);
        (await ReportAsync(lab, "wipe", config => config with { Wipe = true, DiskRevision = "b" })).Strays.ShouldBe(["node_other.kept-1.qcow2", "node_other.qcow2"]);
        (await File.ReadAllBytesAsync(stray)).ShouldBe(bytes);
        File.Exists(Path.Combine(lab.Claim, "node_t1.kept-1.qcow2")).ShouldBeTrue("its own kept disk is none of them");
        Directory.GetFiles(lab.Claim, "node_other*").ToList().ForEach(File.Delete);
        (await ReportAsync(lab, "clean", config => config)).Strays.ShouldBeNull();
    }

    private static async Task<DiskReport> ReportAsync(Lab lab, string name, Func<RunnerConfig, RunnerConfig> with)
    {
        await using RunnerProcess runner = lab.Run(config => with(config) with { GracePeriodSeconds = 0 }, name);
        await runner.SeesAsync(BootSector.Greeting);
        runner.Signal(15);
        return (await runner.EndAsync()).Report.Disk!;
    }
}
