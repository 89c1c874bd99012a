using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Boot;

/// <summary>Makes the small disk on which cloud-init finds its data (data source NoCloud: a file system labelled CIDATA).</summary>
/// <param name="folder">A folder in memory: what is made may be secret.</param>
/// <param name="tool">Runs xorrisofs.</param>
internal sealed class SeedDisk(string folder, Tool tool)
{
    private const string Label = "CIDATA";
    private const int MaxSecretBytes = 512 * 1024;

    // One size whatever is in it: a guest that is resumed finds a disk of the size that it knows.
    private const long DiskBytes = 2 * 1024 * 1024;

    private static readonly TimeSpan s_limit = TimeSpan.FromSeconds(30);

    /// <summary>Makes it; gives its path.</summary>
    /// <exception cref="RunnerEndException">A Secret can't be used (<see cref="TerminationReasons.SecretUnusable"/>), or the disk can't be made.</exception>
    internal async Task<string> MakeAsync(SeedConfig seed, string diskId, CancellationToken stop)
    {
        SeedText text = SeedText.Compose(seed, diskId, Read(seed));
        string files = Path.Combine(folder, "files");
        string disk = Path.Combine(folder, "seed.iso");
        Directory.CreateDirectory(files);
        await File.WriteAllTextAsync(Path.Combine(files, "meta-data"), text.MetaData, stop).ConfigureAwait(false);
        await File.WriteAllTextAsync(Path.Combine(files, "user-data"), text.UserData, stop).ConfigureAwait(false);
        if (text.NetworkConfig is { } network)
        {
            await File.WriteAllTextAsync(Path.Combine(files, "network-config"), network, stop).ConfigureAwait(false);
        }

        ToolResult made = await tool.RunAsync(["xorrisofs", "-quiet", "-volid", Label, "-rational-rock", "-joliet", "-output", disk, files], s_limit, stop).ConfigureAwait(false);
        if (made.ExitCode != 0)
        {
            throw new RunnerEndException(TerminationReasons.InternalError, $"The disk with cloud-init's data could not be made: {OverlayVerdicts.OneLine(made.Errors)}");
        }

        Directory.Delete(files, recursive: true);
        using FileStream iso = File.Open(disk, FileMode.Open, FileAccess.Write);
        iso.SetLength(Math.Max(iso.Length, DiskBytes));
        return disk;
    }

    private static SeedSecrets Read(SeedConfig seed) => new(
        seed.UserDataSecret is { } data ? Value(data, "spec.cloudInit.userDataSecretRef") : null,
        seed.PasswordSecret is { } password ? Value(password, "spec.cloudInit.passwordSecretRef").TrimEnd('\r', '\n') : null,
        seed.SshKeysSecret is { } keys ? [.. Value(keys, "spec.cloudInit.sshKeysSecretRef").Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries).Where(line => line[0] != '#')] : []);

    /// <summary>The value of a key, or of all keys line by line. No word of a value gets into a message.</summary>
    private static string Value(SeedSecret secret, string field)
    {
        // A Secret that is not there is an empty folder. What begins with two dots is the kubelet's own.
        string[] paths = secret.Key is { } key ? [Path.Combine(secret.Folder, key)]
            : Directory.Exists(secret.Folder) ? [.. Directory.EnumerateFiles(secret.Folder).Where(path => !Path.GetFileName(path).StartsWith("..", StringComparison.Ordinal)).Order(StringComparer.Ordinal)]
            : [];
        if (paths.Length == 0 || !paths.All(File.Exists))
        {
            string what = secret.Key is null ? "it is not there, or empty" : $"it is not there, or has no key {secret.Key}";
            throw new RunnerEndException(TerminationReasons.SecretUnusable, $"{field} names Secret {secret.Name}: {what}. Create it, or change the field; the start is tried again.");
        }

        if (paths.Sum(path => new FileInfo(Path.GetFullPath(path)).ResolveLinkTarget(returnFinalTarget: true) is FileInfo target ? target.Length : new FileInfo(path).Length) > MaxSecretBytes)
        {
            throw new RunnerEndException(TerminationReasons.SecretUnusable, $"{field} names Secret {secret.Name}, which is larger than {MaxSecretBytes / 1024} KiB. Make it smaller.");
        }

        return string.Join('\n', paths.Select(path => File.ReadAllText(path, Encoding.UTF8)));
    }
}
