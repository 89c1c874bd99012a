using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

/// <summary>
/// Random lives of a disk whose image is replaced again and again: wipes, undone and taken back at any moment, runners that die before anybody heard what they
/// did, and images whose claims go as soon as no disk's claim names them. No disk ever loses its base, and no runner finds a disk on another one.
/// </summary>
public sealed class NodeBasesWalks(ITestOutputHelper output)
{
    private const int Lives = 1000;
    private const int Steps = 60;

    [Fact]
    public void No_disk_loses_its_base()
    {
        int seed = Given.Seed();
        int swaps = 0, unheard = 0;
        for (int i = 0; i < Lives; i++)
        {
            var life = new Life(new Random(unchecked(seed + i)));
            for (int step = 0; step < Steps; step++)
            {
                string? broken = life.Step();
                broken.ShouldBeNull($"SANDLABX_SEED={seed}, life {i}: {string.Join(", ", life.Story)}");
            }

            swaps += life.Swaps;
            unheard += life.Unheard;
        }

        output.WriteLine($"SANDLABX_SEED={seed}: {swaps} disks gave way, {unheard} of them unheard of at first");
        swaps.ShouldBeGreaterThan(Lives);
        unheard.ShouldBeGreaterThan(Lives / 10);
    }

    private sealed record Disk(string Revision, string Sha);

    private sealed class Life(Random random)
    {
        private readonly HashSet<string> _claims = [ClaimOf(Given.Sha)];
        private NodeObservation _seen = Given.Fresh(n => n.Spec.Disk.Revision = "1") with { BaseClaims = [ClaimOf(Given.Sha)] };
        private Disk? _disk;
        private Disk[] _kept = [];
        private char _image = 'a';
        private bool _started;
        private int _refusals;

        public List<string> Story { get; } = [];

        public int Swaps { get; private set; }

        public int Unheard { get; private set; }

        /// <summary>Something happens, the operator acts, and images tidy up; what was broken by that, else null.</summary>
        public string? Step()
        {
            string? broken = Happen();
            Plan<LabNodeStatus> plan = NodePlanner.Plan(_seen, Given.Options, Given.Now);
            NodeObservation next = Given.After(_seen, plan);
            if (plan.Intents.OfType<Intent.CreatePod>().SingleOrDefault() is { } create)
            {
                create.Pod.Metadata.Uid = $"pod-{random.Next()}";
                create.Pod.Spec.NodeName = "node1";
                create.Pod.Status = Given.Pod(_seen.Node).Status;
                next = next with { Pod = create.Pod, Runner = null };
                _started = false;
            }

            if (plan.Status.Halted is { } halt)
            {
                return $"it was given up for {halt.Reason}";
            }

            if (next.Node.Status?.Restarts?.NextAt is not null)
            {
                next.Node.Status.Restarts.NextAt = null;
            }

            // As LabImages do: what no disk's claim names goes, but for the present revision.
            _claims.IntersectWith([ClaimOf(new string(_image, 64)), .. DiskBases.All(next.Claim).Select(b => b.Claim!)]);
            _seen = next with
            {
                BackingClaim = DiskBases.Present(next.Claim) is { Claim: { } present } && _claims.Contains(present) ? Held(present) : next.Claim is null ? Held(ClaimOf(new string(_image, 64))) : null,
                BaseClaims = [.. _claims],
            };
            Disk[] disks = [.. _disk is null ? [] : new[] { _disk }, .. _kept];
            return broken ?? (disks.FirstOrDefault(d => !_claims.Contains(ClaimOf(d.Sha))) is { } lost ? $"disk {lost.Revision} lost its base {lost.Sha[0]}" : null);
        }

