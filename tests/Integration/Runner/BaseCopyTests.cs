using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A base image that is copied beside its overlay.</summary>
public sealed class BaseCopyTests
{
    [Fact]
    public async Task The_base_is_copied_once_and_its_source_is_needed_no_more()
    {
        using Lab lab = await Lab.MakeAsync();
        string folder = Copied(lab), copy = Path.Combine(folder, ContractNames.ImageFile);
        await RunAsync(lab, "first", Copy(lab), 0);
        (await File.ReadAllBytesAsync(copy)).ShouldBe(await File.ReadAllBytesAsync(lab.Base));
        Directory.Exists(Path.Combine(lab.Claim, $".{Path.GetFileName(folder)}.new")).ShouldBeFalse();
        DateTime made = File.GetLastWriteTimeUtc(copy);

        Directory.Move(lab.Images, lab.Images + ".away");
        await RunAsync(lab, "second", config => Copy(lab)(config) with { OverlayExpected = true, BackingCopyFrom = null }, 0);
        await RunAsync(lab, "unheard", config => Copy(lab)(config) with { OverlayExpected = true }, 0);
        File.GetLastWriteTimeUtc(copy).ShouldBe(made);
    }

    [Fact]
    public async Task A_copy_that_was_cut_off_is_made_anew_and_a_source_that_is_not_the_image_is_refused()
    {
        using Lab lab = await Lab.MakeAsync();
        string draft = Path.Combine(lab.Claim, $".{Path.GetFileName(Copied(lab))}.new");
        Directory.CreateDirectory(draft);
        await File.WriteAllTextAsync(Path.Combine(draft, ContractNames.ImageFile), "half");
        lab.WriteReport(new string('0', 64));
        await using (RunnerProcess runner = lab.Run(Copy(lab), "wrong"))
        {
            (await runner.EndsForAsync(TerminationReasons.BackingMismatch)).ShouldContain(lab.Base);
        }

        Directory.Exists(Copied(lab)).ShouldBeFalse();
        lab.WriteReport(lab.Config.BackingSha256);
        await RunAsync(lab, "right", Copy(lab), 0);
        Directory.Exists(draft).ShouldBeFalse();
    }

    [Fact]
    public async Task A_copy_goes_once_no_disk_stands_on_it_and_not_before()
    {
        using Lab lab = await Lab.MakeAsync();
        await RunAsync(lab, "first", Copy(lab), 0);
        (string path, string digest) = await lab.SecondBaseAsync();
        RunnerConfig Second(RunnerConfig config, string revision, int keep) =>
            config with { BackingPath = path, BackingSha256 = digest, DiskRevision = revision, Wipe = true, OverlayExpected = true, KeepWiped = keep };

        await RunAsync(lab, "kept", config => Second(config, "b", 1), 1);
        Directory.Exists(Copied(lab)).ShouldBeTrue("the kept disk stands on it");

        // Of a disk that can't be read nobody knows what it stands on.
        string torn = Path.Combine(lab.Claim, "node_other.qcow2");
        await File.WriteAllTextAsync(torn, "torn");
        await RunAsync(lab, "torn", config => Second(config, "b", 0), 0);
        Directory.Exists(Copied(lab)).ShouldBeTrue();
        File.Delete(torn);
        await RunAsync(lab, "gone", config => Second(config, "b", 0), 0);
        Directory.Exists(Copied(lab)).ShouldBeFalse();
    }

    [Fact]
    public async Task Without_room_for_it_nothing_is_made_and_the_way_out_is_told()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 1);
        using Lab lab = await Lab.MakeAsync(claim.Folder);
        await File.WriteAllBytesAsync(Path.Combine(claim.Folder, "ballast"), new byte[new DriveInfo(claim.Folder).AvailableFreeSpace - (32 << 10)]);
        await using (RunnerProcess runner = lab.Run(Copy(lab)))
        {
            (await runner.EndsForAsync(TerminationReasons.NoSpace)).ShouldContain("spec.disk.size");
        }

        Directory.GetFileSystemEntries(claim.Folder).Select(Path.GetFileName).ShouldNotContain(name => name!.Contains("base-", StringComparison.Ordinal) || name.EndsWith(".qcow2", StringComparison.Ordinal));
    }

    private static string Copied(Lab lab) => Path.Combine(lab.Claim, ContractNames.BaseCopyPrefix + lab.Config.BackingSha256[..12]);

    private static Func<RunnerConfig, RunnerConfig> Copy(Lab lab) => config => config with { BackingCopyFrom = lab.Base, BackingPath = Path.Combine(Copied(lab), ContractNames.ImageFile) };

    private static async Task RunAsync(Lab lab, string name, Func<RunnerConfig, RunnerConfig> with, int kept)
    {
        await using RunnerProcess runner = lab.Run(config => with(config) with { GracePeriodSeconds = 0 }, name);
        ((await runner.UntilPhaseAsync(RunnerPhases.Running)).Disk!.Kept?.Count ?? 0).ShouldBe(kept);
        await runner.SeesAsync(BootSector.Greeting);
        await Lab.StopAsync(runner);
    }
}
