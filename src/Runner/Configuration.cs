using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using SandLabX.Contract;
using SandLabX.Runner.Import;

namespace SandLabX.Runner;

/// <summary>Reads what the runner is told, and refuses what can't be meant. The operator checks too; a runner that is handed nonsense says so.</summary>
internal static class Configuration
{
    private const int MaxCpus = 255;                     // of q35 without an IOMMU
    private const long MinMemory = 16L * 1024 * 1024;    // below it not even SeaBIOS ends well
    private const int MaxBackingName = 1023;             // what a qcow2 header has room for

    /// <summary>Reads the configuration of a guest.</summary>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.InvalidConfiguration"/>.</exception>
    internal static RunnerConfig ReadRun(string? json)
    {
        RunnerConfig config = Read(json, ContractJson.Default.RunnerConfig);
        Check(IsDiskId(config.DiskId), "diskId", config.DiskId, "1 to 63 lower-case letters, digits and hyphens");
        Check(IsPath(config.OverlayPath) && Path.GetFileName(config.OverlayPath) == $"node_{config.DiskId}.qcow2", "overlayPath", config.OverlayPath, "an absolute path that ends in node_<diskId>.qcow2");
        Check(IsPath(config.BackingPath), "backingPath", config.BackingPath, "an absolute path");
        Check(IsDigest(config.BackingSha256), "backingSha256", config.BackingSha256, "64 hexadecimal digits");
        Check(config.Cpus is >= 1 and <= MaxCpus, "cpus", $"{config.Cpus}", $"1 to {MaxCpus}");
        Check(config.MemoryBytes >= MinMemory && config.MemoryBytes % (1024 * 1024) == 0, "memoryBytes", $"{config.MemoryBytes}", "a multiple of 1 MiB, at least 16 MiB");
        Check(config.Accelerator is Accelerators.Auto or Accelerators.Kvm or Accelerators.Tcg, "accelerator", config.Accelerator, "Auto, KVM or TCG");
        Check(config.GracePeriodSeconds >= 0, "gracePeriodSeconds", $"{config.GracePeriodSeconds}", "0 or more");
        Check(config.DiskRevision.Length > 0 || !config.Wipe, "diskRevision", config.DiskRevision, "the name of the disk that is asked for");
        Check(config.KeepDamaged >= 0, "keepDamaged", $"{config.KeepDamaged}", "0 or more");
        Check(config.Repair is null or DiskRepairs.Leaks or DiskRepairs.All, "repair", config.Repair, "Leaks or All");
        Check(config.KeepWiped >= 0, "keepWiped", $"{config.KeepWiped}", "0 or more");
        Check(config.DiskSizeBytes is null or > 0, "diskSizeBytes", $"{config.DiskSizeBytes}", "more than 0");
        Check(config.CdromPath is null || IsPath(config.CdromPath), "cdromPath", config.CdromPath, "an absolute path");
        Check(config.Seed is not { HostName.Length: 0 }, "seed.hostName", config.Seed?.HostName, "a name");
        return config with { DiskSizeBytes = config.DiskSizeBytes is { } size ? (size + 511) / 512 * 512 : null };
    }

    /// <summary>Reads the configuration of an import.</summary>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.InvalidConfiguration"/>.</exception>
    internal static ImportConfig ReadImport(string? json)
    {
        ImportConfig config = Read(json, ContractJson.Default.ImportConfig);
        Uri? url = null;
        bool isUrl = config.Url is null || (Uri.TryCreate(config.Url, UriKind.Absolute, out url) && (url.Scheme == Uri.UriSchemeHttp || url.Scheme == Uri.UriSchemeHttps));
        Check(isUrl, "url", isUrl ? "" : "what is given", "an absolute http or https address");
        Check(config.Oci is null || OciReference.Parse(config.Oci.Reference) is not null, "oci.reference", config.Oci?.Reference, "registry/repository:tag or registry/repository@sha256:digest");
        CheckFile(config.File);
        Check(config.Mounted is not { } mounted || (IsPath(mounted.Root) && (mounted.Path is null || IsPath("/" + mounted.Path))), "mounted.path", config.Mounted?.Path, "a path without .. within the container image");
        Check(new object?[] { config.Url, config.Oci, config.File, config.Mounted }.Count(source => source is not null) <= 1, "url, oci, file, mounted", "more than one", "one at most");
        Check(IsDigest(config.Sha256), "sha256", config.Sha256, "64 hexadecimal digits");
        Check(IsPath(config.TargetPath), "targetPath", config.TargetPath, "an absolute path");
        Check(config.ClaimBytes is null or > 0, "claimBytes", $"{config.ClaimBytes}", "more than 0");
        Check(config.MaxVirtualSizeBytes > 0, "maxVirtualSizeBytes", $"{config.MaxVirtualSizeBytes}", "more than 0");
        return config;
    }

    /// <summary>Reads the configuration of an adoption.</summary>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.InvalidConfiguration"/>.</exception>
    internal static AdoptConfig ReadAdopt(string? json)
    {
        AdoptConfig config = Read(json, ContractJson.Default.AdoptConfig);
        Check(IsDiskId(config.DiskId), "diskId", config.DiskId, "1 to 63 lower-case letters, digits and hyphens");
        Check(IsPath(config.OverlayPath) && Path.GetFileName(config.OverlayPath) == $"node_{config.DiskId}.qcow2", "overlayPath", config.OverlayPath, "an absolute path that ends in node_<diskId>.qcow2");
        Check(IsPath(config.BackingPath), "backingPath", config.BackingPath, "an absolute path");
        Check(IsDigest(config.BackingSha256), "backingSha256", config.BackingSha256, "64 hexadecimal digits");
        Check(config.SourceBacking is { Length: > 0 and <= MaxBackingName }, "sourceBacking", config.SourceBacking, $"1 to {MaxBackingName} characters");
        Check(config.VirtualSizeBytes > 0, "virtualSizeBytes", $"{config.VirtualSizeBytes}", "more than 0");
        CheckFile(config.File);
        return config;
    }

    private static T Read<T>(string? json, JsonTypeInfo<T> type) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize(json ?? "", type) ?? throw new JsonException("it is null");
        }
        catch (JsonException e)
        {
            throw new RunnerEndException(TerminationReasons.InvalidConfiguration, $"{ContractNames.ConfigVariable} is not a configuration: {e.Message}");
        }
    }

    private static void Check(bool holds, string name, string? value, string expected)
    {
        if (!holds)
        {
            throw new RunnerEndException(TerminationReasons.InvalidConfiguration, $"{name} is {Consoles.ConsoleText.Printable(value ?? "null")}; it must be {expected}.");
        }
    }

    private static void CheckFile(FileSource? file) =>
        Check(file is null || (IsPath(file.Root) && IsPath("/" + file.Path)), "file.path", file?.Path, "a path without .. within the claim");

    private static bool IsDiskId(string? id) => id is { Length: >= 1 and <= 63 } && id.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-');

    /// <summary>Whether it is a SHA-256 in hexadecimal digits.</summary>
    internal static bool IsDigest(string? digest) => digest is { Length: 64 } && digest.All(char.IsAsciiHexDigit);

    private static bool IsPath(string? path) => path is { Length: > 1 and <= MaxBackingName } && path[0] == '/' && !path.Any(char.IsControl) && Path.GetFullPath(path) == path;
}
