using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;

namespace SandLabX.Runtime;

/// <summary>The one place where refusals and faults become a <see cref="KubeException"/>.</summary>
internal static class KubeErrors
{
    private const int MaxBody = 500;

    /// <summary>From an answer that was not a success.</summary>
    public static KubeException From(HttpResponseMessage answer, string body, string what)
    {
        string message = "";
        string reason = "";
        TimeSpan? wait = null;
        try
        {
            using JsonDocument status = JsonDocument.Parse(body);
            (message, reason, wait) = Read(status.RootElement);
        }
        catch (JsonException)
        {
            // A proxy or a server in distress answers with something else; its first words must do.
            message = body.Length > MaxBody ? body[..MaxBody] : body;
        }

        return new KubeException(Kind(answer.StatusCode, reason), $"{what}: {(int)answer.StatusCode} {message}".TrimEnd())
        {
            Reason = reason,
            StatusCode = (int)answer.StatusCode,
            RetryAfter = Wait(answer.Headers.RetryAfter) ?? wait,
        };
    }

    /// <summary>From the Status object that a watch sends in an ERROR event.</summary>
    public static KubeException FromStatus(JsonElement status, string what)
    {
        (string message, string reason, TimeSpan? wait) = Read(status);
        int code = status.ValueKind == JsonValueKind.Object && status.TryGetProperty("code", out JsonElement c) && c.TryGetInt32(out int n) ? n : 500;
        return new KubeException(Kind((HttpStatusCode)code, reason), $"{what}: {code} {message}".TrimEnd())
        {
            Reason = reason,
            StatusCode = code,
            RetryAfter = wait,
        };
    }

    /// <summary>From a fault of the network, of the client or of what it read.</summary>
    public static KubeException From(Exception fault, string what) => fault as KubeException ?? new KubeException($"{what}: {fault.Message}", fault);

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

    private static (string Message, string Reason, TimeSpan? Wait) Read(JsonElement status)
    {
        if (status.ValueKind != JsonValueKind.Object)
        {
            return ("", "", null);
        }

        TimeSpan? wait = status.TryGetProperty("details", out JsonElement details) && details.ValueKind == JsonValueKind.Object
            && details.TryGetProperty("retryAfterSeconds", out JsonElement seconds) && seconds.TryGetInt32(out int s) && s > 0
            ? TimeSpan.FromSeconds(s)
            : null;
        return (Text(status, "message"), Text(status, "reason"), wait);
    }

    private static string Text(JsonElement status, string name) =>
        status.TryGetProperty(name, out JsonElement value) && value.ValueKind == JsonValueKind.String ? value.GetString()! : "";

    private static TimeSpan? Wait(RetryConditionHeaderValue? header) => header?.Delta;
}
