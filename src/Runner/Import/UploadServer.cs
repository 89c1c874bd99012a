using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Http;

namespace SandLabX.Runner.Import;

/// <summary>
/// The receiving end of an upload (see docs/IMAGES.md): HTTP/1.1 on the pod's loopback alone, so that who may <c>port-forward</c> to the pod may
/// upload and nobody else. Pieces may come another way as well, to all of the pod's addresses, but sealed with a ticket that was had on loopback. A later
/// piece displaces an earlier one whose connection died unnoticed.
/// </summary>
internal sealed class UploadServer : IDisposable
{
    private const int MaxConnections = 8;

    // A sender that sends nothing for so long is gone; it asks again and goes on.
    private static readonly TimeSpan s_silence = TimeSpan.FromSeconds(60);

    // For the last answer to get out before the pod ends.
    private static readonly TimeSpan s_drain = TimeSpan.FromSeconds(5);

    private readonly CancellationTokenSource _stop = new();
    private readonly Lock _lock = new();
    private readonly SemaphoreSlim _one = new(1);
    private readonly TaskCompletionSource<string> _finished = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _concluded = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly UploadReceiver _receiver;
    private readonly Acceptor _acceptor;
    private readonly Acceptor _sealedAcceptor;
    private volatile UploadReport _verdict = new(0, UploadStates.Receiving);
    private CancellationTokenSource? _present;
    private UploadTicket? _ticket;

    /// <summary>Listens.</summary>
    /// <param name="port">The TCP port on loopback; 0 takes a free one.</param>
    /// <param name="sealedPort">The TCP port for sealed pieces; 0 takes a free one.</param>
    /// <param name="receiver">What takes the bytes.</param>
    /// <param name="isWhole">True when all is there from an earlier pod: nothing more is taken, and nobody need say that it was the end.</param>
    internal UploadServer(int port, int sealedPort, UploadReceiver receiver, bool isWhole)
    {
        _receiver = receiver;
        if (isWhole)
        {
            Finish();
        }

        _acceptor = new Acceptor(IPAddress.Loopback, port, MaxConnections, ServeOneAsync, _stop.Token);
        _sealedAcceptor = new Acceptor(address: null, sealedPort, MaxConnections, ServeSealedAsync, _stop.Token);
    }

    /// <summary>The port it listens on.</summary>
    internal int Port => _acceptor.Port;

    /// <summary>The port for sealed pieces.</summary>
    internal int SealedPort => _sealedAcceptor.Port;

