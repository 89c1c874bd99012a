using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks whose digest is known only after all of their bytes are there.</summary>
public sealed partial class AdoptTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_disk_is_taken_once_it_was_announced(bool copied)
    {
        await using RunnerProcess runner = await BroughtAsync(copied);
        File.Exists(Overlay).ShouldBeFalse();
        Announce(Digest(Source).ToUpperInvariant());
        await runner.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(Source));
        Directory.GetFiles(Claim).Length.ShouldBe(3);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task A_disk_that_proves_to_be_another_than_announced_leaves_nothing(bool copied)
    {
        string announced = new('a', 64);
        await using RunnerProcess runner = await BroughtAsync(copied);
        Announce(announced);
        string message = await runner.EndsForAsync(TerminationReasons.DigestMismatch);
        message.ShouldContain(Digest(Source));
        message.ShouldContain(announced);
        NothingIsLeft();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_is_no_digest_is_no_announcement(bool copied)
    {
        await using RunnerProcess runner = await BroughtAsync(copied);
        Announce("sha256:" + Digest(Source));
        (await runner.EndsForAsync(TerminationReasons.InvalidConfiguration)).ShouldContain("64 hexadecimal digits");
        NothingIsLeft();
    }

    /// <summary>A runner that waits is ended, in order or not: nothing has the disk's name, and the next one takes it.</summary>
    [Theory]
    [InlineData(true, 15)]
    [InlineData(true, 9)]
    [InlineData(false, 15)]
    [InlineData(false, 9)]
    public async Task A_runner_that_ends_before_the_announcement_is_followed_by_one_that_takes_the_disk(bool copied, int signal)
    {
        await using (RunnerProcess first = await BroughtAsync(copied))
        {
            first.Signal(signal);
            if (signal == 15)
            {
                await first.EndsForAsync(TerminationReasons.ImportInterrupted);
            }
        }

        File.Exists(Overlay).ShouldBeFalse();
        File.Exists(Path.Combine(Claim, "node_t1.json")).ShouldBeFalse();
        await using RunnerProcess second = copied ? StartCopy() : Start();
        await second.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(Source));
    }

    /// <summary>A runner that has all of a disk, and waits to hear what it is.</summary>
    private async Task<RunnerProcess> BroughtAsync(bool copied)
    {
        if (copied)
        {
            await PutOnClaimAsync();
        }

        RunnerProcess runner = copied ? StartCopy(announced: "") : Start(announced: "");
        if (!copied)
        {
            Uri url = await UrlAsync(runner);
            await PutAsync(url, 0, await File.ReadAllBytesAsync(Source));
            _ = EndAsync(url);
        }

        long all = new FileInfo(Source).Length;
        await runner.UntilAsync(state => state.ReceivedBytes == all);
        return runner;
    }

    /// <summary>Answered when the disk was judged, or not at all.</summary>
    private static async Task EndAsync(Uri url)
    {
        try
        {
            await FinishAsync(url);
        }
        catch (HttpRequestException)
        {
            // The runner's last word is what the tests look at.
        }
    }
}
