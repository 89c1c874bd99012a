using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>The lease as an object of <c>coordination.k8s.io/v1</c>, named <c>&lt;operator&gt;-leader</c>, in the operator's own namespace.</summary>
internal sealed class KubeLease(KubeTransport transport, OperatorSettings settings) : ILeaseLock
{
    private readonly ResourceType _type = ResourceType.Of<V1Lease>();

    private string Name => settings.Name + "-leader";

    public async Task<LeaseRecord?> ReadAsync(CancellationToken stop)
    {
        try
        {
            return Read(await transport.GetAsync(_type.Path(settings.Namespace, Name), null, stop).ConfigureAwait(false));
        }
        catch (KubeException e) when (e.Kind == KubeError.NotFound)
        {
            return null;
        }
    }

    public async Task<LeaseRecord> WriteAsync(LeaseRecord record, CancellationToken stop)
    {
        var spec = new JsonObject
        {
            ["holderIdentity"] = record.Holder,
            ["leaseDurationSeconds"] = Math.Max(1, (int)Math.Round(record.Duration.TotalSeconds)),
            ["acquireTime"] = Micro(record.Acquired),
            ["renewTime"] = Micro(record.Renewed),
            ["leaseTransitions"] = record.Transitions,
        };
        if (record.Version is null)
        {
            var lease = new JsonObject
            {
                ["apiVersion"] = _type.ApiVersion,
                ["kind"] = _type.Kind,
                ["metadata"] = new JsonObject { ["namespace"] = settings.Namespace, ["name"] = Name },
                ["spec"] = spec,
            };
            return Read(await transport.PostAsync(_type.Path(settings.Namespace), lease, null, stop).ConfigureAwait(false));
        }

        var patch = new JsonObject { ["metadata"] = new JsonObject { ["resourceVersion"] = record.Version }, ["spec"] = spec };
        return Read(await transport.PatchAsync(_type.Path(settings.Namespace, Name), patch, null, stop).ConfigureAwait(false));
    }

    private static LeaseRecord Read(JsonElement json)
    {
        V1Lease lease = KubeJson.Read<V1Lease>(json, out _);
        return new LeaseRecord(
            lease.Spec?.HolderIdentity ?? "",
            TimeSpan.FromSeconds(lease.Spec?.LeaseDurationSeconds ?? 0),
            Time(lease.Spec?.AcquireTime),
            Time(lease.Spec?.RenewTime),
            lease.Spec?.LeaseTransitions ?? 0,
            lease.Metadata.ResourceVersion);
    }

    private static string Micro(DateTimeOffset time) => time.UtcDateTime.ToString("yyyy-MM-ddTHH:mm:ss.ffffffZ", CultureInfo.InvariantCulture);

    private static DateTimeOffset Time(DateTime? time) => time is { } t ? new DateTimeOffset(DateTime.SpecifyKind(t, DateTimeKind.Utc)) : default;
}
