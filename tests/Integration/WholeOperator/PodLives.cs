using System.Collections.Concurrent;
using System.Globalization;
using System.Net;
using System.Text.Json;
using k8s;
using k8s.Autorest;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;

namespace SandLabX.Integration.WholeOperator;

/// <summary>
/// What a cluster around the API server does, in small: binds claims, gives pods to a node, and lives their lives with real reports of the runner's. Each claim
/// has a disk that remembers who writes it. It is no part of what is tested: it goes straight to the API server.
/// </summary>
internal sealed class PodLives : IAsyncDisposable
{
    private const long DiskBytes = 256 * Quantities.MiB;

    private readonly Kubernetes _api;
    private readonly string _space;
    private readonly Dictionary<string, Disk> _disks = [];
    private readonly Dictionary<string, Life> _lives = [];
    private readonly ConcurrentDictionary<string, string> _ends = new();
    private readonly CancellationTokenSource _stop = new();
    private readonly Task _running;

    public PodLives(KubernetesClientConfiguration config, string space)
    {
        _api = new Kubernetes(config);
        _space = space;
        _running = Task.Run(RunAsync);
    }

    /// <summary>What must never be: two writers of a disk, a start that expects a disk that is not there.</summary>
    public ConcurrentQueue<string> Violations { get; } = new();

    /// <summary>Lets the guest of a LabNode end by itself.</summary>
    public void End(string node, string reason) => _ends["labnode-" + node] = reason;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _running;
        foreach (Life life in _lives.Values)
        {
            life.Voice.Dispose();
        }

