namespace SandLabX.Cli.Doctor;

/// <summary>How a check ended.</summary>
internal enum Verdict
{
    /// <summary>As it should be.</summary>
    Ok,

    /// <summary>It stops nothing now, but will bite somebody; or it could not be looked at.</summary>
    Warn,

    /// <summary>It stops LabNodes from running, or the user from using them.</summary>
    Fail,
}

/// <summary>What a check found.</summary>
/// <param name="Check">Its name.</param>
/// <param name="Verdict">How it ended.</param>
/// <param name="Message">What was seen.</param>
/// <param name="Cure">What to do; null when nothing is.</param>
internal sealed record Finding(string Check, Verdict Verdict, string Message, string? Cure = null);

/// <summary>Something that was asked of the cluster: its answer, or why there is none.</summary>
/// <param name="Value">The answer.</param>
/// <param name="Error">Why there is none; null when there is one.</param>
/// <param name="Forbidden">Whether the user may not ask.</param>
internal sealed record Fetched<T>(T? Value, string? Error = null, bool Forbidden = false)
    where T : class;
