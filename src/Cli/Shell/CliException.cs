namespace SandLabX.Cli.Shell;

/// <summary>An end that the user is told of: an exit code, what is wrong, and the way out. Verbs throw it; <see cref="Entry"/> alone prints it.</summary>
internal sealed class CliException : Exception
{
    /// <summary>An end.</summary>
    /// <param name="exitCode">One of <see cref="ExitCodes"/>.</param>
    /// <param name="message">What is wrong, and what to do.</param>
    /// <param name="cause">What it comes from, if it comes from something.</param>
    internal CliException(int exitCode, string message, Exception? cause = null)
        : base(message, cause) => ExitCode = exitCode;

    /// <summary>One of <see cref="ExitCodes"/>.</summary>
    internal int ExitCode { get; }
}
