using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A claim, a server and a runner that imports from it; files are made by the tools that people make them with.</summary>
internal sealed class ImportLab : IAsyncDisposable
{
    public const long MaxVirtualSize = 1L << 30;

    private ImportLab(ImageServer server) => Server = server;

    public ImageServer Server { get; }

    public string Folder { get; } = Directory.CreateTempSubdirectory("sandlabx-import-").FullName;

    public string Claim => Path.Combine(Folder, "claim");

    public string Target => Path.Combine(Claim, "disk.qcow2");

    public static async Task<ImportLab> MakeAsync()
    {
        Machine.NeedsQemu();
        var lab = new ImportLab(await ImageServer.StartAsync());
        Directory.CreateDirectory(lab.Claim);
        return lab;
    }

    /// <summary>A path in the folder.</summary>
    public string At(string name) => Path.Combine(Folder, name);

    /// <summary>A disk of 8 MiB of which 3 MiB are random, with a boot signature.</summary>
    public async Task<string> RawAsync(string name = "raw")
    {
        byte[] disk = new byte[8 << 20];
        new Random(1).NextBytes(disk.AsSpan(0, 3 << 20));
        disk[510] = 0x55;
        disk[511] = 0xAA;
        await File.WriteAllBytesAsync(At(name), disk);
        return At(name);
    }

    /// <summary>An image that qemu-img makes; <c>{0}</c> stands for its path.</summary>
    public async Task<byte[]> QemuImgAsync(params string[] arguments)
    {
        string path = At("made");
        await Machine.RunAsync("qemu-img", [.. arguments.Select(argument => argument == "{0}" ? path : argument)]);
        byte[] bytes = await File.ReadAllBytesAsync(path);
        File.Delete(path);
        return bytes;
    }

    /// <summary>Compresses bytes by gzip, xz or zstd.</summary>
    public async Task<byte[]> CompressAsync(string program, byte[] bytes, params string[] arguments)
    {
        string path = At("plain");
        await File.WriteAllBytesAsync(path, bytes);
        await Machine.RunAsync("sh", "-c", $"{program} {string.Join(' ', arguments)} -c < {path} > {path}.packed");
        return await File.ReadAllBytesAsync(path + ".packed");
    }

    /// <summary>Serves and imports a file.</summary>
    public async Task<TerminationReport> ImportAsync(byte[] bytes, Func<ImportConfig, ImportConfig>? with = null)
    {
        Server.Files["/file"] = bytes;
        return await ImportAsync(new ImportConfig
        {
            Image = "labs/i1",
            Url = Server.Url("/file"),
            Sha256 = Digest(bytes),
            TargetPath = Target,
            MaxVirtualSizeBytes = MaxVirtualSize,
        }, with);
    }

    /// <summary>Imports as told.</summary>
    public async Task<TerminationReport> ImportAsync(ImportConfig config, Func<ImportConfig, ImportConfig>? with = null)
    {
        await using RunnerProcess runner = RunnerProcess.Start(
            At("pod"), "import", JsonSerializer.Serialize(with is null ? config : with(config), ContractJson.Default.ImportConfig));
        return (await runner.EndAsync()).Report;
    }

    /// <summary>Whether a refused import left nothing behind.</summary>
    public void IsEmpty() => Directory.GetFiles(Claim).Select(Path.GetFileName).ShouldBe([".import.lock"]);

    public static string Digest(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));

    public async ValueTask DisposeAsync()
    {
        await Server.DisposeAsync();
        Directory.Delete(Folder, recursive: true);
    }
}

/// <summary>A file that nobody may open: the kernel tells of everybody who does.</summary>
internal sealed class Canary : IDisposable
{
    private const int Nonblocking = 0x800;
    private const uint Opened = 0x20;

    private readonly int _watch;

    public Canary(string path)
    {
        Path = path;
        File.WriteAllBytes(path, [.. Enumerable.Repeat((byte)'C', 1 << 20)]);
        _watch = Init(Nonblocking);
        _watch.ShouldBeGreaterThan(0);
        Add(_watch, path, Opened).ShouldBeGreaterThan(0);
    }

    public string Path { get; }

    /// <summary>Whether anybody opened it since it was last asked.</summary>
    public bool WasOpened()
    {
        byte[] events = new byte[4096];
        return Read(_watch, events, events.Length) > 0;
    }

    public void Dispose() => Close(_watch).ShouldBe(0);

    [DllImport("libc.so.6", EntryPoint = "inotify_init1")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Init(int flags);

    [DllImport("libc.so.6", EntryPoint = "inotify_add_watch", CharSet = CharSet.Ansi, BestFitMapping = false, ThrowOnUnmappableChar = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Add(int watch, string path, uint mask);

    [DllImport("libc.so.6", EntryPoint = "read")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern nint Read(int file, byte[] buffer, nint count);

    [DllImport("libc.so.6", EntryPoint = "close")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Close(int file);
}
