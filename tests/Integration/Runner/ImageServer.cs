using System.Net;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging;

namespace SandLabX.Integration.Runner;

/// <summary>A real HTTP server that serves files, and breaks off when it is told to.</summary>
internal sealed class ImageServer : IAsyncDisposable
{
    private readonly WebApplication _server;
    private int _breaks;

    private ImageServer(WebApplication server) => _server = server;

    /// <summary>What is served: the path, and the bytes.</summary>
    public Dictionary<string, byte[]> Files { get; } = [];

    /// <summary>The requests that came: path and range.</summary>
    public List<string> Requests { get; } = [];

    /// <summary>Breaks off so many answers in their middle.</summary>
    public int Breaks { set => _breaks = value; }

    /// <summary>Bytes a second; 0 for as fast as it goes.</summary>
    public int Speed { get; set; }

    /// <summary>Answers so many requests with 503 before it serves.</summary>
    public int Busy { get; set; }

    public string Url(string path) => $"{_server.Urls.First()}{path}";

    public static async Task<ImageServer> StartAsync()
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.ConfigureKestrel(kestrel => kestrel.Listen(IPAddress.Loopback, 0));
        WebApplication app = builder.Build();
        var server = new ImageServer(app);
        app.MapGet("/moved/{name}", (string name) => Results.Redirect($"/{name}"));
        app.MapGet("/{name}", server.ServeAsync);
        await app.StartAsync();
        return server;
    }

    public ValueTask DisposeAsync() => _server.DisposeAsync();

    private async Task ServeAsync(HttpContext context)
    {
        string path = context.Request.Path;
        lock (Requests)
        {
            Requests.Add($"{path} {context.Request.Headers.Range}");
        }

        if (Busy > 0)
        {
            Busy--;
            context.Response.StatusCode = 503;
            return;
        }

        if (!Files.TryGetValue(path, out byte[]? bytes))
        {
            context.Response.StatusCode = 404;
            return;
        }

        string tag = $"\"{bytes.Length}-{bytes[^1]}\"";
        int from = 0;
        string range = context.Request.Headers.Range.ToString();
        if (range.Length > 0 && context.Request.Headers.IfRange == tag)
        {
            from = int.Parse(range["bytes=".Length..^1], System.Globalization.CultureInfo.InvariantCulture);
            context.Response.StatusCode = 206;
            context.Response.Headers.ContentRange = $"bytes {from}-{bytes.Length - 1}/{bytes.Length}";
        }

        context.Response.Headers.ETag = tag;
        context.Response.ContentLength = bytes.Length - from;
        int end = Interlocked.Decrement(ref _breaks) >= 0 ? from + ((bytes.Length - from) / 2) : bytes.Length;
        int step = Speed > 0 ? Math.Max(1, Speed / 10) : bytes.Length;
        for (int at = from; at < end; at += step)
        {
            await context.Response.Body.WriteAsync(bytes.AsMemory(at, Math.Min(step, end - at)), context.RequestAborted);
            await context.Response.Body.FlushAsync(context.RequestAborted);
            if (Speed > 0)
            {
                await Task.Delay(100, context.RequestAborted);
            }
        }

        if (end < bytes.Length)
        {
            context.Abort();
        }
    }
}
