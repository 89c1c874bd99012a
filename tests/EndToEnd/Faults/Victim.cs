using System.Diagnostics;
using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd.Faults;

/// <summary>A LabNode whose guest writes, and what it promised to have on its disk.</summary>
internal sealed class Victim(Space space, Guest guest, string diskId) : IDisposable
{
    private const string Records = "records";

    private Following? _following;
    private long _synced;
    private long _struckAt;
    private int _boot;

    public Space Space => space;

    public string Name => guest.Node;

    public string DiskId => diskId;

    /// <summary>The pod that is struck.</summary>
    public string PodUid { get; private set; } = "";

    /// <summary>The number of the last record that the guest said is on its disk.</summary>
    public long Synced => Interlocked.Read(ref _synced);

    /// <summary>Lets the guest write, and waits until it has run for so long that its end is not taken for a failed start.</summary>
    public async Task PrepareAsync(int round)
    {
        _following?.Dispose();
        await guest.AskAsync("count stop");
        _following = await guest.CountAsync(Records, 20, n => Interlocked.Exchange(ref _synced, Math.Max(n, Interlocked.Read(ref _synced))));
        _boot = await guest.BootAsync();

        // Of all that a spec can say this changes the least; what failed before counts no more then.
        await space.PatchNodeAsync(Name, $$"""{"spec": {"disk": {"keepWiped": {{1 + (round % 2)}} } } }""");
        V1Alpha1LabNode node = await space.AwaitPhaseAsync(Name, NodePhases.Running);
        PodUid = node.Status!.Pod!.Uid!;
        TimeSpan left = node.Status.StartedAt!.Value + TimeSpan.FromSeconds(10.5) - DateTime.UtcNow;
        await Task.Delay(left > TimeSpan.Zero ? left : TimeSpan.Zero);
    }

    /// <summary>The moment from which its recovery counts.</summary>
    public void Struck()
    {
        Synced.ShouldBeGreaterThan(0, $"{Name} was writing");
        _struckAt = Stopwatch.GetTimestamp();
    }

    /// <summary>Waits until it is as declared again; how many synced records are missing, and how long it took from the fault to the guest's answer.</summary>
    public async Task<(long Lost, double Seconds)> RecoveredAsync(Fault fault, Fault common, ITestOutputHelper output)
    {
        await space.AwaitNodeAsync(
            Name,
            n => n.Status is { Phase: NodePhases.Running, Pod.Uid: { } uid } && n.Status.ObservedGeneration == n.Metadata.Generation && (uid == PodUid) == fault.KeepsPod,
            fault.KeepsPod ? "runs on, in its pod" : "runs again, in another pod",
            fault.Bound + Eventually.Patience);
        await AnswersAsync(fault);
        double seconds = Stopwatch.GetElapsedTime(_struckAt).TotalSeconds;
        long promised = Synced;
        long there = await guest.CheckAsync(Records);
        V1Alpha1LabNode node = await TruthfulAsync(fault, common);
        string? end = node.Status!.Terminations?.FirstOrDefault(t => t.PodUid == PodUid)?.Reason;
        output.WriteLine($"  {Name}: {fault.Name}: {end ?? "no end"}; {promised} promised, {there} there; {seconds:0.0} s");
        return (Math.Max(0, promised - there), seconds);
    }

    public void Dispose() => _following?.Dispose();

    /// <summary>The status says what is: the pod that is there, its guest ready in it; and how the struck one ended.</summary>
    private async Task<V1Alpha1LabNode> TruthfulAsync(Fault fault, Fault common)
    {
        V1Alpha1LabNode node = await space.AwaitNodeAsync(Name, n => Space.Condition(n, ConditionTypes.Ready) is { Status: "True", Reason: "Running" }, "says that it is ready");
        V1Pod pod = (await space.PodNowAsync(Name)).ShouldNotBeNull();
        LabNodeStatus status = node.Status!;
        (status.Pod!.Uid, status.Pod.Node, status.Pod.Ip, pod.Status.Phase).ShouldBe((pod.Metadata.Uid, pod.Spec.NodeName, pod.Status.PodIP, "Running"), Name);
        (await space.ClaimNowAsync(Name))!.Status.Phase.ShouldBe("Bound");
        Space.Condition(node, ConditionTypes.DiskReady)!.Status.ShouldBe("True");
        string[] ends = [.. (status.Terminations ?? []).Where(t => t.PodUid == PodUid).Select(t => t.Reason!)];
        if (fault.KeepsPod)
        {
            ends.ShouldBeEmpty($"{Name}: {fault.Name} ends no pod");
        }
        else
        {
            ends.ShouldHaveSingleItem().ShouldBeOneOf([.. fault.Ends, .. common.Ends, .. fault.DeletesPod ? common.EndsOfDeleted : []]);
        }

        return node;
    }

    // A boot loader takes what comes over the console for its own: a guest that boots is spoken to once it is ready.
    private async Task AnswersAsync(Fault fault)
    {
        if (fault.MayResume)
        {
            // One that goes on where it was says nothing; one that boots is past its boot loader after the first wait.
            await Eventually.SeesAsync(
                $"{Name} answers", async () => await guest.SaidReadyAsync(10) || await guest.AnswersAsync(), answers => answers, fault.Bound + Eventually.Patience);
        }
        else if (fault.Reboots || !fault.KeepsPod)
        {
            await guest.ReadyAsync(fault.Reboots ? _boot + 1 : null, fault.Bound + Eventually.Patience);
        }

        // The way to it leads over the kubelet, which may have been struck with it.
        await Eventually.SeesAsync($"{Name} answers", guest.AnswersAsync, answers => answers, fault.Bound + Eventually.Patience);
    }
}
