using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>The caches of a process, one a kind.</summary>
internal sealed class CacheSet
{
    private readonly Dictionary<Type, object> _caches = [];

    public Cache<T>? Find<T>()
        where T : class, IKubernetesObject<V1ObjectMeta> => (Cache<T>?)_caches.GetValueOrDefault(typeof(T));

    public void Add<T>(Cache<T> cache)
        where T : class, IKubernetesObject<V1ObjectMeta> => _caches.Add(typeof(T), cache);
}
