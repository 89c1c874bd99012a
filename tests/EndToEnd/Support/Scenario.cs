using System.Globalization;

[assembly: Xunit.v3.Parallelization(Mode = Xunit.Sdk.ParallelMode.All, MaxThreads = 6)]

namespace SandLabX.EndToEnd.Support;

/// <summary>A scenario: its namespace, and what is printed when one of its tests failed.</summary>
public abstract class Scenario(Space space, ITestOutputHelper output) : IAsyncLifetime
{
    /// <summary>Tests that stop or kill what all others need run one after another, with nothing beside them.</summary>
    public const string Disruptive = "disruptive";

    public Space Space { get; } = space;

    protected ITestOutputHelper Output { get; } = output;

    /// <summary>Whether the namespace gets the tiny guest's image.</summary>
    protected virtual bool WantsImage => true;

    /// <summary>Skips where the test can't be run.</summary>
    protected virtual void Require() => Lab.Require();

    /// <summary>Chance that <c>SANDLABX_SEED</c> repeats; the seed is in the test's output.</summary>
    protected (int Seed, Random Random) Seeded()
    {
        int seed = Environment.GetEnvironmentVariable("SANDLABX_SEED") is { Length: > 0 } given ? int.Parse(given, CultureInfo.InvariantCulture) : Environment.TickCount & 0xffff;
        Output.WriteLine($"SANDLABX_SEED={seed}");
        return (seed, new Random(seed));
    }

    public async ValueTask InitializeAsync()
    {
        Require();
        await Space.MakeAsync(WantsImage);
    }

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        if (TestContext.Current.TestState?.Result == TestResult.Failed)
        {
            Output.WriteLine(await Space.DiagnoseAsync());
        }

        await Space.TidyAsync();
    }
}

/// <summary>See <see cref="Scenario.Disruptive"/>.</summary>
[CollectionDefinition(Scenario.Disruptive, DisableParallelization = true)]
public sealed class DisruptiveScenarios;
