using System.Diagnostics;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks as they should not be: each ends in its own reason, and is as it was.</summary>
public sealed class DiskTests
{
    [Fact]
    public async Task A_disk_that_is_gone_is_not_made_anew()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        File.Delete(lab.Overlay);
        await using (RunnerProcess runner = lab.Run())
        {
            (await runner.EndsForAsync(TerminationReasons.OverlayMissing)).ShouldContain(lab.Overlay);
        }

        File.Exists(lab.Overlay).ShouldBeFalse();
        File.Delete(lab.Marker);
        await using RunnerProcess expected = lab.Run(config => config with { OverlayExpected = true }, "expected");
        await expected.EndsForAsync(TerminationReasons.OverlayMissing);
    }

    [Fact]
    public async Task A_base_of_another_digest_is_refused()
    {
        using Lab lab = await Lab.MakeAsync();
        string other = new('a', 64);
        await using (RunnerProcess runner = lab.Run(config => config with { BackingSha256 = other }))
        {
            (await runner.EndsForAsync(TerminationReasons.BackingMismatch)).ShouldContain(other);
        }

        // Base and configuration agree, but the overlay was made on something else.
        await lab.RunOnceAsync();
        lab.WriteReport(other);
        await using RunnerProcess later = lab.Run(config => config with { BackingSha256 = other }, "later");
        await later.EndsForAsync(TerminationReasons.BackingMismatch);
    }

    [Fact]
    public async Task A_base_that_is_gone_or_was_never_verified_is_refused()
    {
        using Lab lab = await Lab.MakeAsync();
        string report = Path.Combine(lab.Images, ContractNames.ImageReportFile);
        File.Move(report, report + ".away");
        await using (RunnerProcess runner = lab.Run())
        {
            await runner.EndsForAsync(TerminationReasons.BackingMissing);
        }

        File.Move(report + ".away", report);
        File.Delete(lab.Base);
        await using RunnerProcess without = lab.Run(name: "without");
        (await without.EndsForAsync(TerminationReasons.BackingMissing)).ShouldContain(lab.Base);
        Directory.GetFiles(lab.Claim, "*.qcow2").ShouldBeEmpty();
    }

    [Fact]
    public async Task A_base_in_a_container_image_needs_no_report_beside_it_and_must_have_its_size()
    {
        using Lab lab = await Lab.MakeAsync();
        File.Delete(Path.Combine(lab.Images, ContractNames.ImageReportFile));
        long bytes = new FileInfo(lab.Base).Length;
        await using (RunnerProcess runner = lab.Run(config => config with { BackingFileBytes = bytes + 1 }))
        {
            (await runner.EndsForAsync(TerminationReasons.BackingMismatch)).ShouldContain($"has {bytes} bytes, not {bytes + 1} as when it was verified");
        }

        Directory.GetFiles(lab.Claim, "*.qcow2").ShouldBeEmpty();
        await lab.RunOnceAsync(config => config with { BackingFileBytes = bytes });
        File.Exists(lab.Overlay).ShouldBeTrue();
    }

    [Fact]
    public async Task An_overlay_that_names_another_file_is_refused_and_untouched()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        string secret = Path.Combine(lab.Folder, "secret.qcow2");
        File.Copy(lab.Base, secret);
        await Machine.RunAsync("qemu-img", "rebase", "-u", "-f", "qcow2", "-b", secret, "-F", "qcow2", lab.Overlay);
        await IsRefusedUntouchedAsync(lab, TerminationReasons.OverlayChainUnexpected);
    }

    [Theory]
    [InlineData(100)]            // not even a header
    [InlineData(200_000)]        // without its tables
    public async Task An_overlay_that_was_cut_is_refused_and_untouched(long bytes)
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await using (FileStream file = File.OpenWrite(lab.Overlay))
        {
            file.SetLength(bytes);
        }

        await IsRefusedUntouchedAsync(lab, TerminationReasons.OverlayCorrupt);
    }

    [Fact]
    public async Task An_overlay_that_lost_only_data_is_refused_when_it_had_been_closed_well()
    {
        using Lab lab = await Lab.MakeAsync();
        await using (RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 }))
        {
            await runner.SeesAsync(BootSector.Greeting);
            await ConsoleClient.TypeAsync(runner, "w");
            await runner.SeesAsync("........................................");
            await Lab.StopAsync(runner);
        }

        await using (FileStream file = File.OpenWrite(lab.Overlay))
        {
            file.SetLength(file.Length - 1024 * 1024);
        }

        await IsRefusedUntouchedAsync(lab, TerminationReasons.OverlayCorrupt);
    }

    [Fact]
    public async Task An_overlay_whose_tables_are_overwritten_is_refused_and_untouched()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await using (FileStream file = File.OpenWrite(lab.Overlay))
        {
            // The second cluster holds the table of the reference counts.
            file.Position = 128 * 1024;
            file.Write(Enumerable.Repeat((byte)0x5A, 4096).ToArray());
        }

        await IsRefusedUntouchedAsync(lab, TerminationReasons.OverlayCorrupt);
    }

    [Fact]
    public async Task A_size_below_the_images_is_refused()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { DiskSizeBytes = 512 * 1024 });

        (await runner.EndsForAsync(TerminationReasons.SizeBelowImage)).ShouldContain("1048576");
        File.Exists(lab.Overlay).ShouldBeFalse();
    }

    [Fact]
    public async Task A_disk_grows_with_its_wished_size_and_never_shrinks()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await using (RunnerProcess larger = lab.Run(config => config with { DiskSizeBytes = 512L << 20, GracePeriodSeconds = 0 }))
        {
            (await larger.UntilPhaseAsync(RunnerPhases.Running)).Disk.ShouldNotBeNull().VirtualSizeBytes.ShouldBe(512L << 20);
            await larger.SeesAsync(BootSector.Greeting);
            await Lab.StopAsync(larger);
        }

        await using RunnerProcess smaller = lab.Run(config => config with { DiskSizeBytes = 256L << 20 }, "smaller");
        (await smaller.UntilPhaseAsync(RunnerPhases.Running)).Disk.ShouldNotBeNull().VirtualSizeBytes.ShouldBe(512L << 20);
    }

    [Fact]
    public async Task A_claim_that_is_not_mounted_is_said_to_be_so()
    {
        using Lab lab = await Lab.MakeAsync();
        Directory.Delete(lab.Claim);
        await using RunnerProcess runner = lab.Run();

        await runner.EndsForAsync(TerminationReasons.InvalidConfiguration);
    }

    [Fact]
    public async Task A_second_runner_waits_and_goes_on_when_the_first_ends()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess first = lab.Run(config => config with { GracePeriodSeconds = 0 });
        await first.SeesAsync(BootSector.Greeting);
        await using RunnerProcess second = lab.Run(name: "second");
        await second.UntilPhaseAsync(RunnerPhases.WaitingForLock);

        await Lab.StopAsync(first);
        await second.SeesAsync(BootSector.Greeting);
    }

    [Fact]
    public async Task A_second_runner_gives_up_in_the_end()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess first = lab.Run();
        await first.SeesAsync(BootSector.Greeting);
        await using RunnerProcess second = lab.Run(name: "second", environment: ("SANDLABX_LOCK_SECONDS", "1"));

        await second.EndsForAsync(TerminationReasons.OverlayLocked);
        (await first.UntilPhaseAsync(RunnerPhases.Running)).ShouldNotBeNull();
    }

    [Fact]
    public async Task A_signal_ends_the_wait_for_a_lock()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess first = lab.Run();
        await first.SeesAsync(BootSector.Greeting);
        await using RunnerProcess second = lab.Run(name: "second");
        await second.UntilPhaseAsync(RunnerPhases.WaitingForLock);
        second.Signal(15);

        await second.EndsForAsync(TerminationReasons.HostShutdown);
    }

    [Fact]
    public async Task A_QEMU_that_is_not_the_runners_keeps_the_disk_too()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        using Process stranger = Process.Start(new ProcessStartInfo("qemu-system-x86_64", [
            "-nodefaults", "-display", "none", "-S", "-m", "16", "-monitor", "stdio", "-drive", $"if=none,id=d,format=qcow2,file={lab.Overlay}", "-device", "virtio-blk-pci,drive=d"])
        { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        try
        {
            // The prompt comes when the disk was opened.
            (await stranger.StandardOutput.ReadLineAsync()).ShouldNotBeNull();
            await using RunnerProcess runner = lab.Run(environment: ("SANDLABX_LOCK_SECONDS", "1"));
            await runner.EndsForAsync(TerminationReasons.OverlayLocked);
        }
        finally
        {
            stranger.Kill();
            await stranger.WaitForExitAsync();
        }
    }

    [Fact]
    public async Task A_full_claim_pauses_the_guest_and_room_lets_it_go_on()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 24);
        using Lab lab = await Lab.MakeAsync(claim.Folder);
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        await ConsoleClient.TypeAsync(runner, "w");

        RunnerState full = await runner.UntilPhaseAsync(RunnerPhases.Paused);
        full.IoError.ShouldNotBeNull().NoSpace.ShouldBeTrue();
        runner.Output.ShouldNotContain("E.");

        await claim.GrowAsync(megabytes: 512);
        (await runner.UntilPhaseAsync(RunnerPhases.Running)).IoError.ShouldBeNull();
    }

    [Fact]
    public async Task A_claim_without_any_room_is_said_to_have_none()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 1);
        await using (FileStream filler = File.Create(Path.Combine(claim.Folder, "filler")))
        {
            filler.Write(new byte[(1024 * 1024) - (64 * 1024)]);
        }

        using Lab lab = await Lab.MakeAsync(claim.Folder);
        await using RunnerProcess runner = lab.Run();

        await runner.EndsForAsync(TerminationReasons.NoSpace);
        File.Exists(lab.Overlay).ShouldBeFalse();
    }

    private static async Task IsRefusedUntouchedAsync(Lab lab, string reason)
    {
        byte[] before = await File.ReadAllBytesAsync(lab.Overlay);
        await using RunnerProcess runner = lab.Run(name: "refused");
        (await runner.EndsForAsync(reason)).ShouldContain(lab.Overlay);
        (await File.ReadAllBytesAsync(lab.Overlay)).AsSpan().SequenceEqual(before).ShouldBeTrue();
    }
}
