using System.Collections.Immutable;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;
using SandLabX.Entities;
using SandLabX.Operator.Metering;
using SandLabX.Runtime;

namespace SandLabX.Operator.Validation;

/// <summary>
/// Holds all that there is against each other when this replica begins to lead, and then at an interval. What does not agree is told by events, metrics and the log;
/// LabNodes that it is about are reconciled, and their condition Consistent says it.
/// </summary>
public sealed class StateValidator(
    Cache<V1Alpha1LabNode> nodes,
    Cache<V1Alpha1LabImage> images,
    Cache<V1PersistentVolumeClaim> claims,
    Cache<V1Pod> pods,
    ReconcileTrigger<V1Alpha1LabNode> trigger,
    KubeApi api,
    OperatorOptions options,
    TimeProvider clock,
    ILogger<StateValidator> log)
{
    /// <summary>What is being changed just now does not agree for a moment: only what is still so after this time is told.</summary>
    private static readonly TimeSpan s_settles = TimeSpan.FromSeconds(15);

    /// <summary>After something that thousands of objects share, the metrics and the log say how many.</summary>
    private const int MostEvents = 50;

    private ImmutableArray<Finding> _told = [];

    /// <summary>Validates until it is told to stop.</summary>
    public async Task RunAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await ValidateAsync(stop).ConfigureAwait(false);
            await Task.Delay(options.ValidationInterval, clock, stop).ConfigureAwait(false);
        }
    }

    /// <summary>One validation.</summary>
    internal async Task ValidateAsync(CancellationToken stop)
    {
        ImmutableArray<Finding> first = Look();
        ImmutableArray<Finding> lasting = first;
        if (first.Length > 0)
        {
            Reconcile(first);
            await Task.Delay(s_settles, clock, stop).ConfigureAwait(false);
            lasting = [.. Look().Where(finding => first.Any(finding.Same))];
        }

        Finding[] news = [.. lasting.Where(finding => !_told.Any(finding.Same))];
        _told = lasting;
        ValidationGauges.Tell(lasting, clock.GetUtcNow());
        log.LogInformation(
            "Validated {LabNodes} LabNodes, {LabImages} LabImages, {Claims} claims and {Pods} pods: {Findings}",
            nodes.Count, images.Count, claims.Count, pods.Count,
            lasting.IsEmpty ? "all agree" : string.Join(", ", lasting.CountBy(finding => finding.Kind).Select(kind => $"{kind.Value} {kind.Key}")) + $" ({news.Length} new)");
        foreach (Finding finding in news.Where(finding => !finding.Expected))
        {
            log.LogWarning("{Kind}: {Subject} {Key}: {Message}", finding.Kind, finding.Subject, finding.Key, finding.Message);
        }

        // Those about LabNodes are told by their planner, at the change of the condition.
        foreach (Finding finding in news.Where(finding => finding.Subject != "LabNode").OrderBy(finding => finding.Expected).Take(MostEvents))
        {
            if (Find(finding) is { } subject)
            {
                await api.PublishEventAsync(subject, finding.Expected ? "Normal" : "Warning", finding.Kind, finding.Message, stop).ConfigureAwait(false);
            }
        }
    }

    private ImmutableArray<Finding> Look() => StateAudit.Look(new StateSnapshot(nodes.List(), images.List(), claims.List(), pods.List()));

    private void Reconcile(IEnumerable<Finding> findings)
    {
        foreach (ObjectKey key in findings.Where(finding => finding.Subject == "LabNode").Select(finding => finding.Key).Distinct())
        {
            trigger.Enqueue(key);
        }
    }

    private IKubernetesObject<V1ObjectMeta>? Find(Finding finding) => finding.Subject == "Pod" ? pods.Get(finding.Key) : claims.Get(finding.Key);
}
