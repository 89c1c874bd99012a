namespace SandLabX.Cli.Images;

/// <summary>How often a transfer that breaks is tried again: so many failures in a row that brought no byte across. Pure.</summary>
/// <param name="failures">How many.</param>
internal sealed class RetryBudget(int failures)
{
    private int _failed;

    /// <summary>The most bytes that were ever across.</summary>
    internal long Best { get; private set; } = -1;

    /// <summary>Takes note of how many bytes are across.</summary>
    internal void At(long bytes)
    {
        if (bytes > Best)
        {
            Best = bytes;
            _failed = 0;
        }
    }

    /// <summary>Takes note of a failure; whether to try again.</summary>
    internal bool Again() => ++_failed <= failures;
}
