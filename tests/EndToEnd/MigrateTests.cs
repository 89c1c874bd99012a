using System.Text.RegularExpressions;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Moving in: a genuine installation of the Compose platform, whose every VM boots here with what it wrote there.</summary>
public sealed class MigrateTests(Space space, ITestOutputHelper output) : MovingIn(space, output), IClassFixture<Space>
{
    private const long MiB = 1 << 20;

    // What buffers of relays, kernels and the API server hold of an upload when it is cut, and a program's own requests.
    private const long UnderWay = 16 * MiB;

    private const string Web = "3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e";
    private const string Db = "a7d7b2c4-1111-4222-8333-444455556666";
    private const string Fresh = "11111111-2222-4333-8444-555566667777";
    private const string Lost = "99999999-2222-4333-8444-555566667777";
    private const string Orphan = "00000000-0000-4000-8000-000000000001";

    [Fact]
    public async Task Every_VM_of_an_old_installation_boots_here_with_what_it_wrote_there()
    {
        using var old = new OldInstallation();
        string tiny = Lab.TinyPath;

        // Two images of other bytes, under names that say nothing true about them.
        File.Copy(tiny, old.Image("debian-13.qcow2"));
        (await Shell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", "-o", "cluster_size=32k", tiny, old.Image("ubuntu-24-lts.qcow2")])).Code.ShouldBe(0);
        old.Add(Web, "Web Server", "debian");
        old.Add(Db, "Web Server", "ubuntu");
        old.Add(Fresh, "never started", "debian");
        old.Add(Lost, "lost", "alpine");
        await old.MakeOverlayAsync(Web, "debian-13.qcow2");
        await old.MakeOverlayAsync(Db, "ubuntu-24-lts.qcow2");
        await old.MakeOverlayAsync(Orphan, "debian-13.qcow2");
        await Task.WhenAll(old.BootAsync(Web, "written on debian"), old.BootAsync(Db, "written on ubuntu"));
        IReadOnlyList<string> before = old.Everything();

        Outcome plan = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "--dry-run", "-o", "json"]);
        plan.Code.ShouldBe(0, plan.ToString());
        Names(plan, "move").ShouldBe(["web-server", "web-server-2", "never-started"]);
        Names(plan, "orphans", "file").ShouldBe([$"node_{Orphan}.qcow2"]);
        Names(plan, "skipped", "reason").ShouldBe(["BaseMissing"]);
        (await Space.NodeNowAsync("web-server")).ShouldBeNull();

