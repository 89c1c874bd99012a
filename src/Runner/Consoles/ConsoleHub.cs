using System.Net.Sockets;
using System.Text;

namespace SandLabX.Runner.Consoles;

/// <summary>
/// The serial console between the guest and everyone else: its output goes to the log, to standard output (<c>kubectl logs</c>) and to
/// all clients of the console's sockets; what clients type goes to the guest. No one of them can hold up the guest or another.
/// </summary>
internal sealed class ConsoleHub : IDisposable
{
    /// <summary>The socket whose clients first get the console's last bytes.</summary>
    internal const string SocketName = "console.sock";

    /// <summary>The socket whose clients get only what comes from now on.</summary>
    internal const string LiveSocketName = "console-live.sock";

    // A screenful or three: what one wants to see to know where one is.
    private const int Backlog = 8 * 1024;
    private const int MaxClients = 32;
    private const int Chunk = 4096;
    private static readonly TimeSpan s_lastInput = TimeSpan.FromSeconds(1);

    private readonly List<Socket> _listeners = [];
    private readonly SemaphoreSlim _typing = new(1);
    private readonly CancellationTokenSource _stop = new();
    private readonly Thread _guestReader;
    private readonly Thread _standardOutput;
    private readonly Socket _guest;
    private int _clients;

    /// <summary>Begins to serve.</summary>
    /// <param name="guest">The stream to QEMU's serial port.</param>
    /// <param name="directory">The folder of the sockets.</param>
    internal ConsoleHub(Socket guest, string directory)
    {
        _guest = guest;
        Listen(Path.Combine(directory, SocketName), Backlog);
        Listen(Path.Combine(directory, LiveSocketName), 0);

        // Threads of their own: QEMU writes byte by byte, and standard output may block for good.
        _guestReader = Start(ReadGuest, "console-guest");
        _standardOutput = Start(WriteStandardOutput, "console-stdout");
    }

    /// <summary>Called when a client has typed.</summary>
    internal event Action? Typed;

    /// <summary>What the guest wrote.</summary>
    internal ConsoleLog Output { get; } = new();

    /// <summary>Waits, after QEMU's end, until all that the guest wrote is taken in and written out, as far as the time allows.</summary>
    internal void Drain(TimeSpan limit)
    {
        long began = Environment.TickCount64;
        _guestReader.Join(limit);
        Output.Close();
        _standardOutput.Join(TimeSpan.FromMilliseconds(Math.Max(0, limit.TotalMilliseconds - (Environment.TickCount64 - began))));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _listeners.ForEach(listener => listener.Dispose());
        _guest.Dispose();
        Output.Close();
    }

    private static Thread Start(ThreadStart work, string name)
    {
        var thread = new Thread(work, maxStackSize: 256 * 1024) { IsBackground = true, Name = name };
        thread.Start();
        return thread;
    }

    private void Listen(string path, int backlog)
    {
        File.Delete(path);
        var listener = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        listener.Bind(new UnixDomainSocketEndPoint(path));
        listener.Listen();
        _listeners.Add(listener);
        _ = AcceptAsync(listener, backlog);
    }

    private void ReadGuest()
    {
        byte[] buffer = new byte[Chunk];
        try
        {
            while (_guest.Receive(buffer) is > 0 and int count)
            {
                Output.Append(buffer.AsSpan(0, count));
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException)
        {
            // QEMU is gone.
        }

        Output.Close();
    }

    private void WriteStandardOutput()
    {
        using Stream output = Console.OpenStandardOutput();
        byte[] buffer = new byte[Chunk];
        long place = 0;
        try
        {
            while (Output.WaitAsync(place).GetAwaiter().GetResult())
            {
                int count = Output.Read(ref place, buffer, out long lost);
                if (lost > 0)
                {
                    output.Write(Encoding.ASCII.GetBytes($"\n[{lost} bytes of the console were lost here: the log was read too slowly]\n"));
                }

                output.Write(buffer.AsSpan(0, count));
            }
        }
        catch (IOException)
        {
            // Nobody reads the log any more.
        }
    }

    private async Task AcceptAsync(Socket listener, int backlog)
    {
        while (!_stop.IsCancellationRequested)
        {
            Socket client;
            try
            {
                client = await listener.AcceptAsync(_stop.Token).ConfigureAwait(false);
            }
            catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
            {
                if (e is SocketException)
                {
                    // Out of descriptors, say: try again, but not in a tight loop.
                    await Task.Delay(TimeSpan.FromMilliseconds(100)).ConfigureAwait(false);
                }

                continue;
            }

            if (Interlocked.Increment(ref _clients) > MaxClients)
            {
                Interlocked.Decrement(ref _clients);
                client.Dispose();
                continue;
            }

            long place = Math.Max(0, Output.End - backlog);
            _ = ServeAsync(client, place);
        }
    }

    private async Task ServeAsync(Socket client, long place)
    {
        using Socket held = client;
        Task reading = TakeInputAsync(client);
        Task writing = SendOutputAsync(client, place);
        if (await Task.WhenAny(reading, writing).ConfigureAwait(false) == writing)
        {
            // A client that typed and went: what it typed may still be on its way.
            await Task.WhenAny(reading, Task.Delay(s_lastInput)).ConfigureAwait(false);
        }

        client.Dispose();
        await Task.WhenAll(reading, writing).ConfigureAwait(false);
        Interlocked.Decrement(ref _clients);
    }

    private async Task TakeInputAsync(Socket client)
    {
        byte[] buffer = new byte[Chunk];
        try
        {
            while (await client.ReceiveAsync(buffer, _stop.Token).ConfigureAwait(false) is > 0 and int count)
            {
                Typed?.Invoke();

                // One client's bytes at a time, and no more of them than the guest takes.
                await _typing.WaitAsync(_stop.Token).ConfigureAwait(false);
                try
                {
                    for (int sent = 0; sent < count;)
                    {
                        sent += await _guest.SendAsync(buffer.AsMemory(sent, count - sent), _stop.Token).ConfigureAwait(false);
                    }
                }
                finally
                {
                    _typing.Release();
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The client or the guest is gone.
        }
    }

    private async Task SendOutputAsync(Socket client, long place)
    {
        byte[] buffer = new byte[Chunk];
        try
        {
            while (await Output.WaitAsync(place).ConfigureAwait(false))
            {
                int count = Output.Read(ref place, buffer, out long lost);
                if (lost > 0)
                {
                    // A gap in the middle would show nonsense: who is that slow comes anew and gets the last bytes.
                    return;
                }

                for (int sent = 0; sent < count;)
                {
                    sent += await client.SendAsync(buffer.AsMemory(sent, count - sent), _stop.Token).ConfigureAwait(false);
                }
            }
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            // The client is gone.
        }
    }
}
