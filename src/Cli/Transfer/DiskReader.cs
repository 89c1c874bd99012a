using System.Globalization;
using System.Text;
using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>
/// Reads a stopped LabNode's disk where it is: a restricted pod mounts its claim and its base's, read-only, and holds the disk's lock for as long as
/// it lives, so that no guest starts on it meanwhile.
/// </summary>
internal sealed class DiskReader : IAsyncDisposable
{
    private const int GraceSeconds = 1;

    // What flock -n ends with when another holds the lock.
    private const int Locked = 1;
    private const int Retries = 20;
    private static readonly TimeSpan s_retry = TimeSpan.FromSeconds(1);

    private readonly Cluster _cluster;
    private readonly V1Pod _pod;

    private DiskReader(Cluster cluster, V1Pod pod) => (_cluster, _pod) = (cluster, pod);

    /// <summary>Opens the disk of a claim.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="node">Name of the LabNode.</param>
    /// <param name="diskId">The disk's id.</param>
    /// <param name="backing">Its base.</param>
    /// <param name="runner">The runner's image.</param>
    /// <param name="patience">How long the pod may take to start.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="CliException">The pod does not start, or somebody works on the disk.</exception>
    internal static async Task<DiskReader> OpenAsync(Cluster cluster, string node, string diskId, LabNodeBacking backing, RunnerImage runner, TimeSpan patience, CancellationToken stop)
    {
        V1Pod pod = await RunnerPod.EnsureAsync(cluster, Pod(new ObjectKey(cluster.Namespace, "export-" + node), node, diskId, backing, runner), stop).ConfigureAwait(false);
        var reader = new DiskReader(cluster, pod);
        try
        {
            V1Pod started = await RunnerPod.StartedAsync(cluster, pod, patience, stop).ConfigureAwait(false);
            V1ContainerStateTerminated? ended = started.Status?.ContainerStatuses?.FirstOrDefault()?.State?.Terminated;
            return RunnerPod.End(started) is null ? reader
                : ended?.ExitCode != Locked ? throw new CliException(ExitCodes.Failed, $"Pod {started.Metadata.Name} ended at once: {ended?.Reason} {ended?.Message}")
                : throw new CliException(ExitCodes.Refused, $"Disk {diskId} of {node} is in use, or was never started: its lock could not be taken. Stop the LabNode, and wait until its pod is gone.");
        }
        catch
        {
            await reader.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>A file's length and digest.</summary>
    internal async Task<ExportedFile> DescribeAsync(string path, CancellationToken stop)
    {
        string length = Encoding.ASCII.GetString(await RunAsync(["busybox", "stat", "-c", "%s", path], stop).ConfigureAwait(false)).Trim();
        string sum = Encoding.ASCII.GetString(await RunAsync(["busybox", "sha256sum", path], stop).ConfigureAwait(false));
        return sum.Length > 64 && long.TryParse(length, NumberStyles.None, CultureInfo.InvariantCulture, out long bytes)
            ? new ExportedFile(sum[..64], bytes)
            : throw new CliException(ExitCodes.Failed, $"The pod can't read {path}.");
    }

    /// <summary>A small file, or the beginning of a large one.</summary>
    internal Task<byte[]> HeadAsync(string path, int bytes, CancellationToken stop) =>
        RunAsync(["busybox", "head", "-c", bytes.ToString(CultureInfo.InvariantCulture), path], stop);

    /// <summary>All of a file; a connection that breaks is opened anew where it broke.</summary>
    internal Stream Read(string path, long bytes) => new RemoteFile(this, path, bytes);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        using var soon = new CancellationTokenSource(TimeSpan.FromSeconds(5));
        await RunnerPod.DeleteAsync(_cluster, _pod, soon.Token).ConfigureAwait(false);
    }

    private ObjectKey Key => new(_pod.Metadata.NamespaceProperty, _pod.Metadata.Name);

    private async Task<byte[]> RunAsync(string[] command, CancellationToken stop)
    {
        await using PodExec exec = await PodExec.OpenAsync(_cluster, Key, command, stop).ConfigureAwait(false);
        using var said = new MemoryStream();
        using var errors = new MemoryStream();
        int? code = await exec.PumpAsync(said, errors, stop).ConfigureAwait(false);
        return code == 0
            ? said.ToArray()
            : throw new CliException(ExitCodes.Failed, $"{string.Join(' ', command)} failed in pod {Key}: {Encoding.UTF8.GetString(errors.ToArray()).Trim()}");
    }

    private static V1Pod Pod(ObjectKey key, string node, string diskId, LabNodeBacking backing, RunnerImage runner)
    {
        var resources = new V1ResourceRequirements
        {
            Requests = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("50m"), ["memory"] = new("32Mi") },
            Limits = new Dictionary<string, ResourceQuantity> { ["cpu"] = new("2"), ["memory"] = new("128Mi") },
        };
        V1Pod pod = RunnerPods.Make(runner, "", "", resources, GraceSeconds);
        pod.Metadata = new V1ObjectMeta
        {
            Name = key.Name,
            NamespaceProperty = key.Namespace,
            Labels = new Dictionary<string, string> { [Labels.ManagedBy] = Labels.ManagedByValue },
            // Never taken up by another run: two would wait for one lock.
            Annotations = new Dictionary<string, string> { [Annotations.TransferHash] = Guid.NewGuid().ToString("N") },
        };
        pod.Spec.ActiveDeadlineSeconds = 24 * 3600;
        V1Container container = pod.Spec.Containers[0];
        container.Command = ["/usr/bin/flock", "-n", $"{ContractNames.OverlayDirectory}/.node_{diskId}.lock", "/bin/busybox", "sleep", "86400"];
        container.Args = null;
        container.Ports = null;
        container.VolumeMounts.Add(new V1VolumeMount { Name = "disk", MountPath = ContractNames.OverlayDirectory, ReadOnlyProperty = true });
        pod.Spec.Volumes.Add(RunnerPods.ClaimVolume("disk", DiskClaims.NameOf(node), readOnly: false));
        if (backing.Copy != true)
        {
            RunnerPods.MountImage(pod.Spec, "image", $"{ContractNames.ImageDirectory}/{backing.Image}", backing.Claim, backing.Volume);
        }

        return pod;
    }

