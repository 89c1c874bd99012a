using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A VM leaves in one file and comes back somewhere else, bit by bit as its guest sees it.</summary>
public sealed class TransferTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task A_round_trip_keeps_every_bit_that_the_guest_sees()
    {
        await using var elsewhere = new Space();
        await elsewhere.MakeAsync(withImage: false);
        string file = Path.Combine(Directory.CreateTempSubdirectory("sandlabx-transfer-").FullName, "trip.tar.gz");
        await Lab.ApplyAsync($$"""
            apiVersion: sandlabx.io/v1alpha1
            kind: LabImage
            metadata: {name: initialised, namespace: {{Space.Name}}}
            spec:
              source: {url: "{{Lab.TinyUrl}}"}
              sha256: "{{Lab.TinySha256}}"
              storage: {size: 64Mi}
              guest: {cloudInit: true}
            """);
        await Space.NodeAsync("trip", spec: "cpus: 2", image: "initialised");
        Guest guest = await Space.RunningGuestAsync("trip");
        await guest.OkAsync("write marker travelled");
        await guest.OkAsync("fill 20 noise");
        string noise = await guest.OkAsync("sum noise");

        Outcome running = await Plugin.RunAsync(["export", "trip", file, "-n", Space.Name]);
        running.Code.ShouldBe(4, running.ToString());
        running.Errors.ShouldContain("Running");

        await Space.PowerAsync("trip", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("trip", NodePhases.Stopped);
        await Space.GoneAsync("pod", "labnode-trip");
        Outcome exported = await Plugin.RunAsync(["export", "trip", file, "--include-base", "-n", Space.Name]);
        exported.Code.ShouldBe(0, exported.ToString());
        string before = await ContentAsync(Space, "trip");

        Outcome imported = await Plugin.RunAsync(["import", file, "-n", elsewhere.Name]);
        imported.Code.ShouldBe(0, imported.ToString());
        V1Alpha1LabNode node = (await elsewhere.NodeNowAsync("trip"))!;
        (node.Spec.PowerState, node.Spec.Cpus, node.Spec.Memory).ShouldBe((PowerStates.Stopped, 2, "128Mi"));
        (await ContentAsync(elsewhere, "trip")).ShouldBe(before);
        (await elsewhere.ImageNowAsync(node.Spec.Image))!.Spec.Guest.CloudInit.ShouldBeTrue("other LabNodes on it need what this one needed");
        (await elsewhere.ClaimNowAsync("trip"))!.Metadata.Annotations[Annotations.CloudInit].ShouldBe("true");

        await elsewhere.PowerAsync("trip", PowerStates.Running);
        Guest back = await elsewhere.RunningGuestAsync("trip");
        (await back.OkAsync("read marker")).ShouldBe("travelled");
        (await back.OkAsync("sum noise")).ShouldBe(noise);
        (await elsewhere.NodeNowAsync("trip"))!.Status!.Disk!.Id.ShouldBe((await Space.NodeNowAsync("trip"))!.Status!.Disk!.Id);

        Outcome twice = await Plugin.RunAsync(["import", file, "-n", elsewhere.Name]);
        twice.Code.ShouldBe(4, twice.ToString());
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    [Fact]
    public async Task A_disk_with_a_base_of_its_own_travels_too()
    {
        await using var elsewhere = new Space();
        await elsewhere.MakeAsync(withImage: false);
        string file = Path.Combine(Directory.CreateTempSubdirectory("sandlabx-transfer-").FullName, "own.tar.gz");
        await Space.ImageAsync("lent", Lab.TinyUrl, Lab.TinySha256, spec: "delivery: Copy");
        await Space.NodeAsync("own", image: "lent");
        Guest guest = await Space.RunningGuestAsync("own");
        await guest.OkAsync("write marker travelled");
        await Space.AwaitNodeAsync("own", n => n.Status?.Disk?.Backing?.Copy == true, "has its own copy");
        await Space.PowerAsync("own", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("own", NodePhases.Stopped);
        await Space.GoneAsync("pod", "labnode-own");

        Outcome exported = await Plugin.RunAsync(["export", "own", file, "--include-base", "-n", Space.Name]);
        exported.Code.ShouldBe(0, exported.ToString());
        Outcome imported = await Plugin.RunAsync(["import", file, "-n", elsewhere.Name]);
        imported.Code.ShouldBe(0, imported.ToString());
        await elsewhere.PowerAsync("own", PowerStates.Running);
        Guest back = await elsewhere.RunningGuestAsync("own");
        (await back.OkAsync("read marker")).ShouldBe("travelled");
        Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
    }

    /// <summary>All that a guest sees of its disk, as one digest, made by QEMU in a pod on the claims.</summary>
    private static async Task<string> ContentAsync(Space space, string node)
    {
        V1PersistentVolumeClaim claim = (await space.ClaimNowAsync(node))!;
        string image = claim.Metadata.Annotations[Annotations.BackingImage];
        string overlay = $"/overlays/node_{claim.Metadata.Annotations[Annotations.DiskId]}.qcow2";
        string runner = await Lab.KubectlOkAsync(
            "-n", Lab.OperatorNamespace, "get", Lab.OperatorDeployment, "-o", "jsonpath={.spec.template.spec.containers[0].env[?(@.name==\"SANDLABX__RUNNERIMAGE\")].value}");
        await Lab.ApplyAsync($$"""
            apiVersion: v1
            kind: Pod
            metadata: {name: content-{{node}}, namespace: {{space.Name}}}
            spec:
              restartPolicy: Never
              automountServiceAccountToken: false
              securityContext: {runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault} }
              containers:
                - name: reader
                  image: {{runner}}
                  command: [sh, -c, "qemu-img convert -f qcow2 -O raw {{overlay}} /scratch/raw && sha256sum /scratch/raw"]
                  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]} }
                  volumeMounts:
                    - {name: disk, mountPath: /overlays}
                    - {name: image, mountPath: /images/{{image}}, readOnly: true}
                    - {name: scratch, mountPath: /scratch}
              volumes:
                - {name: disk, persistentVolumeClaim: {claimName: {{claim.Metadata.Name}} } }
                - {name: image, persistentVolumeClaim: {claimName: {{claim.Metadata.Annotations[Annotations.BackingClaim]}} } }
                - {name: scratch, emptyDir: {} }
            """);
        await Eventually.SeesAsync(
            "the pod that reads the disk ends",
            () => Lab.Api.GetAsync<V1Pod>(new Runtime.ObjectKey(space.Name, "content-" + node), CancellationToken.None),
            p => p?.Status?.Phase is "Succeeded" or "Failed",
            describe: p => p?.Status?.Phase ?? "none");
        string log = await Lab.KubectlOkAsync("-n", space.Name, "logs", "content-" + node);
        await Lab.KubectlOkAsync("-n", space.Name, "delete", "pod", "content-" + node);
        log.Split(' ')[0].Length.ShouldBe(64, log);
        return log.Split(' ')[0];
    }
}
