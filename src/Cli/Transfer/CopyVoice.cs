using System.Net.WebSockets;
using System.Text.Json;
using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Contract;
using SandLabX.Runtime;

namespace SandLabX.Cli.Transfer;

/// <summary>A pod that copies a disk by itself: waited for, and listened to meanwhile.</summary>
internal static class CopyVoice
{
    private static readonly TimeSpan s_again = TimeSpan.FromSeconds(1);

    /// <summary>Waits until it is over; its last word.</summary>
    /// <param name="cluster">The cluster.</param>
    /// <param name="pod">The pod; it runs, or is over.</param>
    /// <param name="progress">Told what it is at, and how many bytes it has, where that can be heard.</param>
    /// <param name="clock">Measures waits.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <exception cref="CliException">Its runner waits for an upload instead.</exception>
    internal static async Task<TerminationReport> EndedAsync(Cluster cluster, V1Pod pod, Action<string, long> progress, TimeProvider clock, CancellationToken stop)
    {
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        progress("being copied", 0);
        Task listening = ListenAsync(cluster, pod, progress, clock, over.Token);
        Task<TerminationReport> ending = RunnerPod.EndedAsync(cluster, pod, over.Token);
        try
        {
            if (await Task.WhenAny(ending, listening).ConfigureAwait(false) == listening)
            {
                await listening.ConfigureAwait(false);
                throw new CliException(
                    ExitCodes.Failed, "The runner in the cluster is of a version that knows no --source-claim, and waits for the bytes. Bring SandLabX to this program's version, or leave out --source-claim.");
            }

            return await ending.ConfigureAwait(false);
        }
        finally
        {
            await over.CancelAsync().ConfigureAwait(false);
            await Task.WhenAll(listening, ending).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Listens until it is told to stop, or hears that the runner waits for an upload. What can't be heard is no matter: the pod works all the same.</summary>
    private static async Task ListenAsync(Cluster cluster, V1Pod pod, Action<string, long> progress, TimeProvider clock, CancellationToken stop)
    {
        using HttpClient client = PortForward.HttpClient(cluster, ObjectKey.Of(pod), ContractNames.Port);
        while (true)
        {
            try
            {
                using HttpResponseMessage answer = await client.GetAsync(new Uri("/v1/events", UriKind.Relative), HttpCompletionOption.ResponseHeadersRead, stop).ConfigureAwait(false);
                using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(stop).ConfigureAwait(false));
                while (await lines.ReadLineAsync(stop).ConfigureAwait(false) is { } line)
                {
                    if (JsonSerializer.Deserialize(line, ContractJson.Default.RunnerState) is not { } state)
                    {
                        continue;
                    }

                    if (state.Phase == RunnerPhases.Receiving)
                    {
                        return;
                    }

                    progress(state.Phase == RunnerPhases.Verifying ? "being checked" : "being copied", state.ReceivedBytes ?? 0);
                }
            }
            catch (Exception e) when (e is HttpRequestException or IOException or JsonException or WebSocketException or CliException)
            {
                // It broke, or the pod is over, which its end will tell.
            }

            await Task.Delay(s_again, clock, stop).ConfigureAwait(false);
        }
    }
}