    /// <summary>A file of the pod as a stream.</summary>
    private sealed class RemoteFile(DiskReader reader, string path, long bytes) : DuplexStream
    {
        private readonly System.IO.Pipelines.Pipe _pipe = new(new System.IO.Pipelines.PipeOptions(pauseWriterThreshold: 8 << 20, resumeWriterThreshold: 4 << 20));
        private readonly CancellationTokenSource _end = new();
        private Task? _fetching;

        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            _fetching ??= FetchAsync();
            return _pipe.Reader.AsStream(leaveOpen: true).ReadAsync(buffer, cancellationToken);
        }

        public override ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default) => throw new NotSupportedException();

        public override async ValueTask DisposeAsync()
        {
            await _end.CancelAsync().ConfigureAwait(false);
            if (_fetching is not null)
            {
                await _fetching.ConfigureAwait(false);
            }

            _end.Dispose();
            await base.DisposeAsync().ConfigureAwait(false);
        }

        private async Task FetchAsync()
        {
            Exception? fault = null;
            var sink = new Counting(_pipe.Writer.AsStream(leaveOpen: true));
            try
            {
                for (int broken = 0; sink.Written < bytes && broken < Retries; broken++)
                {
                    long before = sink.Written;
                    await FetchOnceAsync(sink).ConfigureAwait(false);
                    broken = sink.Written > before ? 0 : broken;
                    if (sink.Written < bytes)
                    {
                        await Task.Delay(s_retry, _end.Token).ConfigureAwait(false);
                    }
                }
            }
            catch (Exception e) when (e is OperationCanceledException or CliException or IOException or InvalidOperationException)
            {
                fault = e;
            }

            await _pipe.Writer.CompleteAsync(fault).ConfigureAwait(false);
        }

        private async Task FetchOnceAsync(Counting sink)
        {
            try
            {
                string from = (sink.Written + 1).ToString(CultureInfo.InvariantCulture);
                await using PodExec exec = await PodExec.OpenAsync(reader._cluster, reader.Key, ["busybox", "tail", "-c", "+" + from, path], _end.Token).ConfigureAwait(false);
                await exec.PumpAsync(sink, Null, _end.Token).ConfigureAwait(false);
            }
            catch (CliException) when (!_end.IsCancellationRequested)
            {
                // The server is away for a moment, or the pod is gone: the tries are counted.
            }
        }

        /// <summary>Counts what passes.</summary>
        private sealed class Counting(Stream inner) : DuplexStream
        {
            internal long Written { get; private set; }

            public override async ValueTask WriteAsync(ReadOnlyMemory<byte> buffer, CancellationToken cancellationToken = default)
            {
                await inner.WriteAsync(buffer, cancellationToken).ConfigureAwait(false);
                await inner.FlushAsync(cancellationToken).ConfigureAwait(false);
                Written += buffer.Length;
            }

            public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) => throw new NotSupportedException();
        }
    }
}
