using System.Text.Json;
using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Containers;
using SandLabX.Contract;
using SandLabX.Testing;

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

        // Stopping through Testcontainers kills; a pod is asked first. How the asking ended can be lost with the container; how the container did can't.
        await container.ExecAsync(["/bin/busybox", "kill", "-TERM", "1"]);

        (await container.GetExitCodeAsync()).ShouldBe(0);
        JsonSerializer.Deserialize(await File.ReadAllTextAsync(last), ContractJson.Default.TerminationReport)!.Reason.ShouldBe(TerminationReasons.HostPowerOff);
        Directory.GetFiles(lab.Claim).Select(Path.GetFileName).ShouldContain("node_t1.qcow2");
    }

    /// <summary>The bound holds whatever the size: the file is many times larger than the memory, and so is the disk that it unfolds to.</summary>
    [Theory]
    [InlineData("raw", "")]
    [InlineData("qcow2", "")]
    [InlineData("raw", "gzip")]
    [InlineData("raw", "xz")]
    [InlineData("vmdk", "zstd")]
    public async Task An_import_fits_into_64_MiB(string format, string compressor)
    {
        engine.Require();
        await using ImportLab lab = await ImportLab.MakeAsync();
        string raw = lab.At("raw"), source = Path.Combine(lab.Folder, "source"), last = lab.At("termination-log");
        Directory.CreateDirectory(source);
        await Machine.RunAsync("sh", "-euc", $"truncate -s 1G {raw}; head -c 200000000 /dev/urandom | dd of={raw} conv=notrunc status=none bs=1M iflag=fullblock; printf '\\125\\252' | dd of={raw} conv=notrunc status=none bs=1 seek=510");
        await Machine.RunAsync("qemu-img", "convert", "-f", "raw", "-O", format, raw, Path.Combine(source, "file"));
        if (compressor.Length > 0)
        {
            await Machine.RunAsync("sh", "-euc", $"cd {source}; {compressor} -1 -c file > packed; mv packed file");
        }

        await File.WriteAllTextAsync(last, "");
        await Machine.RunAsync("chown", "-R", $"{User}:{User}", lab.Claim, source, last);
        await Machine.RunAsync("chmod", "755", lab.Folder);
        var config = new ImportConfig
        {
            Image = "labs/i1",
            File = new FileSource(ContractNames.SourceDirectory, "file"),
            Sha256 = (await Machine.RunAsync("sha256sum", Path.Combine(source, "file")))[..64],
            TargetPath = $"{ContractNames.ImportDirectory}/{ContractNames.ImageFile}",
            MaxVirtualSizeBytes = 2L << 30,
        };
        await using IContainer container = engine.Runner("import")
            .WithEnvironment(ContractNames.ConfigVariable, JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig))
            .WithBindMount(lab.Claim, ContractNames.ImportDirectory)
            .WithBindMount(source, ContractNames.SourceDirectory, DotNet.Testcontainers.Configurations.AccessMode.ReadOnly)
            .WithBindMount(last, ContractNames.TerminationMessagePath)
            .WithCreateParameterModifier(create => (create.HostConfig!.Memory, create.HostConfig.MemorySwap) = (64L << 20, 64L << 20))
            .Build();
        await container.StartAsync();

        (await container.GetExitCodeAsync()).ShouldBe(0, (await container.GetLogsAsync(timestampsEnabled: false)).Stderr);
        JsonSerializer.Deserialize(await File.ReadAllTextAsync(last), ContractJson.Default.TerminationReport)!.Reason.ShouldBe(TerminationReasons.Imported);
        await Machine.RunAsync("qemu-img", "compare", "-f", "raw", "-F", "qcow2", raw, lab.Target);
    }
}
