namespace SandLabX.Contract;

/// <summary>How far an upload is: the answer to every request of it.</summary>
/// <param name="Received">Bytes that are safely on the claim; the next piece begins there.</param>
/// <param name="State">One of <see cref="UploadStates"/>.</param>
/// <param name="Reason">One of <see cref="TerminationReasons"/>, when it was refused.</param>
/// <param name="Message">What happened and the way out, when it was refused.</param>
public sealed record UploadReport(long Received, string State, string? Reason = null, string? Message = null);

/// <summary>The closed list of what an upload can be at.</summary>
public static class UploadStates
{
    /// <summary>Bytes are taken.</summary>
    public const string Receiving = "Receiving";

    /// <summary>All is there and being judged.</summary>
    public const string Verifying = "Verifying";

    /// <summary>It was taken.</summary>
    public const string Done = "Done";

    /// <summary>It was refused; reason and message say why.</summary>
    public const string Refused = "Refused";
}
