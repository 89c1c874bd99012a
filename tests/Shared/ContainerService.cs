using System.Diagnostics;
using System.Net.Sockets;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Configurations;
using DotNet.Testcontainers.Images;

namespace SandLabX.Testing;

/// <summary>
/// A container engine of the tests' own for Testcontainers: Podman behind its Docker-compatible socket, with a storage, sockets and settings in a folder
/// of ours, so that no engine of the user's is touched. It holds the images as eng/images/build made them.
/// </summary>
public sealed class ContainerService : IAsyncLifetime
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(60);

    private readonly string _folder = Directory.CreateTempSubdirectory("sandlabx-containers-").FullName;
    private Process? _service;

    /// <summary>Why there is none, where that is so.</summary>
    private string? _missing;

    /// <summary>Skips the test where containers can't run.</summary>
    public void Require() => Assert.SkipWhen(_missing is not null, _missing ?? "");

    private string Socket => Path.Combine(_folder, "podman.sock");

    private static string? Archive => Environment.GetEnvironmentVariable("SANDLABX_RUNNER_ARCHIVE");

    private static string? Reference => Environment.GetEnvironmentVariable("SANDLABX_RUNNER_REFERENCE");

    /// <summary>A container of the runner's image, restricted as the operator's pods are: not root, no capability, nothing to write to but what is mounted.</summary>
    public ContainerBuilder Runner(params string[] arguments) => new ContainerBuilder(Reference!)
        .WithDockerEndpoint(new Uri($"unix://{Socket}"))
        .WithImagePullPolicy(PullPolicy.Never)
        .WithCommand(arguments)
        .WithTmpfsMount("/run/sandlabx")
        .WithCreateParameterModifier(create =>
        {
            create.HostConfig!.ReadonlyRootfs = true;
            create.HostConfig.CapDrop = ["ALL"];
            create.HostConfig.SecurityOpt = ["no-new-privileges"];
            create.HostConfig.NetworkMode = "none";
        });

    /// <summary>PostgreSQL, reached through a socket in a folder of this machine.</summary>
    public ContainerBuilder Postgres(string socketFolder, string user, string password, string database) => new ContainerBuilder(PostgresReference!)
        .WithDockerEndpoint(new Uri($"unix://{Socket}"))
        .WithImagePullPolicy(PullPolicy.Never)
        .WithEnvironment("POSTGRES_USER", user)
        .WithEnvironment("POSTGRES_PASSWORD", password)
        .WithEnvironment("POSTGRES_DB", database)
        .WithBindMount(socketFolder, "/sockets")
        .WithCreateParameterModifier(create => create.HostConfig!.NetworkMode = "none");

    /// <summary>Skips the test where there is no image of PostgreSQL; loads it, once.</summary>
    public async Task RequirePostgresAsync()
    {
        Require();
        Assert.SkipWhen(PostgresArchive is null || PostgresReference is null, "SANDLABX_POSTGRES_ARCHIVE and SANDLABX_POSTGRES_REFERENCE name no image of PostgreSQL; eng/test builds it.");
        (await PodmanAsync("load", "--quiet", "--input", PostgresArchive!)).ShouldContain(PostgresReference!);
    }

    private static string? PostgresArchive => Environment.GetEnvironmentVariable("SANDLABX_POSTGRES_ARCHIVE");

    private static string? PostgresReference => Environment.GetEnvironmentVariable("SANDLABX_POSTGRES_REFERENCE");

    public async ValueTask InitializeAsync()
    {
        _missing = Archive is null || Reference is null ? "SANDLABX_RUNNER_ARCHIVE and SANDLABX_RUNNER_REFERENCE name no image of the runner; eng/test builds it."
            : !IsOnPath("podman") || !IsOnPath("runc") ? "podman or runc is not on PATH; Debian has both."
            : Environment.UserName != "root" ? "Only root may start containers here."
            : null;
        if (_missing is not null)
        {
            return;
        }

        // The reaper is a container from a registry; what it would do, this class does.
        TestcontainersSettings.ResourceReaperEnabled = false;
        await File.WriteAllTextAsync(Path.Combine(_folder, "containers.conf"), """
            [containers]
            default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
            netns = "none"
            [engine]
            runtime = "runc"
            cgroup_manager = "cgroupfs"
            events_logger = "file"
            """);
        (await PodmanAsync("load", "--quiet", "--input", Archive!)).ShouldContain(Reference!);
        _service = Start("system", "service", "--time=0", $"unix://{Socket}");
        Task<string> errors = _service.StandardError.ReadToEndAsync();
        _ = _service.StandardOutput.ReadToEndAsync();
        long began = Stopwatch.GetTimestamp();
        while (!await ListensAsync())
        {
            if (_service.HasExited || Stopwatch.GetElapsedTime(began) > s_patience)
            {
                throw new InvalidOperationException($"Podman's service does not answer: {(_service.HasExited ? await errors : "not within a minute")}");
            }

            await Task.Delay(20);
        }
    }

    public async ValueTask DisposeAsync()
    {
        if (_service is not null)
        {
            _service.Kill(entireProcessTree: true);
            await _service.WaitForExitAsync();
            _service.Dispose();
            await PodmanAsync("rm", "--all", "--force");
            await PodmanAsync("system", "reset", "--force");
        }

        if (Directory.Exists(_folder))
        {
            Directory.Delete(_folder, recursive: true);
        }
    }

    private static bool IsOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => folder.Length > 0 && File.Exists(Path.Combine(folder, program)));

    private async Task<bool> ListensAsync()
    {
        using var probe = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await probe.ConnectAsync(new UnixDomainSocketEndPoint(Socket));
            return true;
        }
        catch (SocketException)
        {
            return false;
        }
    }

    private async Task<string> PodmanAsync(params string[] arguments)
    {
        using Process podman = Start(arguments);
        Task<string> errors = podman.StandardError.ReadToEndAsync();
        string output = await podman.StandardOutput.ReadToEndAsync();
        await podman.WaitForExitAsync();
        podman.ExitCode.ShouldBe(0, $"podman {string.Join(' ', arguments)}: {await errors}");
        return output;
    }

    private Process Start(params string[] arguments)
    {
        var start = new ProcessStartInfo(
            "podman",
            [$"--root={_folder}/storage", $"--runroot={_folder}/run", $"--tmpdir={_folder}/tmp", "--storage-driver=overlay", .. arguments])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["CONTAINERS_CONF"] = Path.Combine(_folder, "containers.conf");
        return Process.Start(start)!;
    }
}
