using System.Buffers;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Boot;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// QEMU's block graph in JSON. Every node is spelled out, the base included: QEMU guesses no format and follows no name that stands in
/// an image's header, which is the guest's to write.
/// </summary>
internal static class BlockNodes
{
    /// <summary>The node that the guest's disk reads and writes.</summary>
    internal const string Disk = "disk";

    /// <summary>The node with cloud-init's data.</summary>
    internal const string Seed = "seed";

    /// <summary>The node of the disc in the CD drive.</summary>
    internal const string Cdrom = "cdrom";

    /// <summary>The node of UEFI's program.</summary>
    internal const string Firmware = "firmware";

    /// <summary>The node of UEFI's variables.</summary>
    internal const string Variables = "variables";

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

    /// <summary>The same for what a guest finds beside its disk.</summary>
    internal static IReadOnlyList<string> For(BootMedia media)
    {
        List<string> nodes = [];
        if (media.Seed is { } seed)
        {
            nodes.Add(Json(node => File(node, "seed-file", seed, readOnly: true)));
            nodes.Add(Raw(Seed, "seed-file", readOnly: true));
        }

        if (media.Cdrom is { } cdrom)
        {
            nodes.Add(Json(node => File(node, "cdrom-file", cdrom, readOnly: true)));
            nodes.Add(Json(node =>
            {
                Driver(node, "qcow2", Cdrom);
                node.WriteBoolean("read-only", true);
                node.WriteString("file", "cdrom-file");
                node.WriteNull("backing");
            }));
        }

        if (media.Variables is { } variables)
        {
            nodes.Add(Json(node => File(node, "firmware-file", FirmwareVariables.Code, readOnly: true)));
            nodes.Add(Raw(Firmware, "firmware-file", readOnly: true));
            nodes.Add(Json(node => File(node, "variables-file", variables, readOnly: false)));
            nodes.Add(Raw(Variables, "variables-file", readOnly: false));
        }

        return nodes;
    }

    /// <summary>A file of this format by itself, without its backing file, for qemu-img's <c>json:</c> names.</summary>
    internal static string Alone(string path, string format = "qcow2") => Json(node =>
    {
        node.WriteString("driver", format);
        node.WriteNull("backing");
        Plain(node, path);
    });

    /// <summary>A qcow2 overlay on a base that is named here and not in its header.</summary>
    internal static string Over(string path, string backing) => Json(node => Overlay(node, () => Plain(node, path), backing));

    /// <summary>The same of an overlay that lies in a file with changes that are kept apart; without a base where there is none.</summary>
    internal static string OverChanges(string changes, string path, string? backing) => Json(node => Overlay(node, () =>
    {
        node.WriteStartObject("file");
        WriteChanges(node, changes, path);
        node.WriteEndObject();
    }, backing));

    /// <summary>A file, whatever it is, with changes that are kept apart.</summary>
    internal static string Changes(string changes, string path) => Json(node => WriteChanges(node, changes, path));

    private static void Overlay(Utf8JsonWriter node, Action file, string? backing)
    {
        node.WriteString("driver", "qcow2");
        file();
        if (backing is null)
        {
            node.WriteNull("backing");
            return;
        }

        node.WriteStartObject("backing");
        node.WriteString("driver", "qcow2");
        node.WriteNull("backing");
        Plain(node, backing);
        node.WriteEndObject();
    }

    private static void WriteChanges(Utf8JsonWriter node, string changes, string path)
    {
        node.WriteString("driver", "qcow2");
        Plain(node, changes);
        node.WriteStartObject("backing");
        node.WriteString("driver", "raw");
        Plain(node, path);
        node.WriteEndObject();
    }

    private static void Plain(Utf8JsonWriter node, string path)
    {
        node.WriteStartObject("file");
        node.WriteString("driver", "file");
        node.WriteString("filename", path);
        node.WriteEndObject();
    }

    private static string Raw(string name, string file, bool readOnly) => Json(node =>
    {
        Driver(node, "raw", name);
        node.WriteBoolean("read-only", readOnly);
        node.WriteString("file", file);
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
