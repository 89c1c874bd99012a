using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>
/// The last steps of a disk's coming into being: overlay and marker are whole and synced under names that count for nothing, and get their own.
/// Whatever is cut off between, the next one to look finds either no disk at all or a disk with its marker.
/// </summary>
internal static class DiskBirth
{
    /// <summary>Gives the draft and its marker their names.</summary>
    internal static void Complete(RunnerConfig config)
    {
        File.Move(OverlayNames.NewOverlay(config), config.OverlayPath);
        Files.SyncFolder(OverlayNames.Folder(config));
        File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config));
        Files.SyncFolder(OverlayNames.Folder(config));
    }

    /// <summary>
    /// What an interrupted one left: a half-made overlay, which never had the disk's name and goes; or an overlay whose marker was already whole on the disk
    /// and only lacks its name, which it gets.
    /// </summary>
    internal static void FinishInterrupted(RunnerConfig config)
    {
        bool wasNamed = File.Exists(config.OverlayPath) && !File.Exists(OverlayNames.NewOverlay(config));
        if (wasNamed && File.Exists(OverlayNames.NewMarker(config)) && !File.Exists(OverlayNames.Marker(config)))
        {
            File.Move(OverlayNames.NewMarker(config), OverlayNames.Marker(config));
            Files.SyncFolder(OverlayNames.Folder(config));
        }

        File.Delete(OverlayNames.NewOverlay(config));
        File.Delete(OverlayNames.NewMarker(config));
    }
}
