using System.Net.Sockets;

namespace SandLabX.Runner.Consoles;

/// <summary>
/// <c>sandlabx-runner vnc</c>: joins standard input and output to QEMU's VNC server. Through the API's exec a viewer reaches the guest's screen so, with the
/// rights of whoever may exec, and no port is open in the pod.
/// </summary>
internal static class VncVerb
{
    /// <summary>Name of QEMU's socket in the folder of sockets.</summary>
    internal const string SocketName = "vnc.sock";

    /// <summary>Runs it; gives the exit code.</summary>
    internal static async Task<int> RunAsync(string directory)
    {
        string path = Path.Combine(directory, SocketName);
        using var socket = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        try
        {
            await socket.ConnectAsync(new UnixDomainSocketEndPoint(path)).ConfigureAwait(false);
        }
        catch (SocketException e)
        {
            await Console.Error.WriteLineAsync(File.Exists(path) ? $"no screen at {path}: {e.Message}" : $"no screen at {path}: no guest runs here").ConfigureAwait(false);
            return 1;
        }

        await using var screen = new NetworkStream(socket);
        await using Stream input = Console.OpenStandardInput();
        await using Stream output = Console.OpenStandardOutput();

        // Whoever is cut off leaves no viewer behind: the end of the input is the end.
        await (await Task.WhenAny(Copy(input, screen), Copy(screen, output)).ConfigureAwait(false)).ConfigureAwait(false);
        return 0;
    }

    private static Task Copy(Stream from, Stream to) => Task.Run(async () =>
    {
        try
        {
            await from.CopyToAsync(to).ConfigureAwait(false);
        }
        catch (IOException)
        {
            // The viewer or the guest is gone.
        }
    });
}
