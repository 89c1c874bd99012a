using System.Buffers;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// QEMU's block graph in JSON. Every node is spelled out, the base included: QEMU guesses no format and follows no name that stands in
/// an image's header, which is the guest's to write.
/// </summary>
internal static class BlockNodes
{
    /// <summary>The node that the guest's disk reads and writes.</summary>
    internal const string Disk = "disk";

    // Tables of 64 GiB of guest disk per node (8 bytes a cluster of 64 KiB, 16 one of 128 KiB with sub-clusters), filled as they are used.
    private const int TableCacheBytes = 8 * 1024 * 1024;

    /// <summary>The values of <c>-blockdev</c>, in an order in which each finds the nodes it names.</summary>
    internal static IReadOnlyList<string> For(RunnerConfig config) =>
    [
        Json(node => File(node, "base-file", config.BackingPath, readOnly: true)),
        Json(node =>
        {
            Driver(node, "qcow2", "base");
            node.WriteBoolean("read-only", true);
            node.WriteString("file", "base-file");
            node.WriteNull("backing");
            node.WriteNumber("l2-cache-size", TableCacheBytes);
        }),
        Json(node => File(node, "disk-file", config.OverlayPath, readOnly: false)),
        Json(node =>
        {
            Driver(node, "qcow2", Disk);
            node.WriteString("discard", "unmap");
            node.WriteString("detect-zeroes", "unmap");
            node.WriteString("file", "disk-file");
            node.WriteString("backing", "base");
            node.WriteNumber("l2-cache-size", TableCacheBytes);
        }),
    ];

    /// <summary>A qcow2 file by itself, without its backing file, for qemu-img's <c>json:</c> names.</summary>
    internal static string Alone(string path) => Json(node =>
    {
        node.WriteString("driver", "qcow2");
        node.WriteNull("backing");
        node.WriteStartObject("file");
        node.WriteString("driver", "file");
        node.WriteString("filename", path);
        node.WriteEndObject();
    });

    private static void File(Utf8JsonWriter node, string name, string path, bool readOnly)
    {
        Driver(node, "file", name);
        node.WriteString("filename", path);

        // The host's page cache: shared by all guests of a base image, reclaimable, and works on every file system; O_DIRECT and io_uring do
        // not (the latter is also what seccomp's RuntimeDefault forbids). The guest's flush is an fdatasync of the claim all the same.
        node.WriteString("aio", "threads");
        node.WriteString("locking", readOnly ? "auto" : "on");
        if (readOnly)
        {
            node.WriteBoolean("read-only", true);
        }
        else
        {
            node.WriteString("discard", "unmap");
        }
    }

    private static void Driver(Utf8JsonWriter node, string driver, string name)
    {
        node.WriteString("driver", driver);
        node.WriteString("node-name", name);
    }

    private static string Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }
}
