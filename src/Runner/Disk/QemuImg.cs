using System.Globalization;
using SandLabX.Runner.Qemu;

namespace SandLabX.Runner.Disk;

/// <summary>Command lines of qemu-img. A format is always named, never guessed: a guest can write any header into its disk.</summary>
internal static class QemuImg
{
    /// <summary>A new overlay. Sub-clusters of 4 KiB (128 KiB / 32): a small first write copies nothing from the base.</summary>
    internal static IReadOnlyList<string> Create(string path, string backing, long sizeBytes) =>
    [
        "qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", backing,
        "-o", "cluster_size=128k,extended_l2=on,lazy_refcounts=off", path, sizeBytes.ToString(CultureInfo.InvariantCulture),
    ];

    /// <summary>A check of one file alone: its backing file is not opened, whatever its header names.</summary>
    internal static IReadOnlyList<string> Check(string path) => ["qemu-img", "check", "--output=json", "json:" + BlockNodes.Alone(path)];

    /// <summary>Makes an overlay larger; what its header names was checked before.</summary>
    internal static IReadOnlyList<string> Grow(string path, long sizeBytes) =>
        ["qemu-img", "resize", "-q", "-f", "qcow2", path, sizeBytes.ToString(CultureInfo.InvariantCulture)];

    /// <summary>What a file says of itself.</summary>
    internal static IReadOnlyList<string> Info(string path) => ["qemu-img", "info", "--output=json", "-f", "qcow2", path];

    /// <summary>Runs a command line under limits, for bytes that are not trusted.</summary>
    /// <param name="command">The command line.</param>
    /// <param name="memoryBytes">Address space, in bytes.</param>
    /// <param name="cpuSeconds">CPU time, in seconds.</param>
    internal static IReadOnlyList<string> Limited(IReadOnlyList<string> command, long memoryBytes, int cpuSeconds) =>
        ["prlimit", string.Create(CultureInfo.InvariantCulture, $"--as={memoryBytes}"), string.Create(CultureInfo.InvariantCulture, $"--cpu={cpuSeconds}"), "--core=0", "--", .. command];
}
