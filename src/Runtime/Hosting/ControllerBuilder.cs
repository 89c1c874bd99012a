using k8s;
using k8s.Models;
using Microsoft.Extensions.DependencyInjection;

namespace SandLabX.Runtime;

/// <summary>Collects what a controller watches, and connects it once its workers are there.</summary>
internal sealed class ControllerBuilder<TEntity>(OperatorBuilder owner) : IControllerBuilder<TEntity>
    where TEntity : class, IKubernetesObject<V1ObjectMeta>
{
    private readonly List<Action<ControllerLoop<TEntity>, IServiceProvider>> _connections = [];

    public int Workers { get; private set; } = 4;

    public IControllerBuilder<TEntity> Owns<TChild>(string? labelSelector = null)
        where TChild : class, IKubernetesObject<V1ObjectMeta> => Watches<TChild>(OwnerOf, labelSelector);

    public IControllerBuilder<TEntity> Watches<TOther>(Func<TOther, IEnumerable<ObjectKey>> map, string? labelSelector = null)
        where TOther : class, IKubernetesObject<V1ObjectMeta> => Watches<TOther>(_ => map, labelSelector);

    public IControllerBuilder<TEntity> Watches<TOther, TService>(Func<TService, TOther, IEnumerable<ObjectKey>> map, string? labelSelector = null)
        where TOther : class, IKubernetesObject<V1ObjectMeta>
        where TService : notnull => Watches<TOther>(
            provider =>
            {
                TService service = provider.GetRequiredService<TService>();
                return other => map(service, other);
            },
            labelSelector);

    public IControllerBuilder<TEntity> WithWorkers(int workers)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(workers, 1);
        Workers = workers;
        return this;
    }

    public void Connect(ControllerLoop<TEntity> loop, IServiceProvider provider) => _connections.ForEach(connect => connect(loop, provider));

    private ControllerBuilder<TEntity> Watches<TOther>(Func<IServiceProvider, Func<TOther, IEnumerable<ObjectKey>>> mapOf, string? labelSelector)
        where TOther : class, IKubernetesObject<V1ObjectMeta>
    {
        Cache<TOther> cache = owner.CacheOf<TOther>(labelSelector);
        _connections.Add((loop, provider) =>
        {
            Func<TOther, IEnumerable<ObjectKey>> map = mapOf(provider);
            cache.Subscribe(change => loop.OnOther(change, map));
        });
        return this;
    }

    private static IEnumerable<ObjectKey> OwnerOf<TChild>(TChild child)
        where TChild : class, IKubernetesObject<V1ObjectMeta>
    {
        ResourceType type = ResourceType.Of<TEntity>();
        return (child.Metadata.OwnerReferences ?? [])
            .Where(o => o.Controller == true && o.Kind == type.Kind && GroupOf(o.ApiVersion) == type.Group)
            .Select(o => new ObjectKey(type.Namespaced ? child.Metadata.NamespaceProperty : "", o.Name));
    }

    private static string GroupOf(string apiVersion) =>
        apiVersion.IndexOf('/', StringComparison.Ordinal) is var slash and >= 0 ? apiVersion[..slash] : "";
}
