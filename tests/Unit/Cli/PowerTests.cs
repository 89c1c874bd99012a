using SandLabX.Cli.Power;
using SandLabX.Entities;

namespace SandLabX.Unit.Cli;

public class PowerTests
{
    [Theory]
    [InlineData("Stop", "Running", """{"powerState":"Stopped"}""", "Stopped")]
    [InlineData("Pause", "Running", """{"powerState":"Paused"}""", "Paused")]
    [InlineData("Suspend", "Paused", """{"powerState":"Suspended"}""", "Suspended")]
    [InlineData("Start", "Stopped", """{"powerState":"Running"}""", "Running")]
    [InlineData("Start", "Suspended", """{"powerState":"Running"}""", "Running")]
    public void A_power_state_is_asked_for_and_its_phase_waited_for(string verb, string now, string patch, string phase)
    {
        var change = Plan(verb, n => n.Spec.PowerState = now).ShouldBeOfType<PowerPlan.Change>();
        change.Spec.ToJsonString().ShouldBe(patch);
        change.Goal.Phase.ShouldBe(phase);
    }

    [Fact]
    public void What_is_asked_for_already_is_only_waited_for() =>
        Plan("Stop", n => n.Spec.PowerState = PowerStates.Stopped).ShouldBeOfType<PowerPlan.Await>().Goal.Phase.ShouldBe(NodePhases.Stopped);

    [Theory]
    [InlineData("Stopped", true)]
    [InlineData("Failed", false)]
    [InlineData("BackOff", false)]
    public void A_start_of_a_node_that_is_to_run_and_does_not_changes_the_spec_so_that_it_is_tried_at_once(string phase, bool halted)
    {
        var change = Plan("Start", n =>
        {
            n.Status!.Phase = phase;
            n.Status.Halted = halted ? new LabNodeHalt { Reason = "GuestShutdown", Generation = 3 } : null;
        }).ShouldBeOfType<PowerPlan.Change>();
        change.Spec.ToJsonString().ShouldBe("""{"restartRevision":"token"}""");
    }

    [Fact]
    public void A_restart_waits_for_its_own_revision() =>
        Plan("Restart").ShouldBeOfType<PowerPlan.Change>().Goal.RestartRevision.ShouldBe("token");

    [Fact]
    public void A_restart_of_a_guest_that_should_not_run_is_refused_with_the_way_out() =>
        Plan("Restart", n => n.Spec.PowerState = PowerStates.Stopped).ShouldBeOfType<PowerPlan.Refuse>().Why.ShouldContain("kubectl sandlabx start web");

    [Fact]
    public void A_reset_of_a_suspended_guest_needs_a_yes()
    {
        void Suspended(V1Alpha1LabNode n)
        {
            n.Spec.PowerState = PowerStates.Suspended;
            n.Status!.Phase = NodePhases.Suspended;
            n.Status.SavedState = new LabNodeSavedState { SizeBytes = 1 };
        }

        Plan("Reset", Suspended).ShouldBeOfType<PowerPlan.Refuse>().Why.ShouldContain("--yes");
        PowerPlanner.Plan(PowerVerb.Reset, NodeGiven.Running(Suspended), "token", mayDiscard: true)
            .ShouldBeOfType<PowerPlan.Change>().Spec.ToJsonString().ShouldBe("""{"resetRevision":"token"}""");
    }

    [Fact]
    public void A_reset_of_a_guest_that_does_not_run_is_refused() =>
        Plan("Reset", n => n.Status!.Phase = NodePhases.Starting).ShouldBeOfType<PowerPlan.Refuse>().Why.ShouldContain("Starting");

    [Fact]
    public void A_goal_is_reached_when_phase_generation_and_condition_say_so() =>
        Judge(new Goal(NodePhases.Running, PowerStates.Running) { Generation = 3 }).State.ShouldBe(ProgressState.Reached);

    [Fact]
    public void A_status_of_an_older_spec_says_nothing() =>
        Judge(new Goal(NodePhases.Running, PowerStates.Running) { Generation = 4 }).ShouldBe(new Progress(ProgressState.Pending, "the operator has not seen it yet"));

    [Fact]
    public void A_node_that_waits_says_what_for()
    {
        Progress progress = Judge(new Goal(NodePhases.Running, PowerStates.Running), n => n.Is(NodePhases.WaitingForImage, "False", "ImageNotFound", "There is no LabImage debian-12."));
        progress.ShouldBe(new Progress(ProgressState.Pending, "WaitingForImage (ImageNotFound): There is no LabImage debian-12."));
    }

    [Fact]
    public void A_restart_is_not_reached_by_the_run_before_it()
    {
        var goal = new Goal(NodePhases.Running, PowerStates.Running) { RestartRevision = "b" };
        Judge(goal, n => n.Status!.RestartRevision = "a").State.ShouldBe(ProgressState.Pending);
        Judge(goal, n => n.Status!.RestartRevision = "b").State.ShouldBe(ProgressState.Reached);
    }

    [Fact]
    public void A_pause_by_a_full_claim_is_not_the_one_that_was_asked_for() =>
        Judge(new Goal(NodePhases.Paused, PowerStates.Running), n => n.Is(NodePhases.Paused, "False", "NoSpace", "full")).State.ShouldBe(ProgressState.Pending);

    [Theory]
    [InlineData(NodePhases.Failed, "OverlayCorrupt")]
    [InlineData(NodePhases.Running, "SuspendFailed")]
    [InlineData(NodePhases.Running, "InvalidSpec")]
    public void What_does_not_pass_by_itself_is_a_failure(string phase, string reason)
    {
        Progress progress = Judge(new Goal(NodePhases.Suspended, PowerStates.Running), n => n.Is(phase, "False", reason, "and why"));
        progress.ShouldBe(new Progress(ProgressState.Failed, $"{phase} ({reason}): and why"));
    }

    [Fact]
    public void A_guest_that_powers_itself_off_at_once_did_not_start() =>
        Judge(new Goal(NodePhases.Running, PowerStates.Running), n =>
        {
            n.Is(NodePhases.Stopped, "True", "GuestShutdown");
            n.Status!.Halted = new LabNodeHalt { Reason = "GuestShutdown", Generation = 3 };
        }).State.ShouldBe(ProgressState.Failed);

    [Fact]
    public void Nothing_to_suspend_is_no_failure() =>
        Judge(new Goal(NodePhases.Suspended, PowerStates.Suspended), n =>
        {
            n.Spec.PowerState = PowerStates.Suspended;
            n.Is(NodePhases.Stopped, "True", "NothingToSuspend");
        }).State.ShouldBe(ProgressState.Reached);

    [Fact]
    public void Somebody_elses_change_and_a_deletion_end_the_wait()
    {
        var goal = new Goal(NodePhases.Running, PowerStates.Running);
        Judge(goal, n => n.Spec.PowerState = PowerStates.Stopped).Words.ShouldContain("somebody else set spec.powerState to Stopped");
        Judge(goal, n => n.Metadata.DeletionTimestamp = DateTime.UnixEpoch).State.ShouldBe(ProgressState.Failed);
        Progress.Judge(goal, null).State.ShouldBe(ProgressState.Failed);
    }

    private static PowerPlan Plan(string verb, Action<V1Alpha1LabNode>? change = null) =>
        PowerPlanner.Plan(Enum.Parse<PowerVerb>(verb), NodeGiven.Running(change), "token");

    private static Progress Judge(Goal goal, Action<V1Alpha1LabNode>? change = null) => Progress.Judge(goal, NodeGiven.Running(change));
}
