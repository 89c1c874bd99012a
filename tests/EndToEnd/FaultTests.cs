using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>
/// Faults without warning, at random moments, while guests write: nothing that was synced is lost, no disk ever has two QEMUs, and all run again each time.
/// <c>SANDLABX_FAULT_ROUNDS</c> says how often; the table goes to the file that <c>SANDLABX_FAULT_TABLE</c> names, if it does.
/// </summary>
[Collection(Disruptive)]
public sealed class FaultTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    private const string Records = "records";

    private readonly SortedDictionary<string, Tally> _tallies = [];

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task Faults_at_random_moments_lose_no_synced_write_and_never_make_two_QEMUs()
    {
        int rounds = int.TryParse(Environment.GetEnvironmentVariable("SANDLABX_FAULT_ROUNDS"), CultureInfo.InvariantCulture, out int wished) ? wished : s_common.Length;
        (int seed, Random random) = Seeded();
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
            // Faults of one guest each, at the same time on four LabNodes; among them, one that strikes all.
            for (int round = 0; round < rounds; round++)
            {
                await Task.WhenAll(victims.Select(v => v.WriteAsync()));
                Fault common = s_common[round % s_common.Length];
                (Fault Kind, int After)[] plan = [.. victims.Select((_, i) => (s_each[(i + round) % s_each.Length], random.Next(0, 3000)))];
                int commonAfter = random.Next(0, 3000);
                Output.WriteLine($"round {round}: {string.Join(", ", plan.Select((p, i) => $"{names[i]} {p.Kind} at {p.After} ms"))}; {common} at {commonAfter} ms");
                // A run of ten seconds was a good start: the next one is not put off.
                await Task.WhenAll(victims.Select(v => v.RanAsync(Space, TimeSpan.FromSeconds(10.5))));
                await Task.WhenAll([
                    KillCommonAsync(common, commonAfter),
                    .. victims.Select((v, i) => KillAsync(v, plan[i].Kind, plan[i].After)),
                ]);
                (long Lost, double Seconds)[] outcomes = await Task.WhenAll(victims.Select(v => v.RecoveredAsync(Space, Output)));
                for (int i = 0; i < victims.Length; i++)
                {
                    Count(plan[i].Kind, victims[i].Synced, outcomes[i].Lost, outcomes[i].Seconds);
                }

                Count(common, victims.Sum(v => v.Synced), outcomes.Sum(o => o.Lost), outcomes.Max(o => o.Seconds));
            }

            samples.ShouldBeGreaterThan(100, "somebody looked at the processes all the time");
            doubles.ShouldBeEmpty();
            _tallies.Values.Sum(t => t.Lost).ShouldBe(0, "records that a guest was told are on its disk");
        }
        finally
        {
            foreach (Victim victim in victims)
            {
                victim.Dispose();
            }

            Tell(seed, samples, doubles.Count);
        }

        await Lab.OperatorReadyAsync();
        foreach (Victim victim in victims)
        {
            V1Alpha1LabNode node = (await Space.NodeNowAsync(victim.Guest.Node))!;
            // At least one a kill; a start that a dead kubelet broke off counts too.
            node.Status!.Restarts!.Count.ShouldBeInRange(rounds, 3 * rounds);
            Output.WriteLine($"{victim.Guest.Node}: {victim.Synced} records; ends, newest first: {string.Join(", ", node.Status.Terminations!.Select(t => t.Reason))}");
        }
    }

    /// <summary>What strikes one guest.</summary>
    private static readonly Fault[] s_each = [Fault.Qemu, Fault.Runner, Fault.Pod];

    /// <summary>What strikes all at once.</summary>
    private static readonly Fault[] s_common = [Fault.Kubelet, Fault.Operator, Fault.ApiServer, Fault.Etcd, Fault.Containerd];

    private enum Fault
    {
        Qemu,
        Runner,
        Pod,
        Kubelet,
        Operator,
        ApiServer,
        Etcd,
        Containerd,
    }

    private void Count(Fault fault, long promised, long lost, double seconds)
    {
        if (!_tallies.TryGetValue(fault.ToString(), out Tally? tally))
        {
            _tallies[fault.ToString()] = tally = new Tally();
        }

        tally.Runs++;
        tally.Promised += promised;
        tally.Lost += lost;
        tally.Slowest = Math.Max(tally.Slowest, seconds);
    }

    private void Tell(int seed, int samples, int doubles)
    {
        string[] lines =
        [
            $"Seed {seed}; {samples} looks at all processes, {doubles} of them saw two QEMUs on a disk.", "",
            "| fault | runs | synced records held against the disk | lost | slowest recovery, s |", "|---|---|---|---|---|",
            .. _tallies.Select(t => string.Create(CultureInfo.InvariantCulture, $"| {t.Key} | {t.Value.Runs} | {t.Value.Promised} | {t.Value.Lost} | {t.Value.Slowest:0.0} |")),
        ];
        string table = string.Join('\n', lines);
        Output.WriteLine(table);
        if (Environment.GetEnvironmentVariable("SANDLABX_FAULT_TABLE") is { Length: > 0 } path)
        {
            File.WriteAllText(path, table + "\n");
        }
    }

    private sealed class Tally
    {
        public int Runs { get; set; }

        public long Promised { get; set; }

        public long Lost { get; set; }

        public double Slowest { get; set; }
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

    private async Task KillAsync(Victim victim, Fault kind, int after)
    {
        await Task.Delay(after);
        victim.Killed();
        switch (kind)
        {
            case Fault.Qemu:
                await InNodeAsync("qemu-system-x86", victim.DiskId, "");
                break;
            case Fault.Runner:
                await InNodeAsync("sandlabx-runner", victim.DiskId, " run");
                break;
            default:
                // The API server may be the other thing that is struck just now.
                await Eventually.SucceedsAsync(
                    "the pod is deleted",
                    () => Lab.KubectlAsync("-n", Space.Name, "delete", "pod", "labnode-" + victim.Guest.Node, "--force", "--grace-period=0", "--wait=false", "--ignore-not-found"));
                break;
        }
    }

    private static async Task KillCommonAsync(Fault kind, int after)
    {
        await Task.Delay(after);
        string part = kind switch
        {
            Fault.Kubelet => "kubelet",
            Fault.ApiServer => "kube-apiserver",
            Fault.Etcd => "etcd",
            Fault.Containerd => "containerd",
            _ => "",
        };
        if (part.Length > 0)
        {
            await Lab.ClusterAsync(30, "kill", part, "KILL");
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
        private long _killedAt;

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

        public void Killed()
        {
            Synced.ShouldBeGreaterThan(0, $"{guest.Node} was writing");
            _killedAt = Stopwatch.GetTimestamp();
        }

        /// <summary>Waits until it runs again; how many synced records are missing, and how long it took from its own fault to its guest's being ready.</summary>
        public async Task<(long Lost, double Seconds)> RecoveredAsync(Space space, ITestOutputHelper output)
        {
            V1Alpha1LabNode node = await space.AwaitNodeAsync(
                guest.Node, n => n.Status?.Phase == NodePhases.Running && n.Status.Pod?.Uid is { } uid && uid != _podUid, "runs again, in another pod");
            await guest.ReadyAsync();
            double seconds = Stopwatch.GetElapsedTime(_killedAt).TotalSeconds;
            long promised = Synced;
            long there = await guest.CheckAsync(Records);
            output.WriteLine($"  {guest.Node}: {node.Status!.Terminations![0].Reason}; {promised} promised, {there} there; {seconds:0.0} s");
            return (Math.Max(0, promised - there), seconds);
        }

        public void Dispose() => _following?.Dispose();
    }
}
