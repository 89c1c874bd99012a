using SandLabX.Contract;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd.Faults;

/// <summary>What strikes one LabNode, or all at once.</summary>
/// <param name="Name">Its row in the table.</param>
/// <param name="Bound">Seconds within which every LabNode that it struck is as declared again. A kubelet of 1.20 may take a minute to let a pod go, and a killed leader's lease 15 s to run out.</param>
/// <param name="StrikeAsync">Does it, to a LabNode.</param>
internal sealed record Fault(string Name, double Bound, Func<Victim, Random, Task> StrikeAsync)
{
    private const string RunnerKilled = "RunnerKilled";
    private const string PodLost = "PodLost";
    private const string PodFailed = "PodFailed";

    /// <summary>
    /// Whether the stated bounds are held against the clock: where the faults have the machine for themselves (<c>make test-faults</c>). Elsewhere a recovery has its
    /// bound and the patience of all tests.
    /// </summary>
    public static readonly bool Timed = Environment.GetEnvironmentVariable("SANDLABX_FAULT_BOUNDS") == "true";

    // Of a container that ended while nobody was there to see it, little can be known.
    public static readonly string[] Unseen = [RunnerKilled, PodLost, PodFailed];

    // Of a pod that was deleted while nobody listened to its runner: gone without its last status, or with one from a kubelet that looked too late.
    private static readonly string[] s_unheard = [PodLost, PodFailed];

    /// <summary>What strikes nothing.</summary>
    public static readonly Fault None = new("None", 0, (_, _) => Task.CompletedTask);

    /// <summary>Reasons with which the struck pod's end may truly be told.</summary>
    public string[] Ends { get; init; } = [];

    /// <summary>
    /// Reasons with which the end of a pod may truly be told that something else deleted, beside this fault: the object may go without its last status, or with
    /// one that knows nothing of its container (kubelets of 1.20 do both at times), and then only who listens to the runner hears how its guest ended. A killed
    /// operator does not, nor does a leader that can't renew its lease: it stops working.
    /// </summary>
    public string[] EndsOfDeleted { get; init; } = [];

    /// <summary>Whether something else than the operator deletes the pod.</summary>
    public bool DeletesPod { get; init; }

    /// <summary>Whether the LabNode stays in its pod.</summary>
    public bool KeepsPod { get; init; }

    /// <summary>Whether the guest boots in its pod.</summary>
    public bool Reboots { get; init; }

    /// <summary>Whether the guest may go on where it was, in another pod, without a boot.</summary>
    public bool MayResume { get; init; }

    /// <summary>What strikes one LabNode.</summary>
    public static Fault[] OfOne { get; } =
    [
        new("Qemu", 120, (v, _) => MustAsync(NodeScripts.ToQemuAsync(v.DiskId, NodeScripts.Kill))) { Ends = [TerminationReasons.QemuCrashed] },
        new("Runner", 120, (v, _) => MustAsync(NodeScripts.ToRunnerAsync(v.DiskId, NodeScripts.Kill))) { Ends = [RunnerKilled] },
        new("Pod", 120, (v, _) => DeletePodAsync(v)) { Ends = [PodLost, TerminationReasons.HostShutdown, TerminationReasons.HostPowerOff], DeletesPod = true },
        new("Eviction", 120, (v, _) => EvictAsync(v)) { Ends = [TerminationReasons.HostShutdown], DeletesPod = true },
        new("Panic", 120, (v, _) => MustAsync(NodeScripts.ToRunnerAsync(v.DiskId, NodeScripts.TellItsEnd("panic")))) { Ends = [TerminationReasons.GuestPanicked] },
        new("PowerOff", 120, (v, _) => MustAsync(NodeScripts.ToRunnerAsync(v.DiskId, NodeScripts.TellItsEnd("poweroff")))) { Ends = [TerminationReasons.GuestShutdown] },
        new("Reboot", 60, (v, _) => MustAsync(NodeScripts.ToRunnerAsync(v.DiskId, NodeScripts.Tell("reboot")))) { KeepsPod = true, Reboots = true },
        // A guest that has been up for some faults has most of its memory from the host already: it may run out of its own before it asks for more.
        new("OutOfMemory", 120, (v, _) => StarveAsync(v)) { Ends = [TerminationReasons.OutOfMemory, TerminationReasons.GuestPanicked] },
        new("DiskFull", 90, (v, _) => FillAsync(v)) { KeepsPod = true },
        new("IoError", 180, (v, _) => FailVolumeAsync(v)) { KeepsPod = true },
        new("Corrupt", 240, DamageAsync) { Ends = [TerminationReasons.HostShutdown] },
        new("Suspend", 180, SuspendAsync) { MayResume = true, Ends = [TerminationReasons.Suspended, TerminationReasons.QemuCrashed, RunnerKilled] },
        new("Wipe", 240, WipeAsync) { Ends = [TerminationReasons.HostShutdown, TerminationReasons.QemuCrashed, RunnerKilled] },
    ];