        private string? Happen()
        {
            int what = random.Next(8);
            switch (what)
            {
                case 0:
                    _image = _image == 'f' ? 'a' : (char)(_image + 1);
                    Story.Add($"image {_image}");
                    string sha = new(_image, 64);
                    _claims.Add(ClaimOf(sha));
                    _seen = _seen with { Image = Given.Image(i => (i.Spec.Sha256, i.Status!.Claim, i.Status.Digest) = (sha, ClaimOf(sha), "sha256:" + sha)), BaseClaims = [.. _claims] };
                    return null;
                case 1 or 2:
                    _seen.Node.Spec.Disk.Revision = random.Next(8) == 0 ? null : random.Next(1, 4).ToString(System.Globalization.CultureInfo.InvariantCulture);
                    _seen.Node.Metadata.Generation++;
                    Story.Add($"wish {_seen.Node.Spec.Disk.Revision}");
                    return null;
                case 3 or 4 when _seen.Pod is { Status.Phase: "Running" }:
                    Story.Add("end");
                    End();
                    return null;
                case 5 or 6 or 7 when _seen.Pod is { } pod && !_started:
                    Story.Add("start");
                    return Start(pod);
                default:
                    return null;
            }
        }

        /// <summary>What the runner does to the disks; whether it lives to tell.</summary>
        private string? Start(V1Pod pod)
        {
            RunnerConfig config = JsonSerializer.Deserialize(pod.Spec.Containers[0].Env[0].Value, ContractJson.Default.RunnerConfig)!;
            string wish = config.DiskRevision.Length > 0 ? config.DiskRevision : OverlayMarker.Initial;
            bool made = _disk is not null;
            bool swaps = made && _disk!.Revision != wish && (config.Wipe || _kept.Any(k => k.Revision == config.DiskRevision));
            if (!_claims.Contains(pod.Spec.Volumes.Single(v => v.Name == "image").PersistentVolumeClaim.ClaimName))
            {
                return "a pod mounts a claim that is gone";
            }

            Disk next = !made ? new Disk(wish, config.BackingSha256)
                : !swaps ? _disk! with { Revision = config.DiskRevision.Length > 0 ? wish : _disk.Revision }
                : _kept.FirstOrDefault(k => k.Revision == wish) ?? new Disk(wish, config.BackingSha256);
            if (next.Sha != config.BackingSha256)
            {
                // It refuses, and says what there is; that must be of use.
                _refusals++;
                Story.Add("refused");
                (_seen, _started) = (_seen with { Pod = Refused(pod), Runner = null }, true);
                return _refusals > 1 ? $"disk {next.Revision} stands on {next.Sha[0]}, and its pod has {config.BackingSha256[0]}, again" : null;
            }

            _refusals = 0;

            if (swaps)
            {
                _kept = [.. _kept.Where(k => k != next).Prepend(_disk!).Take(config.KeepWiped)];
                Swaps++;
            }

            _disk = next;
            if (random.Next(4) == 0)
            {
                Story.Add("unheard");
                Unheard += swaps ? 1 : 0;
                End();
                return null;
            }

            _started = true;
            _seen = _seen with { Runner = Given.RunnerRunning with { Disk = Report() } };
            return null;
        }

        private DiskReport Report() => Given.RunnerRunning.Disk! with
        {
            Revision = _disk!.Revision,
            Backing = Told(_disk),
            Kept = _kept.Length == 0 ? null : [.. _kept.Select(k => new KeptDisk(k.Revision, Given.Now, 5) { Backing = Told(k) })],
        };

        private V1Pod Refused(V1Pod pod)
        {
            V1Pod ended = Given.Ended(_seen.Node, Given.Report(TerminationReasons.BackingMismatch) with { Disk = Report() });
            ended.Metadata = pod.Metadata;
            return ended;
        }

        // Killed, without a word.
        private void End() => _seen = _seen with { Pod = null, GonePod = null, Runner = null };

        private static BackingReport Told(Disk disk) => new("/images/debian-12/disk.qcow2", disk.Sha);

        private static string ClaimOf(string sha) => $"labimage-debian-12-{sha[..12]}";

        private static V1PersistentVolumeClaim Held(string name)
        {
            V1PersistentVolumeClaim claim = Given.ImageClaim();
            claim.Metadata.Name = name;
            return claim;
        }
    }
}
