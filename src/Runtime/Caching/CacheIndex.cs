namespace SandLabX.Runtime;

/// <summary>Finds objects by values of theirs. Not thread-safe: its cache's lock is held around every call.</summary>
/// <param name="values">The values of an object.</param>
/// <param name="failed">Told when that throws: the object is in the cache all the same, under no value of this index.</param>
internal sealed class CacheIndex<T>(Func<T, IEnumerable<string>> values, Action<T, Exception> failed)
    where T : class
{
    private readonly Dictionary<string, HashSet<T>> _byValue = [];
    private readonly Dictionary<T, string[]> _valuesOf = new(ReferenceEqualityComparer.Instance);

    public IReadOnlyList<T> Find(string value) => _byValue.TryGetValue(value, out HashSet<T>? found) ? [.. found] : [];

    /// <summary>Takes one object out and another in.</summary>
    public void Put(T? before, T? after)
    {
        if (before is not null && _valuesOf.Remove(before, out string[]? old))
        {
            foreach (string value in old)
            {
                HashSet<T> those = _byValue[value];
                those.Remove(before);
                if (those.Count == 0)
                {
                    _byValue.Remove(value);
                }
            }
        }

        if (after is not null)
        {
            string[] now = ValuesOf(after);
            _valuesOf[after] = now;
            foreach (string value in now)
            {
                if (!_byValue.TryGetValue(value, out HashSet<T>? those))
                {
                    // By reference: the client's models are records, whose equality reads the whole object.
                    _byValue[value] = those = new HashSet<T>(ReferenceEqualityComparer.Instance);
                }

                those.Add(after);
            }
        }
    }

    private string[] ValuesOf(T item)
    {
        try
        {
            return [.. values(item).Distinct()];
        }
#pragma warning disable CA1031 // An index with a bug must not hide an object.
        catch (Exception e)
#pragma warning restore CA1031
        {
            failed(item, e);
            return [];
        }
    }
}
