using SandLabX.Cli.Migration;
using SandLabX.Contract;
using static SandLabX.Unit.Cli.MigrationGiven;

namespace SandLabX.Unit.Cli;

/// <summary>What is moved, under which name, and what stays behind and why.</summary>
public sealed class MigrationPlannerTests
{
    [Fact]
    public void A_node_with_its_overlay_and_its_base_is_moved_under_its_name_and_its_id()
    {
        MigrationPlan plan = PlanOne();
        PlannedNode node = plan.Nodes.ShouldHaveSingleItem();
        (node.Name, node.DiskId, node.Image, node.BaseFile).ShouldBe(("web", Id, "debian-13", "debian-13.qcow2"));
        node.Overlay.ShouldNotBeNull();
        node.Notes.ShouldBeEmpty();
        plan.Images.ShouldHaveSingleItem().ShouldSatisfyAllConditions(i => i.Name.ShouldBe("debian-13"), i => i.Exists.ShouldBeFalse());
        plan.Skipped.ShouldBeEmpty();
        plan.Orphans.ShouldBeEmpty();
    }

    [Fact]
    public void A_base_is_uploaded_once_whatever_names_it_has()
    {
        BaseFacts[] bases = [Base(), Base("ubuntu-24-lts.qcow2"), Base("alpine-3.qcow2", 'a')];
        MigrationPlan plan = Plan(
            State(Node("n1", "a"), Node("n2", "b"), Node("n3", "c")),
            Survey([Overlay("n1"), Overlay("n2", "/srv/lab/images/ubuntu-24-lts.qcow2"), Overlay("n3", "/images/alpine-3.qcow2")], bases));
        plan.Images.Select(i => i.Name).ShouldBe(["alpine-3", "debian-13"]);
        plan.Nodes.Select(n => n.Image).ShouldBe(["debian-13", "debian-13", "alpine-3"]);
    }

    [Fact]
    public void An_image_that_is_there_is_used_by_its_digest_and_never_by_its_name()
    {
        var cluster = new ClusterFacts([], [], [LabImage("debian-13", new string('0', 64)), LabImage("mine", new string('d', 64))]);
        MigrationPlan plan = Plan(State(Node()), Survey([Overlay()], Base()), cluster);
        plan.Nodes[0].Image.ShouldBe("mine");
        plan.Images[0].Exists.ShouldBeTrue();

        cluster = cluster with { Images = [LabImage("debian-13", new string('0', 64))] };
        plan = Plan(State(Node()), Survey([Overlay()], Base()), cluster);
        plan.Nodes[0].Image.ShouldBe("debian-13-2");
        plan.Images[0].Exists.ShouldBeFalse();
    }

    [Fact]
    public void Names_are_made_safe_and_unique_and_the_same_each_time()
    {
        string[] names = ["Web Server #1", "web-server-1", "WEB server 1", "...", "日本", new string('x', 60), new string('x', 70), "ünïcode", "-a-"];
        OldNode[] nodes = [.. names.Select((n, i) => Node($"id-{i}", n))];
        Survey survey = Survey(nodes.Select(n => Overlay(n.Id)), Base());
        MigrationPlan plan = Plan(State(nodes), survey);
        string[] given = [.. plan.Nodes.Select(n => n.Name)];
        given.ShouldBe(["web-server-1", "web-server-1-2", "web-server-1-3", "node-id-3", "node-id-4", new string('x', 43), new string('x', 41) + "-2", "n-code", "a"]);
        given.ShouldAllBe(n => n.Length <= 43);
        Plan(State(nodes), survey).Nodes.Select(n => n.Name).ShouldBe(given);
        plan.Nodes.Select(n => n.Node.Name).ShouldBe(names);
    }

    [Fact]
    public void Names_of_others_are_left_to_them()
    {
        var cluster = new ClusterFacts([LabNode("web")], [new ClaimFacts("labnode-web-2", "another")], []);
        Plan(State(Node()), Survey([Overlay()], Base()), cluster).Nodes[0].Name.ShouldBe("web-3");
    }

    [Fact]
    public void A_second_run_moves_only_what_is_missing_under_the_same_names()
    {
        OldNode[] nodes = [Node("n1", "web"), Node("n2", "web"), Node("n3", "web")];
        Survey survey = Survey(nodes.Select(n => Overlay(n.Id)), Base());

        // The first is whole, of the second there is a claim, the third was not begun.
        var cluster = new ClusterFacts([LabNode("web", "n1")], [new ClaimFacts("labnode-web", "n1"), new ClaimFacts("labnode-web-2", "n2")], [LabImage("debian-13", new string('d', 64))]);
        MigrationPlan plan = Plan(State(nodes), survey, cluster);
        plan.Present.ShouldHaveSingleItem().Name.ShouldBe("web");
        plan.Nodes.Select(n => (n.Node.Id, n.Name)).ShouldBe([("n2", "web-2"), ("n3", "web-3")]);

        // Also when the one before it is left out this time.
        plan = Plan(State(nodes), survey, wishes: new MigrationWishes { Only = ["n3"] });
        plan.Nodes.ShouldHaveSingleItem().Name.ShouldBe("web-3");
        plan.Skipped.Select(s => s.Reason).ShouldBe([SkipReasons.NotSelected, SkipReasons.NotSelected]);
    }

