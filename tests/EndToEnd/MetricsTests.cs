using System.Globalization;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>The operator's metrics, read as Prometheus reads them. Other tests' guests are counted too: what is held is what a guest of our own adds.</summary>
public sealed class MetricsTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task A_guests_start_end_and_retained_claim_are_counted()
    {
        double starts = await Lab.OperatorMetricAsync("sandlabx_guest_starts_total", "how=\"boot\"");
        double totals = await Lab.OperatorMetricAsync("sandlabx_guest_start_seconds_count", "stage=\"total\"");
        double ends = await Lab.OperatorMetricAsync("sandlabx_guest_ends_total", "reason=\"GuestShutdown\"");
        await Space.NodeAsync("counted");
        Guest guest = await Space.RunningGuestAsync("counted");
        await SeesAsync("sandlabx_guest_starts_total", "how=\"boot\"", starts + 1);
        await SeesAsync("sandlabx_guest_start_seconds_count", "stage=\"total\"", totals + 1);
        await SeesAsync("sandlabx_labnodes", "phase=\"Running\"", 1);
        await SeesAsync("sandlabx_disk_virtual_bytes", "", 256L << 20);

        await guest.TellAsync("poweroff");
        await Space.AwaitPhaseAsync("counted", NodePhases.Stopped);
        await SeesAsync("sandlabx_guest_ends_total", "reason=\"GuestShutdown\"", ends + 1);

        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "labnode", "counted");

        // Claims of other tests come and go; one of ours stays.
        await SeesAsync("sandlabx_orphans", "kind=\"DiskClaim\"", 1);
        string all = await Lab.OperatorMetricsAsync();
        all.ShouldNotContain("counted", customMessage: "no label holds an object's name");
        all.ShouldNotContain(Space.Name);
    }

    private static Task<double> SeesAsync(string metric, string label, double least) => Eventually.SeesAsync(
        $"{metric}{{{label}}} is at least {least.ToString(CultureInfo.InvariantCulture)}", () => Lab.OperatorMetricAsync(metric, label), value => value >= least);
}
