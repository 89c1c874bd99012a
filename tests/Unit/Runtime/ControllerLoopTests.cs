using System.Collections.Concurrent;
using System.Globalization;
using System.Text.Json.Nodes;
using k8s.Models;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

/// <summary>The workers, with a cache that the test fills and a server that keeps one version counter and answers writes.</summary>
public sealed class ControllerLoopTests : IAsyncDisposable
{
    private const string Finalizer = "test.io/finalizer";

    private readonly CancellationTokenSource _stop = new();
    private readonly CancellationTokenSource _abort = new();
    private readonly Cache<Thing> _cache = new();
    private readonly CacheSet _caches = new();
    private readonly FakeController _controller = new();
    private readonly WorkQueue _queue = new("thing", TimeProvider.System);
    private FakeApi _server = null!;
    private KubeApi _api = null!;
    private ControllerLoop<Thing> _loop = null!;
    private Task _run = Task.CompletedTask;
    private int _version = 1000;

    public async ValueTask DisposeAsync()
    {
        await _abort.CancelAsync();
        await _stop.CancelAsync();
        await _run.WaitAsync(TimeSpan.FromSeconds(5));
        _api.Dispose();
        await _server.DisposeAsync();
        _queue.Dispose();
        _stop.Dispose();
        _abort.Dispose();
    }

    [Fact]
    public async Task Every_object_is_looked_at_once_after_the_start_with_nothing_written()
    {
        await StartAsync([Given.Thing("a"), Given.Thing("b", 2)]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 2, "both are reconciled");
        await Eventually.Settle();
        _controller.Runs.Select(r => r.Metadata.Name).Order().ShouldBe(["a", "b"]);
        _server.Requests.ShouldBeEmpty();
    }

