using System.Text.Json;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Containers;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>The runner's container image itself, in containers as restricted as its pods: what its program needs is in it, and what it writes goes where it should.</summary>
public sealed class ContainerTests(ContainerService engine) : IClassFixture<ContainerService>
{
    /// <summary>The user that the image names, as the operator's pods do.</summary>
    private const uint User = 65532;

    [Fact]
    public async Task The_image_says_its_version_without_any_right()
    {
        engine.Require();
        await using IContainer container = engine.Runner("version").Build();
        await container.StartAsync();

        (await container.GetExitCodeAsync()).ShouldBe(0);
        (await container.GetLogsAsync(timestampsEnabled: false)).Stdout.Trim().ShouldMatch(@"^\d+\.\d+\.\d+$");
    }

    [Fact]
    public async Task Nobody_can_become_root_in_it()
    {
        engine.Require();
        await using IContainer container = engine.Runner()
            .WithEntrypoint("/bin/busybox", "sh", "-c", "id -u; busybox find / -xdev -perm /6000 -type f; busybox touch /written 2> /dev/null && echo written")
            .Build();
        await container.StartAsync();
        await container.GetExitCodeAsync();

        (await container.GetLogsAsync(timestampsEnabled: false)).Stdout.Split('\n', StringSplitOptions.RemoveEmptyEntries).ShouldBe([$"{User}"]);
    }

    [Fact]
    public async Task A_guest_runs_in_it_and_its_end_is_told()
    {
        engine.Require();
        using Lab lab = await Lab.MakeAsync();
        string last = Path.Combine(lab.Folder, "termination-log");
        await File.WriteAllTextAsync(last, "");
        foreach (string path in (string[])[lab.Claim, last])
        {
            await Machine.RunAsync("chown", $"{User}:{User}", path);
        }

        // Containers that are not root have to get through it.
        await Machine.RunAsync("chmod", "755", lab.Folder);
        RunnerConfig config = lab.Config with { OverlayPath = "/overlays/node_t1.qcow2", BackingPath = "/images/t/disk.qcow2", GracePeriodSeconds = 0 };
        await using IContainer container = engine.Runner("run")
            .WithEnvironment(ContractNames.ConfigVariable, JsonSerializer.Serialize(config, ContractJson.Default.RunnerConfig))
            .WithBindMount(lab.Claim, ContractNames.OverlayDirectory)
            .WithBindMount(lab.Images, "/images/t", DotNet.Testcontainers.Configurations.AccessMode.ReadOnly)
            .WithBindMount(last, ContractNames.TerminationMessagePath)
            .WithWaitStrategy(Wait.ForUnixContainer().UntilMessageIsLogged(BootSector.Greeting))
            .Build();
        await container.StartAsync();

        // Stopping through Testcontainers kills; a pod is asked first.
        (await container.ExecAsync(["/bin/busybox", "kill", "-TERM", "1"])).ExitCode.ShouldBe(0);

        (await container.GetExitCodeAsync()).ShouldBe(0);
        JsonSerializer.Deserialize(await File.ReadAllTextAsync(last), ContractJson.Default.TerminationReport)!.Reason.ShouldBe(TerminationReasons.HostPowerOff);
        Directory.GetFiles(lab.Claim).Select(Path.GetFileName).ShouldContain("node_t1.qcow2");
    }
}
