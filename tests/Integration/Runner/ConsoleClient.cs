using System.Net.Sockets;
using System.Text;

namespace SandLabX.Integration.Runner;

/// <summary>A client of the console's sockets.</summary>
internal static class ConsoleClient
{
    public static async Task<Socket> ConnectAsync(RunnerProcess runner, string name = "console.sock")
    {
        var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        await socket.ConnectAsync(new UnixDomainSocketEndPoint(Path.Combine(runner.RunDirectory, name)));
        return socket;
    }

    public static async Task TypeAsync(RunnerProcess runner, string text)
    {
        using Socket socket = await ConnectAsync(runner, "console-live.sock");
        await socket.SendAsync(Encoding.ASCII.GetBytes(text));
    }

    public static async Task<string> ReadUntilAsync(Socket socket, string text)
    {
        using var limit = new CancellationTokenSource(RunnerProcess.Patience);
        var seen = new StringBuilder();
        byte[] buffer = new byte[4096];
        while (!seen.ToString().Contains(text, StringComparison.Ordinal))
        {
            int count = await socket.ReceiveAsync(buffer, limit.Token);
            count.ShouldBeGreaterThan(0, $"the console ended after: {seen}");
            seen.Append(Encoding.ASCII.GetString(buffer, 0, count));
        }

        return seen.ToString();
    }
}
