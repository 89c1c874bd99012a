using System.CommandLine;

namespace SandLabX.Cli.Verbs;

/// <summary>All verbs. A new one is a file with a <c>static Command Create()</c>, and a line here.</summary>
internal static class VerbList
{
    /// <summary>The verbs, in the order in which help shows them.</summary>
    internal static IEnumerable<Command> All() =>
    [
        StatusVerb.Create(),
        .. PowerVerbs.Create(),
        WipeVerb.Create(),
        ConsoleVerb.Create(),
        VncVerb.Create(),
        ImageVerb.Create(),
        DoctorVerb.Create(),
        PruneVerb.Create(),
        CompletionVerb.Create(),
        MigrateVerb.Create(),
        .. TransferVerbs.Create(),
        VersionVerb.Create(),
    ];
}
