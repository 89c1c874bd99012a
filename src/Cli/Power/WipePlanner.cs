using System.Text.Json.Nodes;
using SandLabX.Cli.Shell;
using SandLabX.Entities;

namespace SandLabX.Cli.Power;

/// <summary>What a wipe does to a LabNode's disks.</summary>
/// <param name="Plan">What to write and wait for.</param>
/// <param name="Consequences">What becomes of which disk, in sentences; empty when nothing does.</param>
internal sealed record Wipe(PowerPlan Plan, IReadOnlyList<string> Consequences);

/// <summary>A fresh disk, or a kept one brought back. Pure.</summary>
internal static class WipePlanner
{
    // What the operator calls a first disk that was made without a name.
    private const string Initial = "initial";

    /// <summary>Plans it.</summary>
    /// <param name="node">The LabNode as it is.</param>
    /// <param name="to">The kept disk to bring back; null for a fresh one.</param>
    /// <param name="token">The name of a fresh disk: a string that no disk of it has yet, at most 64 characters.</param>
    /// <exception cref="CliException">There is no such kept disk.</exception>
    internal static Wipe Plan(V1Alpha1LabNode node, string? to, string token)
    {
        string name = node.Metadata.Name;
        LabNodeDiskStatus? disk = node.Status?.Disk;
        if (disk?.CreatedAt is null)
        {
            return new Wipe(new PowerPlan.Refuse($"{name} has no disk yet; its first start makes a fresh one."), []);
        }

        if (node.Status!.SavedState is not null)
        {
            return new Wipe(new PowerPlan.Refuse(
                $"{name} is suspended, and its memory belongs to the disk that it has. 'kubectl sandlabx stop {name}' powers it off in order first."), []);
        }

        string present = disk.Revision is { Length: > 0 } revision ? revision : Initial;
        IList<LabNodeKeptDisk> kept = disk.Kept ?? [];
        if (to is not null && to != present && kept.All(k => k.Revision != to))
        {
            throw new CliException(ExitCodes.NotFound, kept.Count == 0
                ? $"{name} has no kept disk {to}: it has none."
                : $"{name} has no kept disk {to}. It has {string.Join(", ", kept.Select(k => $"{k.Revision} ({Sizes.Write(k.ActualSizeBytes)}, made {k.CreatedAt:yyyy-MM-dd HH:mm}Z)"))}.");
        }

        string wanted = to ?? token;
        bool off = node.Spec.PowerState is PowerStates.Stopped or PowerStates.Suspended;
        var goal = new Goal(node.Spec.PowerState, node.Spec.PowerState) { DiskRevision = wanted };
        if (wanted == present)
        {
            return new Wipe(new PowerPlan.Await(goal), []);
        }

        string[] after = [present, .. kept.Select(k => k.Revision!).Where(r => r != wanted)];
        string[] gone = [.. after.Skip(node.Spec.Disk.KeepWiped)];
        List<string> told =
        [
            to is null ? $"{name} gets a fresh disk on image {node.Spec.Image}, named {wanted}." : $"{name} gets back its disk {wanted}.",
            gone.Contains(present)
                ? $"Its present disk {present} ({Sizes.Write(disk.ActualSizeBytes)}) is DELETED for good: spec.disk.keepWiped is {node.Spec.Disk.KeepWiped}."
                : $"Its present disk {present} ({Sizes.Write(disk.ActualSizeBytes)}) is kept; 'kubectl sandlabx wipe {name} --to {present}' brings it back.",
        ];
        if (gone.Where(r => r != present).ToArray() is { Length: > 0 } dropped)
        {
            told.Add($"Kept disk {string.Join(", ", dropped)} is DELETED for good, as spec.disk.keepWiped is {node.Spec.Disk.KeepWiped}.");
        }

        if (off)
        {
            told.Add("It is off: its next start does it.");
        }

        return new Wipe(new PowerPlan.Change(new JsonObject { ["disk"] = new JsonObject { ["revision"] = wanted } }, goal), told);
    }
}
