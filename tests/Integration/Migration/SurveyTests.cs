using System.Diagnostics;
using System.Security.Cryptography;
using SandLabX.Cli.Migration;
using SandLabX.Integration.Runner;

namespace SandLabX.Integration.Migration;

/// <summary>The old installation's files, looked at where they lie: real overlays, and what else can bear such a name. Nothing of them is ever changed.</summary>
public sealed class SurveyTests : IAsyncLifetime
{
    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-survey-").FullName;

    private string Overlays => Path.Combine(_folder, "overlays");

    private string Images => Path.Combine(_folder, "images");

    public async ValueTask InitializeAsync()
    {
        Machine.NeedsQemu();
        Directory.CreateDirectory(Overlays);
        Directory.CreateDirectory(Path.Combine(Images, "custom"));
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Path.Combine(Images, "debian-13.qcow2"), "64M");
        File.Copy(Path.Combine(Images, "debian-13.qcow2"), Path.Combine(Images, "custom", "lab.qcow2"));
        await OverlayAsync("n1", "/images/debian-13.qcow2");
    }

    public ValueTask DisposeAsync()
    {
        Directory.Delete(_folder, recursive: true);
        return ValueTask.CompletedTask;
    }

    [Fact]
    public async Task Headers_sizes_and_digests_are_read_and_nothing_is_changed()
    {
        await OverlayAsync("n2", "/images/custom/lab.qcow2");
        string[] before = Everything();
        Survey survey = await TakeAsync();
        Everything().ShouldBe(before);
        survey.Overlays.Select(o => o.File).ShouldBe(["node_n1.qcow2", "node_n2.qcow2"]);
        OverlayFacts first = survey.Overlays[0];
        (first.InUse, first.Trouble, first.Header!.BackingName, first.Header.VirtualSizeBytes).ShouldBe((false, null, "/images/debian-13.qcow2", 64L << 20));
        first.Bytes.ShouldBe(new FileInfo(first.Path).Length);
        first.MadeBefore.ShouldBeInRange(DateTimeOffset.UtcNow.AddMinutes(-5), DateTimeOffset.UtcNow);
        survey.Bases.Keys.Order().ShouldBe(["custom/lab.qcow2", "debian-13.qcow2"]);
        BaseFacts found = survey.Bases["debian-13.qcow2"];
        found.Sha256.ShouldBe(Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(found.Path))));
    }

    [Fact]
    public async Task An_overlay_that_a_QEMU_has_open_is_known_to_be_in_use_and_not_disturbed()
    {
        string path = Path.Combine(Overlays, "node_n1.qcow2");
        await Machine.RunAsync("qemu-img", "rebase", "-u", "-b", Path.Combine(Images, "debian-13.qcow2"), "-F", "qcow2", path);
        using Process qemu = Process.Start(new ProcessStartInfo("qemu-system-x86_64", ["-accel", "tcg", "-display", "none", "-S", "-m", "16", "-qmp", "stdio", "-drive", $"file={path},if=virtio"])
        {
            RedirectStandardInput = true, RedirectStandardOutput = true,
        })!;
        try
        {
            (await qemu.StandardOutput.ReadLineAsync())!.ShouldContain("QMP");
            (await TakeAsync()).Overlays[0].InUse.ShouldBeTrue();
            qemu.HasExited.ShouldBeFalse();
        }
        finally
        {
            qemu.Kill();
            await qemu.WaitForExitAsync();
        }

        (await TakeAsync()).Overlays[0].InUse.ShouldBeFalse();
    }

    [Fact]
    public async Task Links_are_followed_within_their_folder_and_nowhere_else()
    {
        string secret = Path.Combine(_folder, "secret.qcow2");
        File.Copy(Path.Combine(Images, "debian-13.qcow2"), secret);
        File.CreateSymbolicLink(Path.Combine(Overlays, "node_inside.qcow2"), "node_n1.qcow2");
        File.CreateSymbolicLink(Path.Combine(Overlays, "node_outside.qcow2"), "../secret.qcow2");
        File.CreateSymbolicLink(Path.Combine(Overlays, "node_nowhere.qcow2"), "gone");
        File.CreateSymbolicLink(Path.Combine(Overlays, "node_loop.qcow2"), "node_loop.qcow2");
        await OverlayAsync("n3", "/images/linked.qcow2");
        File.CreateSymbolicLink(Path.Combine(Images, "linked.qcow2"), secret);

        Survey survey = await TakeAsync();
        Dictionary<string, OverlayFacts> seen = survey.Overlays.ToDictionary(o => o.File);
        seen["node_inside.qcow2"].Header.ShouldNotBeNull();
        seen["node_outside.qcow2"].Trouble!.ShouldContain("out of its folder");
        seen["node_nowhere.qcow2"].Trouble.ShouldNotBeNull();
        seen["node_loop.qcow2"].Trouble.ShouldNotBeNull();
        survey.Bases["linked.qcow2"].Trouble!.ShouldContain("out of its folder");
    }

    [Fact]
    public async Task A_folder_that_is_itself_a_link_is_the_users_choice()
    {
        string link = Path.Combine(_folder, "link");
        File.CreateSymbolicLink(link, Overlays);
        (await Survey.TakeAsync(new OldState([], [], []), link, Images, (_, _) => { }, CancellationToken.None)).Overlays[0].Header.ShouldNotBeNull();
    }

    [Fact]
    public async Task What_is_no_file_is_not_opened()
    {
        await Machine.RunAsync("mkfifo", Path.Combine(Overlays, "node_pipe.qcow2"));
        Directory.CreateDirectory(Path.Combine(Overlays, "node_folder.qcow2"));
        await File.WriteAllTextAsync(Path.Combine(Overlays, "node_text.qcow2"), "no disk");
        await File.WriteAllBytesAsync(Path.Combine(Overlays, "node_empty.qcow2"), []);
        Dictionary<string, OverlayFacts> seen = (await TakeAsync().WaitAsync(RunnerProcess.Patience)).Overlays.ToDictionary(o => o.File);
        seen["node_pipe.qcow2"].Trouble!.ShouldContain("no ordinary file");
        seen["node_folder.qcow2"].Trouble!.ShouldContain("no ordinary file");
        seen["node_text.qcow2"].ShouldSatisfyAllConditions(o => o.Header.ShouldBeNull(), o => o.Trouble.ShouldBeNull());
        seen["node_empty.qcow2"].Header.ShouldBeNull();
    }

    [Fact]
    public async Task The_base_of_a_node_without_a_disk_is_looked_at_as_well()
    {
        var node = new OldNode { Id = "n9", Name = "fresh", OsType = "custom", ImagePath = "/images/custom/lab.qcow2" };
        Survey survey = await Survey.TakeAsync(new OldState([node], [], []), Overlays, Images, (_, _) => { }, CancellationToken.None);
        survey.Bases.Keys.ShouldContain("custom/lab.qcow2");
    }

    private Task<Survey> TakeAsync() => Survey.TakeAsync(new OldState([], [], []), Overlays, Images, (_, _) => { }, CancellationToken.None);

    private Task<string> OverlayAsync(string id, string backing) =>
        Machine.RunAsync("qemu-img", "create", "-q", "-u", "-f", "qcow2", "-b", backing, "-F", "qcow2", Path.Combine(Overlays, $"node_{id}.qcow2"), "64M");

    private string[] Everything() =>
    [
        .. Directory.EnumerateFiles(_folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(f => $"{f} {Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(f)))} {File.GetLastWriteTimeUtc(f):O}"),
    ];
}
