using k8s.Models;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

/// <summary>Faults that a real API server does not show on demand.</summary>
public sealed class InformerTests : IAsyncDisposable
{
    private static readonly InformerTimes s_quick = new()
    {
        PageSize = 2,
        WatchTimeout = TimeSpan.FromSeconds(30),
        BetweenWatches = TimeSpan.FromMilliseconds(40),
        FirstBackoff = TimeSpan.FromMilliseconds(10),
        LastBackoff = TimeSpan.FromMilliseconds(100),
        Healthy = TimeSpan.FromSeconds(5),
    };

    private readonly CancellationTokenSource _stop = new();
    private readonly Cache<Thing> _cache = new();
    private readonly List<string> _changes = [];
    private KubeTransport? _transport;
    private FakeApi? _server;
    private Task _run = Task.CompletedTask;

    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _run.WaitAsync(TimeSpan.FromSeconds(5));
        _transport?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }

        _stop.Dispose();
    }

    [Fact]
    public async Task A_list_of_several_pages_is_whole_before_anything_is_taken_for_gone()
    {
        await StartAsync((seen, c) => seen.IsWatch ? FakeApi.Silence(c) : seen.Param("continue") switch
        {
            null => FakeApi.Json(c, FakeApi.List("10", [FakeApi.Thing("a", 1), FakeApi.Thing("b", 2)], "page2")),
            "page2" => FakeApi.Json(c, FakeApi.List("10", [FakeApi.Thing("c", 3), FakeApi.Thing("d", 4)], "page3")),
            _ => FakeApi.Json(c, FakeApi.List("10", [FakeApi.Thing("e", 5)])),
        });
        await _cache.Synced.WaitAsync(TimeSpan.FromSeconds(5));
        _cache.List().Select(t => t.Metadata.Name).Order().ShouldBe(["a", "b", "c", "d", "e"]);
        _changes.ShouldAllBe(c => c.StartsWith('+'));
        _server!.Lists.ShouldAllBe(l => l.Param("limit") == "2");
        await Eventually.BeTrue(() => _server.Watches.Any(), "the watch begins");
        Seen watch = _server.Watches.First();
        watch.Param("resourceVersion").ShouldBe("10");
        watch.Param("allowWatchBookmarks").ShouldBe("true");
        int.Parse(watch.Param("timeoutSeconds")!, System.Globalization.CultureInfo.InvariantCulture).ShouldBeInRange(30, 60);
    }

    [Fact]
    public async Task A_continue_token_that_ran_out_begins_the_list_anew()
    {
        int lists = 0;
        await StartAsync((seen, c) => seen.IsWatch ? FakeApi.Silence(c) : (seen.Param("continue"), lists++) switch
        {
            (null, 0) => FakeApi.Json(c, FakeApi.List("10", [FakeApi.Thing("old", 1), FakeApi.Thing("b", 2)], "stale")),
            ("stale", _) => FakeApi.Status(c, 410, "Expired", "the continue token is too old"),
            _ => FakeApi.Json(c, FakeApi.List("20", [FakeApi.Thing("b", 2)])),
        });
        await _cache.Synced.WaitAsync(TimeSpan.FromSeconds(5));
        _changes.ShouldBe(["+b"]);
    }

    [Fact]
    public async Task Events_are_taken_in_and_a_closed_watch_goes_on_where_it_was()
    {
        int watches = 0;
        await StartAsync((seen, c) => Empty(seen, c) ?? (watches++ switch
        {
            0 => Lines(c, ("ADDED", FakeApi.Thing("a", 11)), ("MODIFIED", FakeApi.Thing("a", 12)), ("BOOKMARK", Bookmark(15))),
            1 => Lines(c, ("DELETED", FakeApi.Thing("a", 16))),
            _ => FakeApi.Silence(c),
        }));
        await Eventually.BeTrue(() => watches == 3, "the watch is resumed");
        _changes.ShouldBe(["+a", "~a", "-a"]);
        _server!.Watches.Select(w => w.Param("resourceVersion")).ShouldBe(["10", "15", "16"]);
        _server.Lists.Count().ShouldBe(1);
    }

    [Fact]
    public async Task A_version_that_is_gone_in_mid_watch_means_a_new_list_and_what_was_missed_is_told()
    {
        int lists = 0;
        int watches = 0;
        await StartAsync((seen, c) => !seen.IsWatch
            ? FakeApi.Json(c, lists++ == 0
                ? FakeApi.List("10", [FakeApi.Thing("stays", 1), FakeApi.Thing("goes", 2)])
                : FakeApi.List("50", [FakeApi.Thing("stays", 1), FakeApi.Thing("comes", 40)]))
            : watches++ == 0
                ? Lines(c, ("ERROR", """{"kind":"Status","status":"Failure","reason":"Expired","code":410,"message":"too old resource version"}"""))
                : FakeApi.Silence(c));
        await Eventually.BeTrue(() => watches == 2, "a new watch begins");
        _changes.Skip(2).Order().ShouldBe(["+comes", "-goes"]);
        _server!.Watches.Last().Param("resourceVersion").ShouldBe("50");
    }

    [Fact]
    public async Task A_watch_refused_with_410_means_a_new_list()
    {
        int lists = 0;
        int watches = 0;
        await StartAsync((seen, c) => !seen.IsWatch
            ? FakeApi.Json(c, FakeApi.List(lists++ == 0 ? "10" : "50", []))
            : watches++ == 0 ? FakeApi.Status(c, 410, "Gone", "too old") : FakeApi.Silence(c));
        await Eventually.BeTrue(() => watches == 2, "a new watch begins");
        lists.ShouldBe(2);
    }

    [Fact]
    public async Task Another_error_event_is_not_swallowed_and_the_version_is_kept()
    {
        int watches = 0;
        await StartAsync((seen, c) => Empty(seen, c) ?? (watches++ switch
        {
            0 => Lines(c, ("ADDED", FakeApi.Thing("a", 11)), ("ERROR", """{"kind":"Status","code":500,"message":"etcd has no leader"}"""), ("ADDED", FakeApi.Thing("never", 12))),
            _ => FakeApi.Silence(c),
        }));
        await Eventually.BeTrue(() => watches == 2, "the watch is resumed");
        _changes.ShouldBe(["+a"]);
        _server!.Watches.Last().Param("resourceVersion").ShouldBe("11");
        _server.Lists.Count().ShouldBe(1);
    }

    [Fact]
    public async Task Half_a_line_is_no_event_and_comes_again_whole()
    {
        int watches = 0;
        string item = FakeApi.Thing("b", 12);
        await StartAsync((seen, c) => Empty(seen, c) ?? (watches++ switch
        {
            0 => Half(c),
            1 => Lines(c, ("ADDED", item)),
            _ => FakeApi.Silence(c),
        }));
        await Eventually.BeTrue(() => watches == 3, "the watch is resumed");
        _changes.ShouldBe(["+a", "+b"]);
        _server!.Watches.ElementAt(1).Param("resourceVersion").ShouldBe("11");

        async Task Half(HttpContext c)
        {
            await FakeApi.Line(c, "ADDED", FakeApi.Thing("a", 11));
            await FakeApi.Raw(c, """{"type":"ADDED","object":""" + item[..30]);
            await Eventually.BeTrue(() => _changes.Count == 1, "the whole line is taken in");
            c.Abort();
        }
    }

    [Fact]
    public async Task A_line_of_nonsense_means_a_new_list_since_nobody_knows_what_it_was()
    {
        int lists = 0;
        int watches = 0;
        await StartAsync((seen, c) => !seen.IsWatch
            ? FakeApi.Json(c, lists++ == 0 ? FakeApi.List("10", []) : FakeApi.List("20", [FakeApi.Thing("hidden", 11)]))
            : watches++ == 0 ? FakeApi.Raw(c, "{\"type\":\"ADDED\",,,}\n") : FakeApi.Silence(c));
        await Eventually.BeTrue(() => _changes.Contains("+hidden"), "what the nonsense hid is found");
    }

    [Fact]
    public async Task An_unknown_enum_member_or_field_hides_no_object()
    {
        int watches = 0;
        await StartAsync((seen, c) => !seen.IsWatch
            ? FakeApi.Json(c, FakeApi.List("10", [FakeApi.Thing("listed", 1, """{"mood":"Furious","color":"red"}""")]))
            : watches++ == 0
                ? Lines(c, ("ADDED", FakeApi.Thing("watched", 11, """{"mood":"Serene","color":"blue","new":{"a":1}}""")))
                : FakeApi.Silence(c));
        await Eventually.BeTrue(() => _changes.Count == 2, "both are seen");
        _cache.Get(Given.Key("listed"))!.Spec.Color.ShouldBe("red");
        _cache.Get(Given.Key("watched"))!.Spec.Color.ShouldBe("blue");
    }

    [Fact]
    public async Task Events_that_come_twice_are_told_once()
    {
        int watches = 0;
        await StartAsync((seen, c) => Empty(seen, c) ?? (watches++ switch
        {
            0 or 1 => Lines(c, ("ADDED", FakeApi.Thing("a", 11)), ("ADDED", FakeApi.Thing("a", 11)), ("MODIFIED", FakeApi.Thing("a", 12)), ("MODIFIED", FakeApi.Thing("a", 12))),
            _ => FakeApi.Silence(c),
        }));
        await Eventually.BeTrue(() => watches == 3, "it came twice");
        _changes.ShouldBe(["+a", "~a"]);
    }

    [Fact]
    public async Task A_watch_that_is_closed_at_once_each_time_makes_no_hot_loop_and_is_not_trusted_for_ever()
    {
        await StartAsync((seen, c) => Empty(seen, c) ?? Task.CompletedTask);
        DateTime began = DateTime.UtcNow;
        await Eventually.BeTrue(() => _server!.Watches.Count() >= 30, "it goes on");

        // 30 watches 40 ms apart, and a backoff after every third.
        (DateTime.UtcNow - began).ShouldBeGreaterThan(TimeSpan.FromMilliseconds(29 * 0.6 * 40));
        _server!.Lists.Count().ShouldBeInRange(2, 12, "(on a busy machine a watch may live for long enough to be trusted once more)");
    }

    [Fact]
    public async Task A_watch_that_went_silent_is_given_up_and_resumed()
    {
        int watches = 0;
        await StartAsync(
            (seen, c) => Empty(seen, c) ?? (watches++ == 0 ? Hang(c) : FakeApi.Silence(c)),
            s_quick with { WatchTimeout = TimeSpan.FromMilliseconds(100), IdleGrace = TimeSpan.FromMilliseconds(100) });

        // The first one fell silent after an event, the second one never said a word.
        await Eventually.BeTrue(() => watches >= 3, "a new watch begins");
        _server!.Watches.Skip(1).ShouldAllBe(w => w.Param("resourceVersion") == "11");
        _server.Lists.Count().ShouldBe(1);

        async Task Hang(HttpContext c)
        {
            await FakeApi.Line(c, "ADDED", FakeApi.Thing("a", 11));
            await FakeApi.Silence(c);
        }
    }

    [Fact]
    public async Task A_server_that_does_not_even_begin_to_answer_is_given_up()
    {
        int watches = 0;
        await StartAsync(
            (seen, c) => Empty(seen, c) ?? (watches++ == 0 ? Task.Delay(Timeout.Infinite, c.RequestAborted) : FakeApi.Silence(c)),
            s_quick with { OpenTimeout = TimeSpan.FromMilliseconds(100) });
        await Eventually.BeTrue(() => watches >= 2, "a new watch begins");
    }

    [Fact]
    public async Task A_server_that_fails_for_long_is_asked_seldom_and_found_again()
    {
        int code = 500;
        await StartAsync((seen, c) => code == 500 ? FakeApi.Status(c, 500, "InternalError", "down") : Empty(seen, c) ?? FakeApi.Silence(c));
        await Eventually.BeTrue(() => _server!.Requests.Count >= 12, "it goes on asking");
        _cache.HasSynced.ShouldBeFalse();
        code = 200;
        await _cache.Synced.WaitAsync(TimeSpan.FromSeconds(5));
    }

    [Fact]
    public async Task Objects_that_were_deleted_while_the_server_was_away_are_told_with_their_last_state()
    {
        int lists = 0;
        int watches = 0;
        var gone = new List<CacheChange<Thing>>();
        _cache.Subscribe(c =>
        {
            if (c.New is null)
            {
                gone.Add(c);
            }
        });
        await StartAsync((seen, c) => !seen.IsWatch
            ? FakeApi.Json(c, lists++ == 0 ? FakeApi.List("10", [FakeApi.Thing("a", 1, """{"color":"red"}""")]) : FakeApi.List("20", []))
            : watches++ == 0 ? FakeApi.Status(c, 410, "Gone", "too old") : FakeApi.Silence(c));
        await Eventually.BeTrue(() => gone.Count == 1, "the deletion is told");
        gone[0].Old!.Spec.Color.ShouldBe("red");
    }

    [Fact]
    public async Task Ten_thousand_objects_come_in_pages_and_stay()
    {
        const int All = 10_000;
        await StartAsync(
            (seen, c) =>
            {
                if (seen.IsWatch)
                {
                    return FakeApi.Silence(c);
                }

                int from = int.Parse(seen.Param("continue") ?? "0", System.Globalization.CultureInfo.InvariantCulture);
                int to = Math.Min(All, from + 500);
                return FakeApi.Json(c, FakeApi.List(
                    "99999", Enumerable.Range(from, to - from).Select(i => FakeApi.Thing("t" + i, i + 1)), to < All ? to.ToString(System.Globalization.CultureInfo.InvariantCulture) : ""));
            },
            s_quick with { PageSize = 500 });
        await _cache.Synced.WaitAsync(TimeSpan.FromSeconds(20));
        _cache.Count.ShouldBe(All);
        _server!.Lists.Count().ShouldBe(20);
    }

    private async Task StartAsync(Func<Seen, HttpContext, Task> answer, InformerTimes? times = null)
    {
        _cache.Subscribe(c =>
        {
            lock (_changes)
            {
                _changes.Add((c.Old, c.New) switch { (null, _) => "+", (_, null) => "-", _ => "~" } + (c.New ?? c.Old)!.Metadata.Name);
            }
        });
        _server = await FakeApi.StartAsync(answer);
        _transport = new KubeTransport(_server.Config, new OperatorSettings { RequestsPerSecond = 100_000, RequestBurst = 100_000 }, TimeProvider.System);
        var informer = new Informer<Thing>(_cache, _transport, times ?? s_quick, TimeProvider.System, NullLogger<Informer<Thing>>.Instance);
        _run = informer.RunAsync(_stop.Token);
    }

    /// <summary>Answers a list with nothing; null when it was a watch.</summary>
    private static Task? Empty(Seen seen, HttpContext context) => seen.IsWatch ? null : FakeApi.Json(context, FakeApi.List("10", []));

    private static string Bookmark(int version) => $$"""{"metadata":{"creationTimestamp":null,"resourceVersion":"{{version}}"},"kind":"Thing"}""";

    private static async Task Lines(HttpContext context, params (string Type, string Item)[] lines)
    {
        foreach ((string type, string item) in lines)
        {
            await FakeApi.Line(context, type, item);
        }
    }
}
