using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A disk that gives way to a fresh one, and comes back: told apart by the bytes of their files.</summary>
public sealed class WipeTests
{
    [Fact]
    public async Task A_disk_gives_way_is_kept_and_comes_back_as_it_was()
    {
        using Lab lab = await Lab.MakeAsync();
        DiskReport first = await RunAsync(lab, "first", config => config);
        (first.Revision, first.Kept, first.WipedAt).ShouldBe((OverlayMarker.Initial, null, null));
        byte[] initial = await File.ReadAllBytesAsync(lab.Overlay);

        DiskReport wiped = await RunAsync(lab, "wipe", Wipe("b"));
        (wiped.Revision, wiped.Kept!.ShouldHaveSingleItem().Revision).ShouldBe(("b", OverlayMarker.Initial));
        wiped.WipedAt.ShouldNotBeNull();
        (await File.ReadAllBytesAsync(Kept(lab).ShouldHaveSingleItem())).ShouldBe(initial);
        await WriteAsync(lab);
        byte[] second = await File.ReadAllBytesAsync(lab.Overlay);

        // The same asked again, as by an operator that did not hear of it, is done already.
        (await RunAsync(lab, "again", Wipe("b"), run: false)).WipedAt.ShouldBeNull();
        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(second);

        // Its name brings the first one back, and the second is kept in turn.
        DiskReport back = await RunAsync(lab, "back", Wipe(OverlayMarker.Initial), run: false);
        (back.Revision, back.Kept!.ShouldHaveSingleItem().Revision).ShouldBe((OverlayMarker.Initial, "b"));
        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(initial);
        (await File.ReadAllBytesAsync(Kept(lab).ShouldHaveSingleItem())).ShouldBe(second);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(2)]
    public async Task As_many_are_kept_as_is_wished(int keep)
    {
        using Lab lab = await Lab.MakeAsync();
        foreach (string revision in (string[])["a", "b", "c", "d"])
        {
            await RunAsync(lab, revision, config => Wipe(revision)(config) with { KeepWiped = keep, OverlayExpected = false }, run: false);
        }

        Kept(lab).Length.ShouldBe(keep);
        Directory.GetFiles(lab.Claim, "node_t1.kept-*.json").Length.ShouldBe(keep);
        Revision(lab.Marker).ShouldBe("d");
    }

    [Fact]
    public async Task A_wipe_to_another_base_keeps_the_old_disk_on_its_own_and_a_start_with_the_wrong_one_says_what_there_is()
    {
        using Lab lab = await Lab.MakeAsync();
        await RunAsync(lab, "first", config => config);
        byte[] initial = await File.ReadAllBytesAsync(lab.Overlay);
        (string path, string digest) = await lab.SecondBaseAsync();
        RunnerConfig OnSecond(RunnerConfig config) => config with { BackingPath = path, BackingSha256 = digest };
        BackingReport first = new(lab.Config.BackingPath, lab.Config.BackingSha256), second = new(path, digest);

        DiskReport wiped = await RunAsync(lab, "wipe", config => OnSecond(Wipe("b")(config)));
        (wiped.Revision, wiped.Backing, wiped.Kept!.Single().Backing).ShouldBe(("b", second, first));
        (await File.ReadAllBytesAsync(Kept(lab).ShouldHaveSingleItem())).ShouldBe(initial);

        // Nobody heard of it, and a start is made for the first base: refused, unchanged, and told.
        byte[] fresh = await File.ReadAllBytesAsync(lab.Overlay);
        await using (RunnerProcess runner = lab.Run(config => config with { DiskRevision = "c", OverlayExpected = true }, "wrong"))
        {
            TerminationReport end = (await runner.EndAsync()).Report;
            end.Reason.ShouldBe(TerminationReasons.OverlayChainUnexpected);
            DiskReport told = end.Disk!;
            (told.Revision, told.Backing, told.Kept!.Single().Backing).ShouldBe(("b", second, first));
        }

        await using (RunnerProcess runner = lab.Run(config => OnSecond(Wipe(OverlayMarker.Initial)(config)), "restore"))
        {
            TerminationReport end = (await runner.EndAsync()).Report;
            (end.Reason, end.Disk!.Backing).ShouldBe((TerminationReasons.OverlayChainUnexpected, second));
        }

        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(fresh);
        Revision(lab.Marker).ShouldBe("b");

        // A wish that was taken back after it was done: the disk of the wished name is brought back, not its name given to another.
        DiskReport back = await RunAsync(lab, "back", config => config with { DiskRevision = OverlayMarker.Initial, OverlayExpected = true });
        (back.Revision, back.Backing, back.Kept!.Single().Revision).ShouldBe((OverlayMarker.Initial, first, "b"));
        (await File.ReadAllBytesAsync(Kept(lab).Single())).ShouldBe(fresh);
    }

