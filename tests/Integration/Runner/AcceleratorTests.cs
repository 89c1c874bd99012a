using System.Diagnostics;
using SandLabX.Contract;
using SandLabX.Runner.Qemu;

namespace SandLabX.Integration.Runner;

/// <summary>The self-test of KVM, against this machine's.</summary>
public sealed class AcceleratorTests
{
    [Fact]
    public async Task The_self_tests_ROM_runs_to_its_end_where_guests_run()
    {
        Machine.NeedsQemu();
        string folder = Directory.CreateTempSubdirectory("sandlabx-runner-").FullName;
        string rom = Path.Combine(folder, "rom");
        await File.WriteAllBytesAsync(rom, SelfTestRom.Build());

        // Emulation stands for a KVM that works: the processor it shows is a whole one.
        IReadOnlyList<string> command = QemuCommandLine.ForSelfTest(rom, Accelerators.Tcg);
        using var qemu = Process.Start(new ProcessStartInfo(command[0], command.Skip(1)))!;
        using var limit = new CancellationTokenSource(RunnerProcess.Patience);
        await qemu.WaitForExitAsync(limit.Token);

        qemu.ExitCode.ShouldBe(SelfTestRom.PassedExitCode);
        Directory.Delete(folder, recursive: true);
    }

    [Fact]
    public async Task Auto_runs_the_guest_on_KVM_or_says_why_not()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run(config => config with { Accelerator = Accelerators.Auto });

        // Whatever this machine's KVM is worth: the guest runs.
        RunnerState running = await runner.UntilPhaseAsync(RunnerPhases.Running);
        await runner.SeesAsync(BootSector.Greeting);
        AcceleratorReport report = running.Accelerator.ShouldNotBeNull();
        string[] reasons = report.Name == Accelerators.Kvm ? ["SelfTestPassed"] : File.Exists("/dev/kvm") ? ["SelfTestFailed", "SelfTestTimedOut"] : ["NoDevice"];
        report.Reason.ShouldBeOneOf(reasons);
    }

    [Fact]
    public async Task A_guest_that_hangs_in_KVM_is_given_up_after_a_second()
    {
        using Lab lab = await Lab.MakeAsync();
        string device = Path.Combine(lab.Folder, "kvm");
        await File.WriteAllBytesAsync(device, []);

        // A QEMU whose KVM guests never run: what a para-virtual /dev/kvm makes of it.
        (string, string) hanging = await Machine.StandInAsync(lab.Folder, "qemu-system-x86_64", "case \"$*\" in *-bios*) exec sleep 600;; *) exec qemu-system-x86_64 \"$@\";; esac");
        await using RunnerProcess runner = lab.Run(config => config with { Accelerator = Accelerators.Auto }, environment: [hanging, ("SANDLABX_KVM_DEVICE", device)]);

        RunnerState running = await runner.UntilPhaseAsync(RunnerPhases.Running);

        running.Accelerator.ShouldNotBeNull().Reason.ShouldBe("SelfTestTimedOut");
        running.Accelerator.Name.ShouldBe(Accelerators.Tcg);
        (running.Timeline!.QemuStarted - running.Timeline.RunnerStarted)!.Value.ShouldBeGreaterThanOrEqualTo(TimeSpan.FromSeconds(1));
        await runner.SeesAsync(BootSector.Greeting);
    }

    [Fact]
    public async Task KVM_that_does_not_work_is_an_end_when_it_was_asked_for()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess auto = lab.Run(config => config with { Accelerator = Accelerators.Auto, GracePeriodSeconds = 0 });
        string chosen = (await auto.UntilPhaseAsync(RunnerPhases.Running)).Accelerator!.Name;
        await Lab.StopAsync(auto);
        await using RunnerProcess runner = lab.Run(config => config with { Accelerator = Accelerators.Kvm, GracePeriodSeconds = 0 }, "kvm");
        if (chosen == Accelerators.Kvm)
        {
            (await runner.UntilPhaseAsync(RunnerPhases.Running)).Accelerator!.Reason.ShouldBe("Requested");
            return;
        }

        string message = await runner.EndsForAsync(TerminationReasons.KvmUnavailable);
        message.ShouldContain("/dev/kvm");
        message.ShouldContain("TCG");
    }
}
