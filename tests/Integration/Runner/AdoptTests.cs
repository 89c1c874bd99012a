using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Disks of the Compose platform, received by a real runner: each is proved to be what it was, or refused, and never half there.</summary>
public sealed partial class AdoptTests : IAsyncLifetime
{
    private const string OldBase = "/images/debian-13.qcow2";
    private const long Size = 64L << 20;

    private static readonly HttpClient s_http = new();

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-adopt-").FullName;

    private string Claim => Path.Combine(_folder, "claim");

    private string Wishes => Path.Combine(_folder, "wishes");

    private string Overlay => Path.Combine(Claim, "node_t1.qcow2");

    private string Base => Path.Combine(_folder, "images", "disk.qcow2");

    private string Source => Path.Combine(_folder, "source.qcow2");

    public async ValueTask InitializeAsync()
    {
        Machine.NeedsQemu();
        Directory.CreateDirectory(Claim);
        Directory.CreateDirectory(Path.GetDirectoryName(Base)!);
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Base, Bytes(Size));
        await WriteAsync(Base, "write -P 0x11 0 8M", "write -P 0x12 30M 1M");
        File.WriteAllText(
            Path.Combine(Path.GetDirectoryName(Base)!, ContractNames.ImageReportFile),
            JsonSerializer.Serialize(new ImageReport(Digest(Base), "qcow2", Size, new FileInfo(Base).Length), ContractJson.Default.ImageReport));
        await MakeSourceAsync();
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task A_disk_is_adopted_reads_as_it_did_and_has_its_marker()
    {
        string before = await ContentAsync(Source);
        string sent = Digest(Source);
        DateTimeOffset made = new(2025, 10, 20, 13, 0, 0, TimeSpan.Zero);
        await using (RunnerProcess runner = Start(c => c with { CreatedAt = made }))
        {
            await SendAsync(runner);
            (TerminationReport report, int exitCode) = await runner.EndAsync();
            report.Reason.ShouldBe(TerminationReasons.Adopted, report.Message);
            exitCode.ShouldBe(0);
            report.Disk!.VirtualSizeBytes.ShouldBe(Size);
        }

        Digest(Source).ShouldBe(sent);
        Qcow2Header header = Header();
        (header.BackingName, header.BackingFormat, header.VirtualSizeBytes).ShouldBe((Base, "qcow2", Size));
        (await ContentAsync(Overlay)).ShouldBe(before);
        await Machine.RunAsync("qemu-img", "check", "-q", Overlay);
        JsonSerializer.Deserialize(await File.ReadAllBytesAsync(Path.Combine(Claim, "node_t1.json")), ContractJson.Default.OverlayMarker)
            .ShouldBe(new OverlayMarker("t1", "labs/web", Base, Digest(Base), made));
        Directory.GetFiles(Claim).Select(Path.GetFileName).Order().ShouldBe([".node_t1.lock", "node_t1.json", "node_t1.qcow2"]);
        new FileInfo(Overlay).Length.ShouldBe(new FileInfo(Source).Length);
    }

    [Fact]
    public async Task A_disk_that_is_there_is_never_touched()
    {
        await AdoptAsync();
        byte[] there = await File.ReadAllBytesAsync(Overlay);
        DateTime written = File.GetLastWriteTimeUtc(Overlay);
        await MakeSourceAsync("write -P 0x99 0 1M");
        await using RunnerProcess second = Start();
        (await second.EndsForAsync(TerminationReasons.Adopted)).ShouldContain("was not touched");
        (await File.ReadAllBytesAsync(Overlay)).SequenceEqual(there).ShouldBeTrue();
        File.GetLastWriteTimeUtc(Overlay).ShouldBe(written);
    }

