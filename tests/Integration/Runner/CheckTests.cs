using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks that are checked in full, and damaged ones that are repaired: on a copy, and only as wished.</summary>
public sealed class CheckTests
{
    private const string Dots = "........................................";

    [Fact]
    public async Task A_check_alone_starts_no_guest_changes_nothing_and_tells_what_it_found()
    {
        using Lab lab = await WrittenAsync();
        byte[] disk = await File.ReadAllBytesAsync(lab.Overlay);
        TerminationReport clean = await CheckAsync(lab, "clean", config => config with { FullCheck = "one", DiskRevision = "other", DiskSizeBytes = 1L << 30 });
        clean.Check.ShouldNotBeNull().Result.ShouldBe(DiskCheckResults.Clean, clean.Message);
        (clean.Check.Kind, clean.Check.Revision, clean.Check.Leaks, clean.Check.Corruptions).ShouldBe((DiskCheckKinds.Full, "one", 0, 0));
        clean.Disk.ShouldNotBeNull().Revision.ShouldBe(OverlayMarker.Initial);
        (clean.QemuExitCode, clean.Accelerator).ShouldBe((null, null));
        await IsAsync(lab.Overlay, disk);

        Damage.Leak(lab.Overlay);
        byte[] leaky = await File.ReadAllBytesAsync(lab.Overlay);
        TerminationReport leaks = await CheckAsync(lab, "leaks", config => config);
        (leaks.Check!.Result, leaks.Check.Leaks).ShouldBe((DiskCheckResults.Leaks, 1));
        await IsAsync(lab.Overlay, leaky);

        Damage.LoseRefcounts(lab.Overlay);
        byte[] damaged = await File.ReadAllBytesAsync(lab.Overlay);
        await using (RunnerProcess runner = lab.Run(config => config with { CheckOnly = true }, "corrupt"))
        {
            TerminationReport corrupt = (await runner.EndAsync()).Report;
            (corrupt.Reason, corrupt.Check!.Result).ShouldBe((TerminationReasons.OverlayCorrupt, DiskCheckResults.Corrupt));
            corrupt.Check.Corruptions.ShouldBeGreaterThan(0);
            corrupt.Check.Message.ShouldContain("spec.disk.repair");
        }

        await IsAsync(lab.Overlay, damaged);
        Kept(lab).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_check_before_a_start_tells_what_it_found()
    {
        using Lab lab = await Lab.MakeAsync();
        (await StartAsync(lab, "first", config => config)).Check!.Kind.ShouldBe(DiskCheckKinds.New);
        DiskCheckReport quick = (await StartAsync(lab, "quick", config => config)).Check!;
        (quick.Kind, quick.Result, quick.Revision).ShouldBe((DiskCheckKinds.Quick, DiskCheckResults.Clean, null));
        DiskCheckReport full = (await StartAsync(lab, "full", config => config with { FullCheck = "" })).Check!;
        (full.Kind, full.Result, full.Revision).ShouldBe((DiskCheckKinds.Full, DiskCheckResults.Clean, ""));

        // Leaks keep no guest from running, and no start waits for their repair unless a full check was asked for.
        Damage.Leak(lab.Overlay);
        RunnerState leaks = await StartAsync(lab, "leaks", config => config with { Repair = DiskRepairs.All });
        (leaks.Check!.Result, leaks.Disk!.Kept).ShouldBe((DiskCheckResults.Leaks, null));
        RunnerState repaired = await StartAsync(lab, "repaired", config => config with { Repair = DiskRepairs.Leaks, FullCheck = "leaks" });
        repaired.Check!.Result.ShouldBe(DiskCheckResults.Repaired, repaired.Check.Message);
        repaired.Disk!.Kept.ShouldNotBeNull().ShouldHaveSingleItem().Damaged.ShouldBeTrue();
        (await StartAsync(lab, "after", config => config with { FullCheck = "" })).Check!.Result.ShouldBe(DiskCheckResults.Clean);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_damaged_disk_is_repaired_only_as_wished_on_a_copy_and_is_kept_as_it_was(bool checkOnly)
    {
        using Lab lab = await WrittenAsync();
        string before = Path.Combine(lab.Folder, "before.qcow2");
        File.Copy(lab.Overlay, before);
        Damage.LoseRefcounts(lab.Overlay);
        byte[] damaged = await File.ReadAllBytesAsync(lab.Overlay);
        foreach (string? repair in (string?[])[null, DiskRepairs.Leaks])
        {
            await using RunnerProcess refused = lab.Run(config => config with { Repair = repair, CheckOnly = checkOnly }, $"refused-{repair}");
            await refused.EndsForAsync(TerminationReasons.OverlayCorrupt);
            await IsAsync(lab.Overlay, damaged);
        }

        if (checkOnly)
        {
            await CheckAsync(lab, "repairs", config => config with { Repair = DiskRepairs.All });
        }

        RunnerState state = await StartAsync(lab, "runs", config => config with { Repair = DiskRepairs.All });
        state.Check!.Result.ShouldBe(checkOnly ? DiskCheckResults.Clean : DiskCheckResults.Repaired, state.Check.Message);
        KeptDisk kept = state.Disk!.Kept.ShouldNotBeNull().ShouldHaveSingleItem();
        (kept.Revision, kept.Damaged, state.Disk.Revision).ShouldBe(("initial.damaged-1", true, OverlayMarker.Initial));
        await IsAsync(Kept(lab).ShouldHaveSingleItem(), damaged);
        await Machine.RunAsync("qemu-img", "compare", "-f", "qcow2", "-F", "qcow2", before, lab.Overlay);
        Directory.GetFiles(lab.Claim, ".node_t1.*").Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);

        // Its name brings the damaged one back, as it was, and it is refused as before; the repaired one's name brings that one back.
        await using (RunnerProcess back = lab.Run(config => config with { DiskRevision = kept.Revision, Wipe = true, OverlayExpected = true }, "back"))
        {
            await back.EndsForAsync(TerminationReasons.OverlayCorrupt);
        }

        await IsAsync(lab.Overlay, damaged);
        RunnerState again = await StartAsync(lab, "again", config => config with { DiskRevision = OverlayMarker.Initial, Wipe = true, OverlayExpected = true });
        again.Disk!.Revision.ShouldBe(OverlayMarker.Initial);
    }

    [Theory]
    [InlineData(100)]            // not even a header
    [InlineData(200_000)]        // without its tables
    public async Task What_can_not_be_repaired_is_left_as_it_was_and_said_to_be_so(long bytes)
    {
        using Lab lab = await WrittenAsync();
        await using (FileStream file = File.OpenWrite(lab.Overlay))
        {
            file.SetLength(bytes);
        }

        byte[] damaged = await File.ReadAllBytesAsync(lab.Overlay);
        await using RunnerProcess runner = lab.Run(config => config with { Repair = DiskRepairs.All }, "refused");
        string message = await runner.EndsForAsync(TerminationReasons.OverlayCorrupt);
        message.ShouldContain(bytes == 100 ? "can't be repaired" : "was tried and changed nothing");
        await IsAsync(lab.Overlay, damaged);
        Directory.GetFiles(lab.Claim).Select(Path.GetFileName).Order(StringComparer.Ordinal).ShouldBe([".node_t1.lock", "node_t1.json", "node_t1.qcow2"]);
    }

    [Fact]
    public async Task Without_room_for_the_copy_nothing_is_changed()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 24);
        using Lab lab = await WrittenAsync(claim.Folder, untilFull: true);
        Damage.LoseRefcounts(lab.Overlay);
        byte[] damaged = await File.ReadAllBytesAsync(lab.Overlay);
        await using (RunnerProcess runner = lab.Run(config => config with { Repair = DiskRepairs.All }, "refused"))
        {
            TerminationReport report = (await runner.EndAsync()).Report;
            report.Reason.ShouldBe(TerminationReasons.NoSpace, report.Message);
            report.Message.ShouldContain("no room for a copy");
            report.Check!.Result.ShouldBe(DiskCheckResults.Corrupt);
        }

