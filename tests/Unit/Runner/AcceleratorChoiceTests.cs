using SandLabX.Contract;
using SandLabX.Runner;
using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public class AcceleratorChoiceTests
{
    [Fact]
    public void Auto_takes_KVM_only_when_a_guest_ran_in_it()
    {
        Decide(Accelerators.Auto, SelfTestKind.Passed).ShouldBe((Accelerators.Kvm, "SelfTestPassed"));
        Decide(Accelerators.Auto, SelfTestKind.Failed).ShouldBe((Accelerators.Tcg, "SelfTestFailed"));
        Decide(Accelerators.Auto, SelfTestKind.TimedOut).ShouldBe((Accelerators.Tcg, "SelfTestTimedOut"));
        Decide(Accelerators.Auto, SelfTestKind.NoDevice).ShouldBe((Accelerators.Tcg, "NoDevice"));
        Decide(Accelerators.Tcg, null).ShouldBe((Accelerators.Tcg, "Requested"));
        Decide(Accelerators.Kvm, SelfTestKind.Passed).ShouldBe((Accelerators.Kvm, "Requested"));
    }

    [Fact]
    public void KVM_that_was_asked_for_and_does_not_work_is_an_end() =>
        Should.Throw<RunnerEndException>(() => Decide(Accelerators.Kvm, SelfTestKind.TimedOut)).Reason.ShouldBe(TerminationReasons.KvmUnavailable);

    private static (string, string) Decide(string wish, SelfTestKind? test)
    {
        AcceleratorReport report = AcceleratorChoice.Decide(wish, test is { } kind ? new SelfTestResult(kind) : null);
        return (report.Name, report.Reason);
    }
}
