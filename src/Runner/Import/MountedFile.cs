using SandLabX.Contract;

namespace SandLabX.Runner.Import;

/// <summary>
/// A base image that stays in the container image that it comes in: it is judged where it is. The container image is named by its digest, so what was judged is
/// what every pod gets that mounts it.
/// </summary>
internal static class MountedFile
{
    private const string DiskFolder = "disk";
    private const string WayOut = "Build the container image anew, or correct spec.source.oci.";

    /// <summary>Opens it for reading.</summary>
    /// <param name="source">Where it is.</param>
    /// <param name="path">Its path within the container image.</param>
    /// <exception cref="RunnerEndException">It is not there, may not be read, or is no file of the container image.</exception>
    internal static FileStream Open(MountedSource source, out string path)
    {
        path = source.Path?.TrimStart('/') ?? Only(source.Root);
        return ClaimFile.Open(new FileSource(source.Root, path), "in the container image", TerminationReasons.ArtifactUnusable, WayOut);
    }

    /// <summary>Its digest, in lower-case hexadecimal digits.</summary>
    internal static async Task<string> HashAsync(FileStream file, Action<long, long?> progress, TimeProvider clock, CancellationToken stop)
    {
        using var digest = new PassingDigest(progress, clock, file.Length);
        byte[] buffer = new byte[1 << 20];
        for (int read; (read = await file.ReadAsync(buffer, stop).ConfigureAwait(false)) > 0;)
        {
            digest.Append(buffer.AsMemory(0, read));
        }

        return digest.End();
    }

    /// <summary>Refuses what no overlay can stand on as it is.</summary>
    /// <exception cref="RunnerEndException">It is no qcow2 file.</exception>
    internal static void MustBeQcow2(string path)
    {
        (ImageKind kind, string name) = ImageKinds.Of(Qcow2Header.ReadStart(path));
        if (kind != ImageKind.Qcow2)
        {
            throw new RunnerEndException(
                TerminationReasons.UnknownFormat, $"The file in the container image seems to be {name}, and with delivery ImageVolume it is read as it is: it must be qcow2. Convert it (qemu-img convert -O qcow2) and build the container image anew, or take delivery Shared, which converts.");
        }
    }

    private static string Only(string root)
    {
        var folder = new DirectoryInfo(Path.Combine(root, DiskFolder));
        FileInfo[] files;
        try
        {
            files = folder.Exists ? [.. folder.EnumerateFiles()] : [];
        }
        catch (UnauthorizedAccessException)
        {
            throw OciManifest.Unusable("its folder /disk may not be read by this pod, which is not root: make it readable for others (chmod o+rx)");
        }

        return files switch
        {
            [var file] => $"{DiskFolder}/{file.Name}",
            [] => throw OciManifest.Unusable("it has no file in /disk. Name the file in spec.source.oci.path"),
            [var first, var second, ..] => throw OciManifest.Unusable($"it has several files in /disk, {ImageVerdicts.Shortened(first.Name)} and {ImageVerdicts.Shortened(second.Name)}. Name one in spec.source.oci.path"),
        };
    }
}