    [Fact]
    public async Task The_controllers_copy_is_its_own()
    {
        _controller.OnReconcile = t =>
        {
            t.Spec.Color = "spoiled";
            return Task.FromResult(ReconciliationResult.Success());
        };
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 1, "it is reconciled");
        _cache.Get(Given.Key())!.Spec.Color.ShouldBeNull();
    }

    [Fact]
    public async Task A_failure_is_tried_again_without_end_and_other_keys_go_on()
    {
        _controller.OnReconcile = t => t.Metadata.Name == "bad" ? throw new InvalidOperationException("bug") : Task.FromResult(ReconciliationResult.Success());
        await StartAsync([Given.Thing("bad")], workers: 1);
        await Eventually.BeTrue(() => _controller.Runs.Count >= 7, "it is tried again and again");
        _cache.Apply(Given.Thing("good", 9));
        await Eventually.BeTrue(() => _controller.Runs.Any(r => r.Metadata.Name == "good"), "the other one has its turn");
    }

    [Fact]
    public async Task A_conflict_is_tried_again_soon()
    {
        int runs = 0;
        _controller.OnReconcile = _ => ++runs < 3 ? throw new KubeException(KubeError.Conflict, "it changed") : Task.FromResult(ReconciliationResult.Success());
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => runs == 3, "it is tried again");
    }

    [Fact]
    public async Task A_terminal_failure_waits_for_a_change()
    {
        _controller.OnReconcile = _ => throw new TerminalException("a person must decide");
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 1, "it is tried");
        await Task.Delay(100);
        _controller.Runs.Count.ShouldBe(1);
        _cache.Apply(Given.Thing("a", 5));
        await Eventually.BeTrue(() => _controller.Runs.Count == 2, "the change is looked at");
    }

    [Fact]
    public async Task A_timeout_of_the_client_is_a_failure_and_not_taken_for_the_end()
    {
        int runs = 0;
        _controller.OnReconcile = _ => ++runs < 3 ? throw new TaskCanceledException("the client's own") : Task.FromResult(ReconciliationResult.Success());
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => runs == 3, "it is tried again");
        _run.IsCompleted.ShouldBeFalse();
    }

    [Fact]
    public async Task A_reconcile_that_hangs_is_cancelled_and_tried_again()
    {
        _controller.WithToken = stop => _controller.Runs.Count == 1 ? Task.Delay(Timeout.Infinite, stop) : Task.CompletedTask;
        await StartAsync([Given.Thing()], timeout: TimeSpan.FromMilliseconds(50));
        await Eventually.BeTrue(() => _controller.Runs.Count == 2, "it is tried again");
    }

    [Fact]
    public async Task The_finalizer_is_on_the_object_before_its_first_reconcile_which_goes_on_with_the_new_state()
    {
        var finalizer = new FakeFinalizer();
        await StartAsync([Given.Thing("a", 7, with: t => t.Metadata.Finalizers = ["other.io/x"])], finalizer: finalizer);
        await Eventually.BeTrue(() => !_controller.Runs.IsEmpty, "it is reconciled");
        Thing seen = _controller.Runs.First();
        seen.Metadata.Finalizers.ShouldBe(["other.io/x", Finalizer]);
        seen.Metadata.ResourceVersion.ShouldBe("1001");
        JsonNode body = JsonNode.Parse(_server.Requests.Single().Body)!;
        body["metadata"]!["resourceVersion"]!.GetValue<string>().ShouldBe("7");
        await Eventually.Settle();
        _server.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task An_object_that_is_deleted_without_our_finalizer_is_left_alone()
    {
        var finalizer = new FakeFinalizer();
        await StartAsync([Deleted(7, "other.io/x")], finalizer: finalizer);
        await Task.Delay(50);
        (_controller.Runs.Count, finalizer.Runs, _server.Requests.Count).ShouldBe((0, 0, 0));
    }

    [Fact]
    public async Task A_finalizer_that_is_through_is_taken_off_and_the_others_stay()
    {
        var finalizer = new FakeFinalizer();
        await StartAsync([Deleted(7, "other.io/x", Finalizer)], finalizer: finalizer);
        await Eventually.BeTrue(() => _server.Requests.Count == 1, "it is taken off");
        JsonNode.DeepEquals(
            JsonNode.Parse(_server.Requests.Single().Body),
            JsonNode.Parse("""{"metadata":{"resourceVersion":"7","uid":"uid-a","finalizers":["other.io/x"]}}""")).ShouldBeTrue();
        _controller.Runs.ShouldBeEmpty();
    }

    [Fact]
    public async Task A_finalizer_that_is_not_through_stays_and_is_woken_by_a_change()
    {
        var finalizer = new FakeFinalizer { Result = ReconciliationResult.Pending() };
        await StartAsync([Deleted(7, Finalizer)], finalizer: finalizer);
        await Eventually.BeTrue(() => finalizer.Runs == 1, "it is called");
        await Eventually.Settle();
        (finalizer.Runs, _server.Requests.Count).ShouldBe((1, 0));
        finalizer.Result = ReconciliationResult.Success();
        _cache.Apply(Deleted(8, Finalizer));
        await Eventually.BeTrue(() => _server.Requests.Count == 1, "it is taken off");
    }

    [Fact]
    public async Task A_finalizer_that_fails_is_called_again()
    {
        var finalizer = new FakeFinalizer { Fault = () => throw new InvalidOperationException("not yet") };
        await StartAsync([Deleted(7, Finalizer)], finalizer: finalizer);
        await Eventually.BeTrue(() => finalizer.Runs >= 4, "it is called again");
        _server.Requests.ShouldBeEmpty();
        finalizer.Fault = null;
        await Eventually.BeTrue(() => _server.Requests.Count == 1, "it is taken off");
    }

    [Fact]
    public async Task A_finalizer_that_wrote_its_object_is_taken_off_in_the_same_step()
    {
        var finalizer = new FakeFinalizer();
        finalizer.Before = t => _api.PatchStatusAsync(t, new ThingStatus { Phase = "Deleting" }, default);
        await StartAsync([Deleted(7, Finalizer)], finalizer: finalizer);
        await Eventually.BeTrue(() => _server.Requests.Count == 2, "status and finalizers are written");
        JsonNode.Parse(_server.Requests.Last().Body)!["metadata"]!["resourceVersion"]!.GetValue<string>().ShouldBe("1001");
    }

    [Fact]
    public async Task The_last_step_of_a_deletion_is_not_cancelled_by_the_end_of_the_process()
    {
        var finalizer = new FakeFinalizer();
        finalizer.Before = async _ =>
        {
            await _stop.CancelAsync();
            await _abort.CancelAsync();
        };
        await StartAsync([Deleted(7, Finalizer)], finalizer: finalizer);
        await _run.WaitAsync(TimeSpan.FromSeconds(5));
        _server.Requests.Count.ShouldBe(1);
    }

    [Fact]
    public async Task The_controller_is_told_of_what_is_gone_and_a_successor_of_the_name_is_reconciled()
    {
        await StartAsync([Given.Thing("a", 1, "one")]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 1, "it is reconciled");

        // One list: the old one gone, a new one there. KubeOps gave the new one to DeletedAsync and never reconciled it.
        _cache.Load([Given.Thing("a", 9, "two")], "9");
        await Eventually.BeTrue(() => _controller.Runs.Count == 2 && !_controller.Gone.IsEmpty, "both are told");
        _controller.Gone.Single().Metadata.Uid.ShouldBe("one");
        _controller.Runs.Last().Metadata.Uid.ShouldBe("two");
    }

    [Fact]
    public async Task A_controller_that_fails_at_a_deletion_is_told_again_but_a_successor_does_not_wait_for_it()
    {
        int told = 0;
        _controller.OnDeleted = () => ++told < 3 ? throw new InvalidOperationException("not now") : Task.CompletedTask;
        await StartAsync([Given.Thing("a", 1, "one")]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 1, "it is reconciled");
        _cache.ApplyDeleted(Given.Thing("a", 5, "one"));
        await Eventually.BeTrue(() => told == 3, "it is told again");
        _controller.OnDeleted = () => throw new InvalidOperationException("never");
        _cache.Load([Given.Thing("a", 9, "two")], "9");
        _cache.Load([Given.Thing("a", 19, "three")], "19");
        await Eventually.BeTrue(() => _controller.Runs.Any(r => r.Metadata.Uid == "three"), "the successor is reconciled");
    }

    [Fact]
    public async Task A_wish_to_look_again_is_kept_and_replaced_by_the_next_result()
    {
        int runs = 0;
        _controller.OnReconcile = _ => Task.FromResult(++runs < 3 ? ReconciliationResult.RequeueAfter(TimeSpan.FromMilliseconds(30)) : ReconciliationResult.Success());
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => runs == 3, "it is looked at again");
        await Task.Delay(100);
        runs.ShouldBe(3);
    }

    [Fact]
    public async Task One_write_of_our_own_is_looked_at_once_more_and_then_all_is_quiet()
    {
        _controller.OnReconcile = async t =>
        {
            await _api.PatchStatusAsync(t, new ThingStatus { Phase = "Up" }, default);
            return ReconciliationResult.Success();
        };
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => _controller.Runs.Count == 2, "the write is seen");
        _controller.Runs.Last().Status!.Phase.ShouldBe("Up");
        await Task.Delay(100);
        (_controller.Runs.Count, _server.Requests.Count).ShouldBe((2, 1));
    }

    [Fact]
    public async Task A_controller_that_writes_something_new_each_time_slows_down_instead_of_spinning()
    {
        int n = 0;
        _controller.OnReconcile = async t =>
        {
            await _api.PatchStatusAsync(t, new ThingStatus { Count = ++n }, default);
            return ReconciliationResult.Success();
        };
        await StartAsync([Given.Thing()]);
        await Eventually.BeTrue(() => n >= 5, "it goes on");
        await Task.Delay(1000);

        // 5, 10, 20 ms and so on: 8 runs take 1.3 s.
        n.ShouldBeLessThan(10);
    }

    [Fact]
    public async Task Changes_of_another_kind_reach_the_object_they_are_mapped_to_before_and_after()
    {
        await StartAsync([Given.Thing("a"), Given.Thing("b", 2)]);
        var pods = new Cache<V1Pod>();
        pods.Subscribe(c => _loop.OnOther(c, p => p.Metadata.Labels is { } l ? [Given.Key(l["of"])] : []));
        await Eventually.BeTrue(() => _controller.Runs.Count == 2, "both are reconciled");
        pods.Load([Pod(1, "a")], "1");
        await Eventually.BeTrue(() => _controller.Runs.Count == 3, "a is woken");
        pods.Apply(Pod(2, "b"));
        await Eventually.BeTrue(() => _controller.Runs.Count == 5, "a and b are woken");
        pods.ApplyDeleted(Pod(3, "b"));
        await Eventually.BeTrue(() => _controller.Runs.Count == 6, "b is woken");
    }

    [Fact]
    public async Task A_mapping_with_a_bug_ends_nothing()
    {
        await StartAsync([]);
        var pods = new Cache<V1Pod>();
        pods.Subscribe(c => _loop.OnOther(c, _ => throw new InvalidOperationException("bug")));
        Should.NotThrow(() => pods.Load([Pod(1, "a")], "1"));
    }

    [Fact]
    public async Task A_running_reconcile_may_finish_when_the_end_is_asked_for()
    {
        var inside = new TaskCompletionSource();
        var go = new TaskCompletionSource();
        bool finished = false;
        _controller.OnReconcile = async _ =>
        {
            inside.TrySetResult();
            await go.Task;
            finished = true;
            return ReconciliationResult.Success();
        };
        await StartAsync([Given.Thing("a"), Given.Thing("b", 2)], workers: 1);
        await inside.Task;
        await _stop.CancelAsync();
        _run.IsCompleted.ShouldBeFalse();
        go.SetResult();
        await _run.WaitAsync(TimeSpan.FromSeconds(5));
        finished.ShouldBeTrue();
        _controller.Runs.Count.ShouldBe(1);
    }

    [Fact]
    public async Task Before_the_workers_start_nothing_is_kept_and_afterwards_nothing_is_missed()
    {
        await StartAsync([Given.Thing("a")], run: false);
        _cache.Apply(Given.Thing("b", 5));
        _cache.ApplyDeleted(Given.Thing("a", 6));
        _run = _loop.RunAsync(_stop.Token, _abort.Token);
        await Eventually.BeTrue(() => _controller.Runs.Count == 1, "what is there is reconciled");
        await Eventually.Settle();
        _controller.Runs.Single().Metadata.Name.ShouldBe("b");
        _controller.Gone.ShouldBeEmpty();
    }

    private static V1Pod Pod(int version, string of) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = "p",
            NamespaceProperty = "ns",
            Uid = "u",
            ResourceVersion = version.ToString(CultureInfo.InvariantCulture),
            Labels = new Dictionary<string, string> { ["of"] = of },
        },
    };

    private static Thing Deleted(ulong version, params string[] finalizers) => Given.Thing("a", version, with: t =>
    {
        t.Metadata.DeletionTimestamp = new DateTime(2026, 1, 1, 0, 0, 0, DateTimeKind.Utc);
        t.Metadata.Finalizers = [.. finalizers];
    });

    private async Task StartAsync(IEnumerable<Thing> things, int workers = 2, FakeFinalizer? finalizer = null, TimeSpan? timeout = null, bool run = true)
    {
        _server = await FakeApi.StartAsync(Merge);
        _caches.Add(_cache);
        _api = KubeApiTests.With(_server, _caches);
        _loop = new ControllerLoop<Thing>(
            _cache,
            _queue,
            _controller,
            finalizer is null ? [] : [new NamedFinalizer<Thing>(Finalizer, finalizer)],
            _api,
            new OperatorSettings { ReconcileTimeout = timeout ?? TimeSpan.FromMinutes(5) },
            TimeProvider.System,
            NullLogger.Instance,
            workers);
        _cache.Load(things, "100");
        if (run)
        {
            _run = _loop.RunAsync(_stop.Token, _abort.Token);
        }
    }

    /// <summary>Answers a patch with the cached object, patched, in a new version.</summary>
    private Task Merge(Seen seen, HttpContext context)
    {
        JsonObject now = KubeJson.Write(_cache.Get(Given.Key())!);
        var patch = (JsonObject)JsonNode.Parse(seen.Body)!;
        foreach (string part in new[] { "metadata", "status" })
        {
            foreach ((string name, JsonNode? value) in patch[part] as JsonObject ?? [])
            {
                JsonObject target = now[part] as JsonObject ?? [];
                now[part] = target.Parent is null ? target : target.DeepClone();
                now[part]![name] = value?.DeepClone();
            }
        }

        now["metadata"]!["resourceVersion"] = Interlocked.Increment(ref _version).ToString(CultureInfo.InvariantCulture);
        return FakeApi.Json(context, now.ToJsonString());
    }

    private sealed class FakeController : IEntityController<Thing>
    {
        public ConcurrentQueue<Thing> Runs { get; } = new();

        public ConcurrentQueue<Thing> Gone { get; } = new();

        public Func<Thing, Task<ReconciliationResult>> OnReconcile { get; set; } = _ => Task.FromResult(ReconciliationResult.Success());

        public Func<Task> OnDeleted { get; set; } = () => Task.CompletedTask;

        public Func<CancellationToken, Task>? WithToken { get; set; }

        public async Task<ReconciliationResult> ReconcileAsync(Thing entity, CancellationToken cancellationToken)
        {
            Runs.Enqueue(KubeJson.Clone(entity));
            if (WithToken is { } more)
            {
                await more(cancellationToken);
            }

            return await OnReconcile(entity);
        }

        public Task DeletedAsync(Thing entity, CancellationToken cancellationToken)
        {
            Gone.Enqueue(entity);
            return OnDeleted();
        }
    }

    private sealed class FakeFinalizer : IEntityFinalizer<Thing>
    {
        private int _runs;

        public int Runs => _runs;

        public ReconciliationResult Result { get; set; } = ReconciliationResult.Success();

        public Action? Fault { get; set; }

        public Func<Thing, Task>? Before { get; set; }

        public async Task<ReconciliationResult> FinalizeAsync(Thing entity, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _runs);
            Fault?.Invoke();
            if (Before is { } before)
            {
                await before(entity);
            }

            return Result;
        }
    }
}
