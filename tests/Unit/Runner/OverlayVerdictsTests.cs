using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Disk;

namespace SandLabX.Unit.Runner;

public class OverlayVerdictsTests
{
    private static readonly RunnerConfig s_config = RunnerGiven.Config();

    [Fact]
    public void A_marker_that_names_no_revision_is_of_the_first_disk() => JsonSerializer.Deserialize(
        """{"diskId": "k3v9x2", "node": "labs/r1", "backingPath": "/image/disk.qcow2", "backingSha256": "ab", "createdAt": "2026-01-01T00:00:00Z"}""",
        ContractJson.Default.OverlayMarker)!.Revision.ShouldBe(OverlayMarker.Initial);

    [Fact]
    public void A_disk_as_it_should_be_is_used()
    {
        OverlayVerdicts.JudgeFound(s_config, RunnerGiven.Findings()).ShouldBeNull();
        OverlayVerdicts.JudgeNew(s_config, RunnerGiven.NothingYet()).ShouldBeNull();
    }

    [Fact]
    public void A_missing_disk_that_was_there_once_is_never_made_anew()
    {
        DiskFindings marked = RunnerGiven.NothingYet() with { Marker = RunnerGiven.Findings().Marker };

        OverlayVerdicts.JudgeNew(s_config with { OverlayExpected = true }, RunnerGiven.NothingYet())!.Reason.ShouldBe(TerminationReasons.OverlayMissing);
        OverlayVerdicts.JudgeNew(s_config, marked)!.Reason.ShouldBe(TerminationReasons.OverlayMissing);
    }

    [Theory]
    [InlineData(RunnerGiven.BaseSize, null)]
    [InlineData(RunnerGiven.BaseSize * 2, null)]
    [InlineData(RunnerGiven.BaseSize - 512, TerminationReasons.SizeBelowImage)]
    public void A_size_is_at_least_the_images(long size, string? reason) =>
        OverlayVerdicts.JudgeNew(s_config with { DiskSizeBytes = size }, RunnerGiven.NothingYet())?.Reason.ShouldBe(reason);

    [Fact]
    public void The_base_must_be_there_and_be_the_one()
    {
        Reason(f => f with { BaseBytes = null }).ShouldBe(TerminationReasons.BackingMissing);
        OverlayVerdicts.JudgeBase(RunnerGiven.Config() with { BackingFileBytes = 1000 }, RunnerGiven.Findings() with { BaseBytes = null })!.Message.ShouldContain("the container image that holds it was not mounted");
        Reason(f => f with { BaseReport = null }).ShouldBe(TerminationReasons.BackingMissing);
        Reason(f => f with { BaseReport = f.BaseReport! with { Sha256 = new string('f', 64) } }).ShouldBe(TerminationReasons.BackingMismatch);
        Reason(f => f with { Base = null }).ShouldBe(TerminationReasons.BackingMismatch);
        Reason(f => f with { Base = RunnerGiven.Overlay() }).ShouldBe(TerminationReasons.OverlayChainUnexpected);
    }

    [Fact]
    public void An_overlay_on_other_bytes_is_refused()
    {
        Reason(f => f with { Marker = f.Marker! with { BackingSha256 = new string('f', 64) } }).ShouldBe(TerminationReasons.BackingMismatch);
        Reason(f => f with { Marker = null }).ShouldBe(TerminationReasons.BackingMismatch);
        Reason(f => f with { Marker = f.Marker! with { BackingSha256 = RunnerGiven.Digest.ToUpperInvariant() } }).ShouldBeNull();
    }

    [Theory]
    [InlineData("/images/other/disk.qcow2", "qcow2")]
    [InlineData("/images/debian-12/disk.qcow2", "raw")]
    [InlineData("/images/debian-12/disk.qcow2", null)]
    [InlineData("json:{\"driver\":\"nbd\"}", "qcow2")]
    [InlineData(null, null)]
    public void A_chain_other_than_image_and_overlay_is_refused(string? backing, string? format) =>
        Reason(f => f with { Overlay = Qcow2Header.Parse(RunnerGiven.Header(backing, format)) }).ShouldBe(TerminationReasons.OverlayChainUnexpected);

    [Fact]
    public void A_damaged_overlay_is_refused()
    {
        Reason(f => f with { Overlay = null }).ShouldBe(TerminationReasons.OverlayCorrupt);
        Reason(f => f with { Overlay = f.Overlay! with { MarkedCorrupt = true } }).ShouldBe(TerminationReasons.OverlayCorrupt);
        Reason(f => f with { Overlay = f.Overlay! with { HasDataFile = true } }).ShouldBe(TerminationReasons.OverlayChainUnexpected);
    }