    /// <summary>What strikes all at once.</summary>
    public static Fault[] OfAll { get; } =
    [
        new("Kubelet", 240, (_, _) => KillPartAsync("kubelet")) { Ends = Unseen },
        new("Operator", 240, (_, _) => KillOperatorAsync(async () => Lab.PodOf(await Lab.LeaderAsync()))) { EndsOfDeleted = s_unheard },
        new("BothOperators", 240, (_, _) => KillOperatorAsync(() => Task.FromResult("sandlabx-operator"))) { EndsOfDeleted = s_unheard },
        new("ApiServer", 240, (_, _) => KillPartAsync("kube-apiserver")) { EndsOfDeleted = s_unheard },
        new("Etcd", 240, (_, _) => KillPartAsync("etcd")) { EndsOfDeleted = s_unheard },
        new("Containerd", 240, (_, _) => KillPartAsync("containerd")) { Ends = Unseen },
    ];

    /// <summary>What befalls a whole node of the cluster, done by who has one to spare.</summary>
    public static Fault OfNode(string name, double bound, params string[] ends) => None with { Name = name, Bound = bound, Ends = ends };

    private static async Task MustAsync(Task<bool> strike) => (await strike).ShouldBeTrue("there was something to strike");

    // A fault of one LabNode may have killed them just before: then those that come next are meant.
    private static Task<bool> KillOperatorAsync(Func<Task<string>> pod) =>
        Eventually.SeesAsync("an operator to kill", async () => await NodeScripts.ToOperatorAsync(NodeScripts.Kill, await pod()), struck => struck);

    private static Task<string> KillPartAsync(string part) => Lab.ClusterAsync("kill", part, "KILL");

    // The API server may be the other thing that is struck just now.
    private static Task<string> DeletePodAsync(Victim victim) => Eventually.SucceedsAsync(
        "the pod is deleted",
        () => Lab.KubectlAsync("-n", victim.Space.Name, "delete", "pod", "labnode-" + victim.Name, "--force", "--grace-period=0", "--wait=false", "--ignore-not-found"));

    private static Task<string> EvictAsync(Victim victim)
    {
        string path = $"/api/v1/namespaces/{victim.Space.Name}/pods/labnode-{victim.Name}/eviction";
        string body = $$"""
            {"apiVersion": "policy/v1beta1", "kind": "Eviction", "metadata": {"name": "labnode-{{victim.Name}}", "namespace": "{{victim.Space.Name}}"},
             "deleteOptions": {"preconditions": {"uid": "{{victim.PodUid}}"} } }
            """;
        return Eventually.SucceedsAsync("the pod is evicted", async () =>
        {
            Outcome outcome = await Shell.RunAsync(["kubectl", "create", "--raw", path, "-f", "-"], input: body);
            // One that was accepted although its answer was lost is another pod's business by now.
            return outcome.Errors.Contains("Conflict", StringComparison.Ordinal) || outcome.Errors.Contains("NotFound", StringComparison.Ordinal) ? outcome with { Code = 0 } : outcome;
        });
    }

