using System.Diagnostics;
using System.Security.Cryptography;
using System.Text.Json.Nodes;

namespace SandLabX.EndToEnd.Support;

/// <summary>
/// An installation of the Compose platform as it was: its state file, its images, and overlays that were made by the very command it used, in a place
/// where /images and /overlays are what they were in its container, and then booted there by a real QEMU.
/// </summary>
internal sealed class OldInstallation : IDisposable
{
    /// <summary>What the container of the platform saw: its own /images and /overlays, and this machine's programs.</summary>
    private const string Container = """
        root=$1; lab=$2; shift 2
        mount -t tmpfs tmpfs "$root"
        for name in bin lib lib64 sbin usr etc dev proc; do
          if [ -L "/$name" ]; then cp -P "/$name" "$root/$name"; elif [ -d "/$name" ]; then mkdir "$root/$name"; mount --rbind "/$name" "$root/$name"; fi
        done
        for name in images overlays; do mkdir "$root/$name"; mount --bind "$lab/$name" "$root/$name"; done
        mkdir "$root/tmp"
        exec chroot "$root" "$@"
        """;

    private readonly string _root = Directory.CreateTempSubdirectory("sandlabx-old-root-").FullName;
    private readonly JsonArray _nodes = [];

    /// <summary>One with nothing in it.</summary>
    /// <param name="folder">Where; a place of its own when it is null. It goes with the installation.</param>
    public OldInstallation(string? folder = null)
    {
        Folder = folder ?? Directory.CreateTempSubdirectory("sandlabx-old-").FullName;
        Directory.CreateDirectory(Path.Combine(Folder, "images"));
        Directory.CreateDirectory(Path.Combine(Folder, "overlays"));
        Directory.CreateDirectory(Path.Combine(Folder, "state"));
    }

    public string Folder { get; }

    public string StateFile => Path.Combine(Folder, "state", "nodes-state.json");

    public string Image(string name) => Path.Combine(Folder, "images", name);

    public string Overlay(string id) => Path.Combine(Folder, "overlays", $"node_{id}.qcow2");

    /// <summary>Puts a node into the state file.</summary>
    public void Add(string id, string name, string osType, JsonNode? resources = null)
    {
        _nodes.Add(new JsonObject
        {
            ["id"] = id, ["name"] = name, ["osType"] = osType, ["status"] = "running", ["overlayPath"] = $"/overlays/node_{id}.qcow2",
            ["vncPort"] = 5900, ["guacConnectionId"] = 7, ["guacUrl"] = "http://localhost:8081/guacamole/#/client/NwBjAHBvc3RncmVzcWw=", ["pid"] = null,
            ["createdAt"] = "2025-10-20T13:00:00.000Z", ["updatedAt"] = "2025-10-21T10:00:00.000Z", ["startedAt"] = "2025-10-21T09:00:00.000Z",
            ["stoppedAt"] = "2025-10-21T10:00:00.000Z", ["wipedAt"] = null, ["resources"] = resources ?? new JsonObject { ["ram"] = 128, ["cpus"] = 1 },
        });
        var state = new JsonObject { ["version"] = "1.0.0", ["lastUpdated"] = "2025-10-21T10:00:00.000Z", ["nodes"] = _nodes.DeepClone() };
        File.WriteAllText(StateFile, state.ToJsonString(new System.Text.Json.JsonSerializerOptions { WriteIndented = true }));
    }

    /// <summary>Makes an overlay as the platform did.</summary>
    public async Task MakeOverlayAsync(string id, string image)
    {
        Outcome made = await Shell.RunAsync(InContainer("qemu-img", "create", "-f", "qcow2", "-b", $"/images/{image}", "-F", "qcow2", $"/overlays/node_{id}.qcow2"));
        made.Code.ShouldBe(0, made.ToString());
    }

    /// <summary>Boots the tiny guest on an overlay, as the platform booted its serial guests; it writes a marker and powers off.</summary>
    public async Task BootAsync(string id, string marker)
    {
        using var qemu = new Process
        {
            StartInfo = new ProcessStartInfo(
                "unshare",
                [
                    .. InContainer(
                        "qemu-system-x86_64", "-accel", "tcg", "-m", "128", "-smp", "1", "-boot", "c", "-name", $"node_{id}", "-drive", $"file=/overlays/node_{id}.qcow2,if=virtio", "-nographic",
                        "-serial", "mon:stdio", "-no-reboot").Skip(1),
                ])
            {
                RedirectStandardInput = true, RedirectStandardOutput = true, RedirectStandardError = true,
            },
        };
        qemu.Start();
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(Eventually.Patience));
        try
        {
            Task<string> errors = qemu.StandardError.ReadToEndAsync(limit.Token);
            await SeesAsync(qemu, "SANDLABX-TINY READY", errors, limit.Token);
            await TellAsync(qemu, $"write marker {marker}", limit.Token);
            await SeesAsync(qemu, "OK", errors, limit.Token);
            await TellAsync(qemu, "poweroff", limit.Token);
            await qemu.StandardOutput.ReadToEndAsync(limit.Token);
            await qemu.WaitForExitAsync(limit.Token);
        }
        finally
        {
            if (!qemu.HasExited)
            {
                qemu.Kill(entireProcessTree: true);
            }
        }
    }

    /// <summary>Writes noise to where the file system of a tiny guest has nothing, so that the overlay is so much larger; none of it can be packed.</summary>
    public async Task WriteNoiseAsync(string id, int mebibytes)
    {
        string script = $"head -c {mebibytes}M /dev/urandom > /tmp/noise; qemu-io -f qcow2 -c 'write -s /tmp/noise 160M {mebibytes}M' /overlays/node_{id}.qcow2";
        Outcome written = await Shell.RunAsync(InContainer("sh", "-euc", script));
        written.Code.ShouldBe(0, written.ToString());
    }

    /// <summary>Every file with its digest and the time of its last write: what must be the same after a move.</summary>
    public IReadOnlyList<string> Everything() =>
    [
        .. Directory.EnumerateFiles(Folder, "*", SearchOption.AllDirectories).Order(StringComparer.Ordinal)
            .Select(f => $"{f} {Convert.ToHexStringLower(SHA256.HashData(File.ReadAllBytes(f)))} {File.GetLastWriteTimeUtc(f):O}"),
    ];

    /// <summary>Every file and folder with its mode, its owner and the time of its last change of either, which no move may make.</summary>
    public async Task<string> OwnersAsync()
    {
        Outcome found = await Shell.RunAsync(["find", Folder, "-printf", "%P %y %m %U:%G %T@ %C@\n"]);
        found.Code.ShouldBe(0, found.ToString());
        return string.Join('\n', found.Output.Split('\n').Order(StringComparer.Ordinal));
    }

    public void Dispose()
    {
        Directory.Delete(Folder, recursive: true);
        Directory.Delete(_root);
    }

    private string[] InContainer(params string[] command) => ["unshare", "--mount", "--propagation", "private", "sh", "-euc", Container, "container", _root, Folder, .. command];

    private static async Task TellAsync(Process qemu, string line, CancellationToken stop)
    {
        await qemu.StandardInput.WriteAsync((line + "\n").AsMemory(), stop);
        await qemu.StandardInput.FlushAsync(stop);
    }

    private static async Task SeesAsync(Process qemu, string text, Task<string> errors, CancellationToken stop)
    {
        while (await qemu.StandardOutput.ReadLineAsync(stop) is { } line)
        {
            if (line.Contains(text, StringComparison.Ordinal))
            {
                return;
            }
        }

        throw new InvalidOperationException($"QEMU ended before it said {text}: {await errors}");
    }
}
