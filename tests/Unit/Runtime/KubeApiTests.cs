using System.Net;
using System.Net.Sockets;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

public sealed class KubeApiTests
{
    [Theory]
    [InlineData(404, "NotFound", KubeError.NotFound)]
    [InlineData(409, "AlreadyExists", KubeError.AlreadyExists)]
    [InlineData(409, "Conflict", KubeError.Conflict)]
    [InlineData(410, "Expired", KubeError.Gone)]
    [InlineData(429, "TooManyRequests", KubeError.Throttled)]
    [InlineData(401, "Unauthorized", KubeError.Forbidden)]
    [InlineData(403, "Forbidden", KubeError.Forbidden)]
    [InlineData(422, "Invalid", KubeError.Invalid)]
    [InlineData(400, "BadRequest", KubeError.Invalid)]
    [InlineData(500, "InternalError", KubeError.Transient)]
    [InlineData(503, "ServiceUnavailable", KubeError.Transient)]
    public async Task Every_refusal_has_a_kind_and_the_servers_words(int code, string reason, KubeError kind)
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Status(c, code, reason, "because of that"));
        using KubeApi api = KubeApi.Connect(server.Config);
        KubeException e = await Should.ThrowAsync<KubeException>(() => api.CreateAsync(Given.Thing(), default));
        e.Kind.ShouldBe(kind);
        e.Reason.ShouldBe(reason);
        e.StatusCode.ShouldBe(code);
        e.Message.ShouldContain("because of that");
    }

    [Fact]
    public async Task A_wish_to_wait_is_read_from_the_header()
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) =>
        {
            c.Response.Headers.RetryAfter = "7";
            return FakeApi.Status(c, 429, "TooManyRequests", "slow down");
        });
        using KubeApi api = KubeApi.Connect(server.Config);
        (await Should.ThrowAsync<KubeException>(() => api.CreateAsync(Given.Thing(), default))).RetryAfter.ShouldBe(TimeSpan.FromSeconds(7));
    }

    [Theory]
    [InlineData("<html>bad gateway</html>", 502)]
    [InlineData("this is not json", 200)]
    [InlineData("", 200)]
    public async Task Answers_that_cannot_be_read_may_pass(string body, int code)
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(c, body, code));
        using KubeApi api = KubeApi.Connect(server.Config);
        (await Should.ThrowAsync<KubeException>(() => api.GetAsync<Thing>(Given.Key(), default))).Kind.ShouldBe(KubeError.Transient);
    }

    [Fact]
    public async Task A_server_that_is_not_there_may_come_back()
    {
        using KubeApi api = KubeApi.Connect(new KubernetesClientConfiguration { Host = "http://127.0.0.1:1" });
        (await Should.ThrowAsync<KubeException>(() => api.GetAsync<Thing>(Given.Key(), default))).Kind.ShouldBe(KubeError.Transient);
    }

    [Fact]
    public async Task An_answer_that_never_comes_is_a_fault_and_no_cancellation()
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => Task.Delay(Timeout.Infinite, c.RequestAborted));
        using var transport = new KubeTransport(server.Config, new OperatorSettings(), TimeProvider.System);
        KubeException e = await Should.ThrowAsync<KubeException>(() => transport.GetAsync("/api/v1/pods", TimeSpan.FromMilliseconds(100), default));
        e.Kind.ShouldBe(KubeError.Transient);
        e.Message.ShouldContain("no answer");
        using var stop = new CancellationTokenSource(50);
        await Should.ThrowAsync<OperationCanceledException>(() => transport.GetAsync("/api/v1/pods", null, stop.Token));
    }

    [Fact]
    public async Task A_connection_that_is_never_made_is_told_as_that()
    {
        // It takes connections and never says a word of TLS.
        using var silent = new TcpListener(IPAddress.Loopback, 0);
        silent.Start();
        var config = new KubernetesClientConfiguration { Host = $"https://{silent.LocalEndpoint}", SkipTlsVerify = true };
        using var transport = new KubeTransport(config, new OperatorSettings { ConnectTimeout = TimeSpan.FromMilliseconds(200) }, TimeProvider.System);
        KubeException e = await Should.ThrowAsync<KubeException>(() => transport.GetAsync("/api/v1/pods", null, default));
        e.Kind.ShouldBe(KubeError.Transient);
        e.Message.ShouldContain("no connection in 0.2 s");
    }

    [Fact]
    public async Task An_object_that_is_not_there_is_null()
    {
        await using FakeApi server = await FakeApi.StartAsync();
        using KubeApi api = KubeApi.Connect(server.Config);
        (await api.GetAsync<Thing>(Given.Key(), default)).ShouldBeNull();
    }

    [Fact]
    public async Task A_deletion_names_the_uid_and_a_successor_or_nothing_there_counts_as_done()
    {
        int code = 404;
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Status(c, code, code == 404 ? "NotFound" : "Conflict", "no"));
        using KubeApi api = KubeApi.Connect(server.Config);
        await api.DeleteAsync<Thing>(Given.Key(), "u1", "17", default);
        code = 409;
        await api.DeleteAsync<Thing>(Given.Key(), "u1", null, default);
        JsonObject[] bodies = [.. server.Requests.Select(r => (JsonObject)JsonNode.Parse(r.Body)!)];
        bodies[0]["preconditions"]!["uid"]!.GetValue<string>().ShouldBe("u1");
        bodies[0]["preconditions"]!["resourceVersion"]!.GetValue<string>().ShouldBe("17");
        bodies[1]["preconditions"]!["resourceVersion"].ShouldBeNull();
        code = 500;
        await Should.ThrowAsync<KubeException>(() => api.DeleteAsync<Thing>(Given.Key(), "u1", null, default));
    }

    [Fact]
    public async Task A_status_that_is_as_it_should_be_is_not_written()
    {
        await using FakeApi server = await FakeApi.StartAsync();
        using KubeApi api = KubeApi.Connect(server.Config);
        Thing thing = Given.Thing(with: t => t.Status = new ThingStatus { Phase = "Up", Notes = new() { ["a"] = "b" } });
        Thing same = await api.PatchStatusAsync(thing, new ThingStatus { Phase = "Up", Notes = new() { ["a"] = "b" } }, default);
        same.ShouldBeSameAs(thing);
        server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_status_is_written_by_its_changed_fields_with_the_version_as_precondition()
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(c, FakeApi.Thing("a", 8)));
        using KubeApi api = KubeApi.Connect(server.Config);
        Thing thing = Given.Thing(version: 7, with: t => t.Status = new ThingStatus { Phase = "Up", Count = 3, Notes = new() { ["a"] = "b", ["c"] = "d" } });
        Thing written = await api.PatchStatusAsync(thing, new ThingStatus { Phase = "Down", Notes = new() { ["a"] = "b" } }, default);
        written.Metadata.ResourceVersion.ShouldBe("8");
        Seen request = server.Requests.Single();
        request.Method.ShouldBe("PATCH");
        request.ContentType.ShouldStartWith("application/merge-patch+json");
        request.Path.ShouldBe("/apis/test.io/v1/namespaces/ns/things/a/status");
        JsonNode.DeepEquals(
            JsonNode.Parse(request.Body),
            JsonNode.Parse("""{"metadata":{"resourceVersion":"7"},"status":{"phase":"Down","count":null,"notes":{"c":null}}}""")).ShouldBeTrue(request.Body);
    }

    [Fact]
    public async Task What_a_write_returns_is_in_the_cache_and_the_callers_copy_is_its_own()
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(c, FakeApi.Thing("a", 8, """{"color":"red"}""")));
        var caches = new CacheSet();
        var cache = new Cache<Thing>();
        caches.Add(cache);
        cache.Load([], "1");
        using KubeApi api = With(server, caches);
        Thing mine = await api.CreateAsync(Given.Thing(), default);
        mine.Spec.Color = "spoiled";
        cache.Get(Given.Key())!.Spec.Color.ShouldBe("red");
    }

    [Theory]
    [InlineData("""{"kind":"Status","status":"Success","details":{"uid":"uid-a"}}""", "gone")]
    [InlineData("""{"metadata":{"name":"a","namespace":"ns","uid":"uid-a","resourceVersion":"9","deletionTimestamp":"2026-01-01T00:00:00Z","finalizers":["f"]}}""", "going")]
    [InlineData("""{"metadata":{"name":"a","namespace":"ns","uid":"uid-a","resourceVersion":"9"}}""", "unknown")]
    public async Task What_a_deletion_returns_is_in_the_cache_as_far_as_it_is_sure(string answer, string then)
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(c, answer));
        var caches = new CacheSet();
        var cache = new Cache<Thing>();
        caches.Add(cache);
        cache.Load([Given.Thing(version: 3)], "3");
        using KubeApi api = With(server, caches);
        await api.DeleteAsync<Thing>(Given.Key(), "uid-a", null, default);
        string now = cache.Get(Given.Key()) is not { } thing ? "gone" : thing.Metadata.DeletionTimestamp is null ? "unknown" : "going";
        now.ShouldBe(then);
    }

    [Fact]
    public async Task An_event_is_one_write_and_its_failure_is_nobodys()
    {
        int code = 201;
        await using FakeApi server = await FakeApi.StartAsync((_, c) => code == 201 ? FakeApi.Json(c, "{}", 201) : FakeApi.Status(c, code, "Forbidden", "no"));
        using KubeApi api = KubeApi.Connect(server.Config);
        await api.PublishEventAsync(Given.Thing(), "Normal", "Started", new string('x', 3000), default);
        JsonNode body = JsonNode.Parse(server.Requests.Single().Body)!;
        server.Requests.Single().Path.ShouldBe("/api/v1/namespaces/ns/events");
        body["involvedObject"]!["kind"]!.GetValue<string>().ShouldBe("Thing");
        body["message"]!.GetValue<string>().Length.ShouldBe(1024);
        code = 403;
        await api.PublishEventAsync(Given.Thing(), "Warning", "Failed", "no", default);
        server.Requests.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("""{"causes":[{"reason":"NamespaceTerminating","field":"metadata.namespace"}]}""", false)]
    [InlineData("""{"causes":[{"reason":"QuotaExceeded"}]}""", true)]
    [InlineData("""{"causes":["odd",7],"retryAfterSeconds":"odd"}""", true)]
    [InlineData("7", true)]
    public async Task An_event_that_a_namespace_takes_no_more_is_not_missed(string details, bool missed)
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(
            c, $$"""{"kind":"Status","message":"no","reason":"Forbidden","details":{{details}},"code":403}""", 403));
        var log = new Warnings();
        using KubeApi api = With(server, new CacheSet(), log);
        await api.PublishEventAsync(Given.Thing(), "Normal", "Started", "it runs", default);
        (log.Count > 0).ShouldBe(missed);
    }

    [Fact]
    public async Task Nothing_is_ever_put()
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) => FakeApi.Json(c, FakeApi.Thing("a", 8)));
        using KubeApi api = KubeApi.Connect(server.Config);
        await api.CreateAsync(Given.Thing(), default);
        await api.PatchAsync<Thing>(Given.Key(), [], default);
        await api.PatchStatusAsync(Given.Thing(), new ThingStatus { Phase = "x" }, default);
        server.Requests.Select(r => r.Method).ShouldBe(["POST", "PATCH", "PATCH"]);
    }

    internal static KubeApi With(FakeApi server, CacheSet caches, ILogger<KubeApi>? log = null)
    {
        var settings = new OperatorSettings { Name = "unit" };
        return new KubeApi(
            new KubeTransport(server.Config, settings, TimeProvider.System), caches, settings, TimeProvider.System, log ?? NullLogger<KubeApi>.Instance);
    }

    /// <summary>Counts what is worth a warning.</summary>
    private sealed class Warnings : ILogger<KubeApi>
    {
        public int Count { get; private set; }

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Count += logLevel >= LogLevel.Warning ? 1 : 0;
    }
}
