namespace SandLabX.Contract;

/// <summary>The runner's last word: JSON in the container's termination message, at most <see cref="ContractNames.TerminationMessageLimit"/> bytes there (the console is cut first).</summary>
public sealed record TerminationReport
{
    /// <summary>One of <see cref="TerminationReasons"/>.</summary>
    public required string Reason { get; init; }

    /// <summary>One or two sentences: what happened, and the way out where there is one.</summary>
    public required string Message { get; init; }

    /// <summary>When it ended, UTC.</summary>
    public required DateTimeOffset At { get; init; }

    /// <summary>QEMU's exit code, or 128 plus the signal that ended it; null when QEMU was never started.</summary>
    public int? QemuExitCode { get; init; }

    /// <summary>The console's last 50 lines, oldest first, at most 8,192 characters of them; control sequences removed.</summary>
    public string? Console { get; init; }

    /// <summary>The disk, where it was prepared.</summary>
    public DiskReport? Disk { get; init; }

    /// <summary>What the last look at the disk found, where it was looked at.</summary>
    public DiskCheckReport? Check { get; init; }

    /// <summary>The accelerator, where it was decided.</summary>
    public AcceleratorReport? Accelerator { get; init; }

    /// <summary>The start's times.</summary>
    public StartTimeline? Timeline { get; init; }

    /// <summary>What was saved, when the guest was suspended.</summary>
    public SavedState? SavedState { get; init; }

    /// <summary>The image, when an import ended well.</summary>
    public ImageReport? Image { get; init; }
}

/// <summary>The closed list of reasons for which a runner ends. A reader that meets an unknown one treats it as <see cref="InternalError"/>.</summary>
public static class TerminationReasons
{
    /// <summary>The guest powered itself off.</summary>
    public const string GuestShutdown = "GuestShutdown";

    /// <summary>The guest's kernel panicked.</summary>
    public const string GuestPanicked = "GuestPanicked";

    /// <summary>SIGTERM came, the guest was asked to power off and did.</summary>
    public const string HostShutdown = "HostShutdown";

    /// <summary>SIGTERM came, the guest did not power off within the grace period and its plug was pulled.</summary>
    public const string HostPowerOff = "HostPowerOff";

    /// <summary>The guest was suspended as wished: its memory and devices are beside its disk.</summary>
    public const string Suspended = "Suspended";

    /// <summary>The saved memory of a suspended guest can't be used: it is damaged, does not fit the disk, or the machine is another; nothing was changed.</summary>
    public const string SavedStateUnusable = "SavedStateUnusable";

    /// <summary>QEMU ended by itself without having said why, or was killed.</summary>
    public const string QemuCrashed = "QemuCrashed";

    /// <summary>The kernel killed QEMU for its memory.</summary>
    public const string OutOfMemory = "OutOfMemory";

    /// <summary>QEMU refused to start.</summary>
    public const string QemuStartFailed = "QemuStartFailed";

    /// <summary>KVM was asked for and is not usable here.</summary>
    public const string KvmUnavailable = "KvmUnavailable";

    /// <summary>The overlay was made once and is not there now; a person decides.</summary>
    public const string OverlayMissing = "OverlayMissing";

    /// <summary>The overlay is damaged; nothing was changed.</summary>
    public const string OverlayCorrupt = "OverlayCorrupt";

    /// <summary>The disk was checked, as that was all that was asked; <see cref="TerminationReport.Check"/> tells.</summary>
    public const string Checked = "Checked";

    /// <summary>The overlay's backing chain is not the image and nothing else.</summary>
    public const string OverlayChainUnexpected = "OverlayChainUnexpected";

    /// <summary>Another process kept the overlay's lock.</summary>
    public const string OverlayLocked = "OverlayLocked";

    /// <summary>The base image's file is not where it should be.</summary>
    public const string BackingMissing = "BackingMissing";

    /// <summary>The base image is not the one that the overlay was made on.</summary>
    public const string BackingMismatch = "BackingMismatch";

    /// <summary>The wished disk size is below the base image's.</summary>
    public const string SizeBelowImage = "SizeBelowImage";

    /// <summary>A Secret, or a key of one, that cloud-init's data comes from is not there, or too large.</summary>
    public const string SecretUnusable = "SecretUnusable";

    /// <summary>The claim has no room.</summary>
    public const string NoSpace = "NoSpace";

    /// <summary>The configuration can't be read.</summary>
    public const string InvalidConfiguration = "InvalidConfiguration";

    /// <summary>A fault of the runner itself.</summary>
    public const string InternalError = "InternalError";

    /// <summary>An import ended well; <see cref="TerminationReport.Image"/> tells.</summary>
    public const string Imported = "Imported";

    /// <summary>The server could not be reached, refused, or broke off.</summary>
    public const string DownloadFailed = "DownloadFailed";

    /// <summary>The artifact in the registry has no disk, several, or can't be read.</summary>
    public const string ArtifactUnusable = "ArtifactUnusable";

    /// <summary>The pull secret is not there, or can't be read.</summary>
    public const string PullSecretUnusable = "PullSecretUnusable";

    /// <summary>The file on the source's claim is not there, is no file, lies outside of the claim, or may not be read.</summary>
    public const string SourceUnusable = "SourceUnusable";

    /// <summary>The bytes are not the ones that <c>sha256</c> names.</summary>
    public const string DigestMismatch = "DigestMismatch";

    /// <summary>The bytes are no disk image of a format that is known.</summary>
    public const string UnknownFormat = "UnknownFormat";

    /// <summary>What is compressed in the file is longer than an image may be, or takes too much memory to decompress.</summary>
    public const string DecompressedTooLarge = "DecompressedTooLarge";

    /// <summary>The image names a backing file.</summary>
    public const string HasBackingFile = "HasBackingFile";

    /// <summary>The image names an external data file.</summary>
    public const string HasDataFile = "HasDataFile";

    /// <summary>The image is encrypted.</summary>
    public const string Encrypted = "Encrypted";

    /// <summary>The image's virtual size is above the limit.</summary>
    public const string VirtualSizeTooLarge = "VirtualSizeTooLarge";

    /// <summary>The image is damaged.</summary>
    public const string ImageCorrupt = "ImageCorrupt";

    /// <summary>An import was told to stop (SIGTERM) before it was done; what it received so far is kept.</summary>
    public const string ImportInterrupted = "ImportInterrupted";

    /// <summary>A disk that was made elsewhere is in its place; <see cref="TerminationReport.Disk"/> tells.</summary>
    public const string Adopted = "Adopted";

    /// <summary>A disk that was made elsewhere does not read as it did there once it stands on its new base; it was not taken.</summary>
    public const string ContentDiffers = "ContentDiffers";
}
