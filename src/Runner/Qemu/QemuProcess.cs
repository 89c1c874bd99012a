using System.Net.Sockets;
using System.Text;
using SandLabX.Contract;
using SandLabX.Runner.Boot;
using SandLabX.Runner.Disk;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Qemu;

/// <summary>A QEMU that was started, with the streams it was born with.</summary>
internal sealed class QemuProcess : IDisposable
{
    private const int KeptErrors = 2 * 1024;

    private readonly Child _child;
    private readonly Socket _errors;
    private readonly Task<string> _complaints;
    private readonly long _memoryKills = ControlGroup.OutOfMemoryKills();

    private QemuProcess(Child child, Socket monitor, Socket serial, Socket errors, Socket? state)
    {
        _child = child;
        _errors = errors;
        State = state;
        Monitor = new QmpConnection(monitor);
        Serial = serial;
        _complaints = CollectAsync();
    }

    /// <summary>The runner's monitor.</summary>
    internal QmpConnection Monitor { get; }

    /// <summary>The guest's serial port.</summary>
    internal Socket Serial { get; }

    /// <summary>Where a suspended guest's state goes in; null when the guest boots.</summary>
    internal Socket? State { get; }

    /// <summary>Starts QEMU for a guest.</summary>
    /// <param name="children">Starts processes.</param>
    /// <param name="config">What is wished.</param>
    /// <param name="accelerator">What was chosen.</param>
    /// <param name="media">What the guest finds beside its disk.</param>
    /// <param name="directory">Folder of the sockets.</param>
    /// <param name="diskLock">The disk's lock, which QEMU keeps as long as it lives.</param>
    /// <param name="resumes">Whether the guest is one that was suspended.</param>
    /// <exception cref="IOException">The program can't be started.</exception>
    internal static async Task<QemuProcess> StartAsync(Children children, RunnerConfig config, string accelerator, BootMedia media, string directory, OverlayLock diskLock, bool resumes)
    {
        (Socket Mine, Descriptor Theirs)? state = resumes ? Children.Pair() : null;
        (Socket monitor, Descriptor monitorEnd) = Children.Pair();
        (Socket serial, Descriptor serialEnd) = Children.Pair();
        (Socket errors, Descriptor errorsEnd) = Children.Pair();
        using (monitorEnd)
        using (serialEnd)
        using (errorsEnd)
        using (state?.Theirs)
        {
            Child child = await children.StartAsync(
                WithParent(QemuCommandLine.ForGuest(config, accelerator, directory, media, resumes)),
                [
                    (errorsEnd.Number, 2),
                    (monitorEnd.Number, QemuCommandLine.MonitorDescriptor),
                    (serialEnd.Number, QemuCommandLine.SerialDescriptor),
                    (diskLock.Descriptor, QemuCommandLine.LockDescriptor),
                    .. state is { } pair ? ((int, int)[])[(pair.Theirs.Number, QemuCommandLine.StateDescriptor)] : [],
                ]).ConfigureAwait(false);
            return new QemuProcess(child, monitor, serial, errors, state?.Mine);
        }
    }

    /// <summary>Waits for QEMU's end.</summary>
    internal async Task<GuestEvent.QemuEnded> EndAsync()
    {
        int code = await _child.Exited.ConfigureAwait(false);
        return new GuestEvent.QemuEnded(code, await _complaints.ConfigureAwait(false), ControlGroup.OutOfMemoryKills() > _memoryKills);
    }

    /// <summary>Ends it the hard way.</summary>
    internal void Kill() => _child.Signal(Native.Kill);

    /// <summary>QEMU's process number.</summary>
    internal int Id => _child.Id;

    /// <inheritdoc/>
    public void Dispose()
    {
        Monitor.Dispose();
        Serial.Dispose();
        _errors.Dispose();
        State?.Dispose();
    }

    /// <summary>QEMU must not outlive the runner. As PID 1 the runner takes all with it when it goes; elsewhere the kernel is asked to.</summary>
    private static IReadOnlyList<string> WithParent(IReadOnlyList<string> command) =>
        Environment.ProcessId == 1 ? command : ["setpriv", "--pdeathsig", "KILL", "--", .. command];

    private async Task<string> CollectAsync()
    {
        var kept = new List<byte>();
        byte[] buffer = new byte[1024];
        try
        {
            while (await _errors.ReceiveAsync(buffer).ConfigureAwait(false) is > 0 and int count)
            {
                Log.Line("qemu", ("says", Encoding.UTF8.GetString(buffer, 0, count)));
                kept.AddRange(buffer.AsSpan(0, count));
                if (kept.Count > KeptErrors)
                {
                    kept.RemoveRange(0, kept.Count - KeptErrors);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // Closed with the runner.
        }

        return Encoding.UTF8.GetString(kept.ToArray());
    }
}
