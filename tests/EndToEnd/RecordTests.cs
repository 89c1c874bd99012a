using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>The record of a LabNode is in its status: it needs no operator to be read, and no operator's life to be right.</summary>
[Collection(Scenario.Disruptive)]
public sealed class RecordTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task Without_an_operator_the_LabNode_alone_tells_state_disk_image_times_and_last_end()
    {
        await Space.NodeAsync("told");
        await Space.NodeAsync("ended");
        await Space.NodeAsync("again");
        Guest told = await Space.RunningGuestAsync("told");
        Guest ended = await Space.RunningGuestAsync("ended");
        Guest again = await Space.RunningGuestAsync("again");
        await ended.TellAsync("poweroff");
        await Space.AwaitPhaseAsync("ended", NodePhases.Stopped);
        await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "scale", Lab.OperatorDeployment, "--replicas=0");
        try
        {
            await Eventually.SucceedsAsync("no operator is left", async () =>
            {
                Outcome pods = await Lab.KubectlAsync("-n", Lab.OperatorNamespace, "get", "pods", "-o", "name");
                return pods with { Code = pods.Output.Trim().Length == 0 ? 0 : 1 };
            });
            string running = await Lab.KubectlOkAsync("-n", Space.Name, "get", "labnode", "told", "-o", "yaml");
            string[] facts =
            [
                "phase: Running", "overlayPath: /overlays/node_", "claim: labnode-told", "image: tiny", "digest: sha256:" + Lab.TinySha256,
                "startedAt: ", "createdAt: ", "guestRunning: ", "virtualSizeBytes: 268435456", "accelerator: ", "qemuVersion: ", "observedGeneration: 1",
            ];
            facts.ShouldAllBe(f => running.Contains(f));
            string stopped = await Lab.KubectlOkAsync("-n", Space.Name, "get", "labnode", "ended", "-o", "yaml");
            facts = ["phase: Stopped", "reason: GuestShutdown", "stoppedAt: ", "OK poweroff", "exitCode: 0", "overlayPath: /overlays/node_", "claim: labnode-ended"];
            facts.ShouldAllBe(f => stopped.Contains(f));

            // The guest does not need the operator either; what is asked meanwhile is done afterwards.
            (await told.OkAsync("ping alone")).ShouldBe("pong alone");
            await Space.PowerAsync("told", PowerStates.Stopped);
            await Space.PatchNodeAsync("again", """{"spec": {"resetRevision": "1"} }""");
            await Space.NodeAsync("meanwhile");
        }
        finally
        {
            await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "scale", Lab.OperatorDeployment, "--replicas=1");
        }

        V1Alpha1LabNode node = await Space.AwaitPhaseAsync("told", NodePhases.Stopped);
        node.Status!.Terminations!.ShouldHaveSingleItem().Reason.ShouldBe("HostShutdown");
        await Space.AwaitPhaseAsync("meanwhile", NodePhases.Running);
        (await Space.NodeNowAsync("ended"))!.Status!.Phase.ShouldBe(NodePhases.Stopped);
        await again.ReadyAsync(boot: 2);
        node = await Space.AwaitNodeAsync("again", n => n.Status?.ResetRevision == "1", "the reset is on record");
        (node.Status!.Terminations ?? []).ShouldBeEmpty();
        await Lab.OperatorReadyAsync();
    }

    [Fact]
    public async Task Deleting_the_operators_pod_at_any_moment_of_a_start_or_a_stop_changes_no_outcome()
    {
        Random random = Seeded().Random;

        // Twelve lives at once, begun at random moments; the operator goes three times meanwhile, each time at another moment in the life of each.
        string[] names = [.. Enumerable.Range(0, 12).Select(i => $"life-{i}")];
        await WhileTheOperatorGoesAsync("start", n => Space.NodeAsync(n));
        foreach (string name in names)
        {
            await Space.AwaitPhaseAsync(name, NodePhases.Running);
        }

        // No sleeping until all settled: what the guest says proves that it runs on a whole disk of its own, for the first time.
        await Task.WhenAll(names.Select(n => new Guest(Space, n).ReadyAsync(boot: 1)));
        foreach (string name in names)
        {
            V1Alpha1LabNode node = (await Space.NodeNowAsync(name))!;
            node.Status!.Phase.ShouldBe(NodePhases.Running);
            (node.Status.Restarts?.Count ?? 0).ShouldBe(0, name);
            (node.Status.Terminations ?? []).ShouldBeEmpty(name);
            node.Status.Pod!.Uid.ShouldBe((await Space.PodNowAsync(name))!.Metadata.Uid);
            node.Status.Timeline!.GuestRunning.ShouldNotBeNull();
            (await Space.EventsAsync("LabNode", name)).Count(e => e.Reason == "Started").ShouldBeInRange(1, 2, "an event may be told twice, not lost");
        }

        await WhileTheOperatorGoesAsync("stop", n => Space.PowerAsync(n, PowerStates.Stopped));
        foreach (string name in names)
        {
            V1Alpha1LabNode node = await Space.AwaitPhaseAsync(name, NodePhases.Stopped);
            LabNodeTermination end = node.Status!.Terminations!.ShouldHaveSingleItem();

            // Whoever was away: the pod stayed until its guest's last word was on record.
            end.Reason.ShouldBe("HostShutdown", end.Message);
            end.Console.ShouldNotBeNull().ShouldContain("SANDLABX-TINY POWEROFF boot=1");
            (node.Status.Restarts?.Count ?? 0).ShouldBe(0, name);
            await Space.GoneAsync("pod", "labnode-" + name);
        }

        await Lab.OperatorReadyAsync();

        Task WhileTheOperatorGoesAsync(string what, Func<string, Task> act)
        {
            int[] at = [.. names.Select(_ => random.Next(0, 7500))];
            int[] kills = [.. Enumerable.Range(0, 3).Select(i => (i * 2500) + random.Next(0, 2500))];
            Output.WriteLine($"{what} at {string.Join(", ", at)} ms; the operator goes at {string.Join(", ", kills)} ms");
            return Task.WhenAll([.. kills.Select(DeleteOperatorAsync), .. names.Select((n, i) => LaterAsync(at[i], () => act(n)))]);
        }
    }

    private static async Task LaterAsync(int milliseconds, Func<Task> act)
    {
        await Task.Delay(milliseconds);
        await act();
    }

    private static Task DeleteOperatorAsync(int milliseconds) => LaterAsync(milliseconds, () => Lab.KubectlOkAsync(
        "-n", Lab.OperatorNamespace, "delete", "pods", "-l", "app.kubernetes.io/name=sandlabx", "--wait=false"));
}
