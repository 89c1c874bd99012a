using System.Globalization;
using SandLabX.Contract;
using SandLabX.Runner.Boot;

namespace SandLabX.Runner.Qemu;

/// <summary>QEMU's command line; nothing else decides what machine the guest sees.</summary>
internal static class QemuCommandLine
{
    /// <summary>The program.</summary>
    internal const string Program = "qemu-system-x86_64";

    /// <summary>The descriptor on which QEMU finds the runner's monitor.</summary>
    internal const int MonitorDescriptor = 3;

    /// <summary>The descriptor on which QEMU finds the serial console.</summary>
    internal const int SerialDescriptor = 4;

    /// <summary>The descriptor of the disk's lock; QEMU only holds it open.</summary>
    internal const int LockDescriptor = 5;

    /// <summary>The descriptor on which QEMU finds the saved state of a guest that is resumed.</summary>
    internal const int StateDescriptor = 6;

    // Pinned: a newer QEMU still gives the guest this very machine, and a saved state fits it.
    private const string Machine = "pc-q35-7.2";

    // Translated code of TCG. The default of 1 GiB lets a busy guest take far more than its pod's memory allows for. Debian 12 up to its
    // login prompt, CPU seconds and QEMU's MiB beyond the guest's memory: 16 MiB 59 and 62; 32 MiB 36 and 80; 64 MiB 28 and 120; 128 MiB 26 and 193.
    private const int TranslationCacheMiB = 32;

    // No debugger, no old calls, no child processes, no new privileges, no scheduling of its own.
    private const string Sandbox = "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny";

    /// <summary>The guest's machine.</summary>
    /// <param name="config">What is wished.</param>
    /// <param name="accelerator"><see cref="Accelerators.Kvm"/> or <see cref="Accelerators.Tcg"/>.</param>
    /// <param name="directory">Folder of the sockets for people and tools.</param>
    /// <param name="media">What the guest finds beside its disk.</param>
    /// <param name="resumes">Whether the guest is one that was suspended: QEMU then waits for its state, and for word to go on.</param>
    internal static IReadOnlyList<string> ForGuest(RunnerConfig config, string accelerator, string directory, BootMedia media, bool resumes = false) =>
    [
        Program,
        "-name", $"guest={config.Node.Replace(",", ",,", StringComparison.Ordinal)}",
        .. Common(accelerator),
        "-uuid", MachineIdentity.Uuid(config.DiskId),
        "-smp", Number(config.Cpus),
        "-m", $"size={Number(config.MemoryBytes / (1024 * 1024))}M",
        "-rtc", "base=utc",
        "-boot", "strict=on",

        // QEMU stays when the guest ends, so that the runner hears why before it goes.
        "-action", "shutdown=pause,panic=pause,reboot=reset",
        "-chardev", $"socket,id=monitor,fd={Number(MonitorDescriptor)}",
        "-mon", "chardev=monitor,mode=control",
        "-chardev", $"socket,id=debug,path={directory}/qmp.sock,server=on,wait=off",
        "-mon", "chardev=debug,mode=control",
        "-chardev", $"socket,id=serial0,fd={Number(SerialDescriptor)}",
        "-serial", "chardev:serial0",
        .. BlockNodes.For(config).Concat(BlockNodes.For(media)).SelectMany(node => (string[])["-blockdev", node]),

        // A full claim, or a volume that fails, pauses the guest, which goes on without loss once there is room or the volume answers again. Told of an
        // error, it would give up its file systems.
        "-device", $"virtio-blk-pci,drive={BlockNodes.Disk},serial={MachineIdentity.DiskSerial(config.DiskId)},bootindex={(media.CdromFirst ? 1 : 0)},discard=on,write-cache=on,werror=stop,rerror=stop",
        "-netdev", "user,id=net0",

        // Without its ROM: nothing boots from the network, and 256 KiB need not be loaded.
        "-device", $"virtio-net-pci,netdev=net0,mac={MachineIdentity.MacAddress(config.DiskId)},romfile=",
        "-device", "virtio-rng-pci",

        // What the guest frees goes back to the host: many labs are idle most of the time.
        "-device", "virtio-balloon-pci,deflate-on-oom=on,free-page-reporting=on",
        "-device", "pvpanic-pci",
        "-device", "VGA",

        // An absolute pointer for VNC that, unlike USB, costs nothing while it rests.
        "-device", "virtio-tablet-pci",
        "-vnc", $"unix:{directory}/vnc.sock",
        .. Beside(media),
        .. resumes ? (string[])["-incoming", "defer", "-S"] : [],
    ];

    /// <summary>Devices that not every guest has come last, so that all others keep their places on the bus: a saved state names them by those.</summary>
    private static IReadOnlyList<string> Beside(BootMedia media) =>
    [
        .. media.Variables is null ? [] : (string[])["-machine", $"pflash0={BlockNodes.Firmware},pflash1={BlockNodes.Variables}"],

        // A disk rather than a CD: Debian's cloud kernels have no driver for a CD drive.
        .. media.Seed is null ? [] : (string[])["-device", $"virtio-blk-pci,drive={BlockNodes.Seed},serial=cidata"],
        .. media.HasCdrom ? (string[])["-device", $"ide-cd,bus=ide.0{(media.Cdrom is null ? "" : $",drive={BlockNodes.Cdrom},bootindex={(media.CdromFirst ? 0 : 1)}")}"] : [],
    ];

    /// <summary>A machine that runs the self-test's ROM (see <see cref="SelfTestRom"/>) on the processor that a guest would get.</summary>
    internal static IReadOnlyList<string> ForSelfTest(string rom, string accelerator) =>
    [
        Program,
        .. Common(accelerator),
        "-m", "size=64M",
        "-bios", rom,
        "-display", "none",
        "-device", $"isa-debug-exit,iobase=0x{SelfTestRom.ExitPort:x},iosize=1",
    ];

    private static IReadOnlyList<string> Common(string accelerator)
    {
        bool kvm = accelerator == Accelerators.Kvm;
        return
        [
            "-nodefaults",
            "-no-user-config",
            "-msg", "timestamp=off",
            "-sandbox", Sandbox,
            "-machine", $"{Machine},usb=off,vmport=off,dump-guest-core=off",
            "-accel", kvm ? "kvm" : $"tcg,thread=multi,tb-size={Number(TranslationCacheMiB)}",
            "-cpu", kvm ? "host" : "max",
        ];
    }

    private static string Number(long number) => number.ToString(CultureInfo.InvariantCulture);
}