    /// <summary>The kernel kills QEMU in earnest: the container may have little more memory than it has, and the guest takes more.</summary>
    private static async Task StarveAsync(Victim victim)
    {
        await MustAsync(NodeScripts.ToQemuAsync(victim.DiskId, NodeScripts.Starve));
        await NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.Tell("touchmem 64"));
    }

    /// <summary>All room of the claim is taken; once the LabNode says so, it is given back.</summary>
    private static async Task FillAsync(Victim victim)
    {
        await MustAsync(NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.FillClaim));
        await NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.Tell("fill 8", seconds: 5));   // its OK comes once there is room
        V1Alpha1LabNode node = await victim.Space.AwaitNodeAsync(victim.Name, n => n.Status?.Phase == NodePhases.Paused, "is paused by its full claim");
        Space.Condition(node, ConditionTypes.DiskReady)!.Reason.ShouldBe(TerminationReasons.NoSpace);
        await MustAsync(NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.FreeClaim));
    }

    /// <summary>Accesses to the disk's file fail in the middle of a write; once the LabNode says so, none does any more. QEMU's own error injection stands in for the volume's.</summary>
    private static async Task FailVolumeAsync(Victim victim)
    {
        await MustAsync(NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.Monitor(
            """{"execute": "blockdev-add", "arguments": {"driver": "blkdebug", "node-name": "bad", "image": "disk-file", "inject-error": [{"event": "write_aio", "errno": 5, "once": true}, {"event": "write_aio", "errno": 5, "once": true}]} }""",
            DiskOn("bad"))));
        V1Alpha1LabNode node = await victim.Space.AwaitNodeAsync(victim.Name, n => n.Status?.Phase == NodePhases.Paused, "is paused by its volume");
        Space.Condition(node, ConditionTypes.DiskReady)!.Reason.ShouldBe("IoError");
        string whole = NodeScripts.Monitor(DiskOn("disk-file"), """{"execute": "blockdev-del", "arguments": {"node-name": "bad"} }""");
        await Eventually.SeesAsync("the volume works again", () => NodeScripts.ToRunnerAsync(victim.DiskId, whole), done => done);
    }

    // As the runner gives the disk to QEMU, but for the file.
    private static string DiskOn(string file) => $$"""
        {"execute": "blockdev-reopen", "arguments": {"options": [{"driver": "qcow2", "node-name": "disk", "file": "{{file}}", "backing": "base", "discard": "unmap", "detect-zeroes": "unmap", "l2-cache-size": 8388608}]} }
        """.Trim();

    /// <summary>
    /// The overlay of a guest that is off is damaged: all its clusters count as free. It is not started; its repair is asked for, and something is killed on the way.
    /// </summary>
    private static async Task DamageAsync(Victim victim, Random random)
    {
        await PatchAsync(victim, """{"spec": {"powerState": "Stopped"} }""");
        V1Alpha1LabNode node = await victim.Space.AwaitPhaseAsync(victim.Name, NodePhases.Stopped);
        await victim.Space.GoneAsync("pod", "labnode-" + victim.Name);
        string volume = (await victim.Space.ClaimNowAsync(victim.Name))!.Spec.VolumeName;
        (await Shell.RunAsync(Lab.InNode("bash", "-c", NodeScripts.LoseRefcounts, "damage", $"/volumes/{volume}/data/{Path.GetFileName(node.Status!.OverlayPath)}"))).Code.ShouldBe(0);
        await PatchAsync(victim, """{"spec": {"powerState": "Running"} }""");
        node = await victim.Space.AwaitPhaseAsync(victim.Name, NodePhases.Failed);
        Space.Condition(node, ConditionTypes.DiskHealthy).ShouldNotBeNull().Reason.ShouldBe(TerminationReasons.OverlayCorrupt);
        await PatchAsync(victim, """{"spec": {"disk": {"repair": "All"} } }""");
        await KillSomethingAsync(victim, random, 5000);
        await victim.Space.AwaitPhaseAsync(victim.Name, NodePhases.Running);
        await PatchAsync(victim, """{"spec": {"disk": {"repair": null} } }""");
    }

    /// <summary>Something is killed on the way into the suspension; then it is to run again. With its memory or without, it is off meanwhile and says which.</summary>
    private static async Task SuspendAsync(Victim victim, Random random)
    {
        await PatchAsync(victim, """{"spec": {"powerState": "Suspended"} }""");
        await KillSomethingAsync(victim, random, 2500);
        V1Alpha1LabNode node = await victim.Space.AwaitNodeAsync(
            victim.Name, n => n.Status is { Phase: NodePhases.Suspended or NodePhases.Stopped, Pod: null } && n.Status.ObservedGeneration == n.Metadata.Generation, "is off");
        (node.Status!.Phase == NodePhases.Suspended).ShouldBe(node.Status.SavedState is not null, "it says whether its memory is there");
        await PatchAsync(victim, """{"spec": {"powerState": "Running"} }""");
    }

    /// <summary>Something is killed on the way to a fresh disk; once that is there, the one that was written is asked for again.</summary>
    private static async Task WipeAsync(Victim victim, Random random)
    {
        string written = (await victim.Space.NodeNowAsync(victim.Name))!.Status!.Disk!.Revision!;
        string fresh = "wipe-" + victim.PodUid[..8];
        await PatchAsync(victim, $$"""{"spec": {"disk": {"revision": "{{fresh}}"} } }""");
        await KillSomethingAsync(victim, random, 8000);
        await victim.Space.AwaitNodeAsync(victim.Name, n => n.Status is { Phase: NodePhases.Running } && n.Status.Disk?.Revision == fresh, "runs on a fresh disk");
        await PatchAsync(victim, $$"""{"spec": {"disk": {"revision": "{{written}}"} } }""");
        await victim.Space.AwaitNodeAsync(victim.Name, n => n.Status is { Phase: NodePhases.Running } && n.Status.Disk?.Revision == written, "runs on the disk that was written");
    }

    // Whatever is there to be killed at that moment: there may be no process, just then.
    private static async Task KillSomethingAsync(Victim victim, Random random, int within)
    {
        int after = random.Next(within), which = random.Next(3);
        await Task.Delay(after);
        await (which switch
        {
            0 => NodeScripts.ToQemuAsync(victim.DiskId, NodeScripts.Kill),
            1 => NodeScripts.ToRunnerAsync(victim.DiskId, NodeScripts.Kill),
            _ => NodeScripts.ToOperatorAsync(NodeScripts.Kill),
        });
    }

    private static Task<string> PatchAsync(Victim victim, string patch) => Eventually.SucceedsAsync(
        "the spec is changed", () => Lab.KubectlAsync("-n", victim.Space.Name, "patch", "labnode", victim.Name, "--type", "merge", "-p", patch));
}