    [Fact]
    public async Task A_runner_that_is_killed_while_it_receives_is_followed_by_one_that_goes_on()
    {
        byte[] bytes = await File.ReadAllBytesAsync(Source);
        await using (RunnerProcess first = Start())
        {
            await PutAsync(await UrlAsync(first), 0, bytes.AsMemory(0, 1_000_000));
            first.Signal(9);
        }

        File.Exists(Overlay).ShouldBeFalse();
        await using RunnerProcess second = Start();
        Uri url = await UrlAsync(second);
        using HttpResponseMessage answer = await s_http.GetAsync(new Uri(url, ContractNames.UploadPath));
        JsonSerializer.Deserialize(await answer.Content.ReadAsStringAsync(), ContractJson.Default.UploadReport)!.Received.ShouldBe(1_000_000);
        await PutAsync(url, 1_000_000, bytes.AsMemory(1_000_000));
        await FinishAsync(url);
        await second.EndsForAsync(TerminationReasons.Adopted);
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(Source));
    }

    /// <summary>Whatever is left by one that was cut off at its last steps: the next one gets the disk, whole.</summary>
    [Theory]
    [InlineData(".node_t1.qcow2.new")]
    [InlineData(".node_t1.qcow2.changes")]
    [InlineData(".node_t1.json.new")]
    public async Task What_an_interrupted_adoption_leaves_is_no_matter(string leftover)
    {
        await File.WriteAllTextAsync(Path.Combine(Claim, leftover), "half");
        await AdoptAsync();
        (await ContentAsync(Overlay)).ShouldBe(await ContentAsync(Source));
        Directory.GetFiles(Claim).Length.ShouldBe(3);
    }

    [Fact]
    public async Task An_overlay_that_only_lacked_its_markers_name_gets_it()
    {
        await AdoptAsync();
        File.Move(Path.Combine(Claim, "node_t1.json"), Path.Combine(Claim, ".node_t1.json.new"));
        await using RunnerProcess second = Start();
        await second.EndsForAsync(TerminationReasons.Adopted);
        File.Exists(Path.Combine(Claim, "node_t1.json")).ShouldBeTrue();
    }

    [Fact]
    public async Task A_dirty_overlay_is_repaired_in_the_copy_alone()
    {
        File.Delete(Source);
        await Machine.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-o", "lazy_refcounts=on", "-b", Base, "-F", "qcow2", Source, Bytes(Size));
        await CrashAsync(Source, "write -P 0x22 1M 30M", "flush", "write -P 0x44 40M 3M", "flush");
        await Machine.RunAsync("qemu-img", "rebase", "-u", "-b", OldBase, "-F", "qcow2", Source);
        if (!Qcow2Header.Parse(Qcow2Header.ReadStart(Source))!.Dirty)
        {
            // The rebase opened it, and repaired it.
            SetDirty(Source);
        }

        string before = await ContentAsync(Source);
        string sent = Digest(Source);
        await AdoptAsync();
        Header().Dirty.ShouldBeFalse();
        await Machine.RunAsync("qemu-img", "check", "-q", Overlay);
        (await ContentAsync(Overlay)).ShouldBe(before);
        Digest(Source).ShouldBe(sent);
    }

    [Fact]
    public async Task Bytes_that_are_others_than_announced_are_refused_and_leave_nothing()
    {
        await using RunnerProcess runner = Start(announced: new string('0', 64));
        await SendAsync(runner);
        (await runner.EndsForAsync(TerminationReasons.DigestMismatch)).ShouldContain(Digest(Source));
        Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
    }

    [Fact]
    public async Task Without_room_it_says_so_and_what_to_do()
    {
        await using RunnerProcess runner = Start(c => c with { ClaimBytes = 100_000 });
        await SendAsync(runner);
        (await runner.EndsForAsync(TerminationReasons.NoSpace)).ShouldContain("claim");
        File.Exists(Overlay).ShouldBeFalse();
    }

    [Fact]
    public async Task A_base_of_another_digest_is_refused_before_anything_is_received()
    {
        await using RunnerProcess runner = Start(c => c with { BackingSha256 = new string('1', 64) });
        await runner.EndsForAsync(TerminationReasons.BackingMismatch);
        Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
    }

    [Theory]
    [InlineData("backing", TerminationReasons.OverlayChainUnexpected)]
    [InlineData("none", TerminationReasons.OverlayChainUnexpected)]
    [InlineData("data file", TerminationReasons.OverlayChainUnexpected)]
    [InlineData("size", TerminationReasons.OverlayChainUnexpected)]
    [InlineData("no qcow2", TerminationReasons.OverlayCorrupt)]
    [InlineData("broken tables", TerminationReasons.OverlayCorrupt)]
    public async Task A_hostile_overlay_is_refused_and_no_file_of_the_pod_is_opened_for_it(string what, string reason)
    {
        string secret = Path.Combine(_folder, "secret");
        await File.WriteAllBytesAsync(secret, new byte[Size]);
        switch (what)
        {
            case "backing":
                await Machine.RunAsync("qemu-img", "rebase", "-u", "-b", secret, "-F", "raw", Source);
                break;
            case "none":
                await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Source, Bytes(Size));
                break;
            case "data file":
                await Machine.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", OldBase, "-F", "qcow2", "-o", $"data_file={secret}", Source, Bytes(Size));
                break;
            case "size":
                await Machine.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", OldBase, "-F", "qcow2", Source, Bytes(Size * 4));
                break;
            case "no qcow2":
                await File.WriteAllBytesAsync(Source, new byte[100_000]);
                break;
            default:
                await BreakTablesAsync();
                break;
        }

        await using RunnerProcess runner = Start();
        await SendAsync(runner);
        await runner.EndsForAsync(reason);
        Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
    }

    /// <summary>What never happens with a qemu-img that works: here one changes a sector of the copy.</summary>
    [Fact]
    public async Task A_copy_that_does_not_read_as_the_original_is_not_taken()
    {
        string sent = Digest(Source);
        (string, string) faulty = await Machine.StandInAsync(
            _folder, "qemu-img", "qemu-img \"$@\" || exit\n[ \"$1\" = rebase ] || exit 0\nfor image; do :; done\nexec qemu-io -c 'write -P 0x99 2M 512' \"$image\"");
        await using (RunnerProcess runner = Start(environment: faulty))
        {
            await SendAsync(runner);
            (await runner.EndsForAsync(TerminationReasons.ContentDiffers)).ShouldContain("keep the source");
        }

        Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".node_t1.lock"]);
        Digest(Source).ShouldBe(sent);
        await AdoptAsync();
    }

    [Fact]
    public async Task A_disk_whose_lock_another_holds_is_waited_for()
    {
        await using RunnerProcess first = Start();
        await UrlAsync(first);
        await using RunnerProcess second = RunnerProcess.Start(Path.Combine(_folder, "second"), "adopt", Json(Config()), ("SANDLABX_UPLOAD_PORT", "0"), ("SANDLABX_LOCK_SECONDS", "1"));
        await second.EndsForAsync(TerminationReasons.OverlayLocked);
    }

    private AdoptConfig Config() => new()
    {
        Node = "labs/web",
        DiskId = "t1",
        OverlayPath = Overlay,
        BackingPath = Base,
        BackingSha256 = Digest(Base),
        SourceBacking = OldBase,
        VirtualSizeBytes = Size,
    };

    /// <summary>Starts an adoption that was announced by the source's digest, or by another; or is not yet, where that is empty.</summary>
    private RunnerProcess Start(Func<AdoptConfig, AdoptConfig>? with = null, string? announced = null, params (string Name, string Value)[] environment)
    {
        Directory.CreateDirectory(Path.Combine(_folder, "pod", "run"));
        File.Delete(Path.Combine(_folder, "pod", "run", "upload-port"));
        Announce(announced ?? Digest(Source));
        return RunnerProcess.Start(
            Path.Combine(_folder, "pod"), "adopt", Json(with is null ? Config() : with(Config())), [("SANDLABX_UPLOAD_PORT", "0"), ("SANDLABX_WISH_DIR", Wishes), .. environment]);
    }

    /// <summary>As the kubelet does it.</summary>
    private void Announce(string digest)
    {
        Directory.CreateDirectory(Wishes);
        File.WriteAllText(Path.Combine(Wishes, ".new"), digest);
        File.Move(Path.Combine(Wishes, ".new"), Path.Combine(Wishes, ContractNames.DigestFile), overwrite: true);
    }

    private async Task AdoptAsync()
    {
        await using RunnerProcess runner = Start();
        await SendAsync(runner);
        await runner.EndsForAsync(TerminationReasons.Adopted);
    }

    private async Task SendAsync(RunnerProcess runner)
    {
        Uri url = await UrlAsync(runner);
        try
        {
            await PutAsync(url, 0, await File.ReadAllBytesAsync(Source));
            await FinishAsync(url);
        }
        catch (HttpRequestException)
        {
            // A runner that refuses may be gone before it is asked again; its last word is what the tests look at.
        }
    }

    private static async Task PutAsync(Uri url, long offset, ReadOnlyMemory<byte> bytes)
    {
        using var body = new ReadOnlyMemoryContent(bytes);
        using HttpResponseMessage _ = await s_http.PutAsync(new Uri(url, $"{ContractNames.UploadPath}?offset={offset}"), body);
    }

    private static async Task FinishAsync(Uri url)
    {
        using HttpResponseMessage _ = await s_http.PostAsync(new Uri(url, ContractNames.UploadFinishPath), null);
    }

    private static async Task<Uri> UrlAsync(RunnerProcess runner)
    {
        await runner.UntilPhaseAsync(RunnerPhases.Receiving);
        return new Uri($"http://127.0.0.1:{(await File.ReadAllTextAsync(Path.Combine(runner.RunDirectory, "upload-port"))).Trim()}");
    }

    /// <summary>An overlay as the platform made it, and a guest wrote it, over the base of the test.</summary>
    private async Task MakeSourceAsync(params string[] more)
    {
        File.Delete(Source);
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-b", Base, "-F", "qcow2", Source);
        await WriteAsync(Source, ["write -P 0x22 1M 3M", "write -P 0x33 20M 1M", "write -z 30M 64k", .. more]);
        await Machine.RunAsync("qemu-img", "rebase", "-u", "-b", OldBase, "-F", "qcow2", Source);
    }

    /// <summary>All that a guest sees of a disk on the base, as one digest.</summary>
    private async Task<string> ContentAsync(string overlay)
    {
        string raw = Path.Combine(_folder, "content");
        string json = $$"""json:{"driver":"qcow2","file":{"driver":"file","filename":"{{overlay}}"},"backing":{"driver":"qcow2","file":{"driver":"file","filename":"{{Base}}"} } }""";
        await Machine.RunAsync("qemu-img", "convert", "-O", "raw", json, raw);
        return Digest(raw);
    }

    private async Task BreakTablesAsync()
    {
        Qcow2Header header = Qcow2Header.Parse(Qcow2Header.ReadStart(Source))!;
        await using var file = new FileStream(Source, FileMode.Open, FileAccess.ReadWrite);
        file.Position = header.Level1.Offset;
        await file.WriteAsync(new byte[] { 0x80, 0, 0x7F, 0xFF, 0xFF, 0xFF, 0, 0 });
    }

    private Qcow2Header Header() => Qcow2Header.Parse(Qcow2Header.ReadStart(Overlay))!;

    private static void SetDirty(string path)
    {
        using var file = new FileStream(path, FileMode.Open, FileAccess.ReadWrite);
        file.Position = 79;
        file.WriteByte(1);
    }

    private static Task<string> WriteAsync(string image, params string[] commands) => Machine.RunAsync("qemu-io", ["-f", "qcow2", .. commands.SelectMany(c => (string[])["-c", c]), image]);

    private static async Task CrashAsync(string image, params string[] commands)
    {
        try
        {
            await WriteAsync(image, [.. commands, "abort"]);
        }
        catch (InvalidOperationException)
        {
            // It was told to.
        }
    }

    private static string Json(AdoptConfig config) => JsonSerializer.Serialize(config, ContractJson.Default.AdoptConfig);

    private static string Bytes(long count) => count.ToString(CultureInfo.InvariantCulture);

    private static string Digest(string path) => Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(path)));
}
