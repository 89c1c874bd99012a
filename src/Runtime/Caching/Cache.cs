using System.Collections.Concurrent;
using System.Globalization;
using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>
/// All objects of a kind (of the watched namespace and label selector, if any), kept by one list and watch for the whole process.
/// What is in it is read-only: it is shared. Own writes are in it at once, so that a decision never rests on a state before them.
/// </summary>
/// <typeparam name="T">The kind.</typeparam>
public sealed class Cache<T>
    where T : class, IKubernetesObject<V1ObjectMeta>
{
    private readonly Lock _gate = new();
    private readonly ConcurrentDictionary<ObjectKey, T> _items = new();
    private readonly Dictionary<string, CacheIndex<T>> _indexes = [];
    private readonly TaskCompletionSource _synced = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>UIDs of objects whose deletion the server confirmed to us and the watch has yet to tell.</summary>
    private readonly HashSet<string> _deletedByUs = [];

    private Action<CacheChange<T>>[] _observers = [];

    /// <summary>Every change up to this version is in the cache.</summary>
    private ulong _seen;

    /// <summary>A cache that nothing fills; tests do that by <see cref="Load"/>, a running operator by its watch.</summary>
    /// <param name="labelSelector">Only objects that match are kept; null for all.</param>
    /// <param name="watchNamespace">Only objects of this namespace are kept; null for all.</param>
    public Cache(string? labelSelector = null, string? watchNamespace = null)
    {
        LabelSelector = labelSelector;
        WatchNamespace = string.IsNullOrEmpty(watchNamespace) || !ResourceType.Of<T>().Namespaced ? null : watchNamespace;
    }

    /// <summary>Only objects that match are kept; null for all.</summary>
    public string? LabelSelector { get; }

    /// <summary>Only objects of this namespace are kept; null for all, and for cluster-wide kinds.</summary>
    public string? WatchNamespace { get; }

    /// <summary>Whether the first list is in.</summary>
    public bool HasSynced => _synced.Task.IsCompletedSuccessfully;

    /// <summary>Called with the index's name and the object when an index throws.</summary>
    internal Action<string, T, Exception>? IndexFailed { get; set; }

    /// <summary>Ends when the first list is in.</summary>
    internal Task Synced => _synced.Task;

    /// <summary>How many objects there are.</summary>
    public int Count => _items.Count;

    /// <summary>The object, or null when the cache has none of this key.</summary>
    public T? Get(ObjectKey key) => _items.GetValueOrDefault(key);

    /// <summary>All objects, in no order.</summary>
    public IReadOnlyList<T> List() => [.. _items.Values];

    /// <summary>The objects that have a value in an index, in no order.</summary>
    /// <exception cref="InvalidOperationException">There is no such index.</exception>
    public IReadOnlyList<T> ByIndex(string index, string value)
    {
        lock (_gate)
        {
            return _indexes.TryGetValue(index, out CacheIndex<T>? found)
                ? found.Find(value)
                : throw new InvalidOperationException($"The cache of {typeof(T).Name} has no index '{index}'.");
        }
    }

    /// <summary>Adds an index; objects that are there already are in it at once.</summary>
    /// <param name="name">Its name.</param>
    /// <param name="values">The values under which an object is found; pure and quick. An object for which it throws is in the cache, but not in the index.</param>
    /// <exception cref="InvalidOperationException">There is one of this name.</exception>
    public void AddIndex(string name, Func<T, IEnumerable<string>> values)
    {
        lock (_gate)
        {
            var index = new CacheIndex<T>(values, (item, e) => IndexFailed?.Invoke(name, item, e));
            if (!_indexes.TryAdd(name, index))
            {
                throw new InvalidOperationException($"The cache of {typeof(T).Name} has an index '{name}' already.");
            }

            foreach (T item in _items.Values)
            {
                index.Put(null, item);
            }
        }
    }

    /// <summary>Takes in what the server answered to a write of ours, unless the cache knows something newer or the object does not belong in it.</summary>
    /// <param name="written">The object as the server returned it; not to be changed afterwards.</param>
    public void Observe(T written)
    {
        ArgumentNullException.ThrowIfNull(written);
        var changes = new List<CacheChange<T>>();
        lock (_gate)
        {
            // Up to _seen the watch has told everything: what is older and not here any more was deleted.
            if (HasSynced && Version(written) is { } version && version > _seen && Belongs(written) && !_deletedByUs.Contains(written.Metadata.Uid))
            {
                Put(written, ownWrite: true, changes);
            }
        }

        Publish(changes);
    }

    /// <summary>Fills the cache with exactly these objects, as a list from the server does; for tests of code that reads caches.</summary>
    /// <param name="items">The objects.</param>
    /// <param name="resourceVersion">The version of the list.</param>
    public void Load(IEnumerable<T> items, string resourceVersion = "0") => Replace([.. items], resourceVersion);

    /// <summary>Calls for every change, in no particular thread; before the cache is filled only.</summary>
    internal void Subscribe(Action<CacheChange<T>> observer) => _observers = [.. _observers, observer];

    /// <summary>The server confirmed that it removed this object at our request.</summary>
    internal void ObserveDeleted(ObjectKey key, string uid)
    {
        var changes = new List<CacheChange<T>>();
        lock (_gate)
        {
            if (HasSynced && _items.TryGetValue(key, out T? known) && known.Metadata.Uid == uid)
            {
                _deletedByUs.Add(uid);
                Remove(key, known, known, ownWrite: true, changes);
            }
        }

        Publish(changes);
    }

    /// <summary>A whole list: what it lacks is gone, what is other changed.</summary>
    internal void Replace(IReadOnlyList<T> items, string resourceVersion)
    {
        var changes = new List<CacheChange<T>>();
        lock (_gate)
        {
            ulong? version = Parse(resourceVersion);

            // A consistent list is never older than what was seen before, unless the server's store was set back (restored from a backup).
            bool setBack = version < _seen;
            var present = new HashSet<ObjectKey>();
            var uids = new HashSet<string>();
            foreach (T item in items)
            {
                present.Add(ObjectKey.Of(item));
                uids.Add(item.Metadata.Uid ?? "");
                if (!_deletedByUs.Contains(item.Metadata.Uid ?? ""))
                {
                    Put(item, ownWrite: false, changes, evenIfOlder: setBack);
                }
            }

            foreach ((ObjectKey key, T known) in _items)
            {
                bool writtenSince = !setBack && Version(known) > version;
                if (!present.Contains(key) && !writtenSince)
                {
                    Remove(key, known, known, ownWrite: false, changes);
                }
            }

            _deletedByUs.IntersectWith(uids);
            _seen = version ?? 0;
        }

        Publish(changes);
        _synced.TrySetResult();
    }

    /// <summary>One event of the watch: ADDED and MODIFIED.</summary>
    internal void Apply(T item)
    {
        var changes = new List<CacheChange<T>>();
        lock (_gate)
        {
            if (!_deletedByUs.Contains(item.Metadata.Uid ?? ""))
            {
                Put(item, ownWrite: false, changes);
            }

            _seen = Math.Max(_seen, Version(item) ?? 0);
        }

        Publish(changes);
    }

    /// <summary>One event of the watch: DELETED.</summary>
    internal void ApplyDeleted(T last)
    {
        var changes = new List<CacheChange<T>>();
        lock (_gate)
        {
            var key = ObjectKey.Of(last);
            _deletedByUs.Remove(last.Metadata.Uid ?? "");

            // Another UID is a newer object of this name, which our own write brought before the watch did.
            if (_items.TryGetValue(key, out T? known) && known.Metadata.Uid == last.Metadata.Uid)
            {
                Remove(key, known, last, ownWrite: false, changes);
            }

            _seen = Math.Max(_seen, Version(last) ?? 0);
        }

        Publish(changes);
    }

    /// <summary>A bookmark of the watch: nothing changed up to this version.</summary>
    internal void Advance(string resourceVersion)
    {
        lock (_gate)
        {
            _seen = Math.Max(_seen, Parse(resourceVersion) ?? 0);
        }
    }

    private void Put(T item, bool ownWrite, List<CacheChange<T>> changes, bool evenIfOlder = false)
    {
        var key = ObjectKey.Of(item);
        _items.TryGetValue(key, out T? known);
        if (known is not null)
        {
            bool same = known.Metadata.ResourceVersion == item.Metadata.ResourceVersion && known.Metadata.Uid == item.Metadata.Uid;
            if (same || (!evenIfOlder && Version(known) > Version(item)))
            {
                return;
            }

            if (known.Metadata.Uid != item.Metadata.Uid)
            {
                // Deleted and made again while nobody looked: two objects, not a change of one.
                changes.Add(new CacheChange<T>(known, null, ownWrite));
                Index(known, null);
                known = null;
            }
        }

        _items[key] = item;
        Index(known, item);
        changes.Add(new CacheChange<T>(known, item, ownWrite));
    }

    private void Remove(ObjectKey key, T known, T last, bool ownWrite, List<CacheChange<T>> changes)
    {
        _items.TryRemove(key, out _);
        Index(known, null);
        changes.Add(new CacheChange<T>(last, null, ownWrite));
    }

    private void Index(T? before, T? after)
    {
        foreach (CacheIndex<T> index in _indexes.Values)
        {
            index.Put(before, after);
        }
    }

    private void Publish(List<CacheChange<T>> changes)
    {
        if (changes.Count == 0)
        {
            return;
        }

        RuntimeMetrics.CachedObjects.WithLabels(ResourceType.Of<T>().Kind).Set(_items.Count);
        foreach (CacheChange<T> change in changes)
        {
            foreach (Action<CacheChange<T>> observer in _observers)
            {
                observer(change);
            }
        }
    }

    private bool Belongs(T item) =>
        (WatchNamespace is null || WatchNamespace == item.Metadata.NamespaceProperty)
        && Runtime.LabelSelector.Matches(LabelSelector, item.Metadata.Labels);

    private static ulong? Version(T item) => Parse(item.Metadata.ResourceVersion);

    /// <summary>Versions are opaque by the API's contract, and numbers that grow in every server there is (and by contract since 1.35). One that is no number is never compared.</summary>
    private static ulong? Parse(string? version) => ulong.TryParse(version, NumberStyles.None, CultureInfo.InvariantCulture, out ulong number) ? number : null;
}
