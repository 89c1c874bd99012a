using System.Globalization;
using SandLabX.Integration.Cluster;

namespace SandLabX.Integration.WholeOperator;

/// <summary>The whole operator before an API server whose answers are late, lost or refused: all ends as it would have, and nothing is done twice.</summary>
/// <remarks>What befalls which request is drawn from a seed, which is printed; <c>SANDLABX_SEED</c> repeats it.</remarks>
[Collection(OnApiServer.Name)]
public sealed class ApiFaultTests(ApiServerFixture fixture, ApiFaultTests.Calm calm, ITestOutputHelper output) : IClassFixture<ApiFaultTests.Calm>
{
    /// <summary>How many requests a fault may cost beyond itself: a list and a watch anew, a reconcile again.</summary>
    private const int RequestsAFault = 5;

    [Fact]
    public async Task Without_faults_the_script_ends_as_it_says()
    {
        LabOutcome outcome = await calm.OutcomeAsync(fixture);
        output.WriteLine(string.Join('\n', outcome.State.Concat(outcome.Events.Order(StringComparer.Ordinal))));
        output.WriteLine($"{outcome.Requests} requests");
        outcome.Struck.ShouldBe(0);
        outcome.State.Where(l => l.StartsWith("claim deleted", StringComparison.Ordinal)).ShouldBe(["claim deleted: labnode-gone"], "the one LabNode whose claim was to go");
        string[] made = [.. outcome.State.Where(l => l.StartsWith("pods ever made", StringComparison.Ordinal) && l.Contains("labnode", StringComparison.Ordinal))];
        made.ShouldBe(["pods ever made of name labnode-a: 2", "pods ever made of name labnode-gone: 3", "pods ever made of name labnode-kept: 4"]);
        outcome.State.ShouldContain(l => l.StartsWith("LabImage base", StringComparison.Ordinal) && l.Contains("\"phase\":\"Ready\"", StringComparison.Ordinal));
        outcome.State.ShouldContain(l => l.StartsWith("LabNode a", StringComparison.Ordinal) && l.Contains("\"phase\":\"Stopped\"", StringComparison.Ordinal));
        outcome.State.ShouldContain(l => l.StartsWith("LabNode kept", StringComparison.Ordinal) && l.Contains("\"phase\":\"Running\"", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(ApiFault.WatchDropped)]
    [InlineData(ApiFault.WatchClosed)]
    [InlineData(ApiFault.Conflict)]
    [InlineData(ApiFault.Gone, ApiFault.GoneInStream)]
    [InlineData(ApiFault.Throttled)]
    [InlineData(ApiFault.ServerError)]
    [InlineData(ApiFault.Slow)]
    [InlineData(ApiFault.LostAnswer)]
    [InlineData(ApiFault.Reset)]
    [InlineData(
        ApiFault.WatchDropped, ApiFault.WatchClosed, ApiFault.Conflict, ApiFault.Gone, ApiFault.GoneInStream, ApiFault.Throttled, ApiFault.ServerError, ApiFault.Slow, ApiFault.LostAnswer, ApiFault.Reset)]
    public async Task Faults_of_the_API_server_change_no_outcome(params ApiFault[] faults)
    {
        LabOutcome expected = await calm.OutcomeAsync(fixture);
        int seed = Environment.GetEnvironmentVariable("SANDLABX_SEED") is { Length: > 0 } given ? int.Parse(given, CultureInfo.InvariantCulture) : Environment.TickCount & 0xffff;
        output.WriteLine($"SANDLABX_SEED={seed}");
        await using LabScript script = await LabScript.PrepareAsync(fixture, seed, faults);
        try
        {
            await script.RunAsync();
            script.Proxy.Calm = true;
            LabOutcome outcome = await script.OutcomeAsync();
            await Eventually.BeTrueAsync(async () => (outcome = await script.OutcomeAsync()).State.SequenceEqual(expected.State), "all is as without faults", () =>
                $"there: {Parts(outcome, expected)}\nnot there: {Parts(expected, outcome)}");
            output.WriteLine($"{outcome.Requests} requests, {expected.Requests} without faults; struck: {string.Join(", ", script.Proxy.Struck.OrderBy(s => s.Key).Select(s => $"{s.Key} {s.Value}"))}");

            script.Proxy.Struck.ShouldNotBeEmpty("something befell it");
            script.Pods.Violations.ShouldBeEmpty();
            script.Audit.Doubles.ShouldBeEmpty();

            // What is told is true. An event is best effort: one whose request was struck is lost.
            outcome.Events.ShouldBeSubsetOf(expected.Events);
            if (faults.All(f => f is ApiFault.WatchDropped or ApiFault.WatchClosed or ApiFault.Gone or ApiFault.GoneInStream or ApiFault.Slow))
            {
                await Eventually.BeTrueAsync(async () => (await script.OutcomeAsync()).Events.SetEquals(expected.Events), "all is told that is told without faults");
            }

            outcome.Requests.ShouldBeLessThan(expected.Requests + (RequestsAFault * outcome.Struck) + 50, "no storm");
            script.Operator.Health.Live.ShouldBeTrue();
            script.Operator.Ending.ShouldBeFalse("the lease outlives it");
        }
        catch
        {
            output.WriteLine(string.Join('\n', script.Operator.Log));
            throw;
        }
    }

    /// <summary>What only the first of two outcomes says, property by property: whole lines are too long to be told.</summary>
    private static string Parts(LabOutcome of, LabOutcome but)
    {
        static IEnumerable<string> Split(LabOutcome outcome) => outcome.State.SelectMany(l => l.Split(",\"").Select(part => $"{string.Join(' ', l.Split(' ').Take(2))}: {part}"));
        return string.Join('\n', Split(of).Except(Split(but)));
    }

    /// <summary>The script without faults, run once: what all others are held against.</summary>
    public sealed class Calm
    {
        private Task<LabOutcome>? _outcome;

        internal Task<LabOutcome> OutcomeAsync(ApiServerFixture fixture) => _outcome ??= RunAsync(fixture);

        private static async Task<LabOutcome> RunAsync(ApiServerFixture fixture)
        {
            await using LabScript script = await LabScript.PrepareAsync(fixture, 0);
            await script.RunAsync();
            LabOutcome outcome = await script.OutcomeAsync();

            // The last events and the audit come a moment after the last phase.
            LabOutcome before;
            do
            {
                before = outcome;
                await Task.Delay(500);
                outcome = await script.OutcomeAsync();
            }
            while (!outcome.State.SequenceEqual(before.State) || !outcome.Events.SetEquals(before.Events));
            return outcome;
        }
    }
}
