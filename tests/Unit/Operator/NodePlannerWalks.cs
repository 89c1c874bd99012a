using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>The planner's laws, held against random lives of a LabNode: whatever happens around it, in whatever order.</summary>
public sealed class NodePlannerWalks
{
    private const int Walks = 2_000;
    private const int Steps = 60;

    private static readonly string[] s_reasons =
    [
        TerminationReasons.GuestShutdown, TerminationReasons.GuestPanicked, TerminationReasons.HostShutdown, TerminationReasons.HostPowerOff,
        TerminationReasons.QemuCrashed, TerminationReasons.QemuStartFailed, TerminationReasons.OverlayMissing, TerminationReasons.OverlayCorrupt,
        TerminationReasons.NoSpace, TerminationReasons.BackingMissing, TerminationReasons.OverlayLocked, TerminationReasons.Suspended, TerminationReasons.SavedStateUnusable, "SomethingNew",
    ];

    [Fact]
    public void No_random_life_breaks_a_law()
    {
        int seed = Environment.GetEnvironmentVariable("SANDLABX_SEED") is { } given ? int.Parse(given) : Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"SANDLABX_SEED={seed}");
        var random = new Random(seed);
        for (int walk = 0; walk < Walks; walk++)
        {
            var life = new Life(random);
            for (int step = 0; step < Steps; step++)
            {
                life.Happen();
                string? broken = life.Reconcile();
                broken.ShouldBeNull($"seed {seed}, walk {walk}, step {step}: {string.Join(" ", life.Story)}");
            }
        }
    }

    private sealed class Life(Random random)
    {
        private NodeObservation _seen = Given.Fresh(n => n.Metadata.Generation = 1);
        private DateTimeOffset _now = Given.Now;
        private int _pods;
        private bool _claimOnceBound;
        private bool _diskOnce;

        public List<string> Story { get; } = [];

        private V1Alpha1LabNode Node => _seen.Node;

        /// <summary>One thing happens that the operator did not do.</summary>
        public void Happen()
        {
            int what = random.Next(20);
            Story.Add(what.ToString());
            _now += TimeSpan.FromSeconds(random.Next(0, 400));
            switch (what)
            {
                case 0: Edit(n => n.Spec.PowerState = Pick(PowerStates.Running, PowerStates.Stopped, PowerStates.Paused, PowerStates.Suspended)); break;
                case 1: Edit(n => n.Spec.RestartPolicy = Pick(RestartPolicies.Always, RestartPolicies.OnFailure, RestartPolicies.Never)); break;
                case 2: Edit(n => n.Spec.Disk.ReclaimPolicy = Pick(ReclaimPolicies.Delete, ReclaimPolicies.Retain)); break;
                case 3: Edit(n => n.Spec.Memory = Pick("512Mi", "nonsense", "1Gi")); break;
                case 4: Edit(n => n.Spec.Disk.StorageClassName = Pick("standard", "gold", null!)); break;
                case 5: Edit(n => n.Spec.Disk.Size = Pick("1Gi", "4Gi", null!)); break;
                case 6: _seen = _seen with { StorageClassKnown = random.Next(2) == 0 }; break;
                case 7: _seen = _seen with { Image = random.Next(2) == 0 ? null : Given.Image(), BackingClaim = random.Next(3) == 0 ? null : Given.ImageClaim() }; break;
                case 8 or 9 when _seen.Pod is { } pod: EndPod(pod); break;
                case 10 when _seen.Pod is not null: _seen = _seen with { GonePod = random.Next(2) == 0 ? _seen.Pod : null, Pod = null, Runner = null }; break;
                case 11 or 12 when _seen.Pod is { Metadata.DeletionTimestamp: null, Status.Phase: "Running", Spec.NodeName: not null }: _seen = _seen with { Runner = Given.RunnerRunning with { Disk = Given.RunnerRunning.Disk! with { Revision = Config(_seen.Pod).DiskRevision is { Length: > 0 } called ? called : OverlayMarker.Initial } } }; break;
                case 13 when _seen.Pod is { Metadata.DeletionTimestamp: not null }: _seen = _seen with { Pod = null, Runner = null }; break;
                case 14 when random.Next(6) == 0: Node.Metadata.DeletionTimestamp = _now.UtcDateTime; break;
                case 15 when random.Next(4) == 0: _seen = _seen with { Claim = null }; break;
                case 17: Edit(n => n.Spec.RestartRevision = Pick("1", "2", null!)); break;
                case 19: Edit(n => n.Spec.Disk.Revision = Pick("1", "2", null!)); break;
                case 18: Edit(n => n.Spec.ResetRevision = Pick("1", "2", null!)); break;
                case 16 when _seen.Pod is { Spec.NodeName: null } pod: Place(pod); break;
                default: break;
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
            V1Condition? ready = plan.Status.Conditions?.FirstOrDefault(c => c.Type == ConditionTypes.Ready);
            string? broken =
                creates > 1 || (creates == 1 && _seen.Pod is not null) ? "law 1: a second pod"
                : creates == 1 && (deleting || Node.Spec.PowerState == PowerStates.Suspended || (Node.Spec.PowerState == PowerStates.Stopped && plan.Status.SavedState is null)) ? "a pod that nobody asked for"
                : Stops(plan) && plan.Status.SavedState is not null && !deleting && !string.IsNullOrEmpty(_seen.Pod?.Spec.NodeName) && _seen.Pod?.Status.Phase == "Running" && !Outdated() ? "a guest was stopped before it had its memory back"
                : Node.Status?.SavedState is not null && plan.Status.SavedState is null && _seen.Runner is null && _seen.Pod?.Status.Phase is not ("Succeeded" or "Failed") && Node.Spec.ResetRevision == Node.Status.ResetRevision ? "saved memory was given up unasked"
                : plan.Intents.OfType<Intent.DeleteClaim>().Any() && _claimOnceBound && !claimAsked ? "a disk was deleted unasked"
                : plan.Intents.OfType<Intent.DeleteClaim>().Any() && _seen.Pod is not null ? "a disk was deleted under a pod"
                : plan.Intents.OfType<Intent.CreateClaim>().Any() && (_seen.Claim is not null || _diskOnce) ? "law 7: a fresh disk in place of one that was"
                : plan.Intents.OfType<Intent.DeletePod>().Any(d => d.Uid != _seen.Pod?.Metadata.Uid) ? "a delete of another pod"
                : Stops(plan) && _seen.Runner is not null && !deleting && Node.Spec.PowerState != PowerStates.Stopped && !NodeObjects.WasToldToPowerOff(_seen.Pod!)
                    && NodeObjects.WasMadeFor(_seen.Pod!, Annotations.RestartRevision, Node.Spec.RestartRevision)
                    && (string.IsNullOrEmpty(Node.Spec.Disk.Revision) || NodeObjects.WasMadeFor(_seen.Pod!, Annotations.DiskRevision, Node.Spec.Disk.Revision)) ? "a guest was stopped unasked"
                : plan.Intents.OfType<Intent.CreatePod>().Any(c => Config(c.Pod).Wipe && (Node.Status?.Disk?.Revision is null || Config(c.Pod).DiskRevision != Node.Spec.Disk.Revision || plan.Status.SavedState is not null))
                    ? "a disk gives way unasked"
                : plan.Intents.OfType<Intent.WishOfPod>().Any(w => w.Uid != _seen.Pod?.Metadata.Uid) ? "a wish of another pod"
                : plan.Intents.OfType<Intent.WishOfPod>().Any(w => w.Annotations.TryGetValue(Annotations.PowerWish, out string? wish) && wish != PowerWishes.Off) && NodeObjects.WasToldToPowerOff(_seen.Pod!)
                    ? "a wish to power off was taken back"
                : plan.Released && !deleting ? "released although nobody deletes it"
                : plan.Released && _seen.Pod is not null ? "released while its pod lives"
                : ready is null || string.IsNullOrEmpty(ready.Reason) || string.IsNullOrEmpty(ready.Message) ? "no reason given"
                : plan.Status.Phase is null ? "no phase"
                : plan.RequeueAfter <= TimeSpan.Zero ? "a requeue in the past"
                : plan.Status.Terminations is { Count: > NodeEnds.Kept } ? "too long a record"
                : Again(plan) is { } restless ? restless
                : null;
            Carry(plan);
            return broken;
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
            _diskOnce |= plan.Status.Disk?.CreatedAt is not null;
            if (plan.Released)
            {
                _seen = Given.Fresh(n => n.Metadata.Generation = 1);
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
                    Intent.GrowClaim grow => next with { Claim = Grown(next.Claim!, grow) },
                    Intent.DeletePod => next with { Pod = Terminating(next.Pod!) },
                    Intent.DeleteClaim => next with { Claim = null },
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
            TerminationReport report = Given.Report(Pick(s_reasons), random.Next(2) == 0 ? null : TimeSpan.FromSeconds(random.Next(1, 2000)));
            report = report.Reason == TerminationReasons.Suspended ? Given.SuspendedReport : report;
            V1Pod ended = Given.Ended(Given.Node(), report);
            ended.Metadata.Uid = pod.Metadata.Uid;
            ended.Metadata.DeletionTimestamp = pod.Metadata.DeletionTimestamp;
            _seen = _seen with { Pod = ended, Runner = null };
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
