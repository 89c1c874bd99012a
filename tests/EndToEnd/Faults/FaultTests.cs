using System.Diagnostics;
using System.Globalization;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd.Faults;

/// <summary>
/// Faults without warning, at random moments, while guests write: nothing that was synced is lost, no disk ever has two QEMUs and no LabNode two pods, the
/// status tells what is, and all run as declared again within a stated time.
/// <c>SANDLABX_FAULT_ROUNDS</c> says how often; the table goes to the file that <c>SANDLABX_FAULT_TABLE</c> names, if it does.
/// </summary>
[Collection(Disruptive)]
public sealed class FaultTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    /// <summary>Rounds of <c>make test</c>: with four LabNodes, each fault of one comes up.</summary>
    private const int ShortRounds = 4;

    protected override void Require() => Lab.RequireLocal();

    [Fact]
    public async Task Faults_at_random_moments_lose_no_synced_write_and_never_make_two_writers()
    {
        int rounds = int.TryParse(Environment.GetEnvironmentVariable("SANDLABX_FAULT_ROUNDS"), CultureInfo.InvariantCulture, out int wished) ? wished : ShortRounds;
        (int seed, Random random) = Seeded();
        string[] names = ["a", "b", "c", "d"];
        var table = new FaultTable();
        Victim[] victims = [];
        await using var audit = new PodAudit(Space.Name);
        using var qemus = new QemuSampler();
        try
        {
            await Lab.ScaleOperatorAsync(2);
            await Task.WhenAll(names.Select(n => Space.NodeAsync(n, "restartPolicy: Always")));
            victims = await Task.WhenAll(names.Select(async n => new Victim(Space, await Space.RunningGuestAsync(n), (await Space.NodeNowAsync(n))!.Status!.Disk!.Id!)));
            qemus.Follow(victims.Select(v => v.DiskId));
            Queue<Fault> ofOne = [], ofAll = [];
            for (int round = 0; round < rounds; round++)
            {
                await RoundAsync(round, victims, [.. victims.Select(_ => Deal(ofOne, Fault.OfOne, random))], Deal(ofAll, Fault.OfAll, random), random, table);
            }
        }
        finally
        {
            foreach (Victim victim in victims)
            {
                victim.Dispose();
            }

            string told = $"Seed {seed}; {qemus.Samples} looks at all processes, {qemus.Doubles.Count} of them saw two QEMUs on a disk; {audit.Pods} pods, {audit.Doubles.Count} times two of one LabNode.\n\n{table}\n";
            Output.WriteLine(told);
            if (Environment.GetEnvironmentVariable("SANDLABX_FAULT_TABLE") is { Length: > 0 } path)
            {
                await File.WriteAllTextAsync(path, told);
            }

            await Lab.ScaleOperatorAsync(1);
        }

        qemus.Samples.ShouldBeGreaterThan(100, "somebody looked at the processes all the time");
        qemus.Doubles.ShouldBeEmpty();
        audit.Pods.ShouldBeGreaterThan(names.Length, "somebody looked at the pods all the time");
        audit.Doubles.ShouldBeEmpty();
        table.Lost.ShouldBe(0, "records that a guest was told are on its disk");
        if (Fault.Timed)
        {
            table.TooSlow.ShouldBeEmpty();
        }
    }

    /// <summary>Faults of one LabNode each, at the same time on four of them; among them, one that strikes all.</summary>
    private async Task RoundAsync(int round, Victim[] victims, Fault[] faults, Fault common, Random random, FaultTable table)
    {
        await Task.WhenAll(victims.Select(v => v.PrepareAsync(round)));
        (int After, Random Random)[] chance = [.. victims.Select(_ => (random.Next(3000), new Random(random.Next())))];
        int commonAfter = random.Next(3000);
        Output.WriteLine($"round {round}: {string.Join(", ", victims.Select((v, i) => $"{v.Name} {faults[i].Name} at {chance[i].After} ms"))}; {common.Name} at {commonAfter} ms");
        long[] commonSince = [0];
        async Task CommonAsync()
        {
            await Task.Delay(commonAfter);
            commonSince[0] = Stopwatch.GetTimestamp();
            await common.StrikeAsync(victims[0], chance[0].Random);
        }

        Task all = CommonAsync();
        async Task<(long Lost, double Seconds)> OneAsync(int i)
        {
            await Task.Delay(chance[i].After);
            victims[i].Struck();
            await faults[i].StrikeAsync(victims[i], chance[i].Random);

            // A guest may be back before what strikes all has come: it is judged after both.
            await all;
            return await victims[i].RecoveredAsync(faults[i], common, Output);
        }

        (long Lost, double Seconds)[] outcomes = await Task.WhenAll(victims.Select((_, i) => OneAsync(i)));
        for (int i = 0; i < victims.Length; i++)
        {
            table.Add(faults[i].Name, faults[i].Bound, victims[i].Synced, outcomes[i].Lost, outcomes[i].Seconds);
        }

        table.Add(common.Name, common.Bound, victims.Sum(v => v.Synced), outcomes.Sum(o => o.Lost), Stopwatch.GetElapsedTime(commonSince[0]).TotalSeconds);

        // A kubelet lets a container that dies again and again wait up to five minutes: new pods of the operator have no past.
        await Lab.RenewOperatorAsync(2);
    }

    /// <summary>The next fault of a shuffled deck, so that each comes up as often as the others.</summary>
    private static Fault Deal(Queue<Fault> deck, Fault[] all, Random random)
    {
        if (deck.Count == 0)
        {
            Fault[] shuffled = [.. all];
            random.Shuffle(shuffled);
            foreach (Fault fault in shuffled)
            {
                deck.Enqueue(fault);
            }
        }

        return deck.Dequeue();
    }
}
