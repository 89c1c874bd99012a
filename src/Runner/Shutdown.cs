using System.Runtime.InteropServices;

namespace SandLabX.Runner;

/// <summary>SIGTERM or SIGINT, caught from the first statement on; further ones change nothing.</summary>
internal sealed class Shutdown : IDisposable
{
    private readonly CancellationTokenSource _asked = new();
    private readonly PosixSignalRegistration _terminate;
    private readonly PosixSignalRegistration _interrupt;

    internal Shutdown()
    {
        _terminate = PosixSignalRegistration.Create(PosixSignal.SIGTERM, Ask);
        _interrupt = PosixSignalRegistration.Create(PosixSignal.SIGINT, Ask);
    }

    /// <summary>Cancelled when the runner was told to end.</summary>
    internal CancellationToken Asked => _asked.Token;

    /// <inheritdoc/>
    public void Dispose()
    {
        _terminate.Dispose();
        _interrupt.Dispose();
        _asked.Dispose();
    }

    private void Ask(PosixSignalContext context)
    {
        context.Cancel = true;
        if (!_asked.IsCancellationRequested)
        {
            Log.Line("signal", ("name", context.Signal.ToString()));
            _asked.Cancel();
        }
    }
}
