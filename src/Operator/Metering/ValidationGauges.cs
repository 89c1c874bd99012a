using Prometheus;
using SandLabX.Operator.Validation;

namespace SandLabX.Operator.Metering;

/// <summary>What the last validation of this replica found. docs/METRICS.md tells of each.</summary>
public static class ValidationGauges
{
    private static readonly Gauge s_inconsistencies = Metrics.CreateGauge("sandlabx_inconsistencies", "What did not agree at the last validation, by kind.", ["kind"]);

    private static readonly Gauge s_last = Metrics.CreateGauge("sandlabx_last_validation_timestamp_seconds", "When this replica last validated, in seconds since 1970; 0: never.");

    /// <summary>Sets all kinds: those that were not found are 0.</summary>
    public static void Tell(IReadOnlyCollection<Finding> findings, DateTimeOffset at)
    {
        foreach (string kind in Finding.Kinds)
        {
            s_inconsistencies.WithLabels(kind).Set(findings.Count(finding => finding.Kind == kind));
        }

        s_last.Set(at.ToUnixTimeSeconds());
    }
}
