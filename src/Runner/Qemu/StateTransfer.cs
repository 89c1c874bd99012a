using System.Net.Sockets;
using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Boot;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// Brings a guest's memory and devices from QEMU to the claim, and back: QEMU's own migration, with the runner at the other end. QEMU 7.2 knows no
/// migration to a file, and through the runner a full claim, a checksum and a sync are in one place.
/// </summary>
/// <param name="keeper">The files.</param>
/// <param name="qemu">The guest's QEMU.</param>
/// <param name="media">What the guest found beside its disk.</param>
/// <param name="directory">Folder of the sockets.</param>
/// <param name="saved">What the guest is resumed from; null when it boots.</param>
internal sealed class StateTransfer(StateKeeper keeper, QemuProcess qemu, BootMedia media, string directory, SavedState? saved)
{
    /// <summary>The id of the commands that begin a migration.</summary>
    internal const string CommandId = "migration";

    // As fast as the claim takes it: QEMU's own limit of 128 MiB/s is for networks that others use too.
    private const string NoLimit = "{\"max-bandwidth\":1099511627776}";
    private const string TellEvents = "{\"capabilities\":[{\"capability\":\"events\",\"state\":true}]}";

    // How the present migration ended: null well, else why not. Cancelled when the monitor is gone.
    private TaskCompletionSource<string?> _migration = New();
    private (long Bytes, string Checksum) _received;

    /// <summary>Whether the guest is one that was suspended.</summary>
    internal bool Resumes => saved is not null;

    /// <summary>What was saved; null when nothing was.</summary>
    internal SavedState? Kept { get; private set; }

    /// <summary>What the monitor says of a migration.</summary>
    internal void Hear(QmpMessage message)
    {
        switch (message)
        {
            case QmpMessage.Migration { State: "completed" }:
                _migration.TrySetResult(null);
                break;
            case QmpMessage.Migration { State: "failed" or "cancelled" } ended:
                _migration.TrySetResult($"QEMU's migration {ended.State}.");
                break;
            case QmpMessage.Error refused:
                _migration.TrySetResult(refused.Description);
                break;
        }
    }

    /// <summary>The monitor is gone: whoever waits for it hears of QEMU's end elsewhere.</summary>
    internal void GiveUp() => _migration.TrySetCanceled();

    /// <summary>Receives the state of a guest that stands.</summary>
    /// <returns>What happened; null when QEMU is over.</returns>
    internal async Task<GuestEvent?> SaveAsync(CancellationToken over)
    {
        try
        {
            _migration = New();
            _received = await ReceiveAsync(over).ConfigureAwait(false);
            return new GuestEvent.StateReceived();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        catch (IOException e)
        {
            return Failed(e);
        }
    }

    /// <summary>Makes what was received the guest's.</summary>
    internal GuestEvent Keep(string accelerator, string resetRevision)
    {
        try
        {
            Kept = keeper.Keep(_received.Bytes, _received.Checksum, accelerator, media, resetRevision);
            Log.Line("saved", ("bytes", $"{Kept.Bytes}"));
            return new GuestEvent.StateKept();
        }
        catch (IOException e)
        {
            return Failed(e);
        }
    }

    /// <summary>Gives QEMU the state that it waits for.</summary>
    /// <returns>What happened; null when QEMU is over.</returns>
    internal async Task<GuestEvent?> LoadAsync(CancellationToken over)
    {
        try
        {
            _migration = New();
            await qemu.Monitor.SendAsync("migrate-set-capabilities", TellEvents).ConfigureAwait(false);
            await qemu.Monitor.SendAsync("migrate-incoming", $"{{\"uri\":\"fd:{QemuCommandLine.StateDescriptor}\"}}", CommandId).ConfigureAwait(false);
            using (Socket state = qemu.State!)
            {
                var stream = new NetworkStream(state);
                await using (stream.ConfigureAwait(false))
                {
                    if (!await keeper.FeedAsync(saved!, stream, over).ConfigureAwait(false))
                    {
                        return new GuestEvent.LoadFailed($"The guest's saved memory is damaged: its checksum is not {saved!.Checksum}. {StateKeeper.WayOut}");
                    }
                }
            }

            return await _migration.Task.ConfigureAwait(false) is { } failure
                ? new GuestEvent.LoadFailed($"QEMU can't load the guest's saved memory. {failure} {StateKeeper.WayOut}")
                : new GuestEvent.StateLoaded();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
        catch (IOException e) when (e.InnerException is SocketException)
        {
            // QEMU took no more of it: it ends, and says why.
            return null;
        }
        catch (IOException e)
        {
            return new GuestEvent.LoadFailed($"The guest's saved memory can't be read: {e.Message} {StateKeeper.WayOut}");
        }
    }

    /// <summary>The saved state counts no more.</summary>
    internal void Forget() => keeper.Forget();

    private async Task<(long Bytes, string Checksum)> ReceiveAsync(CancellationToken over)
    {
        string path = Path.Combine(directory, "state.sock");
        File.Delete(path);
        using var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen(1);
        await qemu.Monitor.SendAsync("migrate-set-capabilities", TellEvents).ConfigureAwait(false);
        await qemu.Monitor.SendAsync("migrate-set-parameters", NoLimit).ConfigureAwait(false);
        await qemu.Monitor.SendAsync("migrate", $"{{\"uri\":\"unix:{JsonEncodedText.Encode(path)}\"}}", CommandId).ConfigureAwait(false);
        using var given = CancellationTokenSource.CreateLinkedTokenSource(over);
        Task<Socket> connects = listener.AcceptAsync(given.Token).AsTask();
        if (await Task.WhenAny(connects, _migration.Task).ConfigureAwait(false) != connects)
        {
            await given.CancelAsync().ConfigureAwait(false);
            throw new IOException(await _migration.Task.ConfigureAwait(false) ?? "QEMU's migration sent nothing.");
        }

        try
        {
            using Socket socket = await connects.ConfigureAwait(false);
            var stream = new NetworkStream(socket);
            await using (stream.ConfigureAwait(false))
            {
                (long, string) received = await keeper.ReceiveAsync(stream, over).ConfigureAwait(false);
                return await _migration.Task.ConfigureAwait(false) is { } failure ? throw new IOException(failure) : received;
            }
        }
        catch (IOException)
        {
            // QEMU has to hear that nobody listens before its guest can go on.
            await _migration.Task.ConfigureAwait(false);
            throw;
        }
    }

    private GuestEvent.SaveFailed Failed(IOException e)
    {
        keeper.Drop();
        string why = Files.IsNoSpace(e)
            ? "The claim has no room for the guest's memory. Make the claim larger, or free room on it; it is then tried again."
            : $"The guest's memory could not be saved: {e.Message} Set spec.powerState to Running and back to Suspended to try again.";
        Log.Line("save.failed", ("error", e.Message));
        return new GuestEvent.SaveFailed(why);
    }

    private static TaskCompletionSource<string?> New() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
