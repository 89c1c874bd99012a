using System.Net;
using System.Net.WebSockets;
using k8s.Autorest;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Connection;

/// <summary>Opens WebSockets to the API server, and says what it means when that fails.</summary>
internal static class WebSockets
{
    /// <summary>Opens one.</summary>
    /// <param name="open">The client's call.</param>
    /// <param name="what">What it leads to, for the message.</param>
    /// <exception cref="CliException">It could not be opened.</exception>
    internal static async Task<WebSocket> OpenAsync(Func<Task<WebSocket>> open, string what)
    {
        try
        {
            return await open().ConfigureAwait(false);
        }
        catch (HttpOperationException e)
        {
            throw Refused(e.Response?.StatusCode, e.Response?.Content is { Length: > 0 } words ? words : e.Message, what, e);
        }
        catch (WebSocketException e)
        {
            HttpStatusCode? code = e.Message.Contains("'404'", StringComparison.Ordinal) ? HttpStatusCode.NotFound
                : e.Message.Contains("'403'", StringComparison.Ordinal) ? HttpStatusCode.Forbidden
                : null;
            throw Refused(code, e.Message, what, e);
        }
    }

    private static CliException Refused(HttpStatusCode? code, string words, string what, Exception cause) => code switch
    {
        HttpStatusCode.NotFound => new CliException(ExitCodes.NotFound, $"There is no {what}.", cause),
        HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized => new CliException(
            ExitCodes.Refused, $"You may not reach {what}: it needs the rights get and create on pods/exec or pods/portforward. {words}", cause),
        _ => new CliException(ExitCodes.Failed, $"No connection to {what}: {words}", cause),
    };
}
