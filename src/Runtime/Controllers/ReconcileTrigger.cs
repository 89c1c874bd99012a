namespace SandLabX.Runtime;

/// <summary>Asks for a reconcile on behalf of something that no watch tells. Asked of a process that is not the leader, it does nothing: a new leader looks at everything.</summary>
/// <typeparam name="TEntity">The kind.</typeparam>
public sealed class ReconcileTrigger<TEntity>
{
    internal ReconcileTrigger(WorkQueue queue) => Queue = queue;

    internal WorkQueue Queue { get; }

    /// <summary>Asks for a reconcile as soon as a worker is free; many wishes for one object are one.</summary>
    public void Enqueue(ObjectKey key) => Queue.Add(key);
}
