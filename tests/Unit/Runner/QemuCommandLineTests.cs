using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Boot;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public class QemuCommandLineTests
{
    private static readonly IReadOnlyList<string> s_line = QemuCommandLine.ForGuest(RunnerGiven.Config(), Accelerators.Tcg, "/run/sandlabx", BootMedia.None);

    [Fact]
    public void The_machine_is_as_wished()
    {
        Values("-smp").ShouldBe(["2"]);
        Values("-m").ShouldBe(["size=512M"]);
        Values("-name").ShouldBe(["guest=labs/r1"]);
        Values("-machine").Single().ShouldStartWith("pc-q35-7.2,");
        s_line.ShouldContain("-nodefaults");
        s_line.ShouldContain("-no-user-config");
        Values("-sandbox").ShouldBe(["on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"]);
        Values("-action").ShouldBe(["shutdown=pause,panic=pause,reboot=reset"]);
    }

    [Theory]
    [InlineData(Accelerators.Kvm, "kvm", "host")]
    [InlineData(Accelerators.Tcg, "tcg,", "max")]
    public void The_processor_goes_with_the_accelerator(string accelerator, string accel, string cpu)
    {
        IReadOnlyList<string> line = QemuCommandLine.ForGuest(RunnerGiven.Config(), accelerator, "/run", BootMedia.None);

        Values("-accel", line).Single().ShouldStartWith(accel);
        Values("-cpu", line).ShouldBe([cpu]);
    }

    [Fact]
    public void The_self_test_runs_on_the_guests_own_processor()
    {
        IReadOnlyList<string> test = QemuCommandLine.ForSelfTest("/run/rom", Accelerators.Kvm);
        IReadOnlyList<string> guest = QemuCommandLine.ForGuest(RunnerGiven.Config(), Accelerators.Kvm, "/run", BootMedia.None);

        foreach (string option in (string[])["-accel", "-cpu", "-machine", "-sandbox"])
        {
            Values(option, test).ShouldBe(Values(option, guest));
        }
    }

    [Fact]
    public void Every_block_node_is_spelled_out_so_that_no_header_names_a_file()
    {
        JsonElement[] nodes = [.. Values("-blockdev").Select(node => JsonDocument.Parse(node).RootElement)];

        nodes.Select(node => node.GetProperty("driver").GetString()).ShouldBe(["file", "qcow2", "file", "qcow2"]);
        nodes[0].GetProperty("filename").GetString().ShouldBe(RunnerGiven.Config().BackingPath);
        nodes[0].GetProperty("read-only").GetBoolean().ShouldBeTrue();
        nodes[1].GetProperty("backing").ValueKind.ShouldBe(JsonValueKind.Null);
        nodes[2].GetProperty("filename").GetString().ShouldBe(RunnerGiven.Config().OverlayPath);
        nodes[2].GetProperty("locking").GetString().ShouldBe("on");
        nodes[3].GetProperty("backing").GetString().ShouldBe("base");
        Values("-device").ShouldContain(device => device.StartsWith("virtio-blk-pci,drive=disk,") && device.Contains("werror=stop,rerror=stop"));
    }

    [Fact]
    public void What_is_beside_the_disk_takes_no_place_on_the_bus_from_what_every_guest_has()
    {
        IReadOnlyList<string> line = QemuCommandLine.ForGuest(RunnerGiven.Config(), Accelerators.Tcg, "/run/sandlabx", new BootMedia("/seed/seed.iso", "/cdrom/disk.qcow2", true, false, "/overlays/vars.fd"));

        Values("-device", line)[..Values("-device").Length].ShouldBe(Values("-device"));
        Values("-device", line)[Values("-device").Length..].ShouldBe(["virtio-blk-pci,drive=seed,serial=cidata", "ide-cd,bus=ide.0,drive=cdrom,bootindex=1"]);
        Values("-machine", line).ShouldContain("pflash0=firmware,pflash1=variables");
    }

    [Fact]
    public void What_is_read_only_is_opened_so_and_no_format_is_guessed()
    {
        JsonElement[] nodes = [.. BlockNodes.For(new BootMedia("/seed/seed.iso", "/cdrom/disk.qcow2", true, true, "/overlays/vars.fd")).Select(node => JsonDocument.Parse(node).RootElement)];
        string[] written = [.. nodes.Where(node => !node.TryGetProperty("read-only", out JsonElement only) || !only.GetBoolean()).Select(node => node.GetProperty("node-name").GetString()!)];

        written.ShouldBe(["variables-file", "variables"]);
        nodes.Single(node => node.GetProperty("node-name").GetString() == "cdrom").GetProperty("backing").ValueKind.ShouldBe(JsonValueKind.Null);
    }

    [Fact]
    public void A_disc_that_is_to_boot_first_comes_before_the_disk()
    {
        IReadOnlyList<string> line = QemuCommandLine.ForGuest(RunnerGiven.Config(), Accelerators.Tcg, "/run", new BootMedia(null, "/cdrom/disk.qcow2", true, true, null));

        Values("-device", line).ShouldContain(device => device.StartsWith("virtio-blk-pci,drive=disk,") && device.Contains("bootindex=1,"));
        Values("-device", line).ShouldContain("ide-cd,bus=ide.0,drive=cdrom,bootindex=0");
    }

    [Fact]
    public void A_name_can_not_end_its_argument()
    {
        RunnerConfig config = RunnerGiven.Config() with { Node = "a,process=evil", OverlayPath = "/o/\",\"x\":\"/node_k3v9x2.qcow2" };

        Values("-name", QemuCommandLine.ForGuest(config, Accelerators.Tcg, "/run", BootMedia.None)).ShouldBe(["guest=a,,process=evil"]);
        JsonDocument.Parse(BlockNodes.For(config)[2]).RootElement.GetProperty("filename").GetString().ShouldBe(config.OverlayPath);
    }

    [Fact]
    public void An_identity_is_the_disks_own_and_stays()
    {
        MachineIdentity.MacAddress("k3v9x2").ShouldBe(MachineIdentity.MacAddress("k3v9x2"));
        MachineIdentity.MacAddress("k3v9x2").ShouldMatch("^02(:[0-9a-f]{2}){5}$");
        Guid.Parse(MachineIdentity.Uuid("k3v9x2")).Version.ShouldBe(8);
        MachineIdentity.DiskSerial(new string('x', 40)).Length.ShouldBe(20);
        string[] ids = [.. Enumerable.Range(0, 10_000).Select(i => $"node-{i}")];
        ids.Select(MachineIdentity.MacAddress).Distinct().Count().ShouldBe(ids.Length);
        ids.Select(MachineIdentity.Uuid).Distinct().Count().ShouldBe(ids.Length);
    }

    [Fact]
    public void The_check_of_an_overlay_opens_no_other_file() =>
        QemuImg.Check("/overlays/x.qcow2")[^1].ShouldBe("""json:{"driver":"qcow2","backing":null,"file":{"driver":"file","filename":"/overlays/x.qcow2"}}""");

    private static string[] Values(string option, IReadOnlyList<string>? line = null)
    {
        IReadOnlyList<string> words = line ?? s_line;
        return [.. words.Zip(words.Skip(1)).Where(pair => pair.First == option).Select(pair => pair.Second)];
    }
}
