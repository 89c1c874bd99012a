using System.Diagnostics;
using System.Text.Json.Nodes;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Power;

/// <summary>Carries plans out, and waits until the status says so.</summary>
/// <param name="call">The run of the verb.</param>
/// <param name="wait">Whether to wait, and how long; null does not.</param>
internal sealed class PowerRun(Call call, TimeSpan? wait)
{
    private readonly Dictionary<string, Goal> _goals = new(StringComparer.Ordinal);
    private int _exitCode;

    /// <summary>Carries out one plan each; one that fails does not keep the others.</summary>
    /// <param name="plans">The LabNodes and what is to become of them.</param>
    /// <param name="format">Form of the result.</param>
    /// <returns>The exit code: that of the first failure.</returns>
    internal async Task<int> RunAsync(IReadOnlyList<(V1Alpha1LabNode Node, PowerPlan Plan)> plans, Format format)
    {
        var written = new Dictionary<string, V1Alpha1LabNode>(StringComparer.Ordinal);
        foreach ((V1Alpha1LabNode node, PowerPlan plan) in plans)
        {
            string name = node.Metadata.Name;
            switch (plan)
            {
                case PowerPlan.Refuse refuse:
                    Fail(ExitCodes.Refused, refuse.Why);
                    break;
                case PowerPlan.Await wanted:
                    written[name] = node;
                    _goals[name] = wanted.Goal with { Generation = node.Metadata.Generation ?? 0 };
                    break;
                case PowerPlan.Change change:
                    if (await WriteAsync(node, change.Spec).ConfigureAwait(false) is { } now)
                    {
                        written[name] = now;
                        _goals[name] = change.Goal with { Generation = now.Metadata.Generation ?? 0 };
                    }

                    break;
            }
        }

        if (wait is { } limit && _goals.Count > 0)
        {
            await WaitAsync(written, limit, format).ConfigureAwait(false);
        }
        else if (format == Format.Table)
        {
            foreach (string name in written.Keys)
            {
                call.Out.Line($"labnode/{name} asked");
            }
        }

        if (format != Format.Table)
        {
            call.Out.Result(format, List(written.Values), () => { });
        }

        return _exitCode;
    }

    /// <summary>LabNodes as kubectl would give them.</summary>
    internal static JsonObject List(IEnumerable<V1Alpha1LabNode> nodes) => new()
    {
        ["apiVersion"] = "v1",
        ["kind"] = "List",
        ["items"] = new JsonArray([.. nodes.Select(Output.Data)]),
    };

    private async Task<V1Alpha1LabNode?> WriteAsync(V1Alpha1LabNode node, JsonObject spec)
    {
        try
        {
            return await call.Cluster.Api.PatchAsync<V1Alpha1LabNode>(ObjectKey.Of(node), new JsonObject { ["spec"] = spec }, call.Stop).ConfigureAwait(false);
        }
        catch (KubeException e)
        {
            (int code, string message) = Failures.Tell(e);
            Fail(code, $"{node.Metadata.Name}: {message}");
            return null;
        }
    }

    private async Task WaitAsync(Dictionary<string, V1Alpha1LabNode> written, TimeSpan limit, Format format)
    {
        long began = Stopwatch.GetTimestamp();
        var last = new Dictionary<string, string>(StringComparer.Ordinal);
        using var deadline = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        deadline.CancelAfter(limit);
        try
        {
            // When nothing changes any more, it is already known what was seen last.
            await foreach (IReadOnlyList<V1Alpha1LabNode> seen in call.Cluster.Api
                .FollowAsync<V1Alpha1LabNode>(call.Cluster.Namespace, null, call.Out.Warning, deadline.Token).ConfigureAwait(false))
            {
                Dictionary<string, V1Alpha1LabNode> byName = seen.ToDictionary(n => n.Metadata.Name, StringComparer.Ordinal);
                foreach ((string name, Goal goal) in _goals.ToList())
                {
                    V1Alpha1LabNode? node = byName.GetValueOrDefault(name);
                    node = node?.Metadata.Uid == written[name].Metadata.Uid ? node : null;
                    Progress progress = Progress.Judge(goal, node);
                    written[name] = node ?? written[name];
                    switch (progress.State)
                    {
                        case ProgressState.Reached:
                            _goals.Remove(name);
                            if (format == Format.Table)
                            {
                                call.Out.Line($"labnode/{name} {progress.Words} after {Stopwatch.GetElapsedTime(began).TotalSeconds:0.0} s");
                            }

                            break;
                        case ProgressState.Failed:
                            _goals.Remove(name);
                            Fail(ExitCodes.Failed, $"{name}: {progress.Words}");
                            break;
                        default:
                            if (last.GetValueOrDefault(name) != progress.Words)
                            {
                                call.Out.Note($"{name}: {progress.Words}");
                                last[name] = progress.Words;
                            }

                            break;
                    }
                }

                if (_goals.Count == 0)
                {
                    return;
                }
            }
        }
        catch (OperationCanceledException) when (!call.Stop.IsCancellationRequested)
        {
            foreach (string name in _goals.Keys)
            {
                Fail(ExitCodes.Failed, $"{name}: not within {KubectlDurations.Write(limit)}; {last.GetValueOrDefault(name) ?? "nothing was heard of it"}. It is asked for all the same: 'kubectl sandlabx status {name} -w' shows what comes of it, --timeout waits longer.");
            }
        }
    }

    private void Fail(int code, string why)
    {
        call.Out.Error(why);
        _exitCode = _exitCode == ExitCodes.Ok ? code : _exitCode;
    }
}
