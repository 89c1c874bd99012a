using System.Globalization;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks that the runner copies by itself from a claim that holds the old installation; whatever else lies there.</summary>
public sealed partial class AdoptTests
{
    private const string OldOverlay = "srv/overlays/node_t1.qcow2";

    private string Old => Path.Combine(_folder, "old");

    private string OldFile => Path.Combine(Old, OldOverlay);

    [Fact]
    public async Task A_disk_on_a_claim_is_copied_and_stays_there_as_it_was()
    {
        await PutOnClaimAsync();
        File.SetUnixFileMode(OldFile, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead);
        (string Content, string Sent, DateTime Written) before = (await ContentAsync(OldFile), Digest(OldFile), File.GetLastWriteTimeUtc(OldFile));
        await using (RunnerProcess runner = StartCopy())
        {
            (TerminationReport report, int exitCode) = await runner.EndAsync();
            report.Reason.ShouldBe(TerminationReasons.Adopted, report.Message);
            exitCode.ShouldBe(0);
        }

        (await ContentAsync(Overlay)).ShouldBe(before.Content);
        Header().BackingName.ShouldBe(Base);
        await Machine.RunAsync("qemu-img", "check", "-q", Overlay);
        Directory.GetFiles(Claim).Select(Path.GetFileName).Order().ShouldBe([".node_t1.lock", "node_t1.json", "node_t1.qcow2"]);
        new FileInfo(Overlay).Length.ShouldBe(new FileInfo(OldFile).Length);
        (Digest(OldFile), File.GetLastWriteTimeUtc(OldFile), File.GetUnixFileMode(OldFile))
            .ShouldBe((before.Sent, before.Written, UnixFileMode.UserRead | UnixFileMode.GroupRead | UnixFileMode.OtherRead));

        await using RunnerProcess second = StartCopy();
        (await second.EndsForAsync(TerminationReasons.Adopted)).ShouldContain("was not touched");
    }

