using System.Collections.Concurrent;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>The planner's laws, held against random lives of a LabNode: whatever happens around it, in whatever order.</summary>
/// <remarks>They take all processors for a while, so nothing that waits for a moment to come runs beside them.</remarks>
[Collection(nameof(NodePlannerWalks))]
[CollectionDefinition(nameof(NodePlannerWalks), DisableParallelization = true)]
public sealed partial class NodePlannerWalks
{
    private const int Walks = 100_000;

    // Most lives are short, as trouble comes early; one in so many is long.
    private const int ShortSteps = 6;
    private const int LongSteps = 60;
    private const int LongOneIn = 100;

    private static readonly string[] s_reasons =
    [
        TerminationReasons.GuestShutdown, TerminationReasons.GuestPanicked, TerminationReasons.HostShutdown, TerminationReasons.HostPowerOff,
        TerminationReasons.QemuCrashed, TerminationReasons.QemuStartFailed, TerminationReasons.OverlayMissing, TerminationReasons.OverlayCorrupt,
        TerminationReasons.NoSpace, TerminationReasons.BackingMissing, TerminationReasons.OverlayLocked, TerminationReasons.Suspended, TerminationReasons.SavedStateUnusable, "SomethingNew",
    ];

    [Fact]
    public void No_random_life_breaks_a_law()
    {
        int seed = Given.Seed();
        var broken = new ConcurrentBag<(int Walk, string Story)>();
        long steps = 0;
        Parallel.For(0, Walks, (walk, loop) =>
        {
            if (Walk(seed, walk, out int lived) is { } story)
            {
                broken.Add((walk, story));
                loop.Break();
            }

            Interlocked.Add(ref steps, lived);
        });
        TestContext.Current.TestOutputHelper?.WriteLine($"SANDLABX_SEED={seed}: {Walks} walks, {steps} steps, {broken.Count} broke a law");
        broken.OrderBy(b => b.Walk).FirstOrDefault().Story.ShouldBeNull();
    }

    /// <summary>One life; what broke a law in it, or null.</summary>
    private static string? Walk(int seed, int walk, out int steps)
    {
        // Each walk has chances of its own, so that neither their number nor the order in which they are lived changes any.
        var random = new Random(HashOf(seed, walk));
        var life = new Life(random);
        int length = random.Next(LongOneIn) == 0 ? LongSteps : random.Next(1, 2 * ShortSteps);
        for (steps = 1; steps <= length; steps++)
        {
            life.Happen();
            if (life.Reconcile() is { } broken)
            {
                return $"SANDLABX_SEED={seed}, walk {walk}, step {steps}: {string.Join(" ", life.Story)}: {broken}";
            }
        }

        return null;
    }

    /// <summary>Mixes two numbers, the same in each process.</summary>
    private static int HashOf(int seed, int walk) => (int)(((((ulong)(uint)seed << 32) | (uint)walk) * 0x9E3779B97F4A7C15) >> 32);

    private sealed partial class Life(Random random)
    {
        private NodeObservation _seen = Fresh(Given.Now);
        private DateTimeOffset _now = Given.Now;
        private int _pods;
        private bool _claimOnceBound;
        private bool _diskOnce;

        private static readonly string[] s_imageClaims = ["labimage-debian-12-aaaaaaaaaaaa", "labimage-debian-12-bbbbbbbbbbbb", "labimage-debian-12-cccccccccccc"];

        public List<string> Story { get; } = [];

        private V1Alpha1LabNode Node => _seen.Node;