    [Fact]
    public async Task A_fresh_disk_smaller_than_its_new_base_is_refused()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        byte[] disk = await File.ReadAllBytesAsync(lab.Overlay);
        await using (RunnerProcess runner = lab.Run(config => Wipe("b")(config) with { DiskSizeBytes = 512 }))
        {
            await runner.EndsForAsync(TerminationReasons.SizeBelowImage);
        }

        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(disk);
    }

    [Fact]
    public async Task Without_its_base_a_disk_stays()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        byte[] disk = await File.ReadAllBytesAsync(lab.Overlay);
        File.Move(lab.Base, lab.Base + ".away");
        await using (RunnerProcess runner = lab.Run(Wipe("b")))
        {
            await runner.EndsForAsync(TerminationReasons.BackingMissing);
        }

        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(disk);
        Kept(lab).ShouldBeEmpty();
    }

    [Fact]
    public async Task A_damaged_disk_gives_way_and_a_disk_that_is_gone_is_made_anew()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        await File.WriteAllTextAsync(lab.Overlay, "no disk at all");
        await RunAsync(lab, "damaged", Wipe("b"));
        (await File.ReadAllTextAsync(Kept(lab).ShouldHaveSingleItem())).ShouldBe("no disk at all");

        File.Delete(lab.Overlay);
        (await RunAsync(lab, "gone", Wipe("c"))).Revision.ShouldBe("c");
    }

    [Fact]
    public async Task A_disk_that_is_found_is_called_as_its_node_calls_it()
    {
        using Lab lab = await Lab.MakeAsync();
        await lab.RunOnceAsync();
        byte[] disk = await File.ReadAllBytesAsync(lab.Overlay);
        DiskReport found = await RunAsync(lab, "found", config => config with { DiskRevision = "7", OverlayExpected = true }, run: false);
        (found.Revision, found.WipedAt, Revision(lab.Marker)).ShouldBe(("7", null, "7"));
        (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(disk);
    }

    /// <summary>Each of the moments at which a swap can be cut off, made by hand: whoever comes next finishes it, and both disks are whole.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task A_swap_that_was_cut_off_anywhere_is_finished(bool restores)
    {
        for (int done = 0; done <= 4; done++)
        {
            using Lab lab = await Lab.MakeAsync();
            await RunAsync(lab, "first", config => config, run: false);
            await RunAsync(lab, "second", Wipe("b"), run: false);
            string other = restores ? Path.Combine(lab.Claim, "node_t1.kept-1") : Path.Combine(lab.Claim, ".node_t1");
            if (!restores)
            {
                File.Copy(Path.Combine(lab.Claim, "node_t1.kept-1.qcow2"), other + ".qcow2.new");
                await File.WriteAllTextAsync(other + ".json.new", (await File.ReadAllTextAsync(lab.Marker)).Replace("\"b\"", "\"c\"", StringComparison.Ordinal));
            }

            byte[] leaves = await File.ReadAllBytesAsync(lab.Overlay);
            string suffix = restores ? "" : ".new";
            byte[] comes = await File.ReadAllBytesAsync(other + ".qcow2" + suffix);
            await File.WriteAllTextAsync(
                Path.Combine(lab.Claim, ".node_t1.swap.json"), JsonSerializer.Serialize(new DiskSwap(2, restores ? 1 : null), ContractJson.Default.DiskSwap));
            (string From, string To)[] steps =
            [
                (lab.Overlay, Path.Combine(lab.Claim, "node_t1.kept-2.qcow2")), (lab.Marker, Path.Combine(lab.Claim, "node_t1.kept-2.json")),
                (other + ".qcow2" + suffix, lab.Overlay), (other + ".json" + suffix, lab.Marker),
            ];
            foreach ((string from, string to) in steps[..done])
            {
                File.Move(from, to);
            }

            string now = restores ? OverlayMarker.Initial : "c";
            DiskReport report = await RunAsync(lab, "next", config => Wipe(now)(config) with { KeepWiped = 5 }, run: false);
            report.Revision.ShouldBe(now, $"after {done} steps");
            (await File.ReadAllBytesAsync(lab.Overlay)).ShouldBe(comes);
            (await File.ReadAllBytesAsync(Path.Combine(lab.Claim, "node_t1.kept-2.qcow2"))).ShouldBe(leaves);
            Revision(Path.Combine(lab.Claim, "node_t1.kept-2.json")).ShouldBe("b");
            Directory.GetFiles(lab.Claim, ".node_t1.*").Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
        }
    }

    /// <summary>Starts a guest, and ends it, its plug pulled; what its disk was said to be.</summary>
    private static async Task<DiskReport> RunAsync(Lab lab, string name, Func<RunnerConfig, RunnerConfig> with, bool run = true)
    {
        // Paused from the first, where the disk's bytes are to be compared.
        lab.Wish(run ? PowerWishes.Running : PowerWishes.Paused);
        await using RunnerProcess runner = lab.Run(config => with(config) with { GracePeriodSeconds = 0 }, name, lab.Wishes);
        RunnerState state = await runner.UntilPhaseAsync(run ? RunnerPhases.Running : RunnerPhases.Paused);
        if (run)
        {
            await runner.SeesAsync(BootSector.Greeting);
        }

        await Lab.StopAsync(runner);
        return state.Disk!;
    }

    /// <summary>The guest writes to its disk.</summary>
    private static async Task WriteAsync(Lab lab)
    {
        lab.Wish(PowerWishes.Running);
        await using RunnerProcess runner = lab.Run(config => config with { GracePeriodSeconds = 0 }, "writes", lab.Wishes);
        await runner.SeesAsync(BootSector.Greeting);
        await ConsoleClient.TypeAsync(runner, "w");
        await runner.SeesAsync("....");
        await Lab.StopAsync(runner);
    }

    private static Func<RunnerConfig, RunnerConfig> Wipe(string revision) => config => config with { DiskRevision = revision, Wipe = true, OverlayExpected = true };

    private static string[] Kept(Lab lab) => Directory.GetFiles(lab.Claim, "node_t1.kept-*.qcow2");

    private static string Revision(string marker) => JsonSerializer.Deserialize(File.ReadAllText(marker), ContractJson.Default.OverlayMarker)!.Revision;
}
