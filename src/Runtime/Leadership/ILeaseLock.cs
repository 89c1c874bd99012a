namespace SandLabX.Runtime;

/// <summary>What a lease says.</summary>
/// <param name="Holder">Who holds it; empty for nobody.</param>
/// <param name="Duration">How long others wait for a silent holder.</param>
/// <param name="Acquired">When the holder became it, by its own clock.</param>
/// <param name="Renewed">When the holder last said it lives, by its own clock.</param>
/// <param name="Transitions">How often the holder changed.</param>
/// <param name="Version">The version of the object, with which it is written; null before it exists.</param>
internal sealed record LeaseRecord(string Holder, TimeSpan Duration, DateTimeOffset Acquired, DateTimeOffset Renewed, int Transitions, string? Version);

/// <summary>Where the lease is kept: the API server, or a test.</summary>
internal interface ILeaseLock
{
    /// <summary>Reads it; null when there is none yet.</summary>
    Task<LeaseRecord?> ReadAsync(CancellationToken stop);

    /// <summary>Makes it (when <see cref="LeaseRecord.Version"/> is null) or writes it.</summary>
    /// <returns>What is kept now, with its new version.</returns>
    /// <exception cref="KubeException"><see cref="KubeError.Conflict"/> or <see cref="KubeError.AlreadyExists"/> when somebody else wrote since it was read.</exception>
    Task<LeaseRecord> WriteAsync(LeaseRecord record, CancellationToken stop);
}