        Outcome moved = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "-o", "json"]);
        Output.WriteLine(moved.ToString());
        Names(moved, "moved").ShouldBe(["web-server", "web-server-2", "never-started"]);
        moved.Code.ShouldBe(1, "one node was left behind, as its image is gone");
        old.Everything().ShouldBe(before);

        V1Alpha1LabNode web = (await Space.NodeNowAsync("web-server"))!;
        web.Metadata.Annotations[Annotations.MigratedId].ShouldBe(Web);
        web.Metadata.Annotations[Annotations.MigratedName].ShouldBe("Web Server");
        web.Spec.PowerState.ShouldBe(PowerStates.Stopped);
        web.Spec.Memory.ShouldBe("128Mi");
        web.Status!.StartedAt.ShouldBe(new DateTime(2025, 10, 21, 9, 0, 0, DateTimeKind.Utc));
        web.Status.StoppedAt.ShouldBe(new DateTime(2025, 10, 21, 10, 0, 0, DateTimeKind.Utc));
        web.Status.Disk!.Id.ShouldBe(Web);
        (await Space.ImageNowAsync(web.Spec.Image))!.Status!.Digest.ShouldBe("sha256:" + Lab.TinySha256);

        await ShowsAsync("web-server", Web, "written on debian");
        await ShowsAsync("web-server-2", Db, "written on ubuntu");
        await Space.PowerAsync("never-started", PowerStates.Running);
        await (await Space.RunningGuestAsync("never-started")).ReadyAsync(boot: 1);

        // A second run moves nothing, and touches nothing.
        Outcome again = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "-o", "json"]);
        Names(again, "moved").ShouldBeEmpty();
        Names(again, "present").ShouldBe(["web-server", "web-server-2", "never-started"]);
        (await Space.NodeNowAsync("web-server"))!.Spec.PowerState.ShouldBe(PowerStates.Running);
        string[] pods = (await Lab.KubectlOkAsync("-n", Space.Name, "get", "pods", "-o", "name")).Split('\n');
        pods.Intersect(["pod/adopt-web-server", "pod/adopt-web-server-2", "pod/adopt-never-started"]).ShouldBeEmpty();
    }

    /// <summary>Killed while it uploads; the next run goes on, and the disk is whole.</summary>
    [Fact]
    public async Task A_run_that_is_killed_is_followed_by_one_that_goes_on()
    {
        const string id = "77777777-2222-4333-8444-555566667777";
        using var old = new OldInstallation();
        File.Copy(Lab.TinyPath, old.Image("alpine-3.qcow2"));
        old.Add(id, "killed", "alpine");
        await old.MakeOverlayAsync(id, "alpine-3.qcow2");
        await old.BootAsync(id, "survives a kill");
        using (Following first = Shell.Follow(Plugin.Words(["migrate", old.Folder, "-n", Space.Name]), _ => { }))
        {
            await Eventually.SeesAsync("the pod that receives the disk", () => Lab.Api.GetAsync<V1Pod>(new Runtime.ObjectKey(Space.Name, "adopt-killed"), CancellationToken.None), p => p is not null);
        }

        (await Space.NodeNowAsync("killed")).ShouldBeNull();
        Outcome second = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name]);
        second.Code.ShouldBe(0, second.ToString());
        await ShowsAsync("killed", id, "survives a kill");
    }

    /// <summary>Its connections to the API server are cut in the middle, twice: it goes on by itself, and sends no more again than was under way.</summary>
    [Fact]
    public async Task A_connection_that_is_lost_goes_on_from_what_is_there()
    {
        const string id = "88888888-2222-4333-8444-555566667777";
        using var old = new OldInstallation();
        await MakeAsync(old, id, "cut", "alpine-3.qcow2", noise: 90);
        using ApiRelay way = await ApiRelay.OpenAsync();
        long needed = Length(old.Image("alpine-3.qcow2")) + Length(old.Overlay(id));
        way.At(needed - (70 * MiB), way.CutAsync);
        way.At(needed - (30 * MiB), way.CutAsync);
        // In a terminal, where bars show it.
        Outcome moved = await Plugin.RunInTerminalAsync(["migrate", old.Folder, "-n", Space.Name, "--kubeconfig", way.KubeConfig]);
        moved.Code.ShouldBe(0, moved.ToString());
        moved.Output.ShouldMatch(@"cut: sent.*[1-9][0-9]?%", "a bar on its way");
        await way.ActedAsync();
        Output.WriteLine($"{way.Sent} bytes for {needed}");

        // (Another test's migration may have brought the image already.)
        way.Sent.ShouldBeInRange(Length(old.Overlay(id)), needed + (2 * UnderWay) + (needed / 50));
        await ShowsAsync("cut", id, "made before");
    }

    /// <summary>One disk's claim has no room, as somebody made it too small: that is said, the others are moved, and once it has room only that one is.</summary>
    [Fact]
    public async Task A_claim_without_room_keeps_no_other_back_and_is_filled_once_it_has_room()
    {
        const string big = "99999999-aaaa-4333-8444-555566667777", small = "99999999-bbbb-4333-8444-555566667777";
        using var old = new OldInstallation();
        await MakeAsync(old, big, "big", "alpine-3.qcow2", noise: 90);
        old.Add(small, "small", "alpine");
        await old.MakeOverlayAsync(small, "alpine-3.qcow2");
        await old.BootAsync(small, "small is here");
        IReadOnlyList<string> before = old.Everything();
        Outcome manifests = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "--dry-run", "-o", "yaml"]);
        string claim = manifests.Output.Split("\n---\n").Single(d => d.Contains("PersistentVolumeClaim", StringComparison.Ordinal) && d.Contains("name: labnode-big\n", StringComparison.Ordinal));
        await Lab.ApplyAsync(Regex.Replace(claim, "storage: .*", "storage: 64Mi"));

        Outcome first = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "-o", "json"]);
        first.Code.ShouldBe(1, first.ToString());
        Names(first, "moved").ShouldBe(["small"]);
        Names(first, "failed").ShouldBe(["big"]);
        first.Output.ShouldContain("NoSpace");
        first.Output.ShouldContain("labnode-big");
        first.Output.ShouldContain("64Mi", customMessage: "what the claim asks for");
        (await Space.NodeNowAsync("big")).ShouldBeNull();
        old.Everything().ShouldBe(before);

        await Lab.KubectlOkAsync("-n", Space.Name, "patch", "pvc", "labnode-big", "-p", """{"spec": {"resources": {"requests": {"storage": "512Mi"} } } }""");
        using ApiRelay way = await ApiRelay.OpenAsync();
        Outcome second = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "-o", "json", "--kubeconfig", way.KubeConfig]);
        second.Code.ShouldBe(0, second.ToString());
        Names(second, "moved").ShouldBe(["big"]);
        Names(second, "present").ShouldBe(["small"]);
        way.Sent.ShouldBeInRange(Length(old.Overlay(big)) - UnderWay, Length(old.Overlay(big)) + UnderWay, "neither the image nor the other disk was sent again, nor what had come of this one");
        old.Everything().ShouldBe(before);
        await ShowsAsync("big", big, "made before");
        await ShowsAsync("small", small, "small is here");
    }

    private static async Task MakeAsync(OldInstallation old, string id, string name, string image, int noise)
    {
        File.Copy(Lab.TinyPath, old.Image(image));
        old.Add(id, name, "alpine");
        await old.MakeOverlayAsync(id, image);
        await old.BootAsync(id, "made before");
        await old.WriteNoiseAsync(id, noise);
    }

    private static long Length(string file) => new FileInfo(file).Length;
}
