using k8s.Models;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Status;

/// <summary>One LabNode in detail: what a person wants to know before asking anybody. Pure.</summary>
internal static class NodeDetail
{
    private const int ConsoleLines = 10;

    /// <summary>The lines.</summary>
    internal static IReadOnlyList<string> Lines(V1Alpha1LabNode node, DateTimeOffset now)
    {
        LabNodeStatus status = node.Status ?? new LabNodeStatus();
        List<string> lines =
        [
            Field("LabNode", $"{node.Metadata.NamespaceProperty}/{node.Metadata.Name}"),
            Field("Phase", $"{status.Phase ?? "not seen by the operator yet"} (asked: {node.Spec.PowerState})"),
            Field("Image", node.Spec.Image),
            Field("Machine", $"{node.Spec.Cpus} CPU, {node.Spec.Memory}{(status.Accelerator is { } kind ? ", " + kind : "")}{(status.QemuVersion is { } qemu ? ", QEMU " + qemu : "")}"),
        ];
        if (status.Pod is { } pod)
        {
            lines.Add(Field("Pod", $"{pod.Name} on {pod.Node ?? "no node yet"}, {pod.Ip ?? "no address yet"}"));
        }

        Add(lines, "Started", status.StartedAt, now);
        Add(lines, "Stopped", status.StoppedAt, now);
        if (status.Restarts is { } restarts)
        {
            lines.Add(Field("Restarts", $"{restarts.Count} in all, {restarts.Consecutive} in a row{(restarts.NextAt is { } next ? $"; next at {next:HH:mm:ss}Z" : "")}"));
        }

        Disk(lines, status);
        if (status.SavedState is { } saved)
        {
            lines.Add(Field("Memory", $"saved {saved.At:yyyy-MM-dd HH:mm:ss}Z, {Sizes.Write(saved.SizeBytes)}"));
        }

        lines.Add("");
        lines.Add("Conditions:");
        foreach (V1Condition condition in status.Conditions ?? [])
        {
            lines.Add($"  {condition.Type,-16} {condition.Status,-8} {condition.Reason}{(condition.Message is { Length: > 0 } words ? ": " + words : "")}");
        }

        Timeline(lines, status.Timeline);
        foreach (LabNodeTermination end in status.Terminations ?? [])
        {
            lines.Add("");
            lines.Add($"Ended {end.At:yyyy-MM-dd HH:mm:ss}Z: {end.Reason}{(end.ExitCode is { } code ? $" (exit code {code})" : "")}");
            lines.Add($"  {end.Message}");
            string[] console = (end.Console ?? "").Split('\n', StringSplitOptions.RemoveEmptyEntries);
            lines.AddRange(console.TakeLast(ConsoleLines).Select(l => "  | " + l));
        }

        return lines;
    }

    private static void Disk(List<string> lines, LabNodeStatus status)
    {
        if (status.Disk is not { } disk)
        {
            return;
        }

        lines.Add(Field("Disk", $"{Sizes.Write(disk.VirtualSizeBytes)}, {Sizes.Write(disk.ActualSizeBytes)} taken, claim {disk.Claim}, revision {(disk.Revision is { Length: > 0 } r ? r : "initial")}"));
        lines.Add(Field("Based on", $"{disk.Backing?.Image} {disk.Backing?.Digest}"));
        foreach (LabNodeKeptDisk kept in disk.Kept ?? [])
        {
            lines.Add(Field("Kept disk", $"{kept.Revision}, {Sizes.Write(kept.ActualSizeBytes)}, made {kept.CreatedAt:yyyy-MM-dd HH:mm}Z"));
        }
    }

    private static void Timeline(List<string> lines, LabNodeTimeline? timeline)
    {
        if (timeline?.Decided is not { } decided)
        {
            return;
        }

        lines.Add("");
        lines.Add($"Last start, decided {decided:yyyy-MM-dd HH:mm:ss.fff}Z:");
        (string What, DateTime? At)[] steps =
        [
            ("pod made", timeline.PodCreated), ("pod has a node", timeline.PodScheduled), ("runner", timeline.RunnerStarted),
            ("disk ready", timeline.DiskReady), ("QEMU", timeline.QemuStarted), ("guest runs", timeline.GuestRunning),
        ];
        foreach ((string what, DateTime? at) in steps.Where(s => s.At is not null))
        {
            // The API server's clock has whole seconds.
            lines.Add($"  {what,-16} {FormattableString.Invariant($"{Math.Max(0, (at!.Value - decided).TotalSeconds):+0.000}")} s");
        }
    }

    private static void Add(List<string> lines, string name, DateTime? at, DateTimeOffset now)
    {
        if (at is { } time)
        {
            lines.Add(Field(name, $"{time:yyyy-MM-dd HH:mm:ss}Z, {KubectlDurations.Write(now - time)} ago"));
        }
    }

    private static string Field(string name, string value) => $"{name + ":",-12}{value}";
}
