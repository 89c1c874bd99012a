using k8s.Models;
using Prometheus;
using SandLabX.Entities;
using SandLabX.Operator.Metering;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

public sealed class MeteringTests
{
    [Fact]
    public void Each_end_is_counted_once()
    {
        var first = new LabNodeTermination { PodUid = "1", Reason = "QemuCrashed" };
        var second = new LabNodeTermination { PodUid = "2", Reason = "GuestShutdown" };
        NodeCounters.NewEnds(null, new LabNodeStatus { Terminations = [first] }).ShouldBe([first]);
        NodeCounters.NewEnds(new LabNodeStatus { Terminations = [first] }, new LabNodeStatus { Terminations = [second, first] }).ShouldBe([second]);
        NodeCounters.NewEnds(new LabNodeStatus { Terminations = [first] }, new LabNodeStatus { Terminations = [first] }).ShouldBeEmpty();
    }

    [Fact]
    public void A_lifetime_that_ends_is_counted_once()
    {
        Counter counter = Metrics.CreateCounter("sandlabx_lifetime_ends_total", "", ["reason"]);
        double before = counter.WithLabels(LifetimeReasons.IdleTooLong).Value;
        var running = new LabNodeStatus();
        var off = new LabNodeStatus { Halted = new LabNodeHalt { Reason = LifetimeReasons.IdleTooLong, At = Given.Now.UtcDateTime } };
        NodeCounters.Count(running, off);
        NodeCounters.Count(off, off);
        NodeCounters.Count(running, new LabNodeStatus { Halted = new LabNodeHalt { Reason = "GuestShutdown", At = Given.Now.UtcDateTime } });
        counter.WithLabels(LifetimeReasons.IdleTooLong).Value.ShouldBe(before + 1);
    }

    [Fact]
    public void A_start_is_told_by_stages_and_what_can_not_be_is_left_out()
    {
        DateTime t = Given.Now.UtcDateTime;
        var times = new LabNodeTimeline { Decided = t, RunnerStarted = t.AddSeconds(2), DiskReady = t.AddSeconds(3), QemuStarted = t.AddSeconds(2.5), GuestRunning = t.AddSeconds(4) };
        NodeCounters.Stages(times).ShouldBe([
            ("pod", TimeSpan.FromSeconds(2)), ("disk", TimeSpan.FromSeconds(1)), ("guest", TimeSpan.FromSeconds(1.5)), ("total", TimeSpan.FromSeconds(4)),
        ]);
        NodeCounters.Stages(null).ShouldBeEmpty();
    }

    [Fact]
    public void What_there_is_is_counted_and_what_is_no_more_is_0()
    {
        var nodes = new Cache<V1Alpha1LabNode>();
        var images = new Cache<V1Alpha1LabImage>();
        var claims = new Cache<V1PersistentVolumeClaim>();
        var gauges = new LabGauges(nodes, images, claims);
        V1Alpha1LabNode runs = Given.Running().Node;
        V1Alpha1LabNode lost = Given.Node(n =>
        {
            n.Metadata.Name = "lost";
            n.Status = new LabNodeStatus { Phase = NodePhases.Failed, Disk = new LabNodeDiskStatus { Claim = "labnode-lost", CreatedAt = Given.Now.UtcDateTime } };
        });
        V1PersistentVolumeClaim orphan = Given.Claim(Given.Node(n => n.Metadata.Name = "gone"));
        nodes.Load([runs, lost], "1");
        images.Load([Given.Image()], "1");
        claims.Load([Given.Claim(runs), orphan, Given.ImageClaim()], "1");
        runs.Status!.Conditions!.Single(c => c.Type == ConditionTypes.DiskHealthy).Status = "False";
        gauges.Measure();
        Value("sandlabx_disks_unhealthy").ShouldBe(1);
        Value("sandlabx_labnodes", "Running", "TCG").ShouldBe(1);
        Value("sandlabx_labnodes", "Failed", "").ShouldBe(1);
        Value("sandlabx_orphans", "DiskClaim").ShouldBe(1);
        Value("sandlabx_orphans", "LostDisk").ShouldBe(1);
        Value("sandlabx_orphans", "ImageClaim").ShouldBe(0);

        nodes.Load([], "2");
        gauges.Measure();
        Value("sandlabx_labnodes", "Running", "TCG").ShouldBe(0);
        Value("sandlabx_orphans", "DiskClaim").ShouldBe(2);
    }

    /// <summary>The documentation, the alerts and the dashboard name what there is.</summary>
    [Fact]
    public async Task What_people_are_told_of_is_what_is_served()
    {
        var nodes = new Cache<V1Alpha1LabNode>();
        var images = new Cache<V1Alpha1LabImage>();
        var claims = new Cache<V1PersistentVolumeClaim>();
        nodes.Load([]);
        images.Load([]);
        claims.Load([]);
        new LabGauges(nodes, images, claims).Measure();
        NodeCounters.Count(null, new LabNodeStatus());
        ValidationGauges.Tell([], Given.Now);
        using var text = new MemoryStream();
        await Metrics.DefaultRegistry.CollectAndExportAsTextAsync(text, TestContext.Current.CancellationToken);
        string[] served = [.. Names(System.Text.Encoding.UTF8.GetString(text.ToArray()))];
        string root = Repository();
        Names(await File.ReadAllTextAsync(Path.Combine(root, "docs/METRICS.md"))).ShouldBe(served, ignoreOrder: true);
        foreach (string file in (string[])["charts/sandlabx/monitoring/rules.yaml", "charts/sandlabx/monitoring/dashboard.json"])
        {
            Names(await File.ReadAllTextAsync(Path.Combine(root, file))).Except(served).ShouldBeEmpty(file);
        }

        static IEnumerable<string> Names(string text) => System.Text.RegularExpressions.Regex.Matches(text, "sandlabx_[a-z_]+")
            .Select(match => System.Text.RegularExpressions.Regex.Replace(match.Value, "_(bucket|count|sum)$", "")).Distinct();
    }

    private static string Repository()
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "SandLabX.slnx")))
        {
            folder = Path.GetDirectoryName(folder)!;
        }

        return folder;
    }

    /// <summary>The same gauge that the code made: by its name, as a registry gives it.</summary>
    private static double Value(string name, params string[] labels) =>
        Metrics.CreateGauge(name, "", labels.Length switch { 0 => [], 1 => ["kind"], _ => ["phase", "accelerator"] }).WithLabels(labels).Value;
}