    [Theory]
    [InlineData("3F0C9F5E-7D0B-4A3E-9A51-0B1A6B7C8D9E")]
    [InlineData("../../etc/passwd")]
    [InlineData("a b")]
    [InlineData("日本")]
    public void An_id_that_is_no_file_name_gets_one_that_is_always_the_same(string id)
    {
        OldNode node = Node(id);
        PlannedNode planned = Plan(State(node), Survey([Overlay(id)], Base())).Nodes.ShouldHaveSingleItem();
        planned.DiskId.ShouldMatch("^migrated-[0-9a-f]{16}$");
        planned.DiskId.ShouldBe(SafeNames.DiskId(id));
        planned.Node.Id.ShouldBe(id);
        planned.Notes.ShouldHaveSingleItem().ShouldContain(planned.DiskId);
    }

    [Fact]
    public void An_id_that_is_no_uuid_but_a_file_name_is_kept() => Plan(State(Node("lab-7")), Survey([Overlay("lab-7")], Base())).Nodes[0].DiskId.ShouldBe("lab-7");

    [Fact]
    public void Of_two_records_of_one_id_the_first_is_moved()
    {
        MigrationPlan plan = Plan(State(Node(name: "a"), Node(name: "b")), Survey([Overlay()], Base()));
        plan.Nodes.ShouldHaveSingleItem().Name.ShouldBe("a");
        plan.Skipped.ShouldHaveSingleItem().Reason.ShouldBe(SkipReasons.DuplicateId);
    }

    [Theory]
    [InlineData("debian", null, "debian-13.qcow2")]
    [InlineData("router", null, "router.qcow2")]
    [InlineData("temple-os", null, "ubuntu-24-lts.qcow2")]
    [InlineData("custom", "/images/custom/lab.qcow2", "custom/lab.qcow2")]
    public void A_node_that_was_never_started_gets_the_image_that_it_would_have_got(string osType, string? image, string file)
    {
        MigrationPlan plan = Plan(State(Node(with: n => n with { OsType = osType, ImagePath = image })), Survey([], Base(file)));
        PlannedNode node = plan.Nodes.ShouldHaveSingleItem();
        node.Overlay.ShouldBeNull();
        node.BaseFile.ShouldBe(file);
        node.Notes.ShouldContain(n => n.Contains("never started", StringComparison.Ordinal));
        node.Notes.Any(n => n.Contains("temple-os", StringComparison.Ordinal)).ShouldBe(osType == "temple-os");
    }

    [Fact]
    public void A_base_that_is_missing_stops_its_nodes_alone()
    {
        MigrationPlan plan = Plan(State(Node("n1", "a"), Node("n2", "b"), Node("n3", "c")), Survey([Overlay("n1"), Overlay("n2", "/images/gone.qcow2")], Base()));
        plan.Nodes.Select(n => n.Name).ShouldBe(["a", "c"]);
        SkippedNode skipped = plan.Skipped.ShouldHaveSingleItem();
        skipped.Reason.ShouldBe(SkipReasons.BaseMissing);
        skipped.Message.ShouldContain("/images/gone.qcow2");
        Plan(State(Node("n3", "c")), Survey([])).Skipped[0].Reason.ShouldBe(SkipReasons.BaseMissing);
    }

    [Theory]
    [InlineData("/etc/shadow", "shadow")]
    [InlineData("/images/../../../etc/passwd", "passwd")]
    [InlineData("../secret.qcow2", "secret.qcow2")]
    [InlineData("/images/custom/x.qcow2", "custom/x.qcow2")]
    [InlineData("/images/custom/../x.qcow2", "x.qcow2")]
    [InlineData("/images/..", null)]
    [InlineData("/images/", null)]
    [InlineData("json:{\"driver\":\"file\",\"filename\":\"/etc/shadow\"}", null)]
    [InlineData("nbd://10.0.0.1/export", null)]
    [InlineData("/images/a\nb.qcow2", null)]
    public void A_backing_path_is_a_name_in_the_images_folder_and_nothing_else(string path, string? file)
    {
        OldBases.FileOf(path).ShouldBe(file);
        SkippedNode skipped = Plan(State(Node()), Survey([Overlay(backing: path)])).Skipped.ShouldHaveSingleItem();
        skipped.Reason.ShouldBe(file is null ? SkipReasons.BackingUnexpected : SkipReasons.BaseMissing);
    }

    public static TheoryData<string, string> Unusable => new()
    {
        { "trouble", SkipReasons.OverlayUnreadable },
        { "in use", SkipReasons.OverlayInUse },
        { "no header", SkipReasons.OverlayUnusable },
        { "corrupt", SkipReasons.OverlayUnusable },
        { "data file", SkipReasons.OverlayUnusable },
        { "encrypted", SkipReasons.OverlayUnusable },
        { "no backing", SkipReasons.BackingUnexpected },
        { "raw backing", SkipReasons.BackingUnexpected },
    };

