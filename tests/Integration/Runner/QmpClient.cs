using System.Net.Sockets;
using System.Text.Json;

namespace SandLabX.Integration.Runner;

/// <summary>QEMU's second monitor, which is for people: through it a test does to a real QEMU what a bad volume would.</summary>
internal sealed class QmpClient : IDisposable
{
    private readonly NetworkStream _stream;
    private readonly StreamReader _lines;

    private QmpClient(Socket socket)
    {
        _stream = new NetworkStream(socket, ownsSocket: true);
        _lines = new StreamReader(_stream);
    }

    public static async Task<QmpClient> ConnectAsync(RunnerProcess runner)
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(runner.RunDirectory, "qmp.sock")));
        var client = new QmpClient(socket);
        await client.DoAsync("""{"execute": "qmp_capabilities"}""");
        return client;
    }

    /// <summary>Carries a command out; what QEMU tells meanwhile is passed over.</summary>
    public async Task DoAsync(string command)
    {
        using var limit = new CancellationTokenSource(RunnerProcess.Patience);
        await _stream.WriteAsync(System.Text.Encoding.UTF8.GetBytes(command + "\n"), limit.Token);
        while (await _lines.ReadLineAsync(limit.Token) is { } line)
        {
            using JsonDocument answer = JsonDocument.Parse(line);
            answer.RootElement.TryGetProperty("error", out JsonElement error).ShouldBeFalse($"{command}: {error}");
            if (answer.RootElement.TryGetProperty("return", out _))
            {
                return;
            }
        }

        throw new InvalidOperationException($"The monitor ended before it answered {command}.");
    }

    public void Dispose()
    {
        _lines.Dispose();
        _stream.Dispose();
    }
}
