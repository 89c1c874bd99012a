using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>What a look at a disk found, and what speaks against using it.</summary>
/// <param name="Report">For the record.</param>
/// <param name="Fault">Null when it can be used.</param>
internal sealed record DiskVerdict(DiskCheckReport Report, DiskFault? Fault);

/// <summary>Looks a disk through. Changes nothing.</summary>
/// <param name="config">What is wished.</param>
/// <param name="tool">Runs qemu-img.</param>
/// <param name="clock">Dates the report.</param>
internal sealed class DiskChecker(RunnerConfig config, Tool tool, TimeProvider clock)
{
    /// <summary>What a full check, or the copy of a disk, may take: both read a disk once, or its tables.</summary>
    internal static readonly TimeSpan FullLimit = TimeSpan.FromHours(1);

    // Reads all tables: 5 MiB of them for a full disk of 20 GiB. A check that takes longer is given up, not the start.
    private static readonly TimeSpan s_quickLimit = TimeSpan.FromSeconds(60);

    private bool IsFull => config.FullCheck is not null;

    /// <summary>Checks the disk that was found. Null when another process has it open.</summary>
    /// <param name="found">What is known of it.</param>
    /// <param name="lastEndWasClean">Whether QEMU closed it itself last time.</param>
    /// <param name="stop">Gives the check up.</param>
    /// <exception cref="RunnerEndException">Something else than damage speaks against the disk.</exception>
    internal async Task<DiskVerdict?> CheckAsync(DiskFindings found, bool lastEndWasClean, CancellationToken stop)
    {
        DiskFault? fault = OverlayVerdicts.JudgeFound(config, found);
        if (fault is not null && fault.Reason != TerminationReasons.OverlayCorrupt)
        {
            throw new RunnerEndException(fault.Reason, fault.Message);
        }

        fault ??= OverlayVerdicts.JudgeTables(config, found.Overlay!.TablesReach(config.OverlayPath), found.OverlayBytes!.Value);
        if (fault is not null)
        {
            return new DiskVerdict(Report(DiskCheckResults.Corrupt, fault.Message), fault);
        }

        if (found.Overlay!.Dirty)
        {
            // With lazy reference counts, so none of ours: it fails any check until QEMU has repaired it, which QEMU does as it opens it.
            return new DiskVerdict(Report(DiskCheckResults.NotDone, "Its reference counts are stale; QEMU counts them anew when the guest starts."), null);
        }

        TimeSpan limit = IsFull ? FullLimit : s_quickLimit;
        ToolResult check = await tool.RunAsync(QemuImg.Check(config.OverlayPath), limit, stop).ConfigureAwait(false);
        if (OverlayVerdicts.IsLocked(check.Errors))
        {
            return null;
        }

        if (check.ExitCode is null)
        {
            Log.Line("disk.check", ("result", "gave up"), ("after", $"{limit.TotalSeconds:0}s"));
            return new DiskVerdict(Report(DiskCheckResults.NotDone, $"The check took longer than {limit.TotalSeconds:0} s and was given up."), null);
        }

        fault = OverlayVerdicts.JudgeCheck(config, check, found.OverlayBytes!.Value, found.Overlay.ClusterBytes, lastEndWasClean);
        long leaks = OverlayVerdicts.Number(check.Output, OverlayVerdicts.Leaks);
        DiskCheckReport report = fault is not null ? Report(DiskCheckResults.Corrupt, fault.Message)
            : leaks > 0 ? Report(DiskCheckResults.Leaks, $"{leaks} leaked clusters take {leaks * found.Overlay.ClusterBytes >> 10} KiB of the claim; nothing is wrong with what the guest wrote.")
            : Report(DiskCheckResults.Clean, "Nothing is wrong with it.");
        return new DiskVerdict(report with { Leaks = leaks, Corruptions = OverlayVerdicts.Number(check.Output, OverlayVerdicts.Corruptions) }, fault);
    }

    /// <summary>The report on a disk that was made at this start.</summary>
    internal DiskCheckReport New() => Report(DiskCheckResults.Clean, "It was made at this start.") with { Kind = DiskCheckKinds.New };

    private DiskCheckReport Report(string result, string message) =>
        new(clock.GetUtcNow(), IsFull ? DiskCheckKinds.Full : DiskCheckKinds.Quick, result, message) { Revision = config.FullCheck };
}
