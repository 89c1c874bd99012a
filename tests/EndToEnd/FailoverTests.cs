using System.Diagnostics;
using SandLabX.EndToEnd.Faults;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Two replicas of the operator: one leads, and the other one takes over.</summary>
[Collection(Scenario.Disruptive)]
public sealed class FailoverTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override void Require() => Lab.RequireLocal();

    /// <summary>.NET takes a moment to listen for SIGTERM. Until then it ends a process, but not the first one of its namespace: that would lead on until it is killed, and keep the lease.</summary>
    [Fact]
    public async Task An_operator_that_is_told_to_end_before_it_listens_ends() =>
        (await NodeScripts.ToOperatorAsync("(($(awk '/^NSpid/ {print $NF}' /proc/$pid/status) > 1))")).ShouldBeTrue("it is not the first process of its namespace");

    [Fact]
    public async Task When_the_leader_is_killed_the_other_replica_takes_over_and_nothing_is_lost()
    {
        try
        {
            await Lab.ScaleOperatorAsync(2);
            await Space.NodeAsync("before");
            await Space.NodeAsync("during");
            await Space.PowerAsync("during", PowerStates.Stopped);
            await Space.AwaitPhaseAsync("during", NodePhases.Stopped);
            await (await Space.RunningGuestAsync("before")).ReadyAsync(boot: 1);
            string pod = (await Space.PodNowAsync("before"))!.Metadata.Uid;

            // Without a word: SIGKILL, and its lease is not given back.
            string leader = await Lab.LeaderAsync();
            await Lab.ClusterAsync(
                "exec", "sh", "-c", $"for p in $(pgrep -f '^/app/SandLabX.Operator'); do tr '\\0' '\\n' < /proc/$p/environ | grep -qx POD_NAME={Lab.PodOf(leader)} && kill -KILL $p; done; true");
            long killed = Stopwatch.GetTimestamp();
            await Space.PowerAsync("during", PowerStates.Running);
            string next = await Eventually.SeesAsync("another replica leads", Lab.LeaderAsync, now => now.Length > 0 && now != leader);
            await Space.AwaitPhaseAsync("during", NodePhases.Running);
            Output.WriteLine($"{leader} was killed; {next} led, and had started a guest, after {Stopwatch.GetElapsedTime(killed).TotalSeconds:0.0} s");
            (await Space.PodNowAsync("before"))!.Metadata.Uid.ShouldBe(pod);
            V1Alpha1LabNode before = (await Space.NodeNowAsync("before"))!;
            (before.Status!.Phase, before.Status.Terminations?.Count ?? 0).ShouldBe((NodePhases.Running, 0));

            // Asked to end, a leader gives the lease back: the other one need not wait for it to run out.
            await Lab.OperatorReadyAsync(2);
            leader = await Lab.LeaderAsync();
            await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "delete", "pod", Lab.PodOf(leader), "--wait=false");
            long asked = Stopwatch.GetTimestamp();
            await Space.PowerAsync("during", PowerStates.Stopped);
            await Eventually.SeesAsync("another replica leads", Lab.LeaderAsync, now => now.Length > 0 && now != leader);
            await Space.AwaitPhaseAsync("during", NodePhases.Stopped);
            Output.WriteLine($"{leader} was asked to end; a guest was stopped {Stopwatch.GetElapsedTime(asked).TotalSeconds:0.0} s later");
        }
        finally
        {
            await Lab.ScaleOperatorAsync(1);
        }
    }
}
