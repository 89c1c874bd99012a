using System.Diagnostics;
using System.Globalization;
using System.Text.Json.Nodes;
using SandLabX.Contract;
using SandLabX.EndToEnd.Faults;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>
/// Guests that write on a second node, on volumes that both nodes reach: they move when their node is drained, and when it is lost and declared so, never
/// before. <c>SANDLABX_NODE_ROUNDS</c> says how often each happens (1), at random moments; the table goes to the file that <c>SANDLABX_NODE_TABLE</c> names.
/// </summary>
[Collection(Disruptive)]
public sealed class NodeLossTests(Space space, NodeLossTests.Results results, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>, IClassFixture<NodeLossTests.Results>
{
    /// <summary>Seconds from the moment at which Kubernetes lets a lost node's pod go, or has its node back, until the guest is ready again.</summary>
    private const double Bound = 60;

    /// <summary>
    /// Seconds that the garbage collector of pods may take to do so once a Node object is gone: it looks every 20 s, and gives a node that it misses 40 s to come back;
    /// 80 s at worst, and some for a busy machine.
    /// </summary>
    private const double Collecting = 100;

    private static readonly Fault s_drained = Fault.OfNode("Drain", 120, TerminationReasons.HostShutdown);
    private static readonly Fault s_forced = Fault.OfNode("NodeLost, its pod deleted by force", Bound, NodePhases.NodeLost);
    private static readonly Fault s_collected = Fault.OfNode("NodeLost, its Node object deleted", Bound, NodePhases.NodeLost);
    private static readonly Fault s_declared = Fault.OfNode("NodeLost, its node declared out of service", Bound, NodePhases.NodeLost);
    private static readonly Fault s_returned = Fault.OfNode("NodeLost and back", Bound, Fault.Unseen);

    public static IEnumerable<TheoryDataRow<int>> Rounds =>
        Enumerable.Range(0, int.TryParse(Environment.GetEnvironmentVariable("SANDLABX_NODE_ROUNDS"), CultureInfo.InvariantCulture, out int given) ? given : 1).Select(n => new TheoryDataRow<int>(n));

    protected override bool WantsImage => false;

    protected override void Require() => Lab.RequireLocal();

    [Theory]
    [MemberData(nameof(Rounds))]
    public async Task A_drained_nodes_guest_powers_off_in_order_and_starts_on_the_other_node_with_its_disk(int round)
    {
        await using SecondNode second = await SecondNode.AddAsync(Space, $"drain-{round}", guests: 1);
        Victim[] victims = await WriteThereAsync(second, round, "moves");
        await using var writers = new Writers(Space, victims[0].DiskId);
        await MomentAsync();

        victims[0].Struck();
        Outcome drain = await Shell.RunAsync(Lab.InNode("kubectl", "drain", SecondNode.Name, "--force", "--delete-emptydir-data", "--timeout=240s"));
        drain.Code.ShouldBe(0, drain.ToString());
        await RecoversAsync(victims[0], s_drained);

        (await Space.NodeNowAsync(victims[0].Name))!.Status!.Pod!.Node.ShouldBe(second.First);
        Output.WriteLine(writers.NeverTwo());
    }

    [Theory]
    [MemberData(nameof(Rounds))]
    public async Task A_node_that_lost_power_keeps_its_guests_until_it_is_declared_out_of_service_and_then_they_run_elsewhere_within_a_minute(int round)
    {
        await using SecondNode second = await SecondNode.AddAsync(Space, $"loss-{round}", guests: 2);
        Victim[] victims = await WriteThereAsync(second, round, "forced", "collected");
        await using var writers = new Writers(Space, [.. victims.Select(v => v.DiskId)]);
        await MomentAsync();

        long off = Stopwatch.GetTimestamp();
        await Lab.ClusterAsync("node-kill", SecondNode.Name);
        (await QemusAsync()).ShouldBe(0, "the machine is off");
        foreach (Victim victim in victims)
        {
            V1Alpha1LabNode lost = await Space.AwaitPhaseAsync(victim.Name, NodePhases.NodeLost);
            Output.WriteLine($"{victim.Name}: NodeLost {Seconds(off)} s after the loss of power: {Space.Condition(lost, ConditionTypes.Ready)!.Message}");
            Space.Condition(lost, ConditionTypes.Ready)!.Message.ShouldContain(SecondNode.Name);
        }

        // What the tolerations of 30 s lead to: Kubernetes asks for the pods' end, of a node that does not hear it.
        foreach (Victim victim in victims)
        {
            await Eventually.SeesAsync($"the end of {victim.Name}'s pod is asked for", () => Space.PodNowAsync(victim.Name), p => p?.Metadata.DeletionTimestamp is not null);
            Output.WriteLine($"{victim.Name}: the pod's end was asked for {Seconds(off)} s after the loss of power");
        }

        foreach (Victim victim in victims)
        {
            // The operator has looked since, as it has answered a change of the spec.
            await Space.PatchNodeAsync(victim.Name, """{"spec": {"gracePeriodSeconds": 31} }""");
            await Space.AwaitNodeAsync(victim.Name, n => n.Status?.ObservedGeneration == n.Metadata.Generation, "was looked at since");
            (await Space.PodNowAsync(victim.Name))!.Metadata.Uid.ShouldBe(victim.PodUid, "no successor before that pod is gone");
            (await Space.NodeNowAsync(victim.Name))!.Status!.Phase.ShouldBe(NodePhases.NodeLost);
        }

        (await QemusAsync()).ShouldBe(0, "no guest was started elsewhere");
        Output.WriteLine($"both are NodeLost still {Seconds(off)} s after the loss of power");

        await (await KnowsOutOfServiceAsync() ? DeclareAsync(second, victims) : ForceAndCollectAsync(second, victims[0], victims[1]));
        Output.WriteLine(writers.NeverTwo());
    }

    [Theory]
    [MemberData(nameof(Rounds))]
    public async Task A_node_that_lost_power_and_is_back_lets_its_guest_start_again_unasked(int round)
    {
        await using SecondNode second = await SecondNode.AddAsync(Space, $"back-{round}", guests: 1);
        Victim[] victims = await WriteThereAsync(second, round, "returns");
        await using var writers = new Writers(Space, victims[0].DiskId);
        await MomentAsync();

        await Lab.ClusterAsync("node-kill", SecondNode.Name);
        await Space.AwaitPhaseAsync(victims[0].Name, NodePhases.NodeLost);
        (await Space.PodNowAsync(victims[0].Name))!.Metadata.Uid.ShouldBe(victims[0].PodUid);
        long power = Stopwatch.GetTimestamp();
        await Lab.ClusterAsync("node-start", SecondNode.Name);
        Told("the node has power again and is ready", power);
        victims[0].Struck();
        await RecoversAsync(victims[0], s_returned);
        Output.WriteLine(writers.NeverTwo());
    }

    /// <summary>The taint by which a person, or what fences machines, says that a node is off: Kubernetes lets its pods go at once.</summary>
    private async Task DeclareAsync(SecondNode second, Victim[] victims)
    {
        Array.ForEach(victims, victim => victim.Struck());
        await Lab.KubectlOkAsync("taint", "node", SecondNode.Name, "node.kubernetes.io/out-of-service=nodeshutdown:NoExecute");
        await Task.WhenAll(victims.Select(victim => RunsElsewhereAsync(second, victim, s_declared)));
    }

    /// <summary>What servers have that do not know the taint: a node's pods are deleted by force, or its Node object is.</summary>
    private async Task ForceAndCollectAsync(SecondNode second, Victim forced, Victim collected)
    {
        forced.Struck();
        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "pod", "labnode-" + forced.Name, "--grace-period=0", "--force", "--wait=false");
        await RunsElsewhereAsync(second, forced, s_forced);

        long deleted = Stopwatch.GetTimestamp();
        await Lab.KubectlOkAsync("delete", "node", SecondNode.Name);
        await Eventually.SeesAsync("Kubernetes lets the other pod go", () => Space.PodNowAsync(collected.Name), p => p?.Metadata.Uid != collected.PodUid);
        collected.Struck();
        Within(Collecting, Told("the Node object was deleted; Kubernetes let its pod go", deleted), collected.Name);
        await RunsElsewhereAsync(second, collected, s_collected);
        Told("ready on the other node after the Node object was deleted", deleted);
    }

    // Beta, and on by default, since 1.26.
    private static async Task<bool> KnowsOutOfServiceAsync() =>
        int.Parse(JsonNode.Parse(await Lab.KubectlOkAsync("get", "--raw", "/version"))!["minor"]!.GetValue<string>().TrimEnd('+'), CultureInfo.InvariantCulture) >= 26;

    /// <summary>Guests on the second node that write.</summary>
    private async Task<Victim[]> WriteThereAsync(SecondNode second, int round, params string[] names)
    {
        Guest[] guests = await second.StartThereAsync([.. names.Select(n => $"{n}-{round}")]);
        Victim[] victims = await Task.WhenAll(guests.Select(async g => new Victim(Space, g, (await Space.NodeNowAsync(g.Node))!.Status!.Disk!.Id!)));
        results.Keep(victims);
        await Task.WhenAll(victims.Select(v => v.PrepareAsync(round)));
        await Eventually.SeesAsync("all guests write", () => Task.FromResult(victims.Min(v => v.Synced)), n => n > 50);
        return victims;
    }

    /// <summary>A random moment of the guests' writing.</summary>
    private Task MomentAsync() => Task.Delay(Seeded().Random.Next(3000));

    /// <summary>Waits until the guest is ready again, with all that it was told is on its disk, within its bound.</summary>
    private async Task RecoversAsync(Victim victim, Fault fault)
    {
        (long lost, double seconds) = await victim.RecoveredAsync(fault, Fault.None, Output);
        results.Table.Add(fault.Name, fault.Bound, victim.Synced, lost, seconds);
        lost.ShouldBe(0, victim.Name);
        Within(fault.Bound, seconds, victim.Name);
    }

    private async Task RunsElsewhereAsync(SecondNode second, Victim victim, Fault fault)
    {
        await RecoversAsync(victim, fault);
        LabNodeStatus status = (await Space.NodeNowAsync(victim.Name))!.Status!;
        status.Pod!.Node.ShouldBe(second.First);
        status.Terminations!.ShouldHaveSingleItem().Message!.ShouldContain(SecondNode.Name);
    }

    /// <summary>How many QEMUs of this namespace's LabNodes there are: the first node sees the processes of both.</summary>
    private async Task<int> QemusAsync()
    {
        Outcome seen = await Shell.RunAsync(Lab.InNode("pgrep", "-c", "-f", $"^qemu-system.*guest={Space.Name}/"));
        return int.Parse(seen.Output, CultureInfo.InvariantCulture);
    }

    private static void Within(double bound, double seconds, string what)
    {
        if (Fault.Timed)
        {
            seconds.ShouldBeLessThanOrEqualTo(bound, what);
        }
    }

    private double Told(string what, long since)
    {
        Output.WriteLine($"{what}: {Seconds(since)} s");
        return Stopwatch.GetElapsedTime(since).TotalSeconds;
    }

    private static string Seconds(long since) => Stopwatch.GetElapsedTime(since).TotalSeconds.ToString("0.0", CultureInfo.InvariantCulture);

    /// <summary>What came of all rounds.</summary>
    public sealed class Results : IDisposable
    {
        private readonly List<Victim> _victims = [];

        internal FaultTable Table { get; } = new();

        internal void Keep(IEnumerable<Victim> victims) => _victims.AddRange(victims);

        public void Dispose()
        {
            _victims.ForEach(v => v.Dispose());
            if (Environment.GetEnvironmentVariable("SANDLABX_NODE_TABLE") is { Length: > 0 } path)
            {
                File.WriteAllText(path, $"{Table}\n");
            }
        }
    }
}
