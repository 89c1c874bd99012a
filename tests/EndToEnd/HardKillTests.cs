using System.Collections.Concurrent;
using System.Globalization;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Twenty kills without warning while guests write: nothing that was synced is lost, no disk ever has two QEMUs, and all run again each time.</summary>
[Collection(Disruptive)]
public sealed class HardKillTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    private const string Records = "records";

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task Twenty_hard_kills_lose_no_synced_write_and_never_make_two_QEMUs()
    {
        int seed = Environment.GetEnvironmentVariable("SANDLABX_SEED") is { Length: > 0 } given
            ? int.Parse(given, CultureInfo.InvariantCulture) : Environment.TickCount & 0xffff;
        Output.WriteLine($"SANDLABX_SEED={seed}");
        var random = new Random(seed);
        string[] names = ["a", "b", "c", "d"];
        await Task.WhenAll(names.Select(n => Space.NodeAsync(n)));
        Victim[] victims = await Task.WhenAll(names.Select(async n =>
        {
            Guest guest = await Space.RunningGuestAsync(n);
            return new Victim(guest, (await Space.NodeNowAsync(n))!.Status!.Disk!.Id!);
        }));
        var doubles = new ConcurrentQueue<string>();
        int samples = 0;
        using Following watcher = Shell.Follow(Lab.InNode(["bash", "-c", Sampler, "sampler", .. victims.Select(v => v.DiskId)]), line =>
        {
            if (line.StartsWith("DOUBLE", StringComparison.Ordinal))
            {
                doubles.Enqueue(line);
            }
            else
            {
                Interlocked.Increment(ref samples);
            }
        });
        try
        {
            // Kills of one guest each, at the same time on four LabNodes; among them, kills that strike all.
            Kill[] each = [Kill.Qemu, Kill.Runner, Kill.Pod];
            for (int round = 0; round < 4; round++)
            {
                await Task.WhenAll(victims.Select(v => v.WriteAsync()));
                Kill common = round % 2 == 0 ? Kill.Kubelet : Kill.Operator;
                (Kill Kind, int After)[] plan = [.. victims.Select((_, i) => (each[(i + round) % each.Length], random.Next(0, 3000)))];
                int commonAfter = random.Next(0, 3000);
                Output.WriteLine($"round {round}: {string.Join(", ", plan.Select((p, i) => $"{names[i]} {p.Kind} at {p.After} ms"))}; {common} at {commonAfter} ms");
                // A run of ten seconds was a good start: the next one is not put off.
                await Task.WhenAll(victims.Select(v => v.RanAsync(Space, TimeSpan.FromSeconds(10.5))));
                await Task.WhenAll([
                    KillCommonAsync(common, commonAfter),
                    .. victims.Select((v, i) => KillAsync(v, plan[i].Kind, plan[i].After)),
                ]);
                await Task.WhenAll(victims.Select(v => v.RecoveredAsync(Space, Output)));
            }

            samples.ShouldBeGreaterThan(100, "somebody looked at the processes all the time");
            doubles.ShouldBeEmpty();
        }
        finally
        {
            foreach (Victim victim in victims)
            {
                victim.Dispose();
            }
        }

        await Lab.OperatorReadyAsync();
        foreach (Victim victim in victims)
        {
            V1Alpha1LabNode node = (await Space.NodeNowAsync(victim.Guest.Node))!;
            // At least one a kill; a start that a dead kubelet broke off counts too.
            node.Status!.Restarts!.Count.ShouldBeInRange(4, 8);
            Output.WriteLine($"{victim.Guest.Node}: {victim.Synced} records; ends, newest first: {string.Join(", ", node.Status.Terminations!.Select(t => t.Reason))}");
        }
    }

    private enum Kill
    {
        Qemu,
        Runner,
        Pod,
        Kubelet,
        Operator,
    }

    // Looks at all processes of the node about ten times a second: which disk's overlay is on whose command line.
    private const string Sampler = """
        while :; do
          for id; do declare "n_${id//-/_}=0"; done
          for p in /proc/[0-9]*; do
            read -r comm < $p/comm || continue
            [[ $comm == qemu-system-x86* ]] || continue
            line=$(tr '\0' ' ' < $p/cmdline) || continue
            for id; do [[ $line != *node_$id.qcow2* ]] || { v=n_${id//-/_}; declare "$v=$((${!v} + 1))"; ((${!v} < 2)) || echo "DOUBLE $id: $line"; }; done
          done 2> /dev/null
          echo sample
          read -rt 0.1 <> <(:) || :
        done
        """;

    // Finds one process of a LabNode by its command's beginning and the disk's id in its command line or environment.
    private const string Finder = """
        for p in /proc/[0-9]*; do
          read -r comm < $p/comm || continue
          [[ $comm == "$1"* ]] || continue
          [[ -z $3 || $(tr '\0' ' ' < $p/cmdline) == *$3* ]] || continue
          grep -qz -- "$2" $p/cmdline $p/environ || continue
          kill -KILL ${p#/proc/} && echo killed ${p#/proc/} $comm
        done 2> /dev/null
        """;

    private async Task KillAsync(Victim victim, Kill kind, int after)
    {
        await Task.Delay(after);
        victim.Killed();
        switch (kind)
        {
            case Kill.Qemu:
                await InNodeAsync("qemu-system-x86", victim.DiskId, "");
                break;
            case Kill.Runner:
                await InNodeAsync("sandlabx-runner", victim.DiskId, " run");
                break;
            default:
                await Lab.KubectlOkAsync("-n", Space.Name, "delete", "pod", "labnode-" + victim.Guest.Node, "--force", "--grace-period=0", "--wait=false");
                break;
        }
    }

    private static async Task KillCommonAsync(Kill kind, int after)
    {
        await Task.Delay(after);
        if (kind == Kill.Kubelet)
        {
            await Lab.ClusterAsync(30, "kill", "kubelet", "KILL");
        }
        else
        {
            await InNodeAsync("SandLabX.Operat", "POD_NAME=sandlabx-operator", "");
        }
    }

    private static async Task InNodeAsync(string command, string mark, string line)
    {
        Outcome outcome = await Shell.RunAsync(Lab.InNode("bash", "-c", Finder, "finder", command, mark, line));
        outcome.Output.ShouldContain("killed", customMessage: $"{command} of {mark}: {outcome}");
    }

    /// <summary>A LabNode whose guest writes, and what it promised to have on its disk.</summary>
    private sealed class Victim(Guest guest, string diskId) : IDisposable
    {
        private Following? _following;
        private string? _podUid;
        private long _synced;

        public Guest Guest => guest;

        public string DiskId => diskId;

        public long Synced => Interlocked.Read(ref _synced);

        public async Task WriteAsync()
        {
            _following?.Dispose();
            _following = await guest.CountAsync(Records, 20, n => Interlocked.Exchange(ref _synced, Math.Max(n, Interlocked.Read(ref _synced))));
        }

        public async Task RanAsync(Space space, TimeSpan least)
        {
            V1Alpha1LabNode node = (await space.NodeNowAsync(guest.Node))!;
            _podUid = node.Status!.Pod!.Uid;
            TimeSpan left = node.Status.StartedAt!.Value + least - DateTime.UtcNow;
            await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero);
        }

        public void Killed() => Synced.ShouldBeGreaterThan(0, $"{guest.Node} was writing");

        public async Task RecoveredAsync(Space space, ITestOutputHelper output)
        {
            V1Alpha1LabNode node = await space.AwaitNodeAsync(
                guest.Node, n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid is { } uid && uid != _podUid, "runs again, in another pod");
            await guest.ReadyAsync();
            long promised = Synced;
            long there = await guest.CheckAsync(Records);
            output.WriteLine($"  {guest.Node}: {node.Status!.Terminations![0].Reason}; {promised} promised, {there} there");
            there.ShouldBeGreaterThanOrEqualTo(promised, $"{guest.Node} lost what it had synced");
        }

        public void Dispose() => _following?.Dispose();
    }
}
