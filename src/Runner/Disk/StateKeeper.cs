using System.Globalization;
using System.IO.Hashing;
using SandLabX.Contract;
using SandLabX.Runner.Boot;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Disk;

/// <summary>Keeps the memory and devices of a suspended guest beside its disk: whole, or not at all. The disk's lock is held by the caller.</summary>
/// <param name="config">What is wished.</param>
/// <param name="clock">Dates what is saved.</param>
internal sealed class StateKeeper(RunnerConfig config, TimeProvider clock)
{
    private const int BlockBytes = 256 * 1024;

    /// <summary>What a person can do about a state that can't be used.</summary>
    internal const string WayOut = "To give the saved memory up and boot from the disk, change spec.resetRevision.";

    /// <summary>
    /// What a guest was suspended to; null when there is nothing. What an interrupted save or resume left goes: it counts for nothing. So does a state
    /// whose guest is to be reset.
    /// </summary>
    /// <exception cref="RunnerEndException">It does not fit: <see cref="TerminationReasons.SavedStateUnusable"/>.</exception>
    internal SavedState? Find()
    {
        Drop();
        if (!File.Exists(OverlayNames.StateMarker(config)))
        {
            return null;
        }

        if (Files.ReadJson(OverlayNames.StateMarker(config), ContractJson.Default.SavedState) is not { } saved)
        {
            // Which reset its guest had had is not known, so none can give it up.
            throw new RunnerEndException(
                TerminationReasons.SavedStateUnusable,
                $"What is known of the guest's saved memory, {OverlayNames.StateMarker(config)}, can't be read. Restore it; or delete it, and the guest boots from the disk.");
        }

        if (saved.ResetRevision != config.ResetRevision)
        {
            Log.Line("state.discarded", ("saved", $"{saved.At:u}"), ("reset", config.ResetRevision));
            Forget();
            return null;
        }

        var overlay = new FileInfo(config.OverlayPath);
        string? unfit = Judge(config, saved, new FileInfo(OverlayNames.State(config)) is { Exists: true } state ? state.Length : null, overlay.Exists ? (overlay.Length, WrittenAt(overlay)) : null);
        return unfit is null ? saved : throw new RunnerEndException(TerminationReasons.SavedStateUnusable, $"{unfit} {WayOut}");
    }

    /// <summary>What speaks against resuming a guest; null when nothing does.</summary>
    /// <param name="config">The machine that is wished.</param>
    /// <param name="saved">What is said of the state.</param>
    /// <param name="stateBytes">The state file's length; null when there is none.</param>
    /// <param name="overlay">The overlay file's length and time; null when there is none, which is told elsewhere.</param>
    internal static string? Judge(RunnerConfig config, SavedState saved, long? stateBytes, (long Bytes, DateTimeOffset WrittenAt)? overlay) =>
        stateBytes != saved.Bytes ? string.Create(CultureInfo.InvariantCulture, $"The guest's saved memory, {OverlayNames.State(config)}, has {stateBytes?.ToString(CultureInfo.InvariantCulture) ?? "no"} bytes instead of {saved.Bytes}.")
        : (saved.Cpus, saved.MemoryBytes) != (config.Cpus, config.MemoryBytes) ? string.Create(CultureInfo.InvariantCulture, $"The guest was suspended with {saved.Cpus} CPUs and {saved.MemoryBytes >> 20} MiB of memory; it can't be resumed with {config.Cpus} and {config.MemoryBytes >> 20} MiB. Put spec.cpus and spec.memory back.")
        : overlay is { } disk && disk != (saved.OverlayBytes, saved.OverlayWrittenAt) ? $"The disk {config.OverlayPath} was written after the guest was suspended at {saved.At:u}: its saved memory would destroy it. Restore disk and saved memory of the same moment."
        : null;

    /// <summary>Writes a state, under a name that counts for nothing.</summary>
    /// <returns>Its size and checksum.</returns>
    /// <exception cref="IOException">It can't be written.</exception>
    internal async Task<(long Bytes, string Checksum)> ReceiveAsync(Stream source, CancellationToken stop)
    {
        var file = new FileStream(OverlayNames.NewState(config), FileMode.Create, FileAccess.Write, FileShare.None, bufferSize: 0);
        await using (file.ConfigureAwait(false))
        {
            string checksum = await CopyAsync(source, file, stop).ConfigureAwait(false);
            file.Flush(flushToDisk: true);
            return (file.Length, checksum);
        }
    }

    /// <summary>Makes the received state the guest's. From the last rename on it is what the next start resumes.</summary>
    /// <exception cref="IOException">It can't be written.</exception>
    internal SavedState Keep(long bytes, string checksum, string accelerator, BootMedia media, string resetRevision)
    {
        Files.Sync(config.OverlayPath);
        var overlay = new FileInfo(config.OverlayPath);
        var saved = new SavedState(clock.GetUtcNow(), bytes, checksum, config.Cpus, config.MemoryBytes, accelerator, resetRevision, overlay.Length, WrittenAt(overlay)) { Seed = media.Seed is not null, Cdrom = media.HasCdrom };
        string folder = OverlayNames.Folder(config);
        Files.WriteJson(OverlayNames.NewStateMarker(config), saved, ContractJson.Default.SavedState);
        File.Move(OverlayNames.NewState(config), OverlayNames.State(config), overwrite: true);
        Files.SyncFolder(folder);
        File.Move(OverlayNames.NewStateMarker(config), OverlayNames.StateMarker(config));
        Files.SyncFolder(folder);
        return saved;
    }

    /// <summary>Reads the state out; false when it is not what was written.</summary>
    internal async Task<bool> FeedAsync(SavedState saved, Stream target, CancellationToken stop)
    {
        var file = new FileStream(OverlayNames.State(config), FileMode.Open, FileAccess.Read, FileShare.Read, bufferSize: 0);
        await using (file.ConfigureAwait(false))
        {
            return await CopyAsync(file, target, stop).ConfigureAwait(false) == saved.Checksum;
        }
    }

    /// <summary>The state counts no more, durably so: before its guest runs on, or because it is given up.</summary>
    internal void Forget()
    {
        File.Delete(OverlayNames.StateMarker(config));
        Files.SyncFolder(OverlayNames.Folder(config));
        File.Delete(OverlayNames.State(config));
    }

    /// <summary>Removes what counts for nothing: a state in the making, and one without a word about it.</summary>
    internal void Drop()
    {
        File.Delete(OverlayNames.NewState(config));
        File.Delete(OverlayNames.NewStateMarker(config));
        if (!File.Exists(OverlayNames.StateMarker(config)))
        {
            File.Delete(OverlayNames.State(config));
        }
    }

    /// <summary>Copies to the end; gives the checksum of what went through.</summary>
    private static async Task<string> CopyAsync(Stream source, Stream target, CancellationToken stop)
    {
        // One block for the whole of it: the collector's heap is small.
        byte[] block = GC.AllocateUninitializedArray<byte>(BlockBytes);
        var hash = new XxHash128();
        while (await source.ReadAsync(block, stop).ConfigureAwait(false) is > 0 and int count)
        {
            hash.Append(block.AsSpan(0, count));
            await target.WriteAsync(block.AsMemory(0, count), stop).ConfigureAwait(false);
        }

        return Convert.ToHexStringLower(hash.GetCurrentHash());
    }

    private static DateTimeOffset WrittenAt(FileInfo file)
    {
        DateTime time = file.LastWriteTimeUtc;
        return new DateTimeOffset(time.Ticks - (time.Ticks % TimeSpan.TicksPerSecond), TimeSpan.Zero);
    }
}