    [Fact]
    public async Task Zeros_of_a_disk_on_a_claim_take_no_room_here()
    {
        await MakeSourceAsync("write -P 0 40M 16M");
        await PutOnClaimAsync();
        await using (RunnerProcess runner = StartCopy())
        {
            await runner.EndsForAsync(TerminationReasons.Adopted);
        }

        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(OldFile));
        (await TakesAsync(Overlay)).ShouldBeLessThan(await TakesAsync(OldFile) - (15L << 20));
    }

    [Fact]
    public async Task Another_file_on_the_claim_is_found_out_and_leaves_nothing()
    {
        await PutOnClaimAsync();
        string announced = Digest(Source);
        await using (FileStream file = File.OpenWrite(OldFile))
        {
            file.Position = file.Length - 1;
            file.WriteByte(0x55);
        }

        await using RunnerProcess runner = StartCopy(announced: announced);
        string message = await runner.EndsForAsync(TerminationReasons.DigestMismatch);
        message.ShouldContain($"{OldOverlay} on the source's claim");
        message.ShouldContain(Digest(OldFile));
        message.ShouldContain(announced);
        NothingIsLeft();
    }

    [Theory]
    [InlineData("srv/overlays/link")]
    [InlineData("srv/folder/secret")]
    public async Task A_link_out_of_the_claim_is_not_followed(string path)
    {
        await PutOnClaimAsync();
        string outside = Directory.CreateDirectory(Path.Combine(_folder, "outside")).FullName;
        File.Copy(Source, Path.Combine(outside, "secret"));
        File.CreateSymbolicLink(Path.Combine(Old, "srv/overlays/link"), Path.Combine(outside, "secret"));
        File.CreateSymbolicLink(Path.Combine(Old, "srv/folder"), "../../outside");
        await using RunnerProcess runner = StartCopy(path: path);
        (await runner.EndsForAsync(TerminationReasons.SourceUnusable)).ShouldContain("leads out of it");
        NothingIsLeft();
    }

    [Theory]
    [InlineData("srv/overlays/pipe", "is no file")]
    [InlineData("srv/overlays/zeros", "is no file")]
    [InlineData("srv/overlays", "is no file")]
    [InlineData("srv/overlays/none.qcow2", "can't be opened")]
    public async Task What_is_no_file_of_the_claim_is_refused_at_once(string path, string words)
    {
        await PutOnClaimAsync();
        await Machine.RunAsync("mkfifo", Path.Combine(Old, "srv/overlays/pipe"));
        if (path.EndsWith("zeros", StringComparison.Ordinal))
        {
            Machine.NeedsRoot("make a device");
            await Machine.RunAsync("mknod", Path.Combine(Old, path), "c", "1", "5");
        }

        await using RunnerProcess runner = StartCopy(path: path);
        string message = await runner.EndsForAsync(TerminationReasons.SourceUnusable);
        message.ShouldContain(words);
        message.ShouldContain("must hold the very folder");
        NothingIsLeft();
    }

    [Theory]
    [InlineData(OldOverlay)]
    [InlineData("srv/overlays")]
    public async Task A_file_that_the_pod_may_not_read_says_how_it_may(string closed)
    {
        Machine.NeedsRoot("give up rights");
        await PutOnClaimAsync();
        File.SetUnixFileMode(Path.Combine(Old, closed), UnixFileMode.None);
        AdoptConfig config = CopyConfig();
        await using RunnerProcess runner = RunnerProcess.Start(Path.Combine(_folder, "pod"), "adopt", Json(config), RunnerProcess.Bound);
        string message = await runner.EndsForAsync(TerminationReasons.SourceUnusable);
        message.ShouldContain("may not be read");
        message.ShouldContain("chmod o+r");
        NothingIsLeft();
    }

    [Fact]
    public async Task A_path_out_of_the_claim_is_no_configuration()
    {
        await using RunnerProcess runner = StartCopy(path: "../source.qcow2");
        (await runner.EndsForAsync(TerminationReasons.InvalidConfiguration)).ShouldContain("file.path");
    }

    [Fact]
    public async Task A_disk_on_a_claim_that_is_too_large_for_its_own_is_refused()
    {
        await PutOnClaimAsync();
        await using RunnerProcess runner = StartCopy(c => c with { ClaimBytes = 1_000_000 });
        (await runner.EndsForAsync(TerminationReasons.NoSpace)).ShouldContain("Make the claim larger");
        NothingIsLeft();
    }

    [Fact]
    public async Task A_full_volume_is_told_and_one_that_has_room_takes_the_disk()
    {
        await PutOnClaimAsync();
        await using SmallClaim small = await SmallClaim.MountAsync(3);
        AdoptConfig config = CopyConfig() with { OverlayPath = Path.Combine(small.Folder, "node_t1.qcow2") };
        await using (RunnerProcess first = StartCopy(_ => config))
        {
            await first.EndsForAsync(TerminationReasons.NoSpace);
        }

        Directory.GetFiles(small.Folder).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
        await small.GrowAsync(64);
        await using RunnerProcess second = StartCopy(_ => config);
        await second.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(config.OverlayPath)).ShouldBe(await ContentAsync(OldFile));
    }

    [Fact]
    public async Task A_runner_that_is_killed_while_it_copies_is_followed_by_one_that_copies_anew()
    {
        await MakeSourceAsync("write -P 0x66 2M 60M");
        await PutOnClaimAsync();
        string copy = Path.Combine(Claim, ".node_t1.qcow2.upload");
        await using (RunnerProcess first = StartCopy())
        {
            while (!File.Exists(copy) && !first.Process.HasExited)
            {
                await Task.Delay(1);
            }

            first.Signal(9);
        }

        File.Exists(Path.Combine(Claim, "node_t1.json")).ShouldBeFalse();
        await using RunnerProcess second = StartCopy();
        await second.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(OldFile));
        Directory.GetFiles(Claim).Length.ShouldBe(3);
    }

    [Fact]
    public async Task What_is_left_of_an_upload_is_no_matter_to_a_copy()
    {
        await PutOnClaimAsync();
        await File.WriteAllBytesAsync(Path.Combine(Claim, ".node_t1.qcow2.upload"), new byte[40 << 20]);
        await using RunnerProcess runner = StartCopy();
        await runner.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(OldFile));
        new FileInfo(Overlay).Length.ShouldBe(new FileInfo(OldFile).Length);
    }

    [Fact]
    public async Task A_hostile_overlay_on_a_claim_is_refused_as_one_that_is_sent()
    {
        await Machine.RunAsync("qemu-img", "rebase", "-u", "-b", "/etc/passwd", "-F", "raw", Source);
        await PutOnClaimAsync();
        await using RunnerProcess runner = StartCopy();
        await runner.EndsForAsync(TerminationReasons.OverlayChainUnexpected);
        NothingIsLeft();
    }

    private async Task PutOnClaimAsync()
    {
        Directory.CreateDirectory(Path.GetDirectoryName(OldFile)!);
        await Machine.RunAsync("cp", "--sparse=never", Source, OldFile);
    }

    private AdoptConfig CopyConfig(string path = OldOverlay) => Config() with { File = new FileSource(Old, path) };

    private RunnerProcess StartCopy(Func<AdoptConfig, AdoptConfig>? with = null, string path = OldOverlay, string? announced = null)
    {
        AdoptConfig config = CopyConfig(path);
        return Start(_ => with is null ? config : with(config), announced);
    }

    private void NothingIsLeft() => Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);

    private static async Task<long> TakesAsync(string path) => 512 * long.Parse((await Machine.RunAsync("stat", "-c", "%b", path)).Trim(), CultureInfo.InvariantCulture);
}