        /// <summary>One thing happens that the operator did not do.</summary>
        public void Happen()
        {
            int what = random.Next(32);
            Story.Add(what.ToString());
            _now += TimeSpan.FromSeconds(random.Next(0, 400));
            switch (what)
            {
                case 0: Edit(n => n.Spec.PowerState = Pick(PowerStates.Running, PowerStates.Stopped, PowerStates.Paused, PowerStates.Suspended)); break;
                case 1: Edit(n => n.Spec.RestartPolicy = Pick(RestartPolicies.Always, RestartPolicies.OnFailure, RestartPolicies.Never)); break;
                case 2: Edit(n => n.Spec.Disk.ReclaimPolicy = Pick(ReclaimPolicies.Delete, ReclaimPolicies.Retain)); break;
                case 3: Edit(n => n.Spec.Memory = Pick("512Mi", "nonsense", "1Gi")); break;
                case 4: Edit(n => n.Spec.Disk.StorageClassName = Pick("standard", "gold", null!)); break;
                case 5: Edit(n => n.Spec.Disk.Size = Pick("1Gi", "4Gi", "6Gi", null!)); break;
                case 6: _seen = _seen with { StorageClassKnown = random.Next(2) == 0 }; break;
                case 7: _seen = _seen with { Image = random.Next(2) == 0 ? null : Given.Image(NewRevision), BackingClaim = random.Next(3) == 0 ? null : Given.ImageClaim(), BaseClaims = [.. s_imageClaims.Where(_ => random.Next(3) != 0)] }; break;
                case 8 or 9 when _seen.Pod is { } pod: EndPod(pod); break;
                case 10 when _seen.Pod is not null: _seen = _seen with { GonePod = random.Next(2) == 0 ? _seen.Pod : null, Pod = null, Runner = null }; break;
                case 11 or 12: RunnerSays(); break;
                case 13 when _seen.Pod is { Metadata.DeletionTimestamp: not null }: _seen = _seen with { Pod = null, Runner = null }; break;
                case 14 when random.Next(6) == 0: Node.Metadata.DeletionTimestamp = _now.UtcDateTime; break;
                case 15 when random.Next(4) == 0: _seen = _seen with { Claim = null }; break;
                case 17: Edit(n => n.Spec.RestartRevision = Pick("1", "2", null!)); break;
                case 19: Edit(n => n.Spec.Disk.Revision = Pick("1", "2", null!)); break;
                case 28: Edit(n => n.Spec.Disk.CheckRevision = Pick("1", "2", null!)); break;
                case 29: Edit(n => (n.Spec.Disk.CheckEveryHours, n.Spec.Disk.Repair) = (random.Next(2) == 0 ? null : 1, Pick(DiskRepairs.All, DiskRepairs.Leaks, null!))); break;
                case 18: Edit(n => n.Spec.ResetRevision = Pick("1", "2", null!)); break;
                case 30: _seen = _seen with { ClusterNode = random.Next(4) == 0 ? null : Given.Host(Pick("True", "False", "Unknown"), _now.AddSeconds(-random.Next(0, 60))) }; break;
                case 31: Edit(n => n.Spec.EvictionPolicy = Pick(EvictionPolicies.Stop, EvictionPolicies.Block)); break;
                case 16 when _seen.Pod is { Spec.NodeName: null } pod: Place(pod); break;
                default: HappenToLifetime(what); break;
            }

            if (_seen.Claim is { } claim && string.IsNullOrEmpty(claim.Spec.VolumeName) && _seen.StorageClassKnown && random.Next(2) == 0)
            {
                claim.Spec.VolumeName = "pv";
                claim.Status = new V1PersistentVolumeClaimStatus { Phase = "Bound" };
            }

            _claimOnceBound = _seen.Claim is not null && (_claimOnceBound || !string.IsNullOrEmpty(_seen.Claim.Spec.VolumeName));
        }

