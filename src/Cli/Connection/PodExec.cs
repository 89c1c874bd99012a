using System.Net.WebSockets;
using System.Text;
using System.Text.Json;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>A command in a pod, with its standard streams; without a terminal of its own, so that every byte passes as it is.</summary>
internal sealed class PodExec : IAsyncDisposable
{
    private const byte Input = 0;
    private const byte Output = 1;
    private const byte Errors = 2;
    private const byte Verdict = 3;

    private readonly ChannelSocket _channels;

    private PodExec(ChannelSocket channels) => _channels = channels;

    /// <summary>Begins a command.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="pod">A pod that the operator made.</param>
    /// <param name="command">The command and its arguments.</param>
    /// <param name="stop">Ends the opening.</param>
    /// <exception cref="CliException">The pod is not there, or the server does not let the user.</exception>
    internal static async Task<PodExec> OpenAsync(Cluster cluster, ObjectKey pod, IEnumerable<string> command, CancellationToken stop)
    {
        WebSocket socket = await WebSockets.OpenAsync(
            () => cluster.Client.WebSocketNamespacedPodExecAsync(
                pod.Name, pod.Namespace, command, RunnerPods.ContainerName, stderr: true, stdin: true, stdout: true, tty: false, "v4.channel.k8s.io", cancellationToken: stop),
            $"command in pod {pod}").ConfigureAwait(false);
        return new PodExec(new ChannelSocket(socket));
    }

    /// <summary>Sends standard input. There is no way to say its end but to end the connection.</summary>
    internal Task SendAsync(ReadOnlyMemory<byte> bytes, CancellationToken stop) => _channels.SendAsync(Input, bytes, stop);

    /// <summary>Hands on what the command writes until it ends.</summary>
    /// <param name="output">Where its output goes.</param>
    /// <param name="errors">Where its errors go.</param>
    /// <param name="stop">Ends the wait, not the command.</param>
    /// <returns>The command's exit code; null when the connection ended before the command did.</returns>
    internal async Task<int?> PumpAsync(Stream output, Stream errors, CancellationToken stop)
    {
        byte[] buffer = new byte[64 * 1024];
        var verdict = new StringBuilder();
        try
        {
            while (await _channels.ReceiveAsync(buffer, stop).ConfigureAwait(false) is var (channel, count))
            {
                switch (channel)
                {
                    case Output:
                        await WriteAsync(output, buffer.AsMemory(0, count), stop).ConfigureAwait(false);
                        break;
                    case Errors:
                        await WriteAsync(errors, buffer.AsMemory(0, count), stop).ConfigureAwait(false);
                        break;
                    case Verdict when count > 0:
                        verdict.Append(Encoding.UTF8.GetString(buffer, 0, count));
                        break;
                }
            }
        }
        catch (WebSocketException)
        {
            // The pod went, or the server: what was said so far counts.
        }

        return ExitCode(verdict.ToString());
    }

    /// <summary>The exit code that a verdict tells: a Status object, whose causes hold the code when it is not 0. Null for what is none.</summary>
    internal static int? ExitCode(string verdict)
    {
        if (verdict.Length == 0)
        {
            return null;
        }

        try
        {
            using JsonDocument status = JsonDocument.Parse(verdict);
            if (status.RootElement.TryGetProperty("status", out JsonElement word) && word.ValueEquals("Success"))
            {
                return 0;
            }

            if (status.RootElement.TryGetProperty("details", out JsonElement details) && details.TryGetProperty("causes", out JsonElement causes))
            {
                foreach (JsonElement cause in causes.EnumerateArray())
                {
                    if (cause.TryGetProperty("reason", out JsonElement reason) && reason.ValueEquals("ExitCode")
                        && int.TryParse(cause.GetProperty("message").GetString(), out int code))
                    {
                        return code;
                    }
                }
            }

            throw new CliException(ExitCodes.Failed, $"The command could not be run in the pod: {(status.RootElement.TryGetProperty("message", out JsonElement words) ? words.GetString() : verdict)}");
        }
        catch (JsonException)
        {
            throw new CliException(ExitCodes.Failed, $"The command could not be run in the pod: {verdict}");
        }
    }

    /// <inheritdoc/>
    public ValueTask DisposeAsync() => _channels.DisposeAsync();

    private static async Task WriteAsync(Stream stream, ReadOnlyMemory<byte> bytes, CancellationToken stop)
    {
        await stream.WriteAsync(bytes, stop).ConfigureAwait(false);
        await stream.FlushAsync(stop).ConfigureAwait(false);
    }
}
