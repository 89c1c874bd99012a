using System.Globalization;
using SandLabX.Contract;
using SandLabX.Runner.Qemu;

namespace SandLabX.Runner;

/// <summary>Where the runner finds itself. In a pod all is as the contract says; tests and people at a shell may say otherwise in the environment.</summary>
/// <param name="RunDirectory">Folder of the sockets; <c>SANDLABX_RUN_DIR</c>.</param>
/// <param name="TerminationPath">Where the last word goes; <c>SANDLABX_TERMINATION_LOG</c>.</param>
/// <param name="Port">The port of the HTTP server; <c>SANDLABX_PORT</c>. With 0 a free one is taken and written to the file <c>port</c> in the folder.</param>
/// <param name="LockLimit">How long a disk that another process holds is waited for; <c>SANDLABX_LOCK_SECONDS</c>.</param>
/// <param name="WishDirectory">Folder of the wishes; <c>SANDLABX_WISH_DIR</c>.</param>
/// <param name="SeedDirectory">Folder, in memory, of what cloud-init is told; <c>SANDLABX_SEED_DIR</c>.</param>
/// <param name="UploadPort">The port of an upload; <c>SANDLABX_UPLOAD_PORT</c>. With 0 a free one is taken and written to the file <c>upload-port</c> in the folder.</param>
/// <param name="SealedPort">The port of an upload's sealed pieces; <c>SANDLABX_SEALED_PORT</c>. With 0 a free one is taken and written to the file <c>sealed-port</c> in the folder.</param>
/// <param name="KvmDevice">The device file without which there is no KVM; <c>SANDLABX_KVM_DEVICE</c>.</param>
internal sealed record RunnerSurroundings(
    string RunDirectory, string TerminationPath, int Port, TimeSpan LockLimit, string WishDirectory, string SeedDirectory, int UploadPort, int SealedPort, string KvmDevice)
{
    // A successor waits out the end of its predecessor: a flush of a disk, seconds; never a pod that was forgotten.
    private const int LockSeconds = 120;

    /// <summary>Reads the environment.</summary>
    internal static RunnerSurroundings Read() => new(
        Text("SANDLABX_RUN_DIR") ?? ContractNames.RunDirectory,
        Text("SANDLABX_TERMINATION_LOG") ?? ContractNames.TerminationMessagePath,
        Number("SANDLABX_PORT") ?? ContractNames.Port,
        TimeSpan.FromSeconds(Number("SANDLABX_LOCK_SECONDS") ?? LockSeconds),
        Text("SANDLABX_WISH_DIR") ?? ContractNames.WishDirectory,
        Text("SANDLABX_SEED_DIR") ?? ContractNames.SeedDirectory,
        Number("SANDLABX_UPLOAD_PORT") ?? ContractNames.UploadPort,
        Number("SANDLABX_SEALED_PORT") ?? ContractNames.SealedPort,
        Text("SANDLABX_KVM_DEVICE") ?? AcceleratorChoice.Device);

    /// <summary>Where a port was left to be chosen: writes it into a file of the folder.</summary>
    internal void TellPort(string file, int wished, int port)
    {
        if (wished == 0)
        {
            Directory.CreateDirectory(RunDirectory);
            File.WriteAllText(Path.Combine(RunDirectory, file), $"{port}\n");
        }
    }

    private static string? Text(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } text ? text : null;

    private static int? Number(string name) => int.TryParse(Text(name), NumberStyles.None, CultureInfo.InvariantCulture, out int number) ? number : null;
}