    [Theory]
    [InlineData(0, null)]
    [InlineData(3, null)]                                  // leaks waste room and harm nothing
    [InlineData(2, TerminationReasons.OverlayCorrupt)]
    [InlineData(1, TerminationReasons.OverlayCorrupt)]
    [InlineData(139, TerminationReasons.OverlayCorrupt)]
    public void The_check_decides_by_its_exit_code(int exitCode, string? reason) =>
        OverlayVerdicts.JudgeCheck(s_config, RunnerGiven.Tool(exitCode, "{}"), 1000, 512, lastEndWasClean: true)?.Reason.ShouldBe(reason);

    [Theory]
    [InlineData(1000, 0, true, false)]       // whole
    [InlineData(601, 0, true, false)]        // the last cluster is not written to its end
    [InlineData(488, 0, true, true)]         // a cluster is gone
    [InlineData(488, 0, false, false)]       // after a power cut: perhaps one that nobody flushed
    [InlineData(488, 1, true, false)]        // it may be the leaked one
    public void A_cut_file_is_known_by_where_its_clusters_end(long fileBytes, int leaks, bool clean, bool isCorrupt)
    {
        string json = $$"""{"image-end-offset": 1000, "leaks": {{leaks}}}""";

        DiskFault? fault = OverlayVerdicts.JudgeCheck(s_config, RunnerGiven.Tool(leaks > 0 ? 3 : 0, json), fileBytes, 512, clean);

        (fault is not null).ShouldBe(isCorrupt);
    }

    [Fact]
    public void Lost_tables_are_damage_whatever_came_before()
    {
        OverlayVerdicts.JudgeTables(s_config, tablesReach: 1001, fileBytes: 1000)!.Reason.ShouldBe(TerminationReasons.OverlayCorrupt);
        OverlayVerdicts.JudgeTables(s_config, tablesReach: 1000, fileBytes: 1000).ShouldBeNull();
    }

    [Fact]
    public void A_lock_of_QEMUs_is_told_from_other_errors()
    {
        OverlayVerdicts.IsLocked("qemu-img: Could not open 'x': Failed to get shared \"write\" lock\nIs another process using the image [x]?").ShouldBeTrue();
        OverlayVerdicts.IsLocked("qemu-img: Could not open 'x': Permission denied").ShouldBeFalse();
    }

    [Theory]
    [InlineData(null, DiskCheckResults.Corrupt, DiskCheckKinds.Full, false)]
    [InlineData(DiskRepairs.All, DiskCheckResults.Corrupt, DiskCheckKinds.Quick, true)]
    [InlineData(DiskRepairs.Leaks, DiskCheckResults.Corrupt, DiskCheckKinds.Full, false)]
    [InlineData(DiskRepairs.Leaks, DiskCheckResults.Leaks, DiskCheckKinds.Full, true)]
    [InlineData(DiskRepairs.All, DiskCheckResults.Leaks, DiskCheckKinds.Full, true)]
    [InlineData(DiskRepairs.All, DiskCheckResults.Leaks, DiskCheckKinds.Quick, false)]     // after a power cut there are some: no start waits for a copy
    [InlineData(DiskRepairs.All, DiskCheckResults.Clean, DiskCheckKinds.Full, false)]
    [InlineData(DiskRepairs.All, DiskCheckResults.NotDone, DiskCheckKinds.Full, false)]
    public void Only_what_a_check_found_is_repaired_and_only_as_wished(string? repair, string result, string kind, bool wished) =>
        DiskRepair.IsWished(repair, new DiskCheckReport(DateTimeOffset.UnixEpoch, kind, result, "")).ShouldBe(wished);

    [Fact]
    public void A_damaged_disk_is_called_after_the_one_that_takes_its_place_within_what_a_revision_can_be()
    {
        DiskHistory.DamagedName("lesson-2", 3).ShouldBe("lesson-2.damaged-3");
        string longest = DiskHistory.DamagedName(new string('x', 64), 12);
        (longest.Length, longest.EndsWith("x.damaged-12", StringComparison.Ordinal)).ShouldBe((64, true));
    }

    [Fact]
    public void What_is_said_of_a_damaged_disk_names_the_ways_out()
    {
        string message = OverlayVerdicts.JudgeCheck(
            s_config, RunnerGiven.Tool(2, """{"corruptions": 374, "leaks": 2}""", "ERROR cluster 1 refcount=0 reference=1\nERROR last"), 1000, 512, lastEndWasClean: false)!.Message;
        string[] words = ["374 wrong entries", "2 leaked clusters", "ERROR last", "spec.disk.repair", "spec.disk.revision", "backup"];
        words.ShouldAllBe(word => message.Contains(word));
    }

    private static string? Reason(Func<DiskFindings, DiskFindings> with) => OverlayVerdicts.JudgeFound(s_config, with(RunnerGiven.Findings()))?.Reason;
}
