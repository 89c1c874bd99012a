using System.Net.Sockets;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner.Http;

/// <summary>
/// Answers <c>GET /readyz</c> and <c>GET /v1/events</c>; written by hand because a web server would take more memory than all the rest of
/// the runner. One request a connection, bounded in size, time and number.
/// </summary>
internal sealed class HttpServer : IDisposable
{
    private const int MaxConnections = 32;
    private static readonly TimeSpan s_headLimit = TimeSpan.FromSeconds(5);

    // A peer that takes nothing for so long is dead, and its place is another's.
    private static readonly TimeSpan s_sendLimit = TimeSpan.FromSeconds(30);

    private readonly CancellationTokenSource _stop = new();
    private readonly StateHub _states;
    private readonly Acceptor _acceptor;

    /// <summary>Listens on all addresses.</summary>
    /// <param name="port">The TCP port; 0 takes a free one.</param>
    /// <param name="states">What is served.</param>
    internal HttpServer(int port, StateHub states)
    {
        _states = states;
        _acceptor = new Acceptor(address: null, port, MaxConnections, ServeAsync, _stop.Token);
    }

    /// <summary>The port it listens on.</summary>
    internal int Port => _acceptor.Port;

    /// <summary>Waits until all listeners have heard that it is over, as far as the time allows.</summary>
    internal void Drain(TimeSpan limit) => _acceptor.Drain(limit);

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _acceptor.Dispose();
    }

    private async Task ServeAsync(Socket client)
    {
        (string? path, int refusal) = await ReadHeadAsync(client).ConfigureAwait(false);
        switch (path)
        {
            case "/v1/events":
                await StreamAsync(client).ConfigureAwait(false);
                break;
            case "/readyz":
                string phase = _states.Current.State.Phase;
                bool ready = phase is RunnerPhases.Running or RunnerPhases.Paused;
                await AnswerAsync(client, ready ? "200 OK" : "503 Service Unavailable", phase).ConfigureAwait(false);
                break;
            case null:
                await AnswerAsync(client, refusal == 405 ? "405 Method Not Allowed\r\nAllow: GET" : "400 Bad Request", "only GET is understood").ConfigureAwait(false);
                break;
            default:
                await AnswerAsync(client, "404 Not Found", "there are /readyz and /v1/events").ConfigureAwait(false);
                break;
        }
    }

    private async Task<(string? Path, int Refusal)> ReadHeadAsync(Socket client)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        limit.CancelAfter(s_headLimit);
        byte[] head = new byte[HttpRequestLine.MaxHead];
        for (int length = 0; length < head.Length;)
        {
            int count = await client.ReceiveAsync(head.AsMemory(length), limit.Token).ConfigureAwait(false);
            length += count;
            if (head.AsSpan(0, length).IndexOf("\r\n\r\n"u8) >= 0)
            {
                return HttpRequestLine.Parse(head.AsSpan(0, length));
            }

            if (count == 0)
            {
                break;
            }
        }

        return (null, 400);
    }

    private async Task StreamAsync(Socket client)
    {
        // The body ends where the connection does: the plainest form there is of a stream without known length.
        await SendAsync(client, "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"u8.ToArray()).ConfigureAwait(false);
        using var gone = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        Task watching = WatchAsync(client, gone);
        while (true)
        {
            (RunnerState state, int number) = _states.Current;
            byte[] json = JsonSerializer.SerializeToUtf8Bytes(state, ContractJson.Default.RunnerState);
            await SendAsync(client, [.. json, (byte)'\n']).ConfigureAwait(false);
            if (state.Phase == RunnerPhases.Ended)
            {
                client.Shutdown(SocketShutdown.Send);
                return;
            }

            await _states.WaitAsync(number, gone.Token).ConfigureAwait(false);
        }
    }

    /// <summary>Notices that the listener hung up, so that it doesn't keep its place until the next change.</summary>
    private static async Task WatchAsync(Socket client, CancellationTokenSource gone)
    {
        byte[] ignored = new byte[256];
        try
        {
            while (await client.ReceiveAsync(ignored, gone.Token).ConfigureAwait(false) > 0)
            {
            }

            await gone.CancelAsync().ConfigureAwait(false);
        }
        catch (Exception e) when (e is SocketException or ObjectDisposedException or OperationCanceledException)
        {
            try
            {
                await gone.CancelAsync().ConfigureAwait(false);
            }
            catch (ObjectDisposedException)
            {
                // The stream ended first.
            }
        }
    }

    private Task AnswerAsync(Socket client, string status, string text) => SendAsync(
        client, Encoding.ASCII.GetBytes($"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {text.Length + 1}\r\nConnection: close\r\n\r\n{text}\n"));

    private async Task SendAsync(Socket client, byte[] bytes)
    {
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        limit.CancelAfter(s_sendLimit);
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await client.SendAsync(bytes.AsMemory(sent), limit.Token).ConfigureAwait(false);
        }
    }
}
