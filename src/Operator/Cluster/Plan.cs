using System.Collections.Immutable;

namespace SandLabX.Operator.Cluster;

/// <summary>What follows from an observation. The status is written first and the intents are carried out after it: what the operator is about to do is on record before it is done.</summary>
/// <param name="Status">The next status, whole.</param>
/// <param name="Intents">What to do, in this order.</param>
/// <param name="RequeueAfter">When to look again although nothing changed; null to wait for a change.</param>
/// <param name="Released">In deletion: nothing is left to do, the finalizer may go.</param>
public sealed record Plan<TStatus>(TStatus Status, ImmutableArray<Intent> Intents, TimeSpan? RequeueAfter, bool Released);