        _api.Dispose();
        _stop.Dispose();
    }

    private async Task RunAsync()
    {
        while (!_stop.IsCancellationRequested)
        {
            try
            {
                IList<V1Pod> pods = (await _api.CoreV1.ListNamespacedPodAsync(_space, cancellationToken: _stop.Token)).Items;
                IList<V1PersistentVolumeClaim> claims = (await _api.CoreV1.ListNamespacedPersistentVolumeClaimAsync(_space, cancellationToken: _stop.Token)).Items;
                foreach (V1PersistentVolumeClaim claim in claims)
                {
                    await KeepAsync(claim, pods);
                }

                foreach (V1Pod pod in pods)
                {
                    await LiveAsync(pod, claims);
                }

                foreach (string gone in _lives.Keys.Except(pods.Select(p => p.Metadata.Uid)).ToArray())
                {
                    // Without a grace period: the process outlives its object, as everywhere. Nothing of the product asks for that.
                    Violations.Enqueue($"pod {gone} was removed before its guest had ended");
                    Bury(gone);
                }
            }
            catch (HttpOperationException e) when (e.Response.StatusCode is HttpStatusCode.NotFound or HttpStatusCode.Conflict)
            {
                // It went or changed meanwhile; the next look tells.
            }
            catch (OperationCanceledException) when (_stop.IsCancellationRequested)
            {
                return;
            }

            await Task.Delay(25, _stop.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task KeepAsync(V1PersistentVolumeClaim claim, IList<V1Pod> pods)
    {
        string name = claim.Metadata.Name;
        if (claim.Metadata.DeletionTimestamp is not null)
        {
            if (!pods.Any(p => p.Spec.Volumes?.Any(v => v.PersistentVolumeClaim?.ClaimName == name) == true))
            {
                await _api.CoreV1.PatchNamespacedPersistentVolumeClaimAsync(Patch(new { metadata = new { uid = claim.Metadata.Uid, finalizers = (string[]?)null } }), name, _space, cancellationToken: _stop.Token);
            }
        }
        else if (claim.Status?.Phase != "Bound")
        {
            await _api.CoreV1.PatchNamespacedPersistentVolumeClaimAsync(Patch(new { spec = new { volumeName = "pv-" + claim.Metadata.Uid } }), name, _space, cancellationToken: _stop.Token);
            await _api.CoreV1.PatchNamespacedPersistentVolumeClaimStatusAsync(
                Patch(new { status = new { phase = "Bound", accessModes = claim.Spec.AccessModes, capacity = new { storage = claim.Spec.Resources.Requests["storage"].ToString() } } }), name, _space, cancellationToken: _stop.Token);
        }
    }

    private async Task LiveAsync(V1Pod pod, IList<V1PersistentVolumeClaim> claims)
    {
        string uid = pod.Metadata.Uid;
        bool ended = pod.Status?.Phase is "Succeeded" or "Failed";
        if (string.IsNullOrEmpty(pod.Spec.NodeName))
        {
            // What needs a claim that is not bound is given no node.
            if (pod.Spec.Volumes.All(v => v.PersistentVolumeClaim is null || claims.Any(c => c.Metadata.Name == v.PersistentVolumeClaim.ClaimName && c.Status?.Phase == "Bound")))
            {
                await _api.CoreV1.CreateNamespacedPodBindingAsync(
                    new V1Binding { Metadata = new V1ObjectMeta { Name = pod.Metadata.Name }, Target = new V1ObjectReference { Kind = "Node", Name = "node" } }, pod.Metadata.Name, _space, cancellationToken: _stop.Token);
            }
        }
        else if (ended || (pod.Metadata.DeletionTimestamp is not null && !_lives.ContainsKey(uid)))
        {
            if (pod.Metadata.DeletionTimestamp is not null)
            {
                await _api.CoreV1.DeleteNamespacedPodAsync(
                    pod.Metadata.Name, _space, new V1DeleteOptions { GracePeriodSeconds = 0, Preconditions = new V1Preconditions { Uid = uid } }, cancellationToken: _stop.Token);
            }
        }
        else if (pod.Spec.Containers[0].Args[0] == "import")
        {
            ImportConfig import = JsonSerializer.Deserialize(Config(pod), ContractJson.Default.ImportConfig)!;
            await EndAsync(pod, new TerminationReport
            {
                Reason = TerminationReasons.Imported, Message = "The image is imported.", At = DateTimeOffset.UtcNow, Image = new ImageReport(import.Sha256, "qcow2", DiskBytes, 30 * Quantities.MiB),
            });
        }
        else if (!_lives.TryGetValue(uid, out Life? life))
        {
            await StartAsync(pod, claims);
        }
        else if (HowItEnds(pod, life) is { } report)
        {
            life.Voice.Say(life.Voice.State with { Phase = RunnerPhases.Ended, End = report });
            life.Disk.Writer = null;
            await EndAsync(pod, report);
            Bury(uid);
        }
        else if (Note(pod, Annotations.ResetWish) is { } reset && reset != life.Voice.State.ResetRevision)
        {
            life.Voice.Say(life.Voice.State with { ResetRevision = reset, Resets = life.Voice.State.Resets + 1 });
        }
    }

    private async Task StartAsync(V1Pod pod, IList<V1PersistentVolumeClaim> claims)
    {
        RunnerConfig config = JsonSerializer.Deserialize(Config(pod), ContractJson.Default.RunnerConfig)!;
        string claim = claims.First(c => c.Metadata.Name == pod.Spec.Volumes.First(v => v.Name == "disk").PersistentVolumeClaim.ClaimName).Metadata.Uid;
        DateTimeOffset now = DateTimeOffset.UtcNow;
        bool created = !_disks.TryGetValue(claim, out Disk? disk);
        if (created)
        {
            _disks[claim] = disk = new Disk { Revision = config.DiskRevision.Length > 0 ? config.DiskRevision : OverlayMarker.Initial, CreatedAt = now };
        }

        if (created && config.OverlayExpected)
        {
            Violations.Enqueue($"{config.Node}: the disk was there before, and is not on claim {claim}");
        }

        if (disk!.Writer is { } writer)
        {
            Violations.Enqueue($"{config.Node}: pods {writer} and {pod.Metadata.Uid} write the same disk");
        }

        disk.Writer = pod.Metadata.Uid;
        DateTimeOffset? wiped = null;
        var backing = new BackingReport(config.BackingPath, config.BackingSha256);
        if (config.Wipe && config.DiskRevision != disk.Revision)
        {
            disk.Kept = [.. disk.Kept.Prepend(new KeptDisk(disk.Revision, disk.CreatedAt, Quantities.MiB) { Backing = backing }).Take(config.KeepWiped)];
            (disk.Revision, disk.CreatedAt, wiped) = (config.DiskRevision, now, now);
        }

        var voice = new RunnerVoice(new RunnerState
        {
            Phase = RunnerPhases.Running,
            At = now,
            PodUid = pod.Metadata.Uid,
            Accelerator = new AcceleratorReport(Accelerators.Tcg, "NoDevice", "There is no /dev/kvm here."),
            Disk = new DiskReport(DiskBytes, Quantities.MiB, created) { Revision = disk.Revision, WipedAt = wiped, Kept = disk.Kept.Length > 0 ? disk.Kept : null, Backing = backing },
            Timeline = new StartTimeline { RunnerStarted = now, DiskReady = now, QemuStarted = now, GuestRunning = now },
            ResetRevision = config.ResetRevision,
            RunnerVersion = "0",
            QemuVersion = "0",
        });
        _lives[pod.Metadata.Uid] = new Life(disk, voice);
        await StatusAsync(pod, "Running", voice.Ip, new { running = new { startedAt = now } });
    }

    /// <summary>The runner's last word, once there is something that ends the guest.</summary>
    private TerminationReport? HowItEnds(V1Pod pod, Life life)
    {
        string wish = Note(pod, Annotations.PowerWish) ?? "";
        _ends.TryRemove(pod.Metadata.Name, out string? own);
        string? reason = own
            ?? (wish == PowerWishes.Suspended ? TerminationReasons.Suspended
            : wish == PowerWishes.Off || pod.Metadata.DeletionTimestamp is not null ? TerminationReasons.HostShutdown
            : null);
        if (reason is null)
        {
            return null;
        }

        DateTimeOffset now = DateTimeOffset.UtcNow;
        RunnerState state = life.Voice.State;
        return new TerminationReport
        {
            Reason = reason,
            Message = $"It ended: {reason}.",
            At = now,
            QemuExitCode = 0,
            Console = "login:",
            Disk = state.Disk! with { Created = false },
            Accelerator = state.Accelerator,
            Timeline = state.Timeline,
            SavedState = reason == TerminationReasons.Suspended ? new SavedState(now, 64 * Quantities.MiB, new string('0', 32), 1, 128 * Quantities.MiB, Accelerators.Tcg, state.ResetRevision ?? "", Quantities.MiB, now) : null,
        };
    }

    private Task<V1Pod> EndAsync(V1Pod pod, TerminationReport report) => StatusAsync(pod, "Succeeded", pod.Status?.PodIP, new
    {
        terminated = new { exitCode = 0, reason = "Completed", startedAt = report.At, finishedAt = report.At, message = JsonSerializer.Serialize(report, ContractJson.Default.TerminationReport) },
    });

    private Task<V1Pod> StatusAsync(V1Pod pod, string phase, string? ip, object state)
    {
        string at = DateTime.UtcNow.ToString("yyyy-MM-ddTHH:mm:ssZ", CultureInfo.InvariantCulture);
        bool runs = phase == "Running";
        return _api.CoreV1.PatchNamespacedPodStatusAsync(
            Patch(new
            {
                status = new
                {
                    phase,
                    podIP = ip,
                    podIPs = ip is null ? null : new[] { new { ip } },
                    startTime = at,
                    conditions = new[] { new { type = "PodScheduled", status = "True", lastTransitionTime = at }, new { type = "Ready", status = runs ? "True" : "False", lastTransitionTime = at } },
                    containerStatuses = new[] { new { name = "runner", image = "runner", imageID = "runner", ready = runs, restartCount = 0, state } },
                },
            }),
            pod.Metadata.Name,
            _space,
            cancellationToken: _stop.Token);
    }

    private void Bury(string uid)
    {
        if (_lives.Remove(uid, out Life? life))
        {
            life.Voice.Dispose();
        }
    }

    private static V1Patch Patch(object body) => new(JsonSerializer.Serialize(body), V1Patch.PatchType.MergePatch);

    private static string Config(V1Pod pod) => pod.Spec.Containers[0].Env.First(e => e.Name == ContractNames.ConfigVariable).Value;

    private static string? Note(V1Pod pod, string annotation) => pod.Metadata.Annotations?.TryGetValue(annotation, out string? value) == true ? value : null;

    private sealed class Disk
    {
        public required string Revision { get; set; }

        public required DateTimeOffset CreatedAt { get; set; }

        public KeptDisk[] Kept { get; set; } = [];

        public string? Writer { get; set; }
    }

    private sealed record Life(Disk Disk, RunnerVoice Voice);
}