    /// <summary>Waits until all was sent, gives it away, and tells the sender what became of it.</summary>
    /// <param name="take">Judges what was received, by its digest; refuses it with a <see cref="RunnerEndException"/>.</param>
    /// <param name="stop">Ends the wait.</param>
    internal async Task<T> ServeAsync<T>(Func<string, Task<T>> take, CancellationToken stop)
    {
        try
        {
            T taken = await take(await _finished.Task.WaitAsync(stop).ConfigureAwait(false)).ConfigureAwait(false);
            Conclude(new UploadReport(0, UploadStates.Done));
            return taken;
        }
        catch (RunnerEndException e)
        {
            Conclude(new UploadReport(0, UploadStates.Refused, e.Reason, e.Message));
            throw;
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _stop.Cancel();
        _acceptor.Dispose();
        _sealedAcceptor.Dispose();
    }

    private void Conclude(UploadReport verdict)
    {
        _verdict = verdict;
        _concluded.TrySetResult();
        _acceptor.Drain(s_drain);
    }

    private Task ServeOneAsync(Socket client) => GuardAsync(async () =>
    {
        var exchange = new HttpExchange(client, _stop.Token);
        HttpRequestHead? head = await exchange.ReadHeadAsync().ConfigureAwait(false);
        if (head is { Method: "POST", Path: ContractNames.UploadTicketPath })
        {
            await exchange.AnswerAsync("200 OK", JsonSerializer.SerializeToUtf8Bytes(Ticket(), ContractJson.Default.UploadTicket)).ConfigureAwait(false);
            return;
        }

        string status = head switch
        {
            null => "400 Bad Request",
            { Path: not (ContractNames.UploadPath or ContractNames.UploadFinishPath or ContractNames.UploadTicketPath) } => "404 Not Found",
            { Method: "GET", Path: ContractNames.UploadPath } => "200 OK",
            { Method: "PUT", Path: ContractNames.UploadPath } => await PutAsync(exchange, head, seal: null).ConfigureAwait(false),
            { Method: "POST", Path: ContractNames.UploadFinishPath } => await FinishAsync().ConfigureAwait(false),
            _ => "405 Method Not Allowed",
        };
        await AnswerAsync(exchange, status).ConfigureAwait(false);
    });

    /// <summary>Whoever reaches the pod may come here: without a ticket nothing is told, changed or taken for a fault of the upload.</summary>
    private async Task ServeSealedAsync(Socket client)
    {
        var exchange = new HttpExchange(client, _stop.Token);
        HttpRequestHead? head = await exchange.ReadHeadAsync().ConfigureAwait(false);
        if (head is not { Method: "PUT", Path: ContractNames.UploadPath } || Redeem(head.Parameter("ticket")) is not { } ticket)
        {
            await exchange.AnswerAsync("403 Forbidden", "{}"u8.ToArray()).ConfigureAwait(false);
            return;
        }

        await GuardAsync(async () =>
        {
            using var seal = new UploadSeal(ticket);
            await AnswerAsync(exchange, await PutAsync(exchange, head, seal).ConfigureAwait(false)).ConfigureAwait(false);
        }).ConfigureAwait(false);
    }

    private async Task GuardAsync(Func<Task> serve)
    {
        try
        {
            await serve().ConfigureAwait(false);
        }
        catch (Exception e) when (e is not (SocketException or ObjectDisposedException or OperationCanceledException))
        {
            // A disk that fails, say: the upload can't go on, and the runner says why.
            _finished.TrySetException(e);
        }
    }

    private Task AnswerAsync(HttpExchange exchange, string status) => exchange.AnswerAsync(
        status, JsonSerializer.SerializeToUtf8Bytes(_verdict with { Received = Safe() }, ContractJson.Default.UploadReport));

    /// <summary>A new ticket; the one before it is void.</summary>
    private UploadTicket Ticket()
    {
        UploadTicket ticket = UploadSeal.NewTicket();
        lock (_lock)
        {
            _ticket = ticket;
        }

        return ticket;
    }

    private UploadTicket? Redeem(string? id)
    {
        lock (_lock)
        {
            UploadTicket? ticket = _ticket?.Id == id ? _ticket : null;
            _ticket = ticket is null ? _ticket : null;
            return ticket;
        }
    }

    private async Task<string> PutAsync(HttpExchange exchange, HttpRequestHead head, UploadSeal? seal)
    {
        if (head.ContentLength is not { } length)
        {
            return "411 Length Required";
        }

        if (!long.TryParse(head.Parameter("offset"), NumberStyles.None, CultureInfo.InvariantCulture, out long offset))
        {
            return "400 Bad Request";
        }

        Func<Memory<byte>, CancellationToken, ValueTask<int>> read = (buffer, given) => exchange.ReadAsync(buffer, s_silence, given);
        if (seal is not null)
        {
            if (UploadSeal.PlainLength(length) is not { } plain)
            {
                return "400 Bad Request";
            }

            read = new SealedChunks(seal, read).ReadAsync;
            length = plain;
        }

        using CancellationTokenSource mine = Displace();
        try
        {
            await _one.WaitAsync(mine.Token).ConfigureAwait(false);
            try
            {
                return await AppendAsync(exchange, head, offset, length, read, mine.Token).ConfigureAwait(false);
            }
            finally
            {
                _one.Release();
            }
        }
        finally
        {
            lock (_lock)
            {
                _present = _present == mine ? null : _present;
            }
        }
    }

    /// <summary>Ends the piece that is being received, if one is: its sender has come again.</summary>
    private CancellationTokenSource Displace()
    {
        var mine = CancellationTokenSource.CreateLinkedTokenSource(_stop.Token);
        lock (_lock)
        {
            _present?.Cancel();
            _present = mine;
        }

        return mine;
    }

    private async Task<string> AppendAsync(
        HttpExchange exchange, HttpRequestHead head, long offset, long length, Func<Memory<byte>, CancellationToken, ValueTask<int>> read, CancellationToken stop)
    {
        try
        {
            if (_verdict.State != UploadStates.Receiving || offset != _receiver.Received)
            {
                return "409 Conflict";
            }

            if (head.ExpectsContinue)
            {
                await exchange.ContinueAsync().ConfigureAwait(false);
            }

            await _receiver.AppendAsync(length, read, stop).ConfigureAwait(false);
            return "200 OK";
        }
        catch (CryptographicException)
        {
            // Not what was sealed with the ticket; all before it is.
            return "403 Forbidden";
        }
        catch (RunnerEndException e)
        {
            _verdict = new UploadReport(0, UploadStates.Refused, e.Reason, e.Message);
            _finished.TrySetException(e);
            return "422 Unprocessable Entity";
        }
    }

    private async Task<string> FinishAsync()
    {
        await _one.WaitAsync(_stop.Token).ConfigureAwait(false);
        try
        {
            if (_verdict.State == UploadStates.Receiving)
            {
                if (_receiver.Received == 0)
                {
                    return "409 Conflict";
                }

                Finish();
            }
        }
        finally
        {
            _one.Release();
        }

        await _concluded.Task.WaitAsync(_stop.Token).ConfigureAwait(false);
        return _verdict.State == UploadStates.Done ? "200 OK" : "422 Unprocessable Entity";
    }

    private void Finish()
    {
        _verdict = new UploadReport(0, UploadStates.Verifying);
        _receiver.Sync();
        _finished.TrySetResult(_receiver.Digest);
    }

    private long Safe()
    {
        try
        {
            return _verdict.State == UploadStates.Receiving ? _receiver.Sync() : _receiver.Received;
        }
        catch (ObjectDisposedException)
        {
            return _receiver.Received;
        }
    }
}
