using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>Imports from a real server, of what people send.</summary>
public sealed class ImportTests : IAsyncLifetime
{
    private const long MaxVirtualSize = 1L << 30;

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-import-").FullName;
    private ImageServer _server = null!;

    private string Claim => Path.Combine(_folder, "claim");

    private string Target => Path.Combine(Claim, "disk.qcow2");

    public async ValueTask InitializeAsync()
    {
        Machine.NeedsQemu();
        Directory.CreateDirectory(Claim);
        _server = await ImageServer.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        Directory.Delete(_folder, recursive: true);
    }

    [Fact]
    public async Task A_sound_image_is_imported_and_reported()
    {
        byte[] image = await GoodImageAsync();
        (TerminationReport report, _) = await ImportAsync("good", image);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        report.Image.ShouldBe(new ImageReport(Digest(image), "qcow2", 8 << 20, image.Length) { SourceFormat = "qcow2" });
        (await File.ReadAllBytesAsync(Target)).SequenceEqual(image).ShouldBeTrue();
        JsonSerializer.Deserialize(await File.ReadAllTextAsync(Path.Combine(Claim, "disk.json")), ContractJson.Default.ImageReport).ShouldBe(report.Image);
        Directory.GetFiles(Claim).Select(Path.GetFileName).Order().ShouldBe([".import.lock", "disk.json", "disk.qcow2"]);
        File.GetUnixFileMode(Target).HasFlag(UnixFileMode.UserWrite).ShouldBeFalse();

        // Once more: nothing is fetched.
        _server.Requests.Clear();
        (await ImportAsync("good", image)).Report.Image.ShouldBe(report.Image);
        _server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task As_process_1_it_imports_as_well()
    {
        Machine.NeedsRoot("make a PID namespace");
        byte[] image = await GoodImageAsync();
        _server.Files["/good"] = image;
        await using RunnerProcess runner = Start(_server.Url("/good"), Digest(image), environment: RunnerProcess.AsInit);

        await runner.EndsForAsync(TerminationReasons.Imported);
    }

    [Fact]
    public async Task A_report_that_was_lost_is_written_again()
    {
        byte[] image = await GoodImageAsync();
        (TerminationReport first, _) = await ImportAsync("good", image);
        File.Delete(Path.Combine(Claim, "disk.json"));

        (await ImportAsync("good", image)).Report.Image.ShouldBe(first.Image);
        File.Exists(Path.Combine(Claim, "disk.json")).ShouldBeTrue();
    }

    [Fact]
    public async Task A_redirect_is_followed_and_a_busy_server_asked_again()
    {
        byte[] image = await GoodImageAsync();
        _server.Busy = 2;
        _server.Files["/good"] = image;

        (await RunAsync(_server.Url("/moved/good"), Digest(image))).Report.Reason.ShouldBe(TerminationReasons.Imported);
    }

    [Fact]
    public async Task A_download_that_breaks_off_goes_on_where_it_was()
    {
        byte[] image = await GoodImageAsync();
        _server.Breaks = 2;
        (TerminationReport report, _) = await ImportAsync("good", image);

        report.Reason.ShouldBe(TerminationReasons.Imported, report.Message);
        _server.Requests[0].ShouldBe("/good ");
        _server.Requests.Skip(1).ShouldAllBe(request => request.StartsWith("/good bytes="));
    }

    [Fact]
    public async Task An_import_that_was_told_to_stop_is_taken_up_by_the_next()
    {
        byte[] image = await GoodImageAsync();
        _server.Speed = 400_000;
        _server.Files["/good"] = image;
        await using (RunnerProcess runner = Start(_server.Url("/good"), Digest(image)))
        {
            RunnerState state = await runner.UntilAsync(s => s.ReceivedBytes > 300_000);
            state.Phase.ShouldBe(RunnerPhases.Downloading);
            state.TotalBytes.ShouldBe(image.Length);
            runner.Signal(15);
            await runner.EndsForAsync(TerminationReasons.ImportInterrupted);
        }

        _server.Speed = 0;
        (await RunAsync(_server.Url("/good"), Digest(image))).Report.Reason.ShouldBe(TerminationReasons.Imported);
        _server.Requests[^1].ShouldStartWith("/good bytes=");
    }

    [Fact]
    public async Task A_file_that_changed_in_between_is_fetched_anew()
    {
        byte[] image = await GoodImageAsync();
        byte[] other = new byte[image.Length - 5];
        _server.Speed = 400_000;
        _server.Files["/good"] = other;
        await using (RunnerProcess runner = Start(_server.Url("/good"), Digest(image)))
        {
            await runner.UntilAsync(s => s.ReceivedBytes > 300_000);
            runner.Signal(15);
            await runner.EndAsync();
        }

        _server.Speed = 0;
        (await ImportAsync("good", image)).Report.Reason.ShouldBe(TerminationReasons.Imported);
    }

    [Fact]
    public async Task A_wrong_digest_names_both_and_leaves_nothing()
    {
        byte[] image = await GoodImageAsync();
        _server.Files["/good"] = image;
        string wished = new('0', 64);
        (TerminationReport report, _) = await RunAsync(_server.Url("/good"), wished);

        report.Reason.ShouldBe(TerminationReasons.DigestMismatch);
        report.Message.ShouldContain(wished);
        report.Message.ShouldContain(Digest(image));
        IsEmpty();
    }

    [Fact]
    public async Task A_missing_file_is_told_with_its_status_and_without_secrets()
    {
        string url = _server.Url("/none?token=s3cret").Replace("http://", "http://me:s3cret@", StringComparison.Ordinal);
        (TerminationReport report, _) = await RunAsync(url, new('0', 64));

        report.Reason.ShouldBe(TerminationReasons.DownloadFailed);
        report.Message.ShouldContain("404");
        report.Message.ShouldContain("/none");
        report.Message.ShouldNotContain("s3cret");
        _server.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task A_server_that_is_not_there_is_given_up()
    {
        (TerminationReport report, _) = await RunAsync("http://127.0.0.1:1/disk.qcow2", new('0', 64));

        report.Reason.ShouldBe(TerminationReasons.DownloadFailed);
        report.Message.ShouldContain("5 times");
    }

    [Fact]
    public async Task Text_in_place_of_a_disk_is_called_text()
    {
        (TerminationReport report, _) = await ImportAsync("page", Encoding.UTF8.GetBytes("<!DOCTYPE html><html><body>Sign in</body></html>"));

        report.Reason.ShouldBe(TerminationReasons.UnknownFormat);
        report.Message.ShouldContain("a web page");
        IsEmpty();
    }

    [Fact]
    public async Task A_damaged_image_is_refused()
    {
        byte[] damaged = await GoodImageAsync();
        damaged.AsSpan(0x10000, 512).Fill(0x5A);
        (await ImportAsync("damaged", damaged)).Report.Reason.ShouldBe(TerminationReasons.ImageCorrupt);

        byte[] cut = (await GoodImageAsync())[..^(512 * 1024)];
        (await ImportAsync("cut", cut)).Report.Reason.ShouldBe(TerminationReasons.ImageCorrupt);
        IsEmpty();
    }

    [Fact]
    public async Task A_claim_without_room_is_said_to_have_none()
    {
        await using SmallClaim claim = await SmallClaim.MountAsync(megabytes: 1);
        byte[] image = await GoodImageAsync();
        _server.Files["/good"] = image;
        await using RunnerProcess runner = Start(_server.Url("/good"), Digest(image), Path.Combine(claim.Folder, "disk.qcow2"));

        (await runner.EndsForAsync(TerminationReasons.NoSpace)).ShouldContain($"{image.Length}");
        File.Exists(Path.Combine(claim.Folder, "disk.qcow2")).ShouldBeFalse();
    }

    private void IsEmpty() => Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".import.lock"]);

