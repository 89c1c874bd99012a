namespace SandLabX.Contract;

/// <summary>An image in an OCI registry: a container disk (a file of <c>/disk</c> in a layer) or an artifact of one blob.</summary>
/// <param name="Reference">Registry, repository, and tag or digest: <c>registry.example.org/lab/debian:12</c>.</param>
public sealed record OciSource(string Reference)
{
    /// <summary>The file within the layers, or the title of the artifact's blob; null where there is one only.</summary>
    public string? Path { get; init; }

    /// <summary>Absolute path of a file with credentials as docker keeps them (<c>{"auths": …}</c>), from the pull secret; null to come as nobody.</summary>
    public string? AuthPath { get; init; }

    /// <summary>True to speak plain HTTP.</summary>
    public bool PlainHttp { get; init; }
}

/// <summary>A file on another claim, which is mounted read-only.</summary>
/// <param name="Root">Absolute path of the mount; nothing outside of it is read.</param>
/// <param name="Path">The file's path within it.</param>
public sealed record FileSource(string Root, string Path);

/// <summary>A file of a container image, which is mounted read-only.</summary>
/// <param name="Root">Absolute path of the mount; nothing outside of it is read.</param>
/// <param name="Path">The file's path within it; null where the image has one file in <c>/disk</c>, which is found.</param>
public sealed record MountedSource(string Root, string? Path);
