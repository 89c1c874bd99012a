using System.Net;
using System.Net.Sockets;
using System.Net.WebSockets;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Runtime;

namespace SandLabX.Cli.Consoles;

/// <summary>A port on this machine's loopback at which a guest's screen is: a command in the pod for each viewer.</summary>
internal static class VncRelay
{
    /// <summary>Serves viewers until Ctrl-C.</summary>
    /// <param name="call">The run of the verb.</param>
    /// <param name="port">The port; 0 for a free one.</param>
    /// <param name="ready">Told the port once viewers can come.</param>
    /// <param name="pod">Finds the guest's pod, anew for each viewer: the guest may have been restarted.</param>
    /// <exception cref="CliException">The port is taken.</exception>
    internal static async Task ServeAsync(Call call, int port, Action<int> ready, Func<Task<ObjectKey>> pod)
    {
        using var listener = new TcpListener(IPAddress.Loopback, port);
        try
        {
            listener.Start();
        }
        catch (SocketException e)
        {
            throw new CliException(ExitCodes.Refused, $"--port is {port}: {e.Message}. Another one, or 0 for any that is free.", e);
        }

        ready(((IPEndPoint)listener.LocalEndpoint).Port);
        while (true)
        {
            TcpClient viewer = await listener.AcceptTcpClientAsync(call.Stop).ConfigureAwait(false);
            _ = ServeOneAsync(call, viewer, pod);
        }
    }

    private static async Task ServeOneAsync(Call call, TcpClient viewer, Func<Task<ObjectKey>> pod)
    {
        using TcpClient held = viewer;
        viewer.NoDelay = true;
        using var left = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        try
        {
            await using PodExec exec = await PodExec.OpenAsync(call.Cluster, await pod().ConfigureAwait(false), ["sandlabx-runner", "vnc"], call.Stop).ConfigureAwait(false);
            await using NetworkStream stream = viewer.GetStream();
            await using Stream errors = Console.OpenStandardError();
            await Task.WhenAny(exec.PumpAsync(stream, errors, left.Token), SendAsync(stream, exec, left.Token)).Unwrap().ConfigureAwait(false);
        }
        catch (Exception e) when (e is CliException or KubeException)
        {
            // One viewer's trouble is told and leaves the others alone.
            call.Out.Warning(e.Message);
        }
        catch (Exception e) when (e is IOException or WebSocketException or OperationCanceledException)
        {
            // The viewer, the guest or we are gone.
        }
        finally
        {
            await left.CancelAsync().ConfigureAwait(false);
        }
    }

    private static async Task SendAsync(NetworkStream viewer, PodExec exec, CancellationToken left)
    {
        byte[] buffer = new byte[16 * 1024];
        while (await viewer.ReadAsync(buffer, left).ConfigureAwait(false) is > 0 and int count)
        {
            await exec.SendAsync(buffer.AsMemory(0, count), left).ConfigureAwait(false);
        }
    }
}
