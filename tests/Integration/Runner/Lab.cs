using System.Security.Cryptography;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A folder with a base image and a claim, as a pod would see them.</summary>
internal sealed class Lab : IDisposable
{
    private Lab(string folder) => Folder = folder;

    public string Folder { get; }

    public string Images => Path.Combine(Folder, "images");

    public string Claim { get; init; } = "";

    public string Overlay => Path.Combine(Claim, "node_t1.qcow2");

    public string Marker => Path.Combine(Claim, "node_t1.json");

    public string Base => Path.Combine(Images, "disk.qcow2");

    public RunnerConfig Config { get; private set; } = null!;

    /// <summary>Makes one whose base image is the boot sector.</summary>
    /// <param name="claim">The claim's folder; null makes one.</param>
    public static async Task<Lab> MakeAsync(string? claim = null)
    {
        Machine.NeedsQemu();
        string folder = Directory.CreateTempSubdirectory("sandlabx-runner-").FullName;
        var lab = new Lab(folder) { Claim = claim ?? Path.Combine(folder, "claim") };
        Directory.CreateDirectory(lab.Images);
        Directory.CreateDirectory(lab.Claim);
        string raw = Path.Combine(folder, "boot.img");
        await File.WriteAllBytesAsync(raw, BootSector.Disk());
        await Machine.RunAsync("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, lab.Base);
        string digest = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(lab.Base)));
        lab.WriteReport(digest);
        lab.Config = new RunnerConfig
        {
            Node = "labs/t1",
            DiskId = "t1",
            OverlayPath = lab.Overlay,
            BackingPath = lab.Base,
            BackingSha256 = digest,
            Cpus = 1,
            MemoryBytes = 64L << 20,
            Accelerator = Accelerators.Tcg,
            GracePeriodSeconds = 60,
            DiskSizeBytes = 256L << 20,
        };
        return lab;
    }

    /// <summary>Makes a further base image, which greets like the first; gives its path and digest.</summary>
    public async Task<(string Path, string Sha256)> SecondBaseAsync()
    {
        string folder = Directory.CreateDirectory(Path.Combine(Folder, "images-2")).FullName;
        string path = Path.Combine(folder, ContractNames.ImageFile);
        await Machine.RunAsync("qemu-img", "convert", "-O", "qcow2", "-o", "cluster_size=32k", Base, path);
        string digest = Convert.ToHexStringLower(SHA256.HashData(await File.ReadAllBytesAsync(path)));
        WriteReport(path, digest);
        return (path, digest);
    }

    /// <summary>Says that the base image has this digest.</summary>
    public void WriteReport(string digest) => WriteReport(Base, digest);

    /// <summary>Starts the runner on it.</summary>
    /// <param name="with">Changes to the configuration.</param>
    /// <param name="name">A name for the runner's own folder: two at a time need two.</param>
    /// <param name="environment">What else to set.</param>
    public RunnerProcess Run(Func<RunnerConfig, RunnerConfig>? with = null, string name = "pod", params (string Name, string Value)[] environment) =>
        RunnerProcess.Start(Path.Combine(Folder, name), "run", JsonSerializer.Serialize(with is null ? Config : with(Config), ContractJson.Default.RunnerConfig), environment);

    /// <summary>Where a runner finds what is wished of its guest: for its environment.</summary>
    public (string Name, string Value) Wishes => ("SANDLABX_WISH_DIR", Folder);

    /// <summary>Wishes something of the guest.</summary>
    /// <param name="what">One of <see cref="PowerWishes"/>, or what another file says.</param>
    /// <param name="file">The file's name.</param>
    public void Wish(string what, string file = ContractNames.PowerFile) => File.WriteAllText(Path.Combine(Folder, file), what);

    /// <summary>Runs the guest once, so that there is a disk.</summary>
    public async Task RunOnceAsync(Func<RunnerConfig, RunnerConfig>? with = null)
    {
        await using RunnerProcess runner = Run(with);
        await runner.SeesAsync(BootSector.Greeting);
        await ConsoleClient.TypeAsync(runner, "p");
        await runner.EndsForAsync(TerminationReasons.GuestShutdown);
    }

    /// <summary>Ends a runner without a grace period, in order.</summary>
    public static async Task StopAsync(RunnerProcess runner)
    {
        runner.Signal(15);
        (await runner.EndAsync()).Report.QemuExitCode.ShouldBe(0);
    }

    public void Dispose()
    {
        Directory.Delete(Folder, recursive: true);
    }

    private static void WriteReport(string image, string digest) => File.WriteAllText(
        Path.Combine(Path.GetDirectoryName(image)!, ContractNames.ImageReportFile),
        JsonSerializer.Serialize(new ImageReport(digest, "qcow2", 1 << 20, new FileInfo(image).Length), ContractJson.Default.ImageReport));
}
