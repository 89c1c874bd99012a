namespace SandLabX.Runner.Qemu;

/// <summary>What makes a guest the same machine at each start, and no other's: derived from the disk's id and kept nowhere.</summary>
internal static class MachineIdentity
{
    // FNV-1a, 64 bits. Not a cryptographic hash: only spread is wanted, and the platform's hashes would load OpenSSL into every guest's pod.
    private const ulong OffsetBasis = 14695981039346656037;
    private const ulong Prime = 1099511628211;

    /// <summary>A locally administered unicast MAC address; 40 bits of it are the id's.</summary>
    internal static string MacAddress(string diskId)
    {
        ulong hash = Hash(diskId, "mac");
        return $"02:{hash >> 32 & 0xFF:x2}:{hash >> 24 & 0xFF:x2}:{hash >> 16 & 0xFF:x2}:{hash >> 8 & 0xFF:x2}:{hash & 0xFF:x2}";
    }

    /// <summary>The machine's UUID (RFC 9562, version 8: of our own making), which guests derive identities from.</summary>
    internal static string Uuid(string diskId)
    {
        string high = Hash(diskId, "uuid-high").ToString("x16", null);
        string low = (Hash(diskId, "uuid-low") & 0x3FFFFFFFFFFFFFFF | 0x8000000000000000).ToString("x16", null);
        return $"{high[..8]}-{high[8..12]}-8{high[13..]}-{low[..4]}-{low[4..]}";
    }

    /// <summary>The disk's serial number, at most 20 characters as virtio has it: names <c>/dev/disk/by-id/virtio-…</c> in the guest.</summary>
    internal static string DiskSerial(string diskId) => diskId.Length <= 20 ? diskId : diskId[..20];

    private static ulong Hash(string text, string use)
    {
        ulong hash = OffsetBasis;
        foreach (char c in use + ":" + text)
        {
            hash = unchecked((hash ^ c) * Prime);
        }

        // The last characters stir only the low bits of FNV: mix once more (the finalizer of MurmurHash3).
        hash = unchecked((hash ^ hash >> 33) * 0xFF51AFD7ED558CCD);
        hash = unchecked((hash ^ hash >> 33) * 0xC4CEB9FE1A85EC53);
        return hash ^ hash >> 33;
    }
}
