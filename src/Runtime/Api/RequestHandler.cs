using System.Globalization;
using System.Threading.RateLimiting;

namespace SandLabX.Runtime;

/// <summary>What every request to the API server passes: a token bucket, so that a bug never floods the server, and a count by code and method.</summary>
internal sealed class RequestHandler(OperatorSettings settings) : DelegatingHandler
{
    private readonly TokenBucketRateLimiter _limiter = new(new TokenBucketRateLimiterOptions
    {
        TokenLimit = settings.RequestBurst,
        TokensPerPeriod = Math.Max(1, settings.RequestsPerSecond / 10),
        ReplenishmentPeriod = TimeSpan.FromMilliseconds(100),
        QueueLimit = int.MaxValue,
        AutoReplenishment = true,
    });

    protected override async Task<HttpResponseMessage> SendAsync(HttpRequestMessage request, CancellationToken cancellationToken)
    {
        using RateLimitLease lease = await _limiter.AcquireAsync(1, cancellationToken).ConfigureAwait(false);
        string code = "error";
        try
        {
            HttpResponseMessage answer = await base.SendAsync(request, cancellationToken).ConfigureAwait(false);
            code = ((int)answer.StatusCode).ToString(CultureInfo.InvariantCulture);
            return answer;
        }
        finally
        {
            RuntimeMetrics.Requests.WithLabels(code, request.Method.Method).Inc();
        }
    }

    protected override void Dispose(bool disposing)
    {
        if (disposing)
        {
            _limiter.Dispose();
        }

        base.Dispose(disposing);
    }
}
