using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Qemu;

/// <summary>How the self-test of KVM ended.</summary>
/// <param name="Kind">Its outcome.</param>
/// <param name="Detail">What QEMU said, where it said anything.</param>
internal sealed record SelfTestResult(SelfTestKind Kind, string Detail = "");

/// <summary>The outcomes of a self-test.</summary>
internal enum SelfTestKind
{
    /// <summary>There is no <c>/dev/kvm</c>.</summary>
    NoDevice,

    /// <summary>The test guest ran to its end.</summary>
    Passed,

    /// <summary>QEMU refused or crashed.</summary>
    Failed,

    /// <summary>The test guest did not end in time.</summary>
    TimedOut,
}

/// <summary>Chooses the accelerator. A device file proves nothing: only a guest that ran does.</summary>
internal static class AcceleratorChoice
{
    /// <summary>KVM's device file.</summary>
    internal const string Device = "/dev/kvm";

    // The test takes 50 ms where KVM works.
    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(1);

    /// <summary>Runs the self-test, if the wish calls for one and there is something to test.</summary>
    internal static async Task<SelfTestResult?> TestAsync(string wish, string device, Tool tool, string directory, CancellationToken stop)
    {
        if (wish == Accelerators.Tcg)
        {
            return null;
        }

        return File.Exists(device) ? await TestAsync(Accelerators.Kvm, tool, directory, s_limit, stop).ConfigureAwait(false) : new SelfTestResult(SelfTestKind.NoDevice);
    }

    /// <summary>Runs the self-test's ROM on an accelerator.</summary>
    internal static async Task<SelfTestResult> TestAsync(string accelerator, Tool tool, string directory, TimeSpan limit, CancellationToken stop)
    {
        string rom = Path.Combine(directory, "selftest.rom");
        await File.WriteAllBytesAsync(rom, SelfTestRom.Build(), stop).ConfigureAwait(false);
        try
        {
            ToolResult result = await tool.RunAsync(QemuCommandLine.ForSelfTest(rom, accelerator), limit, stop).ConfigureAwait(false);
            return result.ExitCode switch
            {
                null => new(SelfTestKind.TimedOut),
                SelfTestRom.PassedExitCode => new(SelfTestKind.Passed),
                var code => new(SelfTestKind.Failed, $"QEMU ended with {code}: {FirstLine(result.Errors)}"),
            };
        }
        finally
        {
            File.Delete(rom);
        }
    }

    /// <summary>The first of QEMU's complaints is the cause; what follows is its own collapse.</summary>
    private static string FirstLine(string errors) => OverlayVerdicts.OneLine(errors.Split('\n')[0]);

    /// <summary>Decides.</summary>
    /// <exception cref="RunnerEndException">KVM was asked for and is not usable: <see cref="TerminationReasons.KvmUnavailable"/>.</exception>
    internal static AcceleratorReport Decide(string wish, SelfTestResult? test)
    {
        (string reason, string message) = test switch
        {
            null => ("Requested", "Software emulation, as asked for."),
            { Kind: SelfTestKind.Passed } => ("SelfTestPassed", "A test guest ran on KVM."),
            { Kind: SelfTestKind.NoDevice } => ("NoDevice", $"There is no {Device} in the pod; a device plugin would bring it."),
            { Kind: SelfTestKind.TimedOut } => ("SelfTestTimedOut", $"{Device} is there, but a test guest did not run on it within {s_limit.TotalSeconds:0} s."),
            _ => ("SelfTestFailed", $"{Device} is there, but a test guest failed on it. {test.Detail}"),
        };
        if (test is null)
        {
            return new AcceleratorReport(Accelerators.Tcg, reason, message);
        }

        if (test.Kind == SelfTestKind.Passed)
        {
            return new AcceleratorReport(Accelerators.Kvm, wish == Accelerators.Kvm ? "Requested" : reason, message);
        }

        return wish == Accelerators.Auto
            ? new AcceleratorReport(Accelerators.Tcg, reason, message)
            : throw new RunnerEndException(TerminationReasons.KvmUnavailable, $"KVM was asked for and is not usable here. {message} Use accelerator Auto or TCG, or another Kubernetes node.");
    }
}