        await IsAsync(lab.Overlay, damaged);
        Directory.GetFiles(lab.Claim, "*.new").ShouldBeEmpty();
        await claim.GrowAsync(megabytes: 128);
        (await StartAsync(lab, "room", config => config with { Repair = DiskRepairs.All })).Check!.Result.ShouldBe(DiskCheckResults.Repaired);
    }

    [Fact]
    public async Task Damaged_disks_are_kept_beside_those_that_gave_way_and_as_many_as_is_wished()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await StartAsync(lab, "wipe", config => config with { DiskRevision = "b", Wipe = true, OverlayExpected = true });
        for (int i = 0; i < 2; i++)
        {
            Damage.LoseRefcounts(lab.Overlay);
            await StartAsync(lab, $"repair-{i}", config => config with { Repair = DiskRepairs.All, KeepDamaged = 0 });
        }

        // The start that repaired kept the second in any case; the first had gone by then, as was wished.
        Revisions(await StartAsync(lab, "one", config => config with { KeepDamaged = 1 })).ShouldBe(["b.damaged-2", OverlayMarker.Initial]);
        Revisions(await StartAsync(lab, "none", config => config with { KeepDamaged = 0 })).ShouldBe([OverlayMarker.Initial]);
    }

    /// <summary>Each of the moments at which the repaired copy's taking the disk's place can be cut off, made by hand: whoever comes next finishes it.</summary>
    [Fact]
    public async Task A_repair_that_was_cut_off_anywhere_is_finished_or_leaves_the_disk_as_it_was()
    {
        for (int done = -1; done <= 5; done++)
        {
            using Lab lab = await Lab.MakeAsync();
            await lab.RunOnceAsync();
            byte[] whole = await File.ReadAllBytesAsync(lab.Overlay);
            Damage.LoseRefcounts(lab.Overlay);
            byte[] damaged = await File.ReadAllBytesAsync(lab.Overlay);
            string kept = Path.Combine(lab.Claim, "node_t1.kept-1.qcow2");
            string keptMarker = Path.ChangeExtension(kept, ".json");
            string marker = await File.ReadAllTextAsync(lab.Marker);
            await File.WriteAllBytesAsync(Path.Combine(lab.Claim, ".node_t1.qcow2.new"), done < 0 ? whole[..^4096] : whole);
            if (done < 0)
            {
                // The copy was not even ready.
                await using RunnerProcess refused = lab.Run(name: "refused");
                await refused.EndsForAsync(TerminationReasons.OverlayCorrupt);
                await IsAsync(lab.Overlay, damaged);
                Directory.GetFiles(lab.Claim, "*.new").ShouldBeEmpty();
                continue;
            }

            await File.WriteAllTextAsync(Path.Combine(lab.Claim, ".node_t1.json.new"), marker);
            await File.WriteAllTextAsync(
                Path.Combine(lab.Claim, ".node_t1.swap.json"), JsonSerializer.Serialize(new DiskSwap(1, null) { DamagedAs = "initial.damaged-1" }, ContractJson.Default.DiskSwap));
            Action[] steps =
            [
                () => File.Move(lab.Overlay, kept), () => File.Move(lab.Marker, keptMarker),
                () => File.WriteAllText(keptMarker, JsonSerializer.Serialize(
                    JsonSerializer.Deserialize(marker, ContractJson.Default.OverlayMarker)! with { Revision = "initial.damaged-1", Damaged = true }, ContractJson.Default.OverlayMarker)),
                () => File.Move(Path.Combine(lab.Claim, ".node_t1.qcow2.new"), lab.Overlay), () => File.Move(Path.Combine(lab.Claim, ".node_t1.json.new"), lab.Marker),
            ];
            steps[..done].ToList().ForEach(step => step());
            TerminationReport report = await CheckAsync(lab, "next", config => config);
            report.Check!.Result.ShouldBe(DiskCheckResults.Clean, $"after {done} steps");
            (report.Disk!.Revision, report.Disk.Kept!.ShouldHaveSingleItem().Revision, report.Disk.Kept![0].Damaged).ShouldBe((OverlayMarker.Initial, "initial.damaged-1", true), $"after {done} steps");
            await IsAsync(lab.Overlay, whole);
            await IsAsync(kept, damaged);
            Directory.GetFiles(lab.Claim, ".node_t1.*").Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
        }
    }

    [Fact]
    public async Task A_disk_in_use_is_waited_for_and_a_disk_that_is_gone_is_not_made_for_a_check()
    {
        using Lab lab = await Lab.MakeAsync();
        await using (RunnerProcess guest = lab.Run(config => config with { GracePeriodSeconds = 0 }))
        {
            await guest.SeesAsync(BootSector.Greeting);
            await using RunnerProcess check = lab.Run(config => config with { CheckOnly = true }, "waits");
            await check.UntilPhaseAsync(RunnerPhases.WaitingForLock);
            await Lab.StopAsync(guest);
            await check.EndsForAsync(TerminationReasons.Checked);
        }

        File.Delete(lab.Overlay);
        await using RunnerProcess gone = lab.Run(config => config with { CheckOnly = true }, "gone");
        await gone.EndsForAsync(TerminationReasons.OverlayMissing);
        File.Exists(lab.Overlay).ShouldBeFalse();
    }

    [Fact]
    public async Task Damage_that_QEMU_comes_upon_ends_the_guest_and_is_told()
    {
        using Lab lab = await Lab.MakeAsync();
        await using (RunnerProcess runner = lab.Run())
        {
            await runner.SeesAsync(BootSector.Greeting);
            Damage.LoseRefcounts(lab.Overlay);

            // Each cluster counts as free now, the header's first of all: QEMU is about to write over it, and notices.
            await ConsoleClient.TypeAsync(runner, "w");
            TerminationReport report = (await runner.EndAsync()).Report;
            report.Reason.ShouldBe(TerminationReasons.OverlayCorrupt, report.Message);
            (report.Check!.Kind, report.Check.Result).ShouldBe((DiskCheckKinds.Live, DiskCheckResults.Corrupt));
            report.Console.ShouldNotBeNull().ShouldContain(BootSector.Greeting);
        }

        await using (RunnerProcess next = lab.Run(name: "next"))
        {
            (await next.EndsForAsync(TerminationReasons.OverlayCorrupt)).ShouldContain("marked corrupt");
        }

        (await StartAsync(lab, "repaired", config => config with { Repair = DiskRepairs.All })).Check!.Result.ShouldBe(DiskCheckResults.Repaired);
    }

    /// <summary>A disk that its guest has written to, and that was closed well.</summary>
    private static async Task<Lab> WrittenAsync(string? claim = null, bool untilFull = false)
    {
        Lab lab = await Lab.MakeAsync(claim);
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 }, "writes");
        await runner.SeesAsync(BootSector.Greeting);
        await ConsoleClient.TypeAsync(runner, "w");
        if (untilFull)
        {
            await runner.UntilPhaseAsync(RunnerPhases.Paused);
        }
        else
        {
            await runner.SeesAsync(Dots);
        }

        await Lab.StopAsync(runner);
        return lab;
    }

    private static async Task<TerminationReport> CheckAsync(Lab lab, string name, Func<RunnerConfig, RunnerConfig> with)
    {
        await using RunnerProcess runner = lab.Run(config => with(config) with { CheckOnly = true }, name);
        (TerminationReport report, int exitCode) = await runner.EndAsync();
        (report.Reason, exitCode).ShouldBe((TerminationReasons.Checked, 0), report.Message);
        return report;
    }

    /// <summary>Starts a guest that stands from the first, so that it writes nothing, and ends it; what was said of it.</summary>
    private static async Task<RunnerState> StartAsync(Lab lab, string name, Func<RunnerConfig, RunnerConfig> with)
    {
        lab.Wish(PowerWishes.Paused);
        await using RunnerProcess runner = lab.Run(config => with(config) with { GracePeriodSeconds = 0 }, name, lab.Wishes);
        RunnerState state = await runner.UntilPhaseAsync(RunnerPhases.Paused);
        await Lab.StopAsync(runner);
        return state;
    }

    private static async Task IsAsync(string file, byte[] bytes) => (await File.ReadAllBytesAsync(file)).AsSpan().SequenceEqual(bytes).ShouldBeTrue($"the bytes of {file}");

    private static string[] Kept(Lab lab) => Directory.GetFiles(lab.Claim, "node_t1.kept-*.qcow2");

    private static IEnumerable<string> Revisions(RunnerState state) => (state.Disk!.Kept ?? []).Select(kept => kept.Revision);
}