    private async Task<(TerminationReport Report, int ExitCode)> ImportAsync(string name, byte[] bytes)
    {
        _server.Files["/" + name] = bytes;
        return await RunAsync(_server.Url("/" + name), Digest(bytes));
    }

    private async Task<(TerminationReport Report, int ExitCode)> RunAsync(string url, string sha256)
    {
        await using RunnerProcess runner = Start(url, sha256);
        return await runner.EndAsync();
    }

    private RunnerProcess Start(string url, string sha256, string? target = null, params (string Name, string Value)[] environment)
    {
        var config = new ImportConfig { Image = "labs/i1", Url = url, Sha256 = sha256, TargetPath = target ?? Target, MaxVirtualSizeBytes = MaxVirtualSize };
        return RunnerProcess.Start(Path.Combine(_folder, "pod"), "import", JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig), environment);
    }

    /// <summary>8 MiB of which 3 MiB are random: a file long enough to break off in.</summary>
    private async Task<byte[]> GoodImageAsync()
    {
        string raw = Path.Combine(_folder, "good.img");
        byte[] disk = new byte[8 << 20];
        new Random(1).NextBytes(disk.AsSpan(0, 3 << 20));
        await File.WriteAllBytesAsync(raw, disk);
        return await ImageAsync("convert", "-f", "raw", "-O", "qcow2", raw, "{0}");
    }

    private async Task<byte[]> ImageAsync(params string[] arguments)
    {
        string path = Path.Combine(_folder, "made");
        await Machine.RunAsync("qemu-img", [.. arguments.Select(argument => argument == "{0}" ? path : argument)]);
        byte[] bytes = await File.ReadAllBytesAsync(path);
        File.Delete(path);
        return bytes;
    }

    private static string Digest(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