    [Theory]
    [MemberData(nameof(Unusable))]
    public void An_overlay_that_can_not_be_moved_says_why(string what, string reason)
    {
        MigrationPlan plan = PlanOne(overlay: o => what switch
        {
            "trouble" => o with { Trouble = "it is a pipe" },
            "in use" => o with { InUse = true },
            "no header" => o with { Header = null },
            "corrupt" => o with { Header = o.Header! with { MarkedCorrupt = true } },
            "data file" => o with { Header = o.Header! with { HasDataFile = true } },
            "encrypted" => o with { Header = o.Header! with { Encrypted = true } },
            "no backing" => o with { Header = o.Header! with { BackingName = null } },
            _ => o with { Header = o.Header! with { BackingFormat = "raw" } },
        });
        plan.Nodes.ShouldBeEmpty();
        plan.Images.ShouldBeEmpty();
        plan.Skipped.ShouldHaveSingleItem().Reason.ShouldBe(reason);
        plan.Orphans.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("trouble")]
    [InlineData("vmdk")]
    [InlineData("chain")]
    [InlineData("empty")]
    public void A_base_that_is_none_stops_its_nodes(string what) => PlanOne(@base: b => what switch
    {
        "trouble" => b with { Trouble = "permission denied" },
        "vmdk" => b with { Header = null },
        "chain" => b with { Header = Header("/images/other.qcow2") },
        _ => b with { Header = Header(null, 0) },
    }).Skipped.ShouldHaveSingleItem().Reason.ShouldBe(SkipReasons.BaseUnusable);

    [Theory]
    [InlineData("larger")]
    [InlineData("newer")]
    public void A_base_that_is_perhaps_another_is_taken_on_the_users_word_alone(string what)
    {
        MigrationPlan Try(MigrationWishes wishes) => PlanOne(
            @base: b => what == "larger" ? b with { Header = Header(null, Size * 2) } : b with { WrittenAt = T0.AddDays(1).AddSeconds(1) }, wishes: wishes);
        SkippedNode skipped = Try(new MigrationWishes()).Skipped.ShouldHaveSingleItem();
        skipped.Reason.ShouldBe(SkipReasons.BaseDoubtful);
        skipped.Message.ShouldContain("--accept-base debian-13.qcow2");
        Try(new MigrationWishes { AcceptedBases = ["other.qcow2"] }).Nodes.ShouldBeEmpty();
        Try(new MigrationWishes { AcceptedBases = ["debian-13.qcow2"] }).Nodes.ShouldHaveSingleItem();
    }

    [Fact]
    public void A_dirty_overlay_is_moved_and_told_of() =>
        PlanOne(overlay: o => o with { Header = o.Header! with { Dirty = true } }).Nodes[0].Notes.ShouldHaveSingleItem().ShouldContain("repaired in the copy");

    [Fact]
    public void Orphans_are_told_and_those_of_lost_records_are_told_apart()
    {
        OldState state = State(Node()) with { Losses = [new Loss("12 bytes can't be read.", ["lost"])] };
        MigrationPlan plan = Plan(state, Survey([Overlay(), Overlay("stranger"), Overlay("lost")], Base()));
        plan.Orphans.Select(o => o.Overlay.File).ShouldBe(["node_stranger.qcow2", "node_lost.qcow2"]);
        plan.Orphans[0].Message.ShouldContain("No node names it");
        plan.Orphans[1].Message.ShouldContain("can't be read");
        plan.Nodes.ShouldHaveSingleItem();
    }

    [Fact]
    public void An_overlay_is_found_by_the_name_on_record_wherever_that_says_it_was()
    {
        Plan(State(Node(with: n => n with { OverlayPath = "../overlays/node_other.qcow2" })), Survey([Overlay("other")], Base())).Nodes[0].Overlay!.File.ShouldBe("node_other.qcow2");
        Plan(State(Node(with: n => n with { OverlayPath = "/vms/gone.qcow2" })), Survey([Overlay()], Base())).Nodes[0].Overlay!.File.ShouldBe($"node_{Id}.qcow2");
        Plan(State(Node(with: n => n with { OverlayPath = null })), Survey([Overlay()], Base())).Nodes[0].Overlay.ShouldNotBeNull();
    }

    [Fact]
    public void Ten_thousand_nodes_are_planned()
    {
        OldNode[] nodes = [.. Enumerable.Range(0, 10_000).Select(i => Node($"id-{i}", $"web {i}"))];
        Survey survey = Survey(nodes.Select(n => Overlay(n.Id)), Base());
        Plan(State(nodes), survey).Nodes.Count.ShouldBe(10_000);

        // Also when all of them have one name.
        nodes = [.. nodes.Select(n => n with { Name = "web" })];
        Plan(State(nodes), survey).Nodes.Select(n => n.Name).Distinct().Count().ShouldBe(10_000);
    }
}
