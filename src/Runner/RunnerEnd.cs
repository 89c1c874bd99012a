namespace SandLabX.Runner;

/// <summary>The one way a step says that the runner must end, and why: it becomes the termination report.</summary>
/// <param name="reason">One of <see cref="Contract.TerminationReasons"/>.</param>
/// <param name="message">One or two sentences: what happened, and the way out where there is one.</param>
internal sealed class RunnerEndException(string reason, string message) : Exception(message)
{
    internal string Reason { get; } = reason;
}
