using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>
/// Moving in from a folder that the cluster's node has as well: its pods read it there, and change nothing of it. The folder is one of this machine that the
/// local cluster's node sees below /state.
/// </summary>
public sealed class MigrateClaimTests(Space space, ITestOutputHelper output) : MovingIn(space, output), IClassFixture<Space>
{
    private const string Web = "3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9f";
    private const string Db = "a7d7b2c4-1111-4222-8333-444455556667";
    private const string Fresh = "11111111-2222-4333-8444-555566667778";

    // More than a program's own requests take however long it waits, and far less than the disks have.
    private const long Talk = 16 << 20;

    protected override void Require()
    {
        Lab.RequireLocal();
        base.Require();
    }

    [Fact]
    public async Task Every_VM_boots_with_what_it_wrote_though_nothing_was_sent_and_the_folder_is_as_it_was()
    {
        await using OldVolume volume = await OldVolume.MakeAsync(Space, "whole");
        using var old = new OldInstallation(volume.Here("srv/sandlabx"));
        File.Copy(Lab.TinyPath, old.Image("debian-13.qcow2"));
        (await Shell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", "-o", "cluster_size=32k", Lab.TinyPath, old.Image("ubuntu-24-lts.qcow2")])).Code.ShouldBe(0);
        old.Add(Web, "Web Server", "debian");
        old.Add(Db, "db", "ubuntu");
        old.Add(Fresh, "never started", "debian");
        await old.MakeOverlayAsync(Web, "debian-13.qcow2");
        await old.MakeOverlayAsync(Db, "ubuntu-24-lts.qcow2");
        await Task.WhenAll(old.BootAsync(Web, "written on debian"), old.BootAsync(Db, "written on ubuntu"));
        await old.WriteNoiseAsync(Web, 90);
        await OpenAsync(old);
        IReadOnlyList<string> before = old.Everything();
        string owners = await old.OwnersAsync();
        string[] migrate = ["migrate", old.Folder, "-n", Space.Name, "--source-claim", $"{volume.Claim}/srv/sandlabx"];

        Outcome plan = await Plugin.RunAsync([.. migrate, "--dry-run", "-o", "yaml"]);
        plan.Code.ShouldBe(0, plan.ToString());
        plan.Output.ShouldContain("path: srv/sandlabx/images/debian-13.qcow2");
        plan.Output.ShouldNotContain("upload");

        using ApiRelay way = await ApiRelay.OpenAsync();
        Outcome moved = await Plugin.RunAsync([.. migrate, "-o", "json", "--kubeconfig", way.KubeConfig]);
        Output.WriteLine(moved.ToString());
        moved.Code.ShouldBe(0, moved.ToString());
        Names(moved, "moved").ShouldBe(["db", "never-started", "web-server"], ignoreOrder: true);
        way.Sent.ShouldBeLessThan(Talk);
        moved.Errors.ShouldContain("being copied");
        old.Everything().ShouldBe(before);
        (await old.OwnersAsync()).ShouldBe(owners);

        foreach ((string image, string file) in ((string, string)[])[("debian-13", "debian-13.qcow2"), ("ubuntu-24-lts", "ubuntu-24-lts.qcow2")])
        {
            LabImageSource source = (await Space.ImageNowAsync(image))!.Spec.Source;
            (source.Claim!.Name, source.Claim.Path, source.Upload).ShouldBe((volume.Claim, $"srv/sandlabx/images/{file}", null));
        }

        await ShowsAsync("web-server", Web, "written on debian");
        await ShowsAsync("db", Db, "written on ubuntu");
        await Space.PowerAsync("never-started", PowerStates.Running);
        await (await Space.RunningGuestAsync("never-started")).ReadyAsync(boot: 1);
        old.Everything().ShouldBe(before);
        (await old.OwnersAsync()).ShouldBe(owners);
    }

    /// <summary>A claim that is not there, a folder on it that is another, a file that pods may not read: each is said, and the next run goes on.</summary>
    [Fact]
    public async Task What_the_claim_does_not_hold_is_found_out_and_moved_once_it_does()
    {
        const string id = "55555555-2222-4333-8444-555566667777";
        await using OldVolume volume = await OldVolume.MakeAsync(Space, "other");
        using var old = new OldInstallation(volume.Here("old"));

        // Bytes that the other test's image has not: this one's is to be read from the claim as well.
        (await Shell.RunAsync(["qemu-img", "convert", "-f", "qcow2", "-O", "qcow2", "-o", "cluster_size=128k", Lab.TinyPath, old.Image("alpine-3.qcow2")])).Code.ShouldBe(0);
        old.Add(id, "found", "alpine");
        await old.MakeOverlayAsync(id, "alpine-3.qcow2");
        await old.BootAsync(id, "made before");
        await OpenAsync(old);
        (await Shell.RunAsync(["cp", "-a", old.Folder, volume.Here("copy")])).Code.ShouldBe(0);
        await File.AppendAllTextAsync(volume.Here($"copy/overlays/node_{id}.qcow2"), "and more");
        IReadOnlyList<string> before = old.Everything();

        Outcome none = await MigrateAsync("none");
        (none.Code, none.Errors.Contains("has no claim none", StringComparison.Ordinal)).ShouldBe((3, true), none.ToString());
        (await Space.ImageNowAsync("alpine-3")).ShouldBeNull();

        Outcome another = await MigrateAsync($"{volume.Claim}/copy");
        another.Code.ShouldBe(1, another.ToString());
        another.Output.ShouldContain("DigestMismatch");
        another.Output.ShouldContain($"copy/overlays/node_{id}.qcow2 on claim {volume.Claim}");
        (await Space.NodeNowAsync("found")).ShouldBeNull();

        (await Shell.RunAsync(["chmod", "600", old.Overlay(id)])).Code.ShouldBe(0);
        Outcome closed = await MigrateAsync($"{volume.Claim}/old");
        closed.Code.ShouldBe(1, closed.ToString());
        closed.Output.ShouldContain("SourceUnusable");
        closed.Output.ShouldContain("chmod o+r");
        (await Space.NodeNowAsync("found")).ShouldBeNull();

        await OpenAsync(old);
        Outcome moved = await MigrateAsync($"{volume.Claim}/old");
        moved.Code.ShouldBe(0, moved.ToString());
        old.Everything().ShouldBe(before);
        await ShowsAsync("found", id, "made before");

        Task<Outcome> MigrateAsync(string claim) => Plugin.RunAsync(["migrate", old.Folder, "-n", Space.Name, "-o", "json", "--source-claim", claim]);
    }

    /// <summary>Lets the pods' user in, as the documentation asks for.</summary>
    private static async Task OpenAsync(OldInstallation old) => (await Shell.RunAsync(["chmod", "-R", "o+rX", old.Folder])).Code.ShouldBe(0);

    /// <summary>A folder of this machine that the cluster's node has as well, and a claim of it that can only be read. Both go with the test.</summary>
    private sealed class OldVolume : IAsyncDisposable
    {
        private readonly string _folder;
        private readonly string _volume;

        private OldVolume(string folder, string volume, string claim) => (_folder, _volume, Claim) = (folder, volume, claim);

        public string Claim { get; }

        public static async Task<OldVolume> MakeAsync(Space space, string test)
        {
            // The state's folder is /state in the node.
            string name = $"{space.Name}-{test}", state = Path.GetDirectoryName((await Lab.ClusterAsync("kubeconfig")).Trim())!;
            string node = await Lab.KubectlOkAsync("get", "nodes", "-o", "jsonpath={.items[0].metadata.name}");
            var made = new OldVolume(Directory.CreateDirectory(Path.Combine(state, "shared", name)).FullName, name, $"old-{test}");
            await Lab.ApplyAsync($$"""
                apiVersion: v1
                kind: PersistentVolume
                metadata: {name: "{{name}}"}
                spec:
                  capacity: {storage: 1Gi}
                  accessModes: [ReadOnlyMany]
                  persistentVolumeReclaimPolicy: Retain
                  storageClassName: ""
                  claimRef: {namespace: "{{space.Name}}", name: {{made.Claim}}}
                  local: {path: "/state/shared/{{name}}"}
                  nodeAffinity:
                    required:
                      nodeSelectorTerms:
                      - matchExpressions: [{key: kubernetes.io/hostname, operator: In, values: ["{{node}}"]}]
                ---
                apiVersion: v1
                kind: PersistentVolumeClaim
                metadata: {name: {{made.Claim}}, namespace: "{{space.Name}}"}
                spec:
                  accessModes: [ReadOnlyMany]
                  storageClassName: ""
                  volumeName: "{{name}}"
                  resources: {requests: {storage: 1Gi} }
                """);
            return made;
        }

        /// <summary>A path of the volume, as it is on this machine.</summary>
        public string Here(string path) => Path.Combine(_folder, path);

        public async ValueTask DisposeAsync()
        {
            await Lab.KubectlAsync("delete", "pv", _volume, "--wait=false", "--ignore-not-found");
            Directory.Delete(_folder, recursive: true);
        }
    }
}
