using System.Globalization;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Whether a disk is sound is known, and one that is not is neither started nor repaired unasked.</summary>
public sealed class DiskHealthTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    // The cluster of the reference counts, all zeros: each cluster in use counts as free. No guest's byte is touched.
    private const string LoseRefcounts = "dd if=/dev/zero of=\"$overlay\" bs=131072 seek=2 count=1 conv=notrunc && sync";

    [Fact]
    public async Task A_damaged_disk_is_not_started_until_its_repair_is_asked_for_and_what_was_synced_is_there()
    {
        await Space.NodeAsync("damaged");
        Guest guest = await Space.RunningGuestAsync("damaged");
        Health((await Space.NodeNowAsync("damaged"))!).Status.ShouldBe("True");
        await guest.OkAsync("write marker synced before the damage");
        string image = (await Space.PodNowAsync("damaged"))!.Spec.Containers[0].Image;
        await Space.PowerAsync("damaged", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("damaged", NodePhases.Stopped);
        await OnClaimAsync("damaged", image, LoseRefcounts);

        // The disk of a guest that is off is checked at once.
        await PatchDiskAsync("damaged", """{"checkRevision": "1"}""");
        V1Alpha1LabNode node = await AwaitHealthAsync("damaged", "False", "OverlayCorrupt");
        node.Status!.Phase.ShouldBe(NodePhases.Stopped);
        LabNodeDiskCheck check = node.Status.Disk!.LastCheck!;
        (check.Kind, check.Result, check.Revision).ShouldBe(("Full", "Corrupt", "1"));
        check.Corruptions!.Value.ShouldBeGreaterThan(0);
        await Space.EventAsync("LabNode", "damaged", "Warning", "OverlayCorrupt", "spec.disk.repair");
        await Space.GoneAsync("pod", "labnode-damaged");

        // It is not started, and no wish but the right one makes it start or changes a byte.
        await Space.PowerAsync("damaged", PowerStates.Running);
        node = await Space.AwaitPhaseAsync("damaged", NodePhases.Failed);
        Space.Condition(node, ConditionTypes.Ready)!.Reason.ShouldBe("OverlayCorrupt");
        Space.Condition(node, ConditionTypes.Ready)!.Message.ShouldContain("spec.disk.repair");
        await PatchDiskAsync("damaged", """{"repair": "Leaks"}""");
        node = await Space.AwaitPhaseAsync("damaged", NodePhases.Failed);
        node.Status!.Disk!.Kept.ShouldBeNull();

        await PatchDiskAsync("damaged", """{"repair": "All"}""");
        node = await Space.AwaitPhaseAsync("damaged", NodePhases.Running);
        (Health(node).Status, Health(node).Reason).ShouldBe(("True", "Repaired"));
        LabNodeKeptDisk kept = node.Status!.Disk!.Kept!.ShouldHaveSingleItem();
        (kept.Revision, kept.Damaged, node.Status.Disk.Revision).ShouldBe(("initial.damaged-1", true, "initial"));
        await Space.EventAsync("LabNode", "damaged", "Normal", "DiskRepaired", "initial.damaged-1");
        await guest.ReadyAsync(boot: 2);
        (await guest.OkAsync("read marker")).ShouldBe("synced before the damage");

        // The damaged one lies there as it was, and is as damaged as it was.
        (await Lab.KubectlAsync("-n", Space.Name, "exec", "labnode-damaged", "--", "sh", "-c", "qemu-img check -q /overlays/node_*.kept-1.qcow2")).Code.ShouldNotBe(0);
    }

    [Fact]
    public async Task A_full_check_is_made_once_at_once_of_a_guest_that_is_off_and_before_the_next_start_of_one_that_runs()
    {
        await Space.NodeAsync("checked");
        Guest guest = await Space.RunningGuestAsync("checked");
        string pod = (await Space.PodNowAsync("checked"))!.Metadata.Uid;
        await PatchDiskAsync("checked", """{"checkRevision": "1"}""");
        V1Alpha1LabNode node = await AwaitHealthAsync("checked", "True", "CheckDue");
        (await guest.OkAsync("ping on")).ShouldBe("pong on");
        node.Status!.Pod!.Uid.ShouldBe(pod);

        await Space.PatchNodeAsync("checked", """{"spec": {"restartRevision": "1"} }""");
        node = await Space.AwaitNodeAsync("checked", n => n.Status?.Disk?.CheckRevision == "1" && n.Status.Phase == NodePhases.Running, "it was checked and runs");
        (Health(node).Status, Health(node).Reason).ShouldBe(("True", "Checked"));
        (node.Status!.Disk!.LastCheck!.Kind, node.Status.Disk.LastCheck.Result).ShouldBe(("Full", "Clean"));
        await Space.EventAsync("LabNode", "checked", "Normal", "DiskChecked");

        await Space.PowerAsync("checked", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("checked", NodePhases.Stopped);
        DateTime? first = node.Status.Disk.FullCheckAt;
        await PatchDiskAsync("checked", """{"checkRevision": "2"}""");
        node = await Space.AwaitNodeAsync("checked", n => n.Status?.Disk?.CheckRevision == "2", "it was checked again");
        node.Status!.Phase.ShouldBe(NodePhases.Stopped);
        node.Status.Disk!.FullCheckAt!.Value.ShouldBeGreaterThan(first!.Value);
        node.Status.Terminations!.Count.ShouldBe(2, "checks are no ends of the guest");
        await Space.GoneAsync("pod", "labnode-checked");
    }

    [Fact]
    public async Task A_disk_whose_last_full_check_is_too_old_is_checked_unasked()
    {
        await Space.NodeAsync("old");
        await Space.RunningGuestAsync("old");
        await Space.PowerAsync("old", PowerStates.Stopped);
        await Space.AwaitPhaseAsync("old", NodePhases.Stopped);
        await Space.GoneAsync("pod", "labnode-old");

        // What is on record is two days old: the record is what counts, also for an operator that was not there.
        string then = DateTime.UtcNow.AddDays(-2).ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
        await Lab.KubectlOkAsync("-n", Space.Name, "patch", "labnode", "old", "--subresource=status", "--type=merge", "-p", $$"""{"status": {"disk": {"createdAt": "{{then}}"} } }""");
        await PatchDiskAsync("old", """{"checkEveryHours": 72}""");
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("old", NodePhases.Stopped);
        node.Status!.Disk!.FullCheckAt.ShouldBeNull("it is not due for another day");
        DateTime before = DateTime.UtcNow.AddSeconds(-1);
        await PatchDiskAsync("old", """{"checkEveryHours": 24}""");
        // What the check found is on record a moment before its pod has ended.
        node = await Space.AwaitNodeAsync("old", n => n.Status?.Disk?.FullCheckAt >= before && Health(n).Reason == "Checked", "it was checked");
        (node.Status!.Disk!.LastCheck!.Kind, node.Status.Disk.LastCheck.Result, node.Status.Disk.LastCheck.Revision).ShouldBe(("Full", "Clean", null));
        (Health(node).Status, node.Status.Phase).ShouldBe(("True", NodePhases.Stopped));
        await Space.GoneAsync("pod", "labnode-old");
    }

    private static V1Condition Health(V1Alpha1LabNode node) => Space.Condition(node, ConditionTypes.DiskHealthy)!;

    private Task<V1Alpha1LabNode> AwaitHealthAsync(string name, string status, string reason) => Space.AwaitNodeAsync(
        name, n => Space.Condition(n, ConditionTypes.DiskHealthy) is { } health && health.Status == status && health.Reason == reason, $"DiskHealthy is {status}: {reason}");

    private Task<V1Alpha1LabNode> PatchDiskAsync(string name, string disk) => Space.PatchNodeAsync(name, $$"""{"spec": {"disk": {{disk}} } }""");

    /// <summary>Runs a script on the claim of a LabNode that is off, as a person would in a pod of their own; <c>$overlay</c> is its disk.</summary>
    private async Task OnClaimAsync(string name, string image, string script)
    {
        V1Alpha1LabNode node = (await Space.NodeNowAsync(name))!;
        await Space.GoneAsync("pod", "labnode-" + name);
        await Lab.ApplyAsync($$"""
            apiVersion: v1
            kind: Pod
            metadata: {name: {{name}}-shell, namespace: {{Space.Name}}}
            spec:
              restartPolicy: Never
              automountServiceAccountToken: false
              securityContext: {runAsUser: 65532, runAsGroup: 65532, runAsNonRoot: true, seccompProfile: {type: RuntimeDefault} }
              containers:
                - name: shell
                  image: {{image}}
                  env: [{name: overlay, value: {{node.Status!.OverlayPath}} }]
                  command: [sh, -c, '{{script}}']
                  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]} }
                  volumeMounts: [{name: disk, mountPath: /overlays}]
              volumes: [{name: disk, persistentVolumeClaim: {claimName: {{node.Status.Disk!.Claim}} } }]
            """);
        await Eventually.SeesAsync(
            "the pod on the claim ends well",
            () => Lab.Api.GetAsync<V1Pod>(new Runtime.ObjectKey(Space.Name, $"{name}-shell"), CancellationToken.None),
            p => p?.Status?.Phase == "Succeeded",
            describe: p => p?.Status?.Phase ?? "none");
        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "pod", $"{name}-shell", "--grace-period=1");
    }
}