        /// <summary>The operator looks and acts; null when no law was broken.</summary>
        public string? Reconcile()
        {
            Plan<LabNodeStatus> plan = NodePlanner.Plan(_seen, Given.Options, _now);
            bool deleting = Node.Metadata.DeletionTimestamp is not null;
            bool claimAsked = deleting && Node.Spec.Disk.ReclaimPolicy == ReclaimPolicies.Delete;
            int creates = plan.Intents.OfType<Intent.CreatePod>().Count();
            V1Pod? check = plan.Intents.OfType<Intent.CreatePod>().Select(c => c.Pod).FirstOrDefault(NodeChecks.IsCheck);
            V1Condition? ready = plan.Status.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            string? broken =
                creates > 1 || (creates == 1 && _seen.Pod is not null) ? "law 1: a second pod"
                : check is not null && (deleting || plan.Status.SavedState is not null || plan.Status.Disk?.CreatedAt is null || plan.Status.Phase != NodePhases.Stopped
                    || NodeChecks.DueAt(Node.Spec.Disk, plan.Status) is not { } due || due > _now.UtcDateTime || !Config(check).CheckOnly || Config(check).Wipe) ? "a check that nobody asked for"
                : check is null && plan.Intents.OfType<Intent.CreatePod>().Any(c => Config(c.Pod).CheckOnly) ? "a guest's pod without a guest"
                : plan.Status.Terminations?.Any(t => t.Reason == TerminationReasons.Checked) == true ? "a check on record as a guest's end"
                : creates == 1 && check is null && (deleting || Node.Spec.PowerState == PowerStates.Suspended || (Node.Spec.PowerState == PowerStates.Stopped && plan.Status.SavedState is null)) ? "a pod that nobody asked for"
                : Stops(plan) && plan.Status.SavedState is not null && !deleting && !string.IsNullOrEmpty(_seen.Pod?.Spec.NodeName) && _seen.Pod?.Status.Phase == "Running" && !Outdated() ? "a guest was stopped before it had its memory back"
                : Node.Status?.SavedState is not null && plan.Status.SavedState is null && _seen.Runner is null && _seen.Pod?.Status.Phase is not ("Succeeded" or "Failed") && Node.Spec.ResetRevision == Node.Status.ResetRevision ? "saved memory was given up unasked"
                : plan.Intents.OfType<Intent.DeleteClaim>().Any() && _claimOnceBound && !claimAsked ? "a disk was deleted unasked"
                : plan.Intents.OfType<Intent.DeleteClaim>().Any() && _seen.Pod is not null ? "a disk was deleted under a pod"
                : plan.Intents.OfType<Intent.CreateClaim>().Any() && (_seen.Claim is not null || _diskOnce) ? "law 7: a fresh disk in place of one that was"
                : plan.Intents.OfType<Intent.DeletePod>().Any(d => d.Uid != _seen.Pod?.Metadata.Uid) ? "a delete of another pod"
                : Stops(plan) && _seen is { Runner: not null, Pod.Metadata.DeletionTimestamp: null } && !deleting && Node.Spec.PowerState != PowerStates.Stopped && !NodeLifetime.Ended(plan.Status.Halted) && !NodeObjects.WasToldToPowerOff(_seen.Pod!)
                    && NodeObjects.WasMadeFor(_seen.Pod!, Annotations.RestartRevision, Node.Spec.RestartRevision)
                    && (string.IsNullOrEmpty(Node.Spec.Disk.Revision) || NodeObjects.WasMadeFor(_seen.Pod!, Annotations.DiskRevision, Node.Spec.Disk.Revision)) ? "a guest was stopped unasked"
                : plan.Intents.OfType<Intent.CreatePod>().Any(c => Config(c.Pod).Wipe && (Node.Status?.Disk?.Revision is null || Config(c.Pod).DiskRevision != Node.Spec.Disk.Revision || plan.Status.SavedState is not null))
                    ? "a disk gives way unasked"
                : plan.Intents.OfType<Intent.CreatePod>().Any(c => _seen.Claim is not null && !DiskBases.All(_seen.Claim).Any(b => b.Sha256 == Config(c.Pod).BackingSha256)) ? "a disk on a base that its claim does not name"
                : plan.Intents.OfType<Intent.WishOfPod>().Any(w => w.Uid != _seen.Pod?.Metadata.Uid) ? "a wish of another pod"
                : plan.Intents.OfType<Intent.WishOfPod>().Any(w => w.Annotations.TryGetValue(Annotations.PowerWish, out string? wish) && wish != PowerWishes.Off) && NodeObjects.WasToldToPowerOff(_seen.Pod!)
                    ? "a wish to power off was taken back"
                : plan.Intents.Any(i => i is Intent.GuardPod or Intent.UnguardPod) && _seen.Pod is null ? "a guard of no pod"
                : plan.Status.Phase == NodePhases.Running && _seen.ClusterNode?.Status.Conditions[0].Status == "Unknown" && !string.IsNullOrEmpty(_seen.Pod?.Spec.NodeName) && ready?.Reason != "InvalidSpec" ? "a guest on a silent node is said to run"
                : plan.Released && !deleting ? "released although nobody deletes it"
                : plan.Released && _seen.Pod is not null ? "released while its pod lives"
                : ready is null || string.IsNullOrEmpty(ready.Reason) || string.IsNullOrEmpty(ready.Message) ? "no reason given"
                : plan.Status.Phase is null ? "no phase"
                : plan.RequeueAfter <= TimeSpan.Zero ? "a requeue in the past"
                : plan.Status.Terminations is { Count: > NodeEnds.Kept } ? "too long a record"
                : BrokenLifetime(plan) is { } lifetime ? lifetime
                : Again(plan) is { } restless ? restless
                : null;
            Carry(plan);
            return broken;
        }

