using SandLabX.Contract;

namespace SandLabX.Runner.Disk;

/// <summary>The files of one disk, all in one folder of the LabNode's claim.</summary>
internal static class OverlayNames
{
    /// <summary>Says what the overlay is and that it was made.</summary>
    internal static string Marker(RunnerConfig config) => Path.Combine(Folder(config), $"node_{config.DiskId}.json");

    /// <summary>Held locked by whoever works on the disk; empty.</summary>
    internal static string Lock(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.lock");

    /// <summary>An overlay in the making.</summary>
    internal static string NewOverlay(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.qcow2.new");

    /// <summary>A marker in the making.</summary>
    internal static string NewMarker(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.json.new");

    /// <summary>A disk that was made elsewhere, as it was sent or copied; never written but at its end.</summary>
    internal static string Upload(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.qcow2.upload");

    /// <summary>What is changed of it, until that was proved right.</summary>
    internal static string Changes(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.qcow2.changes");

    /// <summary>Memory and devices of a suspended guest.</summary>
    internal static string State(RunnerConfig config) => Path.Combine(Folder(config), $"node_{config.DiskId}.state");

    /// <summary>Says what the saved state is; without it there is none.</summary>
    internal static string StateMarker(RunnerConfig config) => Path.Combine(Folder(config), $"node_{config.DiskId}.state.json");

    /// <summary>A saved state in the making.</summary>
    internal static string NewState(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.state.new");

    /// <summary>What is said of it, in the making.</summary>
    internal static string NewStateMarker(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.state.json.new");

    /// <summary>A disk that gave way.</summary>
    internal static string Kept(RunnerConfig config, int number) => Path.Combine(Folder(config), $"node_{config.DiskId}.kept-{number}.qcow2");

    /// <summary>Its marker.</summary>
    internal static string KeptMarker(RunnerConfig config, int number) => Path.ChangeExtension(Kept(config, number), ".json");

    /// <summary>Says that one disk is giving way to another.</summary>
    internal static string Swap(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.swap.json");

    /// <summary>A UEFI's variables.</summary>
    internal static string Variables(RunnerConfig config) => Path.Combine(Folder(config), $"node_{config.DiskId}.vars.fd");

    /// <summary>A UEFI's variables in the making.</summary>
    internal static string NewVariables(RunnerConfig config) => Path.Combine(Folder(config), $".node_{config.DiskId}.vars.fd.new");

    /// <summary>The folder of them all.</summary>
    internal static string Folder(RunnerConfig config) => Path.GetDirectoryName(config.OverlayPath) ?? "/";
}
