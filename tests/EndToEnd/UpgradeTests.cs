using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Another version of operator and runner is installed while guests run.</summary>
[Collection(Disruptive)]
public sealed class UpgradeTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    private const string Variable = "SANDLABX__RUNNERIMAGE";

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task An_upgrade_leaves_guests_that_run_alone_and_their_next_start_takes_the_new_runner()
    {
        await Space.NodeAsync("old");
        Guest guest = await Space.RunningGuestAsync("old");
        V1Pod pod = (await Space.PodNowAsync("old"))!;
        V1Alpha1LabNode before = (await Space.NodeNowAsync("old"))!;
        string former = pod.Spec.Containers[0].Image;
        string next = former[..former.LastIndexOf(':')] + ":next";

        // The same bytes under another name: to the operator that is another runner.
        await Lab.ClusterAsync("exec", "ctr", "-n", "k8s.io", "images", "tag", "--force", former, next);
        try
        {
            await InstallAsync(next);
            await Space.NodeAsync("new");
            await Space.AwaitPhaseAsync("new", NodePhases.Running);
            (await Space.PodNowAsync("new"))!.Spec.Containers[0].Image.ShouldBe(next, "the new operator works with the new runner");

            V1Alpha1LabNode node = (await Space.NodeNowAsync("old"))!;
            (await Space.PodNowAsync("old"))!.Metadata.Uid.ShouldBe(pod.Metadata.Uid);
            (node.Status!.Phase, node.Status.Pod!.Uid, node.Status.StartedAt, node.Status.Terminations).ShouldBe((NodePhases.Running, pod.Metadata.Uid, before.Status!.StartedAt, null));
            Space.Condition(node, ConditionTypes.RestartRequired)!.Status.ShouldBe("False", "an upgrade asks nothing of a guest");
            node.Status.RunnerVersion.ShouldNotBeNullOrEmpty();
            await guest.ReadyAsync(boot: 1);

            await Space.PatchNodeAsync("old", """{"spec": {"restartRevision": "upgraded"} }""");
            await Space.AwaitNodeAsync("old", n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != pod.Metadata.Uid, "runs in another pod");
            (await Space.PodNowAsync("old"))!.Spec.Containers[0].Image.ShouldBe(next);
            await guest.ReadyAsync(boot: 2);
        }
        finally
        {
            await InstallAsync(former);
        }
    }

    /// <summary>Has the operator's deployment roll to a pod that works with another runner.</summary>
    private static async Task InstallAsync(string runner)
    {
        await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "set", "env", Lab.OperatorDeployment, $"{Variable}={runner}");
        Outcome rolled = await Shell.RunAsync(["kubectl", "-n", Lab.OperatorNamespace, "rollout", "status", Lab.OperatorDeployment, "--timeout=240s"]);
        rolled.Code.ShouldBe(0, rolled.ToString());
        await Lab.OperatorReadyAsync();
    }
}
