using SandLabX.Cli.Shell;
using SandLabX.Contract;

namespace SandLabX.Cli.Migration;

/// <summary>A file on a claim of the target namespace.</summary>
/// <param name="Claim">The claim's name.</param>
/// <param name="Path">The file's path within its volume; no link, and no part that is empty, . or ...</param>
internal sealed record FileOnClaim(string Claim, string Path)
{
    /// <summary>What to say when the cluster did not find there what lies here.</summary>
    /// <param name="space">The claim's namespace.</param>
    /// <param name="file">The file as it is here.</param>
    internal string WayOut(string space, string file) => $" As --source-claim says, {Path} on claim {Claim} of namespace {space} should be the very same file as {file} here.";
}

/// <summary>A claim of the target namespace that holds the old installation's folder as well, so that its files need not be sent.</summary>
/// <param name="Claim">The claim's name.</param>
/// <param name="Path">Where in its volume the folder is; empty for its root.</param>
internal sealed record SourceClaim(string Claim, string Path)
{
    private const int MaxName = 253;

    /// <summary>Whether a runner that ended for this reason did not find on the claim what should be there.</summary>
    internal static bool IsAtFault(string? reason) => reason is TerminationReasons.SourceUnusable or TerminationReasons.DigestMismatch;

    /// <summary>Reads <c>CLAIM[/PATH]</c>; null for what can't be meant.</summary>
    internal static SourceClaim? Parse(string text)
    {
        string[] parts = text.Split('/');

        // A shell that completes a folder's name ends it with a slash.
        parts = parts.Length > 1 && parts[^1].Length == 0 ? parts[..^1] : parts;
        return IsName(parts[0]) && parts.Skip(1).All(part => part is not ("" or "." or "..") && !part.Any(char.IsControl))
            ? new SourceClaim(parts[0], string.Join('/', parts.Skip(1)))
            : null;
    }

    /// <summary>The plan with the place on the claim of all that it moves.</summary>
    /// <param name="plan">The plan.</param>
    /// <param name="folder">The old installation's folder, as it is here.</param>
    /// <exception cref="CliException">A file does not lie in the folder, so the claim can't hold it.</exception>
    internal MigrationPlan Place(MigrationPlan plan, string folder)
    {
        // Links count as what they lead to: there is none on the way in the pod, where they may lead elsewhere.
        string root = SourceFile.RealPath(folder).TrimEnd('/') + '/';
        return plan with
        {
            Images = [.. plan.Images.Select(i => i.Exists ? i : i with { Source = Of(i.Base.Path) })],
            Nodes = [.. plan.Nodes.Select(n => n.Overlay is null ? n : n with { Source = Of(n.Overlay.Path) })],
        };

        FileOnClaim Of(string file)
        {
            string real = SourceFile.RealPath(file);
            return real.StartsWith(root, StringComparison.Ordinal)
                ? new FileOnClaim(Claim, Path.Length == 0 ? real[root.Length..] : $"{Path}/{real[root.Length..]}")
                : throw new CliException(
                    ExitCodes.Usage,
                    $"{real} does not lie in {root}, so claim {Claim} does not hold it: --source-claim is for an installation that lies in its folder as a whole, what --overlays and --images name and links lead to included. Name a folder that holds all of it, or leave out --source-claim.");
        }
    }

    private static bool IsName(string text) => text.Length <= MaxName && text.Split('.').All(SafeNames.IsName);
}
