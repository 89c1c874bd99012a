using System.Text.RegularExpressions;

namespace SandLabX.Runner.Import;

/// <summary>The name of something in a registry.</summary>
/// <param name="Host">The registry's host, with its port where one is named.</param>
/// <param name="Repository">The repository.</param>
/// <param name="Version">A tag, or <c>sha256:…</c>.</param>
internal sealed partial record OciReference(string Host, string Repository, string Version)
{
    /// <summary>True when the version is a digest: the manifest's bytes must have it.</summary>
    internal bool IsDigest => Version.StartsWith("sha256:", StringComparison.Ordinal);

    /// <summary>Reads a name such as <c>registry.example.org:5000/lab/debian:12</c>; null when it is none. Without a registry it is Docker's, without a version it is <c>latest</c>.</summary>
    internal static OciReference? Parse(string text)
    {
        Match match = Shape().Match(text);
        if (!match.Success)
        {
            return null;
        }

        string host = match.Groups["host"].Value;
        string repository = match.Groups["repository"].Value;
        if (host is "" or "docker.io" or "index.docker.io")
        {
            host = "registry-1.docker.io";
            repository = repository.Contains('/', StringComparison.Ordinal) ? repository : "library/" + repository;
        }

        string digest = match.Groups["digest"].Value;
        string tag = match.Groups["tag"].Value;
        return new OciReference(host, repository, digest.Length > 0 ? digest : tag.Length > 0 ? tag : "latest");
    }

    // A host is told from the first part of a repository by a dot or a port, or by being localhost, as everywhere.
    [GeneratedRegex(@"^((?<host>(localhost|[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)+|[a-zA-Z0-9-]+(?=:[0-9]))(:[0-9]{1,5})?)/)?(?<repository>[a-z0-9]+([._-]+[a-z0-9]+)*(/[a-z0-9]+([._-]+[a-z0-9]+)*)*)(:(?<tag>[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}))?(@(?<digest>sha256:[0-9a-f]{64}))?\z", RegexOptions.CultureInvariant)]
    private static partial Regex Shape();
}
