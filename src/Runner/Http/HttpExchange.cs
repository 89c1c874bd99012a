using System.Globalization;
using System.Net.Sockets;
using System.Text;

namespace SandLabX.Runner.Http;

/// <summary>What is understood of a request that may carry bytes.</summary>
/// <param name="Method">Its method, as it was sent.</param>
/// <param name="Path">Its path, without query.</param>
/// <param name="Query">Its query, without the question mark; empty when there is none.</param>
/// <param name="ContentLength">How many bytes follow; null when it does not say.</param>
/// <param name="ExpectsContinue">True when it waits to be told to go on.</param>
internal sealed record HttpRequestHead(string Method, string Path, string Query, long? ContentLength, bool ExpectsContinue)
{
    /// <summary>A parameter of the query, as it was sent; null when it is not there.</summary>
    internal string? Parameter(string name) => Query.Split('&').Where(p => p.StartsWith(name + '=', StringComparison.Ordinal)).Select(p => p[(name.Length + 1)..]).FirstOrDefault();

    /// <summary>Reads a request's head, without the empty line at its end; null when it is none, or sends its bytes in a way that is not understood.</summary>
    internal static HttpRequestHead? Parse(ReadOnlySpan<byte> head)
    {
        string[] lines = Encoding.Latin1.GetString(head).Split("\r\n");
        string[] parts = lines[0].Split(' ');
        if (parts.Length != 3 || !parts[2].StartsWith("HTTP/1.", StringComparison.Ordinal) || !parts[1].StartsWith('/'))
        {
            return null;
        }

        long? length = null;
        bool expects = false;
        foreach (string line in lines.Skip(1))
        {
            int colon = line.IndexOf(':', StringComparison.Ordinal);
            string name = colon < 0 ? "" : line[..colon];
            string value = line[(colon + 1)..].Trim();
            if (name.Equals("Content-Length", StringComparison.OrdinalIgnoreCase))
            {
                if (length is not null || !long.TryParse(value, NumberStyles.None, CultureInfo.InvariantCulture, out long given))
                {
                    return null;
                }

                length = given;
            }
            else if (name.Equals("Transfer-Encoding", StringComparison.OrdinalIgnoreCase))
            {
                return null;
            }

            expects |= name.Equals("Expect", StringComparison.OrdinalIgnoreCase) && value.Equals("100-continue", StringComparison.OrdinalIgnoreCase);
        }

        string[] target = parts[1].Split('?', 2);
        return new HttpRequestHead(parts[0], target[0], target.Length > 1 ? target[1] : "", length, expects);
    }
}

/// <summary>One request over a connection, and its answer; bounded in size and time.</summary>
internal sealed class HttpExchange(Socket client, CancellationToken stop)
{
    private static readonly TimeSpan s_headLimit = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_sendLimit = TimeSpan.FromSeconds(30);

    // A peer whose bytes nobody wants any more may still be sending them: it must see the answer, not a reset.
    private static readonly TimeSpan s_lingerLimit = TimeSpan.FromSeconds(5);

    private readonly byte[] _head = new byte[HttpRequestLine.MaxHead];
    private int _begin;
    private int _end;

    /// <summary>Reads the request's head; null when none comes, or none that is understood.</summary>
    internal async Task<HttpRequestHead?> ReadHeadAsync()
    {
        using CancellationTokenSource limit = Within(s_headLimit, stop);
        while (_end < _head.Length)
        {
            int count = await client.ReceiveAsync(_head.AsMemory(_end), limit.Token).ConfigureAwait(false);
            _end += count;
            int length = _head.AsSpan(0, _end).IndexOf("\r\n\r\n"u8);
            if (length >= 0)
            {
                _begin = length + 4;
                return HttpRequestHead.Parse(_head.AsSpan(0, length));
            }

            if (count == 0)
            {
                return null;
            }
        }

        return null;
    }

    /// <summary>Tells a peer that waits for it to send its bytes.</summary>
    internal Task ContinueAsync() => SendAsync("HTTP/1.1 100 Continue\r\n\r\n"u8.ToArray());

    /// <summary>Takes some of the bytes that follow the head.</summary>
    /// <returns>How many; 0 when the peer sends no more.</returns>
    internal async ValueTask<int> ReadAsync(Memory<byte> buffer, TimeSpan silence, CancellationToken given)
    {
        if (_begin < _end)
        {
            int count = Math.Min(buffer.Length, _end - _begin);
            _head.AsMemory(_begin, count).CopyTo(buffer);
            _begin += count;
            return count;
        }

        using CancellationTokenSource limit = Within(silence, given);
        return await client.ReceiveAsync(buffer, limit.Token).ConfigureAwait(false);
    }

    /// <summary>Answers, and ends the connection in order.</summary>
    internal async Task AnswerAsync(string status, byte[] json)
    {
        await SendAsync(Encoding.ASCII.GetBytes(
            $"HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {json.Length}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")).ConfigureAwait(false);
        await SendAsync(json).ConfigureAwait(false);
        client.Shutdown(SocketShutdown.Send);
        using CancellationTokenSource limit = Within(s_lingerLimit, stop);
        while (await client.ReceiveAsync(_head, limit.Token).ConfigureAwait(false) > 0)
        {
        }
    }

    private async Task SendAsync(byte[] bytes)
    {
        using CancellationTokenSource limit = Within(s_sendLimit, stop);
        for (int sent = 0; sent < bytes.Length;)
        {
            sent += await client.SendAsync(bytes.AsMemory(sent), limit.Token).ConfigureAwait(false);
        }
    }

    private static CancellationTokenSource Within(TimeSpan limit, CancellationToken stop)
    {
        var source = CancellationTokenSource.CreateLinkedTokenSource(stop);
        source.CancelAfter(limit);
        return source;
    }
}
