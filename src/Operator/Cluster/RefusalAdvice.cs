using System.Text.RegularExpressions;

namespace SandLabX.Operator.Cluster;

/// <summary>What to do about an intent that the API server refused, read from its words. Pure.</summary>
public static partial class RefusalAdvice
{
    /// <summary>What to do where the cluster has no image volumes.</summary>
    public const string NoImageVolumes =
        "This cluster has no image volumes: Kubernetes has them from 1.35 on (from 1.31 with the feature gate ImageVolume). Set spec.delivery of the LabImage to Shared or Copy.";

    /// <summary>The refusal in the server's words, and the way out where they tell what stands in it.</summary>
    /// <param name="refusal">The refusal.</param>
    /// <param name="memoryField">The field behind a pod's memory; null when it is fixed.</param>
    /// <param name="cpuField">The field behind a pod's CPUs; null when they are fixed.</param>
    /// <param name="sizeField">The field behind a claim's size.</param>
    public static string Tell(Refusal refusal, string? memoryField, string? cpuField, string sizeField) =>
        $"The API server refused to {refusal.What}: {Words(refusal.Message).TrimEnd('.')}. {Advice(refusal.Message, memoryField, cpuField, sizeField)}".TrimEnd();

    /// <summary>The server's words alone, without the request that they answer.</summary>
    public static string Words(string message) => Request().Replace(message, "").TrimEnd();

    private static string Advice(string words, string? memoryField, string? cpuField, string sizeField)
    {
        if (words.Contains("must specify a volume type", StringComparison.Ordinal))
        {
            // Kubernetes 1.31 to 1.34 drop the field while its feature gate is off, and then see a volume without a kind.
            return NoImageVolumes;
        }

        if (Quota().Match(words) is { Success: true } quota)
        {
            string[] fields = [.. new[] { (words.Contains("memory=", StringComparison.Ordinal), memoryField), (words.Contains("cpu=", StringComparison.Ordinal), cpuField), (words.Contains("storage=", StringComparison.Ordinal), sizeField) }
                .Where(field => field.Item1).Select(field => field.Item2).OfType<string>().Distinct()];
            return $"Raise ResourceQuota {quota.Groups[1].Value}, free some of it{(fields.Length > 0 ? $", or lower {string.Join(" or ", fields)}" : "")}.";
        }

        string[] ways = [.. Limit().Matches(words).Select(limit => limit.Groups[2].Value switch
        {
            "memory" => Way(limit.Groups[1].Value, memoryField, "memory", "which the pod asks for with what QEMU needs beside it"),
            "cpu" => Way(limit.Groups[1].Value, cpuField, "cpu", "a pod asks for a tenth of them and is limited to half a CPU more"),
            "storage" => Way(limit.Groups[1].Value, sizeField, "storage", "which the claim asks for with room for tables and file system"),
            string other => $"Change the {limit.Groups[1].Value} of {other} in the namespace's LimitRange.",
        }).Distinct()];
        if (ways.Length > 0)
        {
            return string.Join(" ", ways);
        }

        return Ratio().Match(words) is { Success: true } ratio
            ? $"Raise maxLimitRequestRatio of {ratio.Groups[1].Value} in the namespace's LimitRange: a pod's limits are above its requests on purpose."
            : "";
    }

    private static string Way(string bound, string? field, string resource, string why)
    {
        bool most = bound == "maximum";
        string range = $"{(most ? "raise" : "lower")} the {bound} of {resource} in the namespace's LimitRange";
        return field is null ? char.ToUpperInvariant(range[0]) + range[1..] + "." : $"{(most ? "Lower" : "Raise")} {field} ({why}), or {range}.";
    }

    [GeneratedRegex("^[A-Z]+ /\\S+: [0-9]{3} ", RegexOptions.CultureInvariant)]
    private static partial Regex Request();

    [GeneratedRegex("exceeded quota: ([^,\\s]+)", RegexOptions.CultureInvariant)]
    private static partial Regex Quota();

    [GeneratedRegex("\\b(maximum|minimum) (\\S+) usage per \\w+ is ", RegexOptions.CultureInvariant)]
    private static partial Regex Limit();

    [GeneratedRegex("\\b(\\S+) max limit to request ratio per \\w+ is ", RegexOptions.CultureInvariant)]
    private static partial Regex Ratio();
}
