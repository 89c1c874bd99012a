namespace SandLabX.Cli.Doctor;

/// <summary>All checks, in the order in which one would look. Pure.</summary>
internal static class Checkup
{
    /// <summary>What they find. Without an API server nothing else can be said.</summary>
    internal static IReadOnlyList<Finding> Of(Facts facts)
    {
        Finding server = ClusterChecks.Server(facts);
        return server.Verdict == Verdict.Fail
            ? [server]
            :
            [
                server,
                .. ClusterChecks.Definitions(facts),
                .. ClusterChecks.Operators(facts),
                .. ClusterChecks.Leaders(facts),
                .. ClusterChecks.Storage(facts),
                ClusterChecks.Kvm(facts),
                SpaceChecks.PodSecurity(facts),
                .. SpaceChecks.Rights(facts),
                SpaceChecks.Room(facts),
                .. SpaceChecks.Containers(facts),
                .. SpaceChecks.Images(facts),
                .. SpaceChecks.Nodes(facts),
                SpaceChecks.Leftovers(facts),
            ];
    }
}
