using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>The whole cluster goes down and comes up: what ran runs again, on its own disk.</summary>
[Collection(Disruptive)]
public sealed class RestartTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task Three_LabNodes_come_back_by_themselves_with_what_each_had_written()
    {
        string[] names = ["one", "two", "three"];
        await Task.WhenAll(names.Select(n => Space.NodeAsync(n)));
        Guest[] guests = await Task.WhenAll(names.Select(n => Space.RunningGuestAsync(n)));
        await Task.WhenAll(guests.Select(g => g.OkAsync($"write marker of {g.Node}")));
        await Space.NodeAsync("off", "powerState: Stopped");
        await Space.AwaitPhaseAsync("off", NodePhases.Stopped);
        Dictionary<string, V1Alpha1LabNode> before = (await Task.WhenAll(names.Select(Space.NodeNowAsync))).ToDictionary(n => n!.Metadata.Name, n => n!);

        await Lab.ClusterAsync("down");
        (await Lab.KubectlAsync("get", "--raw", "/readyz")).Code.ShouldNotBe(0, "the cluster is down");
        await Lab.ClusterAsync("up");

        foreach (string name in names)
        {
            V1Alpha1LabNode was = before[name];
            V1Alpha1LabNode node = await Space.AwaitNodeAsync(
                name, n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid != was.Status!.Pod!.Uid, "runs again, in another pod");
            var guest = new Guest(Space, name);
            await guest.ReadyAsync(boot: 2);
            (await guest.OkAsync("read marker")).ShouldBe($"of {name}");
            node.Metadata.Uid.ShouldBe(was.Metadata.Uid);
            node.Metadata.Generation.ShouldBe(was.Metadata.Generation);
            node.Status!.OverlayPath.ShouldBe(was.Status!.OverlayPath);
            node.Status.Disk!.CreatedAt.ShouldBe(was.Status.Disk!.CreatedAt);
            LabNodeTermination end = node.Status.Terminations!.ShouldHaveSingleItem();
            Output.WriteLine($"{name}: {end.Reason}: {end.Message}");
            end.Reason.ShouldBe("HostShutdown", "it was asked to power off, and that is on record");
            (await Space.ClaimNowAsync(name))!.Status.Phase.ShouldBe("Bound");
        }

        (await Space.NodeNowAsync("off"))!.Status!.Phase.ShouldBe(NodePhases.Stopped, "what was off stays off");
        (await Space.PodNowAsync("off")).ShouldBeNull("and gets no pod");
        await Lab.OperatorReadyAsync();
    }
}