        /// <summary>One of three revisions.</summary>
        private void NewRevision(V1Alpha1LabImage image)
        {
            string claim = s_imageClaims[random.Next(s_imageClaims.Length)];
            image.Status!.Claim = claim;
            image.Status.Digest = "sha256:" + new string(claim[^1], 64);
        }

        private static RunnerConfig Config(V1Pod pod) => System.Text.Json.JsonSerializer.Deserialize(pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;

        /// <summary>The pod's runner image is not the installation's; it never got to start anything.</summary>
        private bool Outdated() => _seen.Pod!.Metadata.Annotations[Annotations.StartHash] != NodeObjects.StartHash(Node, Given.Options, Node.Status?.SavedState);

        private static bool Stops(Plan<LabNodeStatus> plan) => plan.Intents.Any(i => i is Intent.DeletePod
            || (i is Intent.WishOfPod wish && wish.Annotations.TryGetValue(Annotations.PowerWish, out string? power) && power == PowerWishes.Off));

        /// <summary>The same observation with the status written gives no new status: nothing is written in steady state.</summary>
        private string? Again(Plan<LabNodeStatus> plan)
        {
            NodeObservation written = _seen with { Node = Given.Node(n => { n.Metadata = Node.Metadata; n.Spec = Node.Spec; n.Status = plan.Status; }) };
            string first = System.Text.Json.JsonSerializer.Serialize(plan.Status);
            string second = System.Text.Json.JsonSerializer.Serialize(NodePlanner.Plan(written, Given.Options, _now).Status);
            return plan.Released || first == second ? null : $"law 2: restless status\n{first}\n{second}";
        }

        private void Carry(Plan<LabNodeStatus> plan)
        {
            plan = Refused(plan);
            _diskOnce |= plan.Status.Disk?.CreatedAt is not null;
            if (plan.Released)
            {
                _seen = Fresh(_now);
                (_claimOnceBound, _diskOnce) = (false, false);
                return;
            }

            NodeObservation next = _seen with { Node = Given.Node(n => { n.Metadata = Node.Metadata; n.Spec = Node.Spec; n.Status = plan.Status; }) };
            foreach (Intent intent in plan.Intents)
            {
                next = intent switch
                {
                    Intent.CreateClaim c => next with { Claim = Pending(c.Claim) },
                    Intent.CreatePod c => next with { Pod = Born(c.Pod), Runner = null },
                    Intent.WishOfPod wish => next with { Pod = Given.Wished(next.Pod!, wish) },
                    Intent.GuardPod => next with { Pod = Noted(next.Pod!, Pick(EvictionPolicies.Block, EvictionGuards.Refused + "no.")) },
                    Intent.UnguardPod => next with { Pod = Noted(next.Pod!, null) },
                    Intent.NoteOnClaim note => next with { Claim = Given.Noted(next.Claim!, note) },
                    Intent.GrowClaim grow => next with { Claim = Grown(next.Claim!, grow) },
                    Intent.DeletePod => next with { Pod = Terminating(next.Pod!) },
                    Intent.DeleteClaim => next with { Claim = null },
                    Intent.DeleteNode => Deleted(next),
                    _ => next,
                };
            }

            _seen = next;
        }

        private V1Pod Born(V1Pod pod)
        {
            pod.Metadata.Uid = $"pod-{++_pods}";
            pod.Metadata.CreationTimestamp = _now.UtcDateTime;
            pod.Status = new V1PodStatus { Phase = "Pending", Conditions = [new V1PodCondition { Type = "PodScheduled", Status = "False", Message = "0/1 nodes are available" }] };
            if (random.Next(4) != 0)
            {
                Place(pod);
            }

            return pod;
        }

        private static void Place(V1Pod pod)
        {
            pod.Spec.NodeName = "node1";
            pod.Status = Given.Pod(Given.Node()).Status;
        }

        private static V1PersistentVolumeClaim Grown(V1PersistentVolumeClaim claim, Intent.GrowClaim grow)
        {
            claim.Spec.Resources.Requests["storage"] = new ResourceQuantity(Quantities.Format(grow.Bytes));
            return claim;
        }

        private static V1Pod Noted(V1Pod pod, string? note)
        {
            pod.Metadata.Annotations.Remove(Annotations.EvictionPolicy);
            if (note is not null)
            {
                pod.Metadata.Annotations[Annotations.EvictionPolicy] = note;
            }

            return pod;
        }

        private V1Pod Terminating(V1Pod pod)
        {
            pod.Metadata.DeletionTimestamp = _now.UtcDateTime;
            return pod;
        }

        private static V1PersistentVolumeClaim Pending(V1PersistentVolumeClaim claim)
        {
            claim.Metadata.Uid = "claim-uid";
            claim.Status = new V1PersistentVolumeClaimStatus { Phase = "Pending" };
            return claim;
        }

        private void EndPod(V1Pod pod)
        {
            if (NodeChecks.IsCheck(pod))
            {
                EndCheck(pod);
                return;
            }

            TerminationReport report = Given.Report(Pick(s_reasons), random.Next(2) == 0 ? null : TimeSpan.FromSeconds(random.Next(1, 2000)));
            report = report.Reason == TerminationReasons.Suspended ? Given.SuspendedReport : report;
            V1Pod ended = Given.Ended(Given.Node(), report);
            ended.Metadata.Uid = pod.Metadata.Uid;
            ended.Metadata.DeletionTimestamp = pod.Metadata.DeletionTimestamp;
            _seen = _seen with { Pod = ended, Runner = null };
        }

        /// <summary>It tells what it found, or it was cut off.</summary>
        private void EndCheck(V1Pod pod)
        {
            TerminationReport? report = random.Next(3) == 0 ? null : Given.Report(TerminationReasons.Checked) with
            {
                Check = new DiskCheckReport(_now, DiskCheckKinds.Full, Pick(DiskCheckResults.Clean, DiskCheckResults.Leaks, DiskCheckResults.Corrupt, DiskCheckResults.NotDone), "Told.") { Revision = Config(pod).FullCheck },
            };
            pod.Status.Phase = "Failed";
            pod.Status.ContainerStatuses = [Given.Terminated(report is null ? "" : System.Text.Json.JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport))];
        }

        private void Edit(Action<V1Alpha1LabNode> change)
        {
            if (Node.Metadata.DeletionTimestamp is not null)
            {
                return;
            }

            change(Node);
            Node.Metadata.Generation++;
        }

        private string Pick(params string[] from) => from[random.Next(from.Length)];
    }
}
