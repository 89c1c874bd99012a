using SandLabX.Contract;
using SandLabX.Runner.Consoles;
using SandLabX.Runner.Disk;

namespace SandLabX.Runner.Adopt;

/// <summary>Judges a disk that was made elsewhere by its header, before any tool opens it and follows a name in it (law 8).</summary>
internal static class AdoptVerdicts
{
    /// <summary>What speaks against it; null when nothing does.</summary>
    /// <param name="config">What it should be.</param>
    /// <param name="header">What it says of itself; null when it is no whole qcow2 file.</param>
    internal static DiskFault? JudgeHeader(AdoptConfig config, Qcow2Header? header) => header switch
    {
        null => new(TerminationReasons.OverlayCorrupt, "What was sent has no readable qcow2 header."),
        { MarkedCorrupt: true } => new(TerminationReasons.OverlayCorrupt, "What was sent is marked corrupt by QEMU. Try qemu-img check -r all on a copy, and send that."),
        { HasDataFile: true } or { Encrypted: true } or { UnknownFeatures: true } =>
            new(TerminationReasons.OverlayChainUnexpected, "What was sent has a data file, encryption or features that no disk made here has."),
        { BackingName: var name } when name != config.SourceBacking =>
            new(TerminationReasons.OverlayChainUnexpected, $"What was sent stands on {(name is null ? "nothing" : ConsoleText.Printable(name))}, not on {ConsoleText.Printable(config.SourceBacking)} as announced."),
        { BackingFormat: not (null or "qcow2") } =>
            new(TerminationReasons.OverlayChainUnexpected, $"What was sent takes its base for {ConsoleText.Printable(header.BackingFormat)}, not qcow2."),
        { VirtualSizeBytes: var size } when size != config.VirtualSizeBytes =>
            new(TerminationReasons.OverlayChainUnexpected, $"What was sent is a disk of {size} bytes, not of {config.VirtualSizeBytes} as announced."),
        _ => null,
    };
}
