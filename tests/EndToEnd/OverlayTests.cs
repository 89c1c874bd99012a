using System.Text.Json;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A LabNode's disk: one overlay on a claim of its own, over the image and nothing else, reachable for backup.</summary>
public sealed class OverlayTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task The_claim_holds_one_overlay_whose_chain_is_the_image_and_nothing_else()
    {
        await Space.NodeAsync("chain");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("chain", NodePhases.Running);
        string overlay = node.Status!.OverlayPath!;
        (await ExecAsync("chain", "sh", "-c", "find /overlays -name '*.qcow2'")).ShouldBe(overlay);

        JsonElement[] chain = Json(await ExecAsync("chain", "qemu-img", "info", "-U", "--backing-chain", "--output=json", overlay));
        chain.Length.ShouldBe(2);
        chain[0].GetProperty("filename").GetString().ShouldBe(overlay);
        chain[0].GetProperty("format").GetString().ShouldBe("qcow2");
        chain[0].GetProperty("full-backing-filename").GetString().ShouldBe("/images/tiny/disk.qcow2");
        chain[0].GetProperty("backing-filename-format").GetString().ShouldBe("qcow2");
        chain[1].GetProperty("filename").GetString().ShouldBe("/images/tiny/disk.qcow2");
        chain[1].TryGetProperty("backing-filename", out _).ShouldBeFalse();
        (await ExecAsync("chain", "sha256sum", "/images/tiny/disk.qcow2")).ShouldStartWith(Lab.TinySha256);

        // The image is out of the guest's reach even for the runner.
        (await Lab.KubectlAsync("-n", Space.Name, "exec", "labnode-chain", "--", "touch", "/images/tiny/disk.qcow2")).Code.ShouldNotBe(0);
    }

    [Theory]
    [InlineData("default", "", 256)]
    [InlineData("large", "size: 20Gi", 20480)]
    public async Task A_new_overlay_takes_next_to_nothing_whatever_its_size(string name, string disk, long mebibytes)
    {
        await Space.NodeAsync(name, disk: disk);
        V1Alpha1LabNode node = await Space.AwaitNodeAsync(name, n => n.Status?.Phase == NodePhases.Running && n.Status.Disk?.ActualSizeBytes is not null, "runs, and its runner told of its disk");
        node.Status!.Disk!.VirtualSizeBytes.ShouldBe(mebibytes * Quantities.MiB);
        node.Status.Disk.ActualSizeBytes!.Value.ShouldBeLessThan(Quantities.MiB);
        Output.WriteLine($"{name}: {node.Status.Disk.ActualSizeBytes} bytes of {node.Status.Disk.VirtualSizeBytes}, made and checked in {(node.Status.Timeline!.DiskReady - node.Status.Timeline.RunnerStarted)!.Value.TotalMilliseconds} ms");
    }

    [Fact]
    public async Task The_overlay_of_a_stopped_LabNode_can_be_read_from_its_claim_by_any_pod()
    {
        await Space.NodeAsync("backup");
        Guest guest = await Space.RunningGuestAsync("backup");
        await guest.OkAsync("write marker to be backed up");
        V1Pod runner = (await Space.PodNowAsync("backup"))!;
        await Space.PowerAsync("backup", PowerStates.Stopped);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("backup", NodePhases.Stopped);
        await Lab.ApplyAsync($$"""
            apiVersion: v1
            kind: Pod
            metadata: {name: reader, namespace: {{Space.Name}}}
            spec:
              restartPolicy: Never
              automountServiceAccountToken: false
              securityContext: {runAsUser: 65532, runAsGroup: 65532, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault} }
              containers:
                - name: reader
                  image: {{runner.Spec.Containers[0].Image}}
                  command: [sh, -c, "qemu-img check -q {{node.Status!.OverlayPath}} && ls /overlays"]
                  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]} }
                  volumeMounts:
                    - {name: disk, mountPath: /overlays}
                    - {name: image, mountPath: /images/tiny, readOnly: true}
              volumes:
                - {name: disk, persistentVolumeClaim: {claimName: {{node.Status.Disk!.Claim}} } }
                - {name: image, persistentVolumeClaim: {claimName: {{node.Status.Disk.Backing!.Claim}}, readOnly: true} }
            """);
        await Eventually.SeesAsync(
            "the pod that reads the overlay ends",
            () => Lab.Api.GetAsync<V1Pod>(new Runtime.ObjectKey(Space.Name, "reader"), CancellationToken.None),
            p => p?.Status?.Phase is "Succeeded" or "Failed",
            describe: p => p?.Status?.Phase ?? "none");
        string log = await Lab.KubectlOkAsync("-n", Space.Name, "logs", "reader");
        log.ShouldContain(Path.GetFileName(node.Status.OverlayPath!));
        log.ShouldContain($"node_{node.Metadata.Uid}.json");
        (await Lab.Api.GetAsync<V1Pod>(new Runtime.ObjectKey(Space.Name, "reader"), CancellationToken.None))!.Status.Phase.ShouldBe("Succeeded", log);
    }

    private Task<string> ExecAsync(string node, params string[] words) => Lab.KubectlOkAsync(["-n", Space.Name, "exec", "labnode-" + node, "--", .. words]);

    private static JsonElement[] Json(string text) => [.. JsonDocument.Parse(text).RootElement.EnumerateArray()];
}
