namespace SandLabX.Runner.Boot;

/// <summary>What a guest finds beside its disk when it starts.</summary>
/// <param name="Seed">Path of the small disk with cloud-init's data; null for none.</param>
/// <param name="Cdrom">Path of the disc in the CD drive, a qcow2 file; null for an empty drive.</param>
/// <param name="HasCdrom">Whether there is a CD drive.</param>
/// <param name="CdromFirst">Whether the guest boots from it before its disk.</param>
/// <param name="Variables">Path of the UEFI's variables; null for a BIOS.</param>
internal sealed record BootMedia(string? Seed, string? Cdrom, bool HasCdrom, bool CdromFirst, string? Variables)
{
    /// <summary>Nothing but the disk, and a BIOS.</summary>
    internal static readonly BootMedia None = new(null, null, false, false, null);
}
