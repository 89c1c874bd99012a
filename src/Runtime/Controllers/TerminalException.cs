namespace SandLabX.Runtime;

/// <summary>Nothing helps until something changes: the controller has said so in a condition, and the step is not tried again.</summary>
public sealed class TerminalException : Exception
{
    /// <summary>An exception without a message.</summary>
    public TerminalException()
    {
    }

    /// <summary>An exception with a message.</summary>
    /// <param name="message">What is wrong; logged once.</param>
    public TerminalException(string message)
        : base(message)
    {
    }

    /// <summary>An exception with a message and a cause.</summary>
    /// <param name="message">What is wrong; logged once.</param>
    /// <param name="innerException">The cause.</param>
    public TerminalException(string message, Exception innerException)
        : base(message, innerException)
    {
    }
}
