using System.Net;
using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.WholeOperator;

/// <summary>A runner's event stream on an address of the pod's own: whoever asks is told the present state, and then each new one, until the pod ends.</summary>
internal sealed class RunnerVoice : IDisposable
{
    private static int s_last;

    private readonly TcpListener _listener;
    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private RunnerState _state;
    private TaskCompletionSource _news = Fresh();
    private bool _over;

    public RunnerVoice(RunnerState state)
    {
        _state = state;

        // The port is everybody's; so each pod is another host of 127/8, and each process of tests has a net of its own.
        int n = Interlocked.Increment(ref s_last);
        Ip = $"127.{100 + (Environment.ProcessId % 100)}.{n / 250}.{(n % 250) + 1}";
        _listener = new TcpListener(IPAddress.Parse(Ip), ContractNames.Port);
        _listener.Start();
        _ = AcceptAsync();
    }

    public string Ip { get; }

    /// <summary>The present state.</summary>
    public RunnerState State
    {
        get
        {
            lock (_lock)
            {
                return _state;
            }
        }
    }

    public void Say(RunnerState state)
    {
        lock (_lock)
        {
            _state = state;
            _over = state.Phase == RunnerPhases.Ended;
            _news.SetResult();
            _news = Fresh();
        }
    }

    public void Dispose()
    {
        _stop.Cancel();
        _listener.Stop();
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
            {
                _ = ServeAsync(await _listener.AcceptSocketAsync(_stop.Token));
            }
        }
        catch (Exception e) when (e is OperationCanceledException or SocketException or ObjectDisposedException)
        {
            // The pod is gone.
        }
    }

    private async Task ServeAsync(Socket socket)
    {
        using var stream = new NetworkStream(socket, ownsSocket: true);
        try
        {
            byte[] request = new byte[4096];
            _ = await stream.ReadAsync(request, _stop.Token);
            await stream.WriteAsync("HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nConnection: close\r\n\r\n"u8.ToArray(), _stop.Token);
            while (true)
            {
                (RunnerState state, Task news, bool over) = Look();
                await stream.WriteAsync(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(state, ContractJson.Default.RunnerState) + "\n"), _stop.Token);
                if (over)
                {
                    return;
                }

                await news.WaitAsync(_stop.Token);
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException)
        {
            // Nobody listens any more.
        }
    }

    private (RunnerState State, Task News, bool Over) Look()
    {
        lock (_lock)
        {
            return (_state, _news.Task, _over);
        }
    }

    private static TaskCompletionSource Fresh() => new(TaskCreationOptions.RunContinuationsAsynchronously);
}
