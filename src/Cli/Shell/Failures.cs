using System.Net.WebSockets;
using k8s.Autorest;
using k8s.Exceptions;
using SandLabX.Runtime;

namespace SandLabX.Cli.Shell;

/// <summary>What an exception means to the user: the one place where faults become an exit code and words.</summary>
internal static class Failures
{
    /// <summary>The exit code and the words of a fault.</summary>
    internal static (int ExitCode, string Message) Tell(Exception fault) => fault switch
    {
        CliException known => (known.ExitCode, known.Message),
        OperationCanceledException => (ExitCodes.Interrupted, "interrupted"),
        KubeException kube => (Code(kube.Kind), kube.Message + Hint(kube)),
        HttpOperationException http => (ExitCodes.Failed, $"{(int)(http.Response?.StatusCode ?? 0)} {http.Response?.Content ?? http.Message}"),
        KubeConfigException config => (ExitCodes.Usage, $"The kubeconfig can't be used: {config.Message}"),
        WebSocketException or HttpRequestException or System.Net.Sockets.SocketException => (ExitCodes.Failed, $"The connection failed: {Innermost(fault).Message}"),
        UnauthorizedAccessException or IOException => (ExitCodes.Failed, fault.Message),
        _ => (ExitCodes.Failed, $"{fault.GetType().Name}: {fault.Message}. This is a fault of the program; SANDLABX_DEBUG=1 shows where. Please report it."),
    };

    private static int Code(KubeError kind) => kind switch
    {
        KubeError.NotFound => ExitCodes.NotFound,
        KubeError.AlreadyExists or KubeError.Conflict or KubeError.Forbidden => ExitCodes.Refused,
        KubeError.Invalid => ExitCodes.Usage,
        _ => ExitCodes.Failed,
    };

    private static string Hint(KubeException fault) => fault switch
    {
        { Kind: KubeError.Forbidden } => "\nAsk who runs the cluster for that right; 'kubectl sandlabx doctor' lists the rights that each verb needs.",
        { Kind: KubeError.NotFound } when fault.Message.Contains($"/{Entities.Api.Group}/", StringComparison.Ordinal) && fault.Reason.Length == 0 =>
            "\nSandLabX is not installed in this cluster, or not in this version; 'kubectl sandlabx doctor' tells.",
        { StatusCode: null, Kind: KubeError.Transient } => "\nIs it the right cluster (--context), and is it up?",
        _ => "",
    };

    private static Exception Innermost(Exception fault)
    {
        while (fault.InnerException is { } inner)
        {
            fault = inner;
        }

        return fault;
    }
}
