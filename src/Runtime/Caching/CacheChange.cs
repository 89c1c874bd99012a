namespace SandLabX.Runtime;

/// <summary>One change of a cache.</summary>
/// <param name="Old">The object before; null when it is new.</param>
/// <param name="New">The object now; null when it is gone, and <paramref name="Old"/> is its last known state then.</param>
/// <param name="OwnWrite">Whether this process wrote it itself, so that the watch has yet to tell of it.</param>
internal readonly record struct CacheChange<T>(T? Old, T? New, bool OwnWrite)
    where T : class;
