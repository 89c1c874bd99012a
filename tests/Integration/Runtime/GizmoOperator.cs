using System.Collections.Concurrent;
using k8s;
using k8s.Models;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

/// <summary>Gives each Gizmo a ConfigMap that holds its colour, and says so in the status.</summary>
[EntityRbac(typeof(Gizmo), Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch | RbacVerb.Patch)]
[GenericRbac(Groups = ["test.sandlabx.io"], Resources = ["gizmos/status"], Verbs = RbacVerb.Patch)]
[EntityRbac(typeof(V1ConfigMap), Verbs = RbacVerb.List | RbacVerb.Watch | RbacVerb.Create | RbacVerb.Patch | RbacVerb.Delete)]
[EntityRbac(typeof(Corev1Event), Verbs = RbacVerb.Create)]
public sealed class GizmoController(KubeApi api, Cache<V1ConfigMap> maps, GizmoLog seen) : IEntityController<Gizmo>, IEntityFinalizer<Gizmo>
{
    public const string Finalizer = "test.sandlabx.io/gizmo";

    public async Task<ReconciliationResult> ReconcileAsync(Gizmo entity, CancellationToken cancellationToken)
    {
        seen.Runs.Enqueue(entity);
        await seen.Gate.WaitAsync(cancellationToken);
        var key = ObjectKey.Of(entity);
        if (maps.Get(key) is not { } map)
        {
            await api.CreateAsync(
                new V1ConfigMap
                {
                    Metadata = new V1ObjectMeta
                    {
                        NamespaceProperty = key.Namespace,
                        Name = key.Name,
                        OwnerReferences = [new V1OwnerReference { ApiVersion = entity.ApiVersion, Kind = entity.Kind, Name = key.Name, Uid = entity.Metadata.Uid, Controller = true }],
                    },
                    Data = new Dictionary<string, string> { ["color"] = entity.Spec.Color },
                },
                cancellationToken);
            await api.PublishEventAsync(entity, "Normal", "Made", "The ConfigMap was made.", cancellationToken);
            return ReconciliationResult.Pending();
        }

        if (map.Data["color"] != entity.Spec.Color)
        {
            await api.PatchAsync<V1ConfigMap>(
                key, new System.Text.Json.Nodes.JsonObject { ["data"] = new System.Text.Json.Nodes.JsonObject { ["color"] = entity.Spec.Color } }, cancellationToken);
        }

        var status = new GizmoStatus
        {
            Phase = "Ready",
            ObservedGeneration = entity.Metadata.Generation,
            Conditions = [.. entity.Status?.Conditions ?? []],
        };
        Conditions.Set(status.Conditions, "Ready", "True", "Made", "The ConfigMap is there.", entity.Metadata.Generation, DateTimeOffset.UtcNow);
        await api.PatchStatusAsync(entity, status, cancellationToken);
        return ReconciliationResult.Success();
    }

    public async Task<ReconciliationResult> FinalizeAsync(Gizmo entity, CancellationToken cancellationToken)
    {
        if (maps.Get(ObjectKey.Of(entity)) is { } map)
        {
            await api.DeleteAsync<V1ConfigMap>(ObjectKey.Of(map), map.Metadata.Uid, null, cancellationToken);
            return ReconciliationResult.Pending();
        }

        return ReconciliationResult.Success();
    }

    public Task DeletedAsync(Gizmo entity, CancellationToken cancellationToken)
    {
        seen.Gone.Enqueue(entity);
        return Task.CompletedTask;
    }
}

/// <summary>What the controller saw, and a gate that a test can close.</summary>
public sealed class GizmoLog
{
    public ConcurrentQueue<Gizmo> Runs { get; } = new();

    public ConcurrentQueue<Gizmo> Gone { get; } = new();

    public Task Gate { get; set; } = Task.CompletedTask;
}

/// <summary>A whole host with the operator in it.</summary>
internal sealed class GizmoHost : IAsyncDisposable
{
    private readonly IHost _host;
    private bool _stopped;

    private GizmoHost(IHost host) => _host = host;

    public GizmoLog Log => _host.Services.GetRequiredService<GizmoLog>();

    public OperatorHealth Health => _host.Services.GetRequiredService<OperatorHealth>();

    public LeaderElector Elector => _host.Services.GetRequiredService<LeaderElector>();

    public Cache<Gizmo> Gizmos => _host.Services.GetRequiredService<Cache<Gizmo>>();

    public CancellationToken Stopping => _host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping;

    public static async Task<GizmoHost> StartAsync(
        KubernetesClientConfiguration config, string space, bool election = false, string identity = "one", Action<IOperatorBuilder>? more = null)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddSimpleConsole(o => o.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddSingleton(config).AddSingleton<GizmoLog>();
        IOperatorBuilder op = builder.Services
            .AddKubernetesOperator(s =>
            {
                s.Name = "gizmo-operator";
                s.Namespace = space;
                s.WatchNamespace = space;
                s.LeaderElection = election;
                s.Identity = identity;
                (s.PingDelay, s.PingTimeout) = (TimeSpan.FromSeconds(3), TimeSpan.FromSeconds(2));
            })
            .AddController<GizmoController, Gizmo>(c => c.Owns<V1ConfigMap>().WithWorkers(3))
            .AddFinalizer<GizmoController, Gizmo>(GizmoController.Finalizer);
        more?.Invoke(op);
        var host = new GizmoHost(builder.Build());
        await host._host.StartAsync();
        return host;
    }

    public async Task StopAsync()
    {
        if (!_stopped)
        {
            _stopped = true;
            await _host.StopAsync();
        }
    }

    public async ValueTask DisposeAsync()
    {
        await StopAsync();
        _host.Dispose();
    }
}
