using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

/// <content>What happens to lifetimes, what runners tell, and what the API server refuses.</content>
public sealed partial class NodePlannerWalks
{
    private sealed partial class Life
    {
        private static readonly LabNodeLifetime?[] s_lifetimes =
        [
            null,
            null,
            new() { Ttl = "2m", WarnBefore = "5s" },
            new() { Ttl = "20m", Action = LifetimeActions.Suspend },
            new() { StopAfterIdle = "1m" },
            new() { StopAfterIdle = "5m", Action = LifetimeActions.Suspend, Ttl = "1h" },
            new() { DeleteAfter = "5m" },
            new() { DeleteAfter = "20m", StopAfterIdle = "3m" },
            new() { Schedule = new() { Start = "11:50", Stop = "12:20" } },
            new() { Schedule = new() { Start = "12:10", Stop = "12:40", TimeZone = "UTC" }, Action = LifetimeActions.Suspend, StopAfterIdle = "2m" },
            new() { Schedule = new() { Start = "22:00", Stop = "13:20", TimeZone = "Europe/Berlin", Days = ["Mon", "Tue"] }, Ttl = "10m" },
            new() { Schedule = new() { Start = "12:05", Stop = "12:10" }, WarnBefore = "10m" },
            new() { Ttl = "nonsense" },
        ];

        private DateTimeOffset? _runningSince;
        private DateTimeOffset? _lastUsed;

        private static NodeObservation Fresh(DateTimeOffset now) => Given.Fresh(n =>
        {
            n.Metadata.Generation = 1;
            n.Metadata.CreationTimestamp = now.UtcDateTime;
        });

        private void HappenToLifetime(int what)
        {
            switch (what)
            {
                case 20 or 21: Edit(n => n.Spec.Lifetime = s_lifetimes[random.Next(s_lifetimes.Length)]); break;
                case 22 when _seen.Runner is not null:
                    _lastUsed = _now;
                    _seen = _seen with { Runner = _seen.Runner with { LastUsedAt = _now } };
                    break;
                case 23: _now += TimeSpan.FromMinutes(random.Next(1, 40)); break;
                case 24: _seen = _seen with { Runner = null }; break;
                case 25 when _seen.Claim is { Spec.Resources.Requests: { } requests } claim:
                    claim.Status ??= new k8s.Models.V1PersistentVolumeClaimStatus { Phase = "Bound" };
                    claim.Status.Capacity = new Dictionary<string, k8s.Models.ResourceQuantity>(requests);
                    break;
                case 26 when _seen.Runner is { Phase: RunnerPhases.Running or RunnerPhases.Paused } runner:
                    _seen = _seen with
                    {
                        Runner = random.Next(6) switch
                        {
                            0 => runner with { Phase = RunnerPhases.Paused, IoError = new IoErrorReport(random.Next(2) == 0, "write failed") },
                            1 => runner with { Phase = RunnerPhases.Saving },
                            2 => runner with { SaveError = "No room." },
                            3 => runner with { Phase = RunnerPhases.ShuttingDown },
                            4 => runner with { Disk = runner.Disk! with { VirtualSizeBytes = 4096 * Quantities.MiB } },
                            _ => runner with { Phase = RunnerPhases.Paused },
                        },
                    };
                    break;
                default:
                    // What could not happen makes room for the one thing on which most else depends.
                    RunnerSays();
                    break;
            }
        }

        /// <summary>The runner of a pod that has its place tells that the guest runs.</summary>
        private void RunnerSays()
        {
            if (_seen.Pod is not { Metadata.DeletionTimestamp: null, Status.Phase: "Running", Spec.NodeName: not null } pod || NodeChecks.IsCheck(pod))
            {
                return;
            }

            if (_runningSince is null || _seen.Node.Status?.Pod?.Uid != pod.Metadata.Uid)
            {
                (_runningSince, _lastUsed) = (_now, _now);
            }

            RunnerState running = Given.RunnerRunning;
            _seen = _seen with
            {
                Runner = running with
                {
                    LastUsedAt = _lastUsed,
                    Timeline = running.Timeline! with { GuestRunning = _runningSince },
                    Disk = running.Disk! with
                    {
                        Revision = Config(pod).DiskRevision is { Length: > 0 } called ? called : OverlayMarker.Initial,
                        Backing = new BackingReport(Config(pod).BackingPath, Config(pod).BackingSha256),
                    },
                },
            };
        }

