using SandLabX.Cli.Power;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Unit.Cli;

public class WipeTests
{
    [Fact]
    public void A_wipe_names_the_disk_that_is_kept_and_how_it_comes_back()
    {
        Wipe wipe = WipePlanner.Plan(NodeGiven.Running(), null, "fresh");
        var change = wipe.Plan.ShouldBeOfType<PowerPlan.Change>();
        change.Spec.ToJsonString().ShouldBe("""{"disk":{"revision":"fresh"}}""");
        (change.Goal.Phase, change.Goal.DiskRevision).ShouldBe((NodePhases.Running, "fresh"));
        wipe.Consequences[1].ShouldBe("Its present disk initial (300 MiB) is kept; 'kubectl sandlabx wipe web --to initial' brings it back.");
    }

    [Fact]
    public void A_disk_without_a_name_is_called_initial() =>
        WipePlanner.Plan(NodeGiven.Running(n => n.Status!.Disk!.Revision = null), null, "fresh").Consequences[1].ShouldContain("--to initial");

    [Fact]
    public void A_disk_that_is_not_kept_is_said_to_be_deleted() =>
        WipePlanner.Plan(NodeGiven.Running(n => n.Spec.Disk.KeepWiped = 0), null, "fresh").Consequences[1].ShouldContain("DELETED for good: spec.disk.keepWiped is 0");

    [Fact]
    public void A_kept_disk_that_makes_room_is_said_to_be_deleted() =>
        WipePlanner.Plan(NodeGiven.Running(Keeps("old")), null, "fresh").Consequences.ShouldContain("Kept disk old is DELETED for good, as spec.disk.keepWiped is 1.");

    [Fact]
    public void A_kept_disk_comes_back_in_the_place_of_the_present_one()
    {
        Wipe wipe = WipePlanner.Plan(NodeGiven.Running(Keeps("old")), "old", "fresh");
        wipe.Plan.ShouldBeOfType<PowerPlan.Change>().Spec.ToJsonString().ShouldBe("""{"disk":{"revision":"old"}}""");
        wipe.Consequences.ShouldNotContain(c => c.Contains("DELETED"));
    }

    [Fact]
    public void A_disk_that_is_not_kept_can_not_come_back()
    {
        CliException e = Should.Throw<CliException>(() => WipePlanner.Plan(NodeGiven.Running(Keeps("old")), "none", "fresh"));
        e.ExitCode.ShouldBe(ExitCodes.NotFound);
        e.Message.ShouldContain("It has old (1 MiB");
    }

    [Fact]
    public void The_present_disk_is_there_already() =>
        WipePlanner.Plan(NodeGiven.Running(), "initial", "fresh").ShouldSatisfyAllConditions(w => w.Plan.ShouldBeOfType<PowerPlan.Await>(), w => w.Consequences.ShouldBeEmpty());

    [Fact]
    public void A_stopped_node_is_told_that_its_next_start_does_it() =>
        WipePlanner.Plan(NodeGiven.Running(n => n.Spec.PowerState = PowerStates.Stopped), null, "fresh").Consequences.ShouldContain("It is off: its next start does it.");

    [Fact]
    public void A_suspended_guest_keeps_the_disk_that_its_memory_belongs_to() =>
        WipePlanner.Plan(NodeGiven.Running(n => n.Status!.SavedState = new LabNodeSavedState()), null, "fresh").Plan.ShouldBeOfType<PowerPlan.Refuse>();

    [Fact]
    public void A_node_without_a_disk_has_nothing_to_wipe() =>
        WipePlanner.Plan(NodeGiven.Running(n => n.Status!.Disk = null), null, "fresh").Plan.ShouldBeOfType<PowerPlan.Refuse>();

    private static Action<V1Alpha1LabNode> Keeps(string revision) =>
        n => n.Status!.Disk!.Kept = [new LabNodeKeptDisk { Revision = revision, ActualSizeBytes = 1 << 20, CreatedAt = NodeGiven.Now.UtcDateTime }];
}
