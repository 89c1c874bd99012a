using System.Collections.Concurrent;
using System.Text;
using k8s;
using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Hosting.Server.Features;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;

namespace SandLabX.Unit.Runtime;

/// <summary>A request that the server got.</summary>
internal sealed record Seen(string Method, string Path, string Query, string Body, string ContentType)
{
    public bool IsWatch => Query.Contains("watch=true", StringComparison.Ordinal);

    public string? Param(string name) =>
        Microsoft.AspNetCore.WebUtilities.QueryHelpers.ParseQuery(Query).TryGetValue(name, out var value) ? value.ToString() : null;
}

/// <summary>An API server that does what a script says: for faults that a real one does not show on demand.</summary>
internal sealed class FakeApi : IAsyncDisposable
{
    private readonly WebApplication _app;

    private FakeApi(WebApplication app) => _app = app;

    public ConcurrentQueue<Seen> Requests { get; } = new();

    public Func<Seen, HttpContext, Task> Answer { get; set; } = (_, c) => Status(c, 404, "NotFound", "nothing here");

    public IEnumerable<Seen> Lists => Requests.Where(r => r.Method == "GET" && !r.IsWatch);

    public IEnumerable<Seen> Watches => Requests.Where(r => r.IsWatch);

    public IEnumerable<Seen> Writes => Requests.Where(r => r.Method != "GET");

    public KubernetesClientConfiguration Config =>
        new() { Host = _app.Services.GetRequiredService<IServer>().Features.Get<IServerAddressesFeature>()!.Addresses.First() };

    public static async Task<FakeApi> StartAsync(Func<Seen, HttpContext, Task>? answer = null)
    {
        WebApplicationBuilder builder = WebApplication.CreateSlimBuilder();
        builder.Logging.ClearProviders();
        builder.WebHost.UseUrls("http://127.0.0.1:0");
        WebApplication app = builder.Build();
        var api = new FakeApi(app);
        api.Answer = answer ?? api.Answer;
        app.Run(async context =>
        {
            using var reader = new StreamReader(context.Request.Body);
            var seen = new Seen(
                context.Request.Method,
                context.Request.Path,
                context.Request.QueryString.Value ?? "",
                await reader.ReadToEndAsync(),
                context.Request.ContentType ?? "");
            api.Requests.Enqueue(seen);
            context.Response.ContentType = "application/json";
            context.Features.Get<IHttpResponseBodyFeature>()?.DisableBuffering();
            try
            {
                await api.Answer(seen, context);
            }
            catch (OperationCanceledException)
            {
                // The client went away; scripts wait for that.
            }
        });
        await app.StartAsync();
        return api;
    }

    public static Task Json(HttpContext context, string json, int code = 200)
    {
        context.Response.StatusCode = code;
        return context.Response.WriteAsync(json);
    }

    public static Task Status(HttpContext context, int code, string reason, string message) => Json(
        context, $$"""{"kind":"Status","apiVersion":"v1","status":"Failure","message":"{{message}}","reason":"{{reason}}","code":{{code}}}""", code);

    public static string List(string version, IEnumerable<string> items, string next = "") =>
        $$"""{"metadata":{"resourceVersion":"{{version}}","continue":"{{next}}"},"items":[{{string.Join(',', items)}}]}""";

    public static string Thing(string name, int version, string spec = "{}", string? uid = null, string more = "", string status = "null") =>
        $$"""{"apiVersion":"test.io/v1","kind":"Thing","metadata":{"name":"{{name}}","namespace":"ns","uid":"{{uid ?? "uid-" + name}}","resourceVersion":"{{version}}"{{more}}},"spec":{{spec}},"status":{{status}}}""";

    /// <summary>Writes one line of a watch and sends it off.</summary>
    public static async Task Line(HttpContext context, string type, string item)
    {
        await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes($$"""{"type":"{{type}}","object":{{item}}}""" + "\n"), context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    public static async Task Raw(HttpContext context, string text)
    {
        await context.Response.Body.WriteAsync(Encoding.UTF8.GetBytes(text), context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
    }

    /// <summary>Says nothing more until the client goes away.</summary>
    public static async Task Silence(HttpContext context)
    {
        await context.Response.StartAsync(context.RequestAborted);
        await context.Response.Body.FlushAsync(context.RequestAborted);
        await Task.Delay(Timeout.Infinite, context.RequestAborted);
    }

    public async ValueTask DisposeAsync()
    {
        using var now = new CancellationTokenSource(TimeSpan.FromMilliseconds(100));
        await _app.StopAsync(now.Token);
        await _app.DisposeAsync();
    }
}