        private string? BrokenLifetime(Plan<LabNodeStatus> plan)
        {
            LabNodeStatus? before = Node.Status;
            LabNodeLifetime? spec = Node.Spec.Lifetime;
            bool ran = _seen.Pod is { Status.Phase: "Running" } pod && before?.Pod?.Uid == pod.Metadata.Uid;
            bool warned = before?.Lifetime is { WarnedAt: { } at, EndsAt: { } end } && at + TimeSpan.FromSeconds(5) <= _now.UtcDateTime && end <= _now.UtcDateTime;
            LabNodeHalt? ended = NodeLifetime.Ended(plan.Status.Halted) && plan.Status.Halted!.At != before?.Halted?.At ? plan.Status.Halted : null;
            return ended is not null && ran && (!warned || before!.Lifetime!.Reason != ended.Reason) ? "a guest's lifetime ended unwarned"
                : ended?.Reason == LifetimeReasons.TtlExpired && spec?.Ttl is null ? "a ttl ended that nobody set"
                : ended?.Reason == LifetimeReasons.IdleTooLong && (spec?.StopAfterIdle is null || _seen.Runner?.LastUsedAt is null || _seen.Runner.LastUsedAt + TimeSpan.FromMinutes(1) > _now)
                    ? "a guest was taken for idle that is not, or of which that is not known"
                : ended?.Reason == LifetimeReasons.OutsideSchedule && spec?.Schedule is null ? "hours ended that nobody set"
                : NodeLifetime.Ended(plan.Status.Halted) && plan.Intents.OfType<Intent.CreatePod>().Any(create => !NodeChecks.IsCheck(create.Pod)) ? "a pod for a guest whose lifetime has it off"
                : plan.Intents.OfType<Intent.DeleteNode>().Any(d => spec?.DeleteAfter is null || !warned || before!.Lifetime!.Reason != LifetimeReasons.DeletionDue || d.Uid != Node.Metadata.Uid)
                    ? "a LabNode was deleted unasked, or unwarned"
                : plan.Intents.OfType<Intent.Announce>().Count(a => a.Reason == "LifetimeEnding") > 1 || (warned && before!.Lifetime!.Reason == plan.Status.Lifetime?.Reason && plan.Intents.OfType<Intent.Announce>().Any(a => a.Reason == "LifetimeEnding"))
                    ? "warned twice"
                : plan.Status.Lifetime?.EndsAt is not null && plan.RequeueAfter is null && Ready(plan).Reason != "InvalidSpec" && Node.Metadata.DeletionTimestamp is null && !plan.Intents.OfType<Intent.DeleteNode>().Any()
                    ? "nobody looks again when a lifetime ends"
                : plan.Status.Halted?.Reason == LifetimeReasons.OutsideSchedule && plan.RequeueAfter is null && Ready(plan).Reason is not "InvalidSpec" && Node.Metadata.DeletionTimestamp is null && !plan.Intents.OfType<Intent.DeleteNode>().Any()
                    ? "nobody looks again when the hours begin"
                : null;
        }

        private static k8s.Models.V1Condition Ready(Plan<LabNodeStatus> plan) => plan.Status.Conditions!.First(c => c.Type == ConditionTypes.Ready);

        /// <summary>At times the API server refuses what a plan is about to make: it is planned again, and only the status is carried out.</summary>
        private Plan<LabNodeStatus> Refused(Plan<LabNodeStatus> plan)
        {
            if (plan.Released || random.Next(12) != 0 || plan.Intents.FirstOrDefault(i => i is Intent.CreatePod or Intent.CreateClaim or Intent.GrowClaim or Intent.DeleteNode) is not { } intent)
            {
                return plan;
            }

            Story.Add("refused");
            var refusal = new Refusal(intent.GetType().Name, KubeError.Forbidden, "exceeded quota", intent is Intent.GrowClaim);
            NodeObservation seen = _seen with { Node = Given.Node(n => { n.Metadata = Node.Metadata; n.Spec = Node.Spec; n.Status = plan.Status; }), Refusal = refusal };
            return NodePlanner.Plan(seen, Given.Options, _now) with { Intents = [] };
        }

        /// <summary>The API server marks the LabNode, unless somebody changed it meanwhile.</summary>
        private NodeObservation Deleted(NodeObservation seen)
        {
            if (random.Next(3) != 0)
            {
                seen.Node.Metadata.DeletionTimestamp = _now.UtcDateTime;
            }

            return seen;
        }
    }
}
