namespace SandLabX.Cli.Shell;

/// <summary>How the program ends; docs/CLI.md tells users.</summary>
internal static class ExitCodes
{
    /// <summary>What was asked for is so.</summary>
    internal const int Ok = 0;

    /// <summary>It was tried and did not come about, or not in time.</summary>
    internal const int Failed = 1;

    /// <summary>The command line, or a file that it names, can't be meant; nothing was done.</summary>
    internal const int Usage = 2;

    /// <summary>Something that it names is not there.</summary>
    internal const int NotFound = 3;

    /// <summary>It would be wrong now (a conflict, a missing confirmation), or the cluster does not allow it.</summary>
    internal const int Refused = 4;

    /// <summary>Ctrl-C, or the end of the terminal.</summary>
    internal const int Interrupted = 130;
}
