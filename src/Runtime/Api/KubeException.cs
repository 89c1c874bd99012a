namespace SandLabX.Runtime;

/// <summary>What kind of no the API server said.</summary>
public enum KubeError
{
    /// <summary>The object (or its kind) is not there.</summary>
    NotFound,

    /// <summary>An object of this name is there already.</summary>
    AlreadyExists,

    /// <summary>The object changed meanwhile, or a precondition does not hold: look anew.</summary>
    Conflict,

    /// <summary>A version asked for is no longer kept: list anew.</summary>
    Gone,

    /// <summary>Too many requests.</summary>
    Throttled,

    /// <summary>Not allowed, by RBAC, quota or admission, or not known who asks.</summary>
    Forbidden,

    /// <summary>The request itself is wrong: it fails again until it is changed.</summary>
    Invalid,

    /// <summary>Everything that may pass by itself: server errors, timeouts, broken connections, answers that can't be read.</summary>
    Transient,
}

/// <summary>A request to the API server that did not succeed. Every error of the client and the network becomes one of these at one place.</summary>
public sealed class KubeException : Exception
{
    /// <summary>An error that may pass by itself.</summary>
    public KubeException()
    {
    }

    /// <summary>An error that may pass by itself.</summary>
    /// <param name="message">What happened.</param>
    public KubeException(string message)
        : base(message)
    {
    }

    /// <summary>An error that may pass by itself.</summary>
    /// <param name="message">What happened.</param>
    /// <param name="innerException">The cause.</param>
    public KubeException(string message, Exception? innerException)
        : base(message, innerException)
    {
    }

    /// <summary>An error of a given kind.</summary>
    /// <param name="kind">The kind.</param>
    /// <param name="message">The server's words, from its Status object where it sent one.</param>
    public KubeException(KubeError kind, string message)
        : base(message) => Kind = kind;

    /// <summary>The kind of error.</summary>
    public KubeError Kind { get; } = KubeError.Transient;

    /// <summary>The server's one-word reason, such as <c>AlreadyExists</c>; empty when it gave none.</summary>
    public string Reason { get; init; } = "";

    /// <summary>It was refused since its namespace is being deleted, and takes nothing new.</summary>
    public bool IsNamespaceEnding { get; init; }

    /// <summary>How long the server asks to wait; null when it did not.</summary>
    public TimeSpan? RetryAfter { get; init; }

    /// <summary>The HTTP status; null when no answer came.</summary>
    public int? StatusCode { get; init; }
}
