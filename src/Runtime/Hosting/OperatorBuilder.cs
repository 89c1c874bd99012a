using k8s;
using k8s.Models;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace SandLabX.Runtime;

/// <summary>Collects what an operator consists of into the host's services.</summary>
internal sealed class OperatorBuilder(IServiceCollection services, CacheSet caches, OperatorSettings settings) : IOperatorBuilder
{
    private readonly HashSet<Type> _controlled = [];

    public IServiceCollection Services => services;

    public IOperatorBuilder AddController<TController, TEntity>(Action<IControllerBuilder<TEntity>>? configure = null)
        where TController : class, IEntityController<TEntity>
        where TEntity : class, IKubernetesObject<V1ObjectMeta>
    {
        if (!_controlled.Add(typeof(TEntity)))
        {
            throw new InvalidOperationException($"{typeof(TEntity).Name} has a controller already.");
        }

        Cache<TEntity> cache = CacheOf<TEntity>(caches.Find<TEntity>()?.LabelSelector);
        var controller = new ControllerBuilder<TEntity>(this);
        configure?.Invoke(controller);
        AddOnce<TController>();
        services.AddSingleton(provider => new ReconcileTrigger<TEntity>(
            new WorkQueue(Lower(ResourceType.Of<TEntity>().Kind), provider.GetRequiredService<TimeProvider>())));
        services.AddSingleton<ControllerLoop>(provider =>
        {
            var loop = new ControllerLoop<TEntity>(
                cache,
                provider.GetRequiredService<ReconcileTrigger<TEntity>>().Queue,
                provider.GetRequiredService<TController>(),
                [.. provider.GetServices<FinalizerOf<TEntity>>().Select(f => new NamedFinalizer<TEntity>(f.Identifier, f.Make(provider)))],
                provider.GetRequiredService<KubeApi>(),
                settings,
                provider.GetRequiredService<TimeProvider>(),
                provider.GetRequiredService<ILogger<TController>>(),
                controller.Workers);
            controller.Connect(loop, provider);
            return loop;
        });
        return this;
    }

    public IOperatorBuilder AddFinalizer<TFinalizer, TEntity>(string identifier)
        where TFinalizer : class, IEntityFinalizer<TEntity>
        where TEntity : class, IKubernetesObject<V1ObjectMeta>
    {
        ArgumentException.ThrowIfNullOrEmpty(identifier);
        if (!_controlled.Contains(typeof(TEntity)))
        {
            throw new InvalidOperationException($"{typeof(TEntity).Name} has no controller: add that before its finalizers.");
        }

        AddOnce<TFinalizer>();
        services.AddSingleton(new FinalizerOf<TEntity>(identifier, provider => provider.GetRequiredService<TFinalizer>()));
        return this;
    }

    public IOperatorBuilder AddCache<T>(string? labelSelector = null)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        CacheOf<T>(labelSelector);
        return this;
    }

    public IOperatorBuilder AddIndex<T>(string name, Func<T, IEnumerable<string>> values)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        Cache<T> cache = caches.Find<T>() ?? throw new InvalidOperationException($"{typeof(T).Name} has no cache: add that before its indexes.");
        cache.AddIndex(name, values);
        return this;
    }

    public IOperatorBuilder AddLeaderWork<TService>(Func<TService, CancellationToken, Task> run)
        where TService : class
    {
        AddOnce<TService>();
        services.AddSingleton(provider => new LeaderWork(stop => run(provider.GetRequiredService<TService>(), stop)));
        return this;
    }

    /// <summary>The cache of a kind, made and followed by an informer when this is its first mention.</summary>
    public Cache<T> CacheOf<T>(string? labelSelector)
        where T : class, IKubernetesObject<V1ObjectMeta>
    {
        if (caches.Find<T>() is { } known)
        {
            return known.LabelSelector == labelSelector
                ? known
                : throw new InvalidOperationException(
                    $"The process has one cache of {typeof(T).Name}, asked for with the selectors '{known.LabelSelector}' and '{labelSelector}'.");
        }

        var cache = new Cache<T>(labelSelector, settings.WatchNamespace);
        caches.Add(cache);
        services.AddSingleton(cache);
        services.AddSingleton<Informer>(provider => new Informer<T>(
            cache,
            provider.GetRequiredService<KubeTransport>(),
            provider.GetRequiredService<InformerTimes>(),
            provider.GetRequiredService<TimeProvider>(),
            provider.GetRequiredService<ILogger<Informer<T>>>()));
        return cache;
    }

    private void AddOnce<T>()
        where T : class
    {
        // A class may be controller and finalizer both, or be registered by the operator itself.
        if (!services.Any(s => s.ServiceType == typeof(T)))
        {
            services.AddSingleton<T>();
        }
    }

    private static string Lower(string kind) =>
#pragma warning disable CA1308 // Metrics name controllers in lower case.
        kind.ToLowerInvariant();
#pragma warning restore CA1308
}

/// <summary>Work that the leader does beside its reconciles.</summary>
internal sealed record LeaderWork(Func<CancellationToken, Task> Run);

/// <summary>How a finalizer comes into being once the container is there.</summary>
internal sealed record FinalizerOf<TEntity>(string Identifier, Func<IServiceProvider, IEntityFinalizer<TEntity>> Make);
