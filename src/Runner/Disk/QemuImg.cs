using System.Globalization;
using SandLabX.Contract;
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

    /// <summary>Copies a file byte for byte, holes as holes: as raw, so whatever its header says is of no interest.</summary>
    internal static IReadOnlyList<string> Copy(string from, string to) => ["qemu-img", "convert", "-q", "-f", "raw", "-O", "raw", from, to];

    /// <summary>Mends a file by itself, in place: for copies alone.</summary>
    /// <param name="path">The copy.</param>
    /// <param name="repair">One of <see cref="DiskRepairs"/>.</param>
    internal static IReadOnlyList<string> Repair(string path, string repair) =>
        ["qemu-img", "check", "-q", "-r", repair == DiskRepairs.All ? "all" : "leaks", "json:" + BlockNodes.Alone(path)];

    /// <summary>Makes an overlay larger; what its header names was checked before.</summary>
    internal static IReadOnlyList<string> Grow(string path, long sizeBytes) =>
        ["qemu-img", "resize", "-q", "-f", "qcow2", path, sizeBytes.ToString(CultureInfo.InvariantCulture)];

    /// <summary>A file that holds what is changed of another one, whatever that is: the other one is not written.</summary>
    internal static IReadOnlyList<string> CreateChanges(string path, string file, long sizeBytes) =>
        ["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw", "-b", file, path, sizeBytes.ToString(CultureInfo.InvariantCulture)];

    /// <summary>Writes the changes into the file that they are changes of.</summary>
    internal static IReadOnlyList<string> CommitChanges(string path, string file) => ["qemu-img", "commit", "-q", "json:" + BlockNodes.Changes(path, file)];

    /// <summary>Puts reference counts right.</summary>
    internal static IReadOnlyList<string> Repair(string json) => ["qemu-img", "check", "-q", "-r", "all", "json:" + json];

    /// <summary>Another name for an overlay's backing file, and nothing else: neither the old one nor the new one is opened.</summary>
    internal static IReadOnlyList<string> Rename(string json, string backing) => ["qemu-img", "rebase", "-q", "-u", "-F", "qcow2", "-b", backing, "json:" + json];

    /// <summary>Compares what two guests would see; 0 when it is the same, 1 when it is not.</summary>
    internal static IReadOnlyList<string> Compare(string json, string otherJson) => ["qemu-img", "compare", "-q", "json:" + json, "json:" + otherJson];

    /// <summary>A check of an image that is no plain file.</summary>
    internal static IReadOnlyList<string> CheckNode(string json) => ["qemu-img", "check", "--output=json", "json:" + json];

    /// <summary>What a file says of itself, opened as this format, alone.</summary>
    internal static IReadOnlyList<string> Info(string format, string path) => ["qemu-img", "info", "--output=json", "json:" + BlockNodes.Alone(path, format)];

    /// <summary>A qcow2 image with the content of a file that is opened as this format, alone.</summary>
    internal static IReadOnlyList<string> Convert(string format, string path, string target, bool compress) =>
    [
        "qemu-img", "convert", "-q", "-O", "qcow2", .. (IEnumerable<string>)(compress ? ["-c", "-o", "compression_type=zstd"] : []), "json:" + BlockNodes.Alone(path, format), target,
    ];

    /// <summary>Runs a command line under limits, for bytes that are not trusted.</summary>
    /// <param name="command">The command line.</param>
    /// <param name="memoryBytes">Address space, in bytes.</param>
    /// <param name="cpuSeconds">CPU time, in seconds.</param>
    /// <param name="fileBytes">The length of any file that it writes, in bytes.</param>
    internal static IReadOnlyList<string> Limited(IReadOnlyList<string> command, long memoryBytes, int cpuSeconds, long fileBytes = long.MaxValue) =>
    [
        "prlimit",
        string.Create(CultureInfo.InvariantCulture, $"--as={memoryBytes}"),
        string.Create(CultureInfo.InvariantCulture, $"--cpu={cpuSeconds}"),
        .. (IEnumerable<string>)(fileBytes < long.MaxValue ? [string.Create(CultureInfo.InvariantCulture, $"--fsize={fileBytes}")] : []),
        "--core=0", "--", .. command,
    ];
}
