using SandLabX.EndToEnd.Support;

namespace SandLabX.EndToEnd;

/// <summary>The API server dies while a disk goes through it.</summary>
[Collection(Disruptive)]
public sealed class MigrateOutageTests(Space space, ITestOutputHelper output) : MovingIn(space, output), IClassFixture<Space>
{
    private const string Id = "66666666-2222-4333-8444-555566667777";
    private const long MiB = 1 << 20;

    protected override void Require()
    {
        Lab.RequireLocal();
        base.Require();
    }

    [Fact]
    public async Task A_migration_outlives_the_API_server_and_sends_nothing_twice_that_had_come()
    {
        using var old = new OldInstallation();
        File.Copy(Lab.TinyPath, old.Image("alpine-3.qcow2"));
        old.Add(Id, "outage", "alpine");
        await old.MakeOverlayAsync(Id, "alpine-3.qcow2");
        await old.BootAsync(Id, "made before");
        await old.WriteNoiseAsync(Id, 90);
        IReadOnlyList<string> before = old.Everything();
        long needed = new FileInfo(old.Image("alpine-3.qcow2")).Length + new FileInfo(old.Overlay(Id)).Length;
        using ApiRelay way = await ApiRelay.OpenAsync();
        way.At(needed - (50 * MiB), () => Lab.ClusterAsync("kill", "kube-apiserver", "KILL"));

        Outcome moved = await Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "--kubeconfig", way.KubeConfig]);
        moved.Code.ShouldBe(0, moved.ToString());
        await way.ActedAsync();
        Output.WriteLine($"{way.Sent} bytes for {needed}");

        // What buffers held of it when the server died goes again, and nothing else.
        way.Sent.ShouldBeInRange(needed, needed + (16 * MiB) + (needed / 50));
        old.Everything().ShouldBe(before);
        await ShowsAsync("outage", Id, "made before");
    }
}
