using k8s;
using k8s.Models;
using Microsoft.Extensions.DependencyInjection;

namespace SandLabX.Runtime;

/// <summary>Says of what an operator consists.</summary>
public interface IOperatorBuilder
{
    /// <summary>The host's services.</summary>
    IServiceCollection Services { get; }

    /// <summary>Adds the controller of a kind (one a kind), as a singleton, and the kind's cache.</summary>
    /// <param name="configure">What else the controller watches.</param>
    /// <exception cref="InvalidOperationException">The kind has a controller already.</exception>
    IOperatorBuilder AddController<TController, TEntity>(Action<IControllerBuilder<TEntity>>? configure = null)
        where TController : class, IEntityController<TEntity>
        where TEntity : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>Adds a finalizer of a kind that has a controller. Every object of the kind gets it before its first reconcile; several are run in the order they were added.</summary>
    /// <param name="identifier">Its name on objects, <c>domain/name</c>.</param>
    IOperatorBuilder AddFinalizer<TFinalizer, TEntity>(string identifier)
        where TFinalizer : class, IEntityFinalizer<TEntity>
        where TEntity : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>Adds a cache of a kind that is only read. Asking twice is asking once.</summary>
    /// <param name="labelSelector">Only objects that match; null for all. The whole process has one cache a kind, so every mention must name the same selector.</param>
    IOperatorBuilder AddCache<T>(string? labelSelector = null)
        where T : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>Adds an index to the cache of a kind that was mentioned before.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="values">The values under which an object is found; pure and quick.</param>
    IOperatorBuilder AddIndex<T>(string name, Func<T, IEnumerable<string>> values)
        where T : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>Adds work of a service that only the leader does: it begins when all caches are filled and this process leads, and is cancelled when it ceases to.</summary>
    /// <typeparam name="TService">The service, from the host's container.</typeparam>
    /// <param name="run">The work. Goes on until it is cancelled; a fault that it lets out ends the process.</param>
    IOperatorBuilder AddLeaderWork<TService>(Func<TService, CancellationToken, Task> run)
        where TService : class;
}

/// <summary>Says what a controller watches beside its own kind.</summary>
/// <typeparam name="TEntity">Its own kind.</typeparam>
public interface IControllerBuilder<TEntity>
{
    /// <summary>Reconciles the owner when an object changes that names it as its controller in an owner reference.</summary>
    /// <param name="labelSelector">As for <see cref="IOperatorBuilder.AddCache{T}"/>.</param>
    IControllerBuilder<TEntity> Owns<TChild>(string? labelSelector = null)
        where TChild : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>Reconciles the objects that a mapping names when another object changes; the mapping sees the state before and the one after.</summary>
    /// <param name="map">Keys of <typeparamref name="TEntity"/> for an object. Quick; may read caches.</param>
    /// <param name="labelSelector">As for <see cref="IOperatorBuilder.AddCache{T}"/>.</param>
    IControllerBuilder<TEntity> Watches<TOther>(Func<TOther, IEnumerable<ObjectKey>> map, string? labelSelector = null)
        where TOther : class, IKubernetesObject<V1ObjectMeta>;

    /// <summary>As the other, with a mapping that belongs to a service.</summary>
    /// <typeparam name="TOther">The kind that is watched.</typeparam>
    /// <typeparam name="TService">The service, from the host's container.</typeparam>
    /// <param name="map">Keys of <typeparamref name="TEntity"/> for an object.</param>
    /// <param name="labelSelector">As for <see cref="IOperatorBuilder.AddCache{T}"/>.</param>
    IControllerBuilder<TEntity> Watches<TOther, TService>(Func<TService, TOther, IEnumerable<ObjectKey>> map, string? labelSelector = null)
        where TOther : class, IKubernetesObject<V1ObjectMeta>
        where TService : notnull;

    /// <summary>How many objects are reconciled at once. Default 4.</summary>
    IControllerBuilder<TEntity> WithWorkers(int workers);
}
