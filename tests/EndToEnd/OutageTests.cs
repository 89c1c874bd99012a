using System.Globalization;
using k8s.Models;
using SandLabX.EndToEnd.Faults;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>API server and etcd are away, for as long as <c>SANDLABX_OUTAGE_SECONDS</c> says (60): no guest notices, and nobody rushes at them when they are back.</summary>
[Collection(Disruptive)]
public sealed class OutageTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    /// <summary>Requests that the operator may send in the first minute with an API server again: the lease, five lists and watches with some tries, a reconcile of each object.</summary>
    private const int RequestsOfFirstMinute = 200;

    /// <summary>Requests a second that it may send in vain: the lease every 2 s, and five informers that wait ever longer.</summary>
    private const double RequestsInVain = 2;

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task Guests_do_not_notice_that_API_server_and_etcd_are_away_and_no_storm_follows()
    {
        int seconds = int.TryParse(Environment.GetEnvironmentVariable("SANDLABX_OUTAGE_SECONDS"), CultureInfo.InvariantCulture, out int given) ? given : 60;
        string[] names = ["one", "two"];
        await Task.WhenAll(names.Select(n => Space.NodeAsync(n)));
        await Space.NodeAsync("off", "powerState: Stopped");
        await Space.AwaitPhaseAsync("off", NodePhases.Stopped);
        Guest[] guests = await Task.WhenAll(names.Select(n => Space.RunningGuestAsync(n)));
        Following[] writing = await Task.WhenAll(guests.Select(g => g.CountAsync("records", 100, _ => { })));
        await CrashAsync("crashed");
        (string Version, string Identity)[] before = await Task.WhenAll(names.Select(IdentityAsync));
        string host = await HostAsync();
        long[] written = await Task.WhenAll(guests.Select(g => g.CheckAsync("records")));
        double[] uptime = await Task.WhenAll(guests.Select(UptimeAsync));

        try
        {
            await Lab.ClusterAsync("stop", "kube-apiserver");
            await Lab.ClusterAsync("stop", "etcd");
            (await Lab.KubectlAsync("get", "--raw", "/readyz")).Code.ShouldNotBe(0, "the API server is away");
            await Task.Delay(TimeSpan.FromSeconds(seconds));
            (await Lab.KubectlAsync("get", "--raw", "/readyz")).Code.ShouldNotBe(0, "the API server is still away");
        }
        finally
        {
            await Lab.ClusterAsync("start", "etcd");
            await Lab.ClusterAsync("start", "kube-apiserver");
        }

        await Eventually.SucceedsAsync("the API server is back", () => Lab.KubectlAsync("get", "--raw", "/readyz"));
        double begun = await Eventually.SeesAsync("the operator tells what it did", RequestsAsync, n => n > 0);
        Output.WriteLine($"{begun} requests until just after an outage of {seconds} s, of the process that lives now");
        begun.ShouldBeLessThan((seconds * RequestsInVain) + RequestsOfFirstMinute);
        await Task.Delay(TimeSpan.FromMinutes(1));
        double first = await RequestsAsync() - begun;
        Output.WriteLine($"{first} requests in the first minute after it");
        first.ShouldBeInRange(1, RequestsOfFirstMinute);
        await Lab.OperatorReadyAsync();

        // Newer controller managers call each node silent after an outage until its kubelet gets through; then its LabNodes say so, and are written.
        bool heard = await HostAsync() == host;
        foreach ((string name, int i) in names.Select((n, i) => (n, i)))
        {
            (string version, string identity) = await IdentityAsync(name);
            identity.ShouldBe(before[i].Identity, "its pod, container and process are the ones it had");
            if (heard)
            {
                version.ShouldBe(before[i].Version, "its status was right all the time");
            }

            (await guests[i].BootAsync()).ShouldBe(1);
            double up = await UptimeAsync(guests[i]) - uptime[i];
            long more = await guests[i].CheckAsync("records") - written[i];
            Output.WriteLine($"{name}: up for {up:0} s more, {more} records more");
            up.ShouldBeGreaterThan(seconds);
            more.ShouldBeGreaterThan(seconds * 2, "it wrote on, ten records a second at best");
            writing[i].Dispose();
        }

        // Ten minutes of health make up for a crash, also those that nobody saw.
        if (seconds >= 600)
        {
            await Space.AwaitNodeAsync("crashed", n => n.Status?.Restarts is { Count: 1, Consecutive: 0 }, "its crash counts no more");
        }
        else
        {
            (await Space.NodeNowAsync("crashed"))!.Status!.Restarts!.Consecutive.ShouldBe(1, "its crash counts for ten minutes");
        }

        // It works as before.
        await Task.WhenAll(Space.PowerAsync("one", PowerStates.Stopped), Space.PowerAsync("off", PowerStates.Running));
        await Task.WhenAll(Space.AwaitPhaseAsync("one", NodePhases.Stopped), Space.AwaitPhaseAsync("off", NodePhases.Running));
    }

    /// <summary>A guest whose QEMU was killed once, and that runs again.</summary>
    private async Task CrashAsync(string name)
    {
        await Space.NodeAsync(name);
        V1Alpha1LabNode node = await Space.AwaitPhaseAsync(name, NodePhases.Running);
        (await NodeScripts.ToQemuAsync(node.Status!.Disk!.Id!, NodeScripts.Kill)).ShouldBeTrue();
        node = await Space.AwaitNodeAsync(name, n => n.Status is { Phase: NodePhases.Running, Restarts.Count: 1 }, "runs again");
        node.Status!.Restarts!.Consecutive.ShouldBe(1);
    }

    /// <summary>What must stay the same: the LabNode's version, and its pod, container and QEMU.</summary>
    private async Task<(string Version, string Identity)> IdentityAsync(string name)
    {
        V1Alpha1LabNode node = (await Space.NodeNowAsync(name))!;
        V1Pod pod = (await Space.PodNowAsync(name))!;
        V1ContainerStatus container = pod.Status.ContainerStatuses.Single();
        Outcome qemu = await Shell.RunAsync(Lab.InNode("pgrep", "-f", $"^qemu-system.*node_{node.Status!.Disk!.Id}.qcow2"));
        return (node.Metadata.ResourceVersion, $"phase {node.Status.Phase} pod {pod.Metadata.Uid} {container.ContainerID} restarts {container.RestartCount} qemu {qemu.Output.Trim()}");
    }

    /// <summary>Whether the guests' node is ready, and since when.</summary>
    private static Task<string> HostAsync() => Lab.KubectlOkAsync("get", "nodes", "-o", "jsonpath={.items[*].status.conditions[?(@.type==\"Ready\")]['status', 'lastTransitionTime']}");

    private static async Task<double> UptimeAsync(Guest guest) => double.Parse(await guest.OkAsync("uptime"), CultureInfo.InvariantCulture);

    private static Task<double> RequestsAsync() => Lab.OperatorMetricAsync("rest_client_requests_total");
}
