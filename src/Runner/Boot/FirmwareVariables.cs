using SandLabX.Contract;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Boot;

/// <summary>A UEFI's variables (boot entries above all), in a file beside the overlay. The disk's lock is held by the caller.</summary>
internal static class FirmwareVariables
{
    /// <summary>OVMF's program, as Debian packages it; without Secure Boot.</summary>
    internal const string Code = "/usr/share/OVMF/OVMF_CODE_4M.fd";

    private const string Fresh = "/usr/share/OVMF/OVMF_VARS_4M.fd";

    /// <summary>The variables' file; a disk that has none yet, or lost it, gets fresh ones, with which UEFI boots the disk by its default path.</summary>
    /// <exception cref="RunnerEndException">There is no room for it.</exception>
    internal static string Find(RunnerConfig config)
    {
        string path = OverlayNames.Variables(config);
        if (File.Exists(path))
        {
            return path;
        }

        string draft = OverlayNames.NewVariables(config);
        try
        {
            File.Copy(Fresh, draft, overwrite: true);
            File.SetUnixFileMode(draft, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.GroupRead | UnixFileMode.GroupWrite);
            Files.Sync(draft);
            File.Move(draft, path);
            Files.SyncFolder(OverlayNames.Folder(config));
        }
        catch (IOException e) when (Files.IsNoSpace(e))
        {
            throw new RunnerEndException(TerminationReasons.NoSpace, $"The claim has no room for the UEFI's variables, {path}. Raise spec.disk.size.");
        }

        Log.Line("firmware.variables", ("made", path));
        return path;
    }
}
