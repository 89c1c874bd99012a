using System.Net;

namespace SandLabX.Runner.Import;

/// <summary>Decisions of a download.</summary>
internal static class DownloadRules
{
    /// <summary>Failures in a row until it is given up.</summary>
    internal const int MaxFailures = 5;

    /// <summary>A failure after this many new bytes is the first of a new row: a long download over a poor line goes on, a server that drips does not.</summary>
    internal const long Progress = 1024 * 1024;

    private static readonly TimeSpan s_firstWait = TimeSpan.FromMilliseconds(500);

    /// <summary>The address as it may be shown: no user, password, query or fragment, all of which hold secrets at times.</summary>
    internal static string Shown(Uri url) => url.GetComponents(UriComponents.SchemeAndServer | UriComponents.Path, UriFormat.UriEscaped);

    /// <summary>True when another try may help: the server is busy or broken. Refusals stay refusals.</summary>
    internal static bool MayHelp(HttpStatusCode status) =>
        (int)status >= 500 || status is HttpStatusCode.RequestTimeout or HttpStatusCode.TooManyRequests or (HttpStatusCode)425;

    /// <summary>The wait after so many failures in a row: 0.5 s, doubled each time.</summary>
    internal static TimeSpan Wait(int failures) => s_firstWait * Math.Pow(2, failures - 1);

    /// <summary>What names these very bytes at the server, so that the rest of them can be asked for; null when the server gives nothing of the kind.</summary>
    internal static string? Validator(string? entityTag, bool isWeak, DateTimeOffset? lastModified) =>
        entityTag is not null && !isWeak ? entityTag : lastModified?.ToString("r", null);

    /// <summary>How an answer to "the rest from <paramref name="have"/>" is to be taken.</summary>
    /// <param name="have">Bytes that are there already.</param>
    /// <param name="status">The answer's status.</param>
    /// <param name="rangeFrom">Where the answer's bytes begin, as it says.</param>
    /// <returns>The place at which its bytes are written; null when the answer is no use and all must be fetched anew.</returns>
    internal static long? WriteAt(long have, HttpStatusCode status, long? rangeFrom) => status switch
    {
        HttpStatusCode.OK => 0,
        HttpStatusCode.PartialContent when rangeFrom == have => have,
        _ => null,
    };
}
