namespace SandLabX.Runtime;

/// <summary>Brings objects of one kind from what they are towards what they should be.</summary>
/// <typeparam name="TEntity">The kind.</typeparam>
public interface IEntityController<TEntity>
{
    /// <summary>
    /// One step for one object, decided from its present state alone: several changes may have led here, or none. Never runs twice at once for one object.
    /// </summary>
    /// <param name="entity">The object as the cache last saw it, a copy that may be changed; never one that is being deleted.</param>
    /// <param name="cancellationToken">Cancelled when the lease is lost, when the process has waited long enough for its end, or when the step takes longer than <see cref="OperatorSettings.ReconcileTimeout"/>.</param>
    /// <exception cref="TerminalException">Nothing helps until something changes: not tried again.</exception>
    /// <exception cref="Exception">Everything else is tried again, ever later up to 5 minutes apart, without end.</exception>
    Task<ReconciliationResult> ReconcileAsync(TEntity entity, CancellationToken cancellationToken);

    /// <summary>The object is gone. Best effort: what must happen before an object goes belongs in a finalizer.</summary>
    /// <param name="entity">Its last known state; read-only.</param>
    /// <param name="cancellationToken">As for <see cref="ReconcileAsync"/>.</param>
    Task DeletedAsync(TEntity entity, CancellationToken cancellationToken) => Task.CompletedTask;
}

/// <summary>What must happen before an object of the kind may go.</summary>
/// <typeparam name="TEntity">The kind.</typeparam>
public interface IEntityFinalizer<TEntity>
{
    /// <summary>One step towards the object's end.</summary>
    /// <param name="entity">The object, which is being deleted; a copy that may be changed.</param>
    /// <param name="cancellationToken">As for <see cref="IEntityController{TEntity}.ReconcileAsync"/>.</param>
    /// <returns><see cref="ReconciliationResult.Success"/> lets the object go; otherwise it stays and this is called again.</returns>
    Task<ReconciliationResult> FinalizeAsync(TEntity entity, CancellationToken cancellationToken);
}
