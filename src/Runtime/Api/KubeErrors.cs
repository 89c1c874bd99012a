using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace SandLabX.Runtime;

/// <summary>The one place where refusals and faults become a <see cref="KubeException"/>.</summary>
internal static class KubeErrors
{
    private const int MaxBody = 500;

    /// <summary>The cause that the API server's namespace lifecycle names (<c>NamespaceTerminatingCause</c> in k8s.io/api).</summary>
    private const string NamespaceTerminating = "NamespaceTerminating";

    /// <summary>From an answer that was not a success.</summary>
    public static KubeException From(HttpResponseMessage answer, string body, string what)
    {
        Words said;
        try
        {
            using JsonDocument status = JsonDocument.Parse(body);
            said = Read(status.RootElement);
        }
        catch (JsonException)
        {
            // A proxy or a server in distress answers with something else; its first words must do.
            said = new Words(body.Length > MaxBody ? body[..MaxBody] : body, "", null, false);
        }

        return From(said, answer.StatusCode, what, Wait(answer.Headers.RetryAfter));
    }

    /// <summary>From the Status object that a watch sends in an ERROR event.</summary>
    public static KubeException FromStatus(JsonElement status, string what)
    {
        int code = status.ValueKind == JsonValueKind.Object ? Number(status, "code") ?? 500 : 500;
        return From(Read(status), (HttpStatusCode)code, what, null);
    }

    /// <summary>From a fault of the network, of the client or of what it read.</summary>
    public static KubeException From(Exception fault, string what) => fault as KubeException ?? new KubeException($"{what}: {fault.Message}", fault);

    private static KubeException From(Words said, HttpStatusCode code, string what, TimeSpan? wait) => new(Kind(code, said.Reason), $"{what}: {(int)code} {said.Message}".TrimEnd())
    {
        Reason = said.Reason,
        StatusCode = (int)code,
        RetryAfter = wait ?? said.Wait,
        IsNamespaceEnding = said.NamespaceEnds,
    };

    private static KubeError Kind(HttpStatusCode code, string reason) => (code, reason) switch
    {
        (_, "Expired" or "Gone") or (HttpStatusCode.Gone, _) => KubeError.Gone,
        (_, "AlreadyExists") => KubeError.AlreadyExists,
        (HttpStatusCode.Conflict, _) => KubeError.Conflict,
        (HttpStatusCode.NotFound, _) => KubeError.NotFound,
        (HttpStatusCode.TooManyRequests, _) => KubeError.Throttled,
        (HttpStatusCode.Forbidden or HttpStatusCode.Unauthorized, _) => KubeError.Forbidden,
        (HttpStatusCode.RequestTimeout, _) => KubeError.Transient,
        ( >= HttpStatusCode.BadRequest and < HttpStatusCode.InternalServerError, _) => KubeError.Invalid,
        _ => KubeError.Transient,
    };

    private static Words Read(JsonElement status)
    {
        if (status.ValueKind != JsonValueKind.Object)
        {
            return new Words("", "", null, false);
        }

        JsonElement details = status.TryGetProperty("details", out JsonElement d) && d.ValueKind == JsonValueKind.Object ? d : default;
        bool known = details.ValueKind == JsonValueKind.Object;
        TimeSpan? wait = known && Number(details, "retryAfterSeconds") is > 0 and int seconds ? TimeSpan.FromSeconds(seconds) : null;
        bool ends = known && details.TryGetProperty("causes", out JsonElement causes) && causes.ValueKind == JsonValueKind.Array
            && causes.EnumerateArray().Any(cause => cause.ValueKind == JsonValueKind.Object && Text(cause, "reason") == NamespaceTerminating);
        return new Words(Text(status, "message"), Text(status, "reason"), wait, ends);
    }

    private static string Text(JsonElement status, string name) =>
        status.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    private static int? Number(JsonElement status, string name) =>
        status.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.Number && value.TryGetInt32(out int number) ? number : null;

    private static TimeSpan? Wait(RetryConditionHeaderValue? header) => header?.Delta;

    private sealed record Words(string Message, string Reason, TimeSpan? Wait, bool NamespaceEnds);
}
