using FsCheck;
using FsCheck.Fluent;
using Microsoft.Extensions.Time.Testing;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

public sealed class WorkQueueTests : IDisposable
{
    private readonly FakeTimeProvider _clock = new();
    private readonly WorkQueue _queue;

    public WorkQueueTests()
    {
        _queue = new WorkQueue("test", _clock);
        _queue.Open();
    }

    public void Dispose() => _queue.Dispose();

    [Fact]
    public void A_key_added_often_is_run_once()
    {
        _queue.Add(Given.Key());
        _queue.Add(Given.Key());
        Take().ShouldBe(Given.Key());
        Take().ShouldBeNull();
    }

    [Fact]
    public void Keys_of_one_name_in_two_namespaces_are_two()
    {
        _queue.Add(new ObjectKey("one", "x"));
        _queue.Add(new ObjectKey("two", "x"));
        Take().ShouldBe(new ObjectKey("one", "x"));
        Take().ShouldBe(new ObjectKey("two", "x"));
    }

    [Fact]
    public void A_key_added_while_it_runs_is_run_exactly_once_more_and_not_before_it_is_done()
    {
        _queue.Add(Given.Key());
        Take();
        _queue.Add(Given.Key());
        _queue.Add(Given.Key());
        Take().ShouldBeNull();
        _queue.Done(Given.Key());
        Take().ShouldBe(Given.Key());
        _queue.Done(Given.Key());
        Take().ShouldBeNull();
    }

    [Fact]
    public void Nothing_is_taken_in_before_the_queue_is_opened()
    {
        using var closed = new WorkQueue("closed", _clock);
        closed.Add(Given.Key());
        closed.AddAfter(Given.Key(), TimeSpan.FromSeconds(1));
        _clock.Advance(TimeSpan.FromSeconds(2));
        Take(closed).ShouldBeNull();
    }

    [Fact]
    public void A_delayed_key_comes_when_it_is_due()
    {
        _queue.AddAfter(Given.Key(), TimeSpan.FromSeconds(10));
        _clock.Advance(TimeSpan.FromSeconds(9.9));
        Take().ShouldBeNull();
        _clock.Advance(TimeSpan.FromSeconds(0.2));
        Take().ShouldBe(Given.Key());
    }

    [Fact]
    public void Of_two_delays_the_earlier_counts_and_it_comes_once()
    {
        _queue.AddAfter(Given.Key(), TimeSpan.FromSeconds(10));
        _queue.AddAfter(Given.Key(), TimeSpan.FromSeconds(5));
        _queue.AddAfter(Given.Key(), TimeSpan.FromSeconds(7));
        _clock.Advance(TimeSpan.FromSeconds(5.1));
        Take().ShouldBe(Given.Key());
        _queue.Done(Given.Key());
        _clock.Advance(TimeSpan.FromSeconds(60));
        Take().ShouldBeNull();
    }

    [Fact]
    public void A_run_fulfils_a_wish_for_a_later_one()
    {
        _queue.AddAfter(Given.Key(), TimeSpan.FromSeconds(10));
        _queue.Add(Given.Key());
        Take().ShouldBe(Given.Key());
        _queue.Done(Given.Key());
        _clock.Advance(TimeSpan.FromMinutes(1));
        Take().ShouldBeNull();
    }

    [Fact]
    public void A_delay_longer_than_timers_go_is_kept()
    {
        _queue.AddAfter(Given.Key(), TimeSpan.FromDays(60));
        for (int day = 0; day < 60; day++)
        {
            Take().ShouldBeNull();
            _clock.Advance(TimeSpan.FromDays(1));
        }

        _clock.Advance(TimeSpan.FromSeconds(1));
        Take().ShouldBe(Given.Key());
    }

    [Fact]
    public void Retries_wait_ever_longer_up_to_five_minutes_and_never_end()
    {
        var waits = new List<TimeSpan>();
        for (int i = 0; i < 40; i++)
        {
            _queue.AddRateLimited(Given.Key());
            DateTimeOffset began = _clock.GetUtcNow();
            while (Take() is null)
            {
                _clock.Advance(waits.Count > 0 && waits[^1] > TimeSpan.FromSeconds(1) ? TimeSpan.FromSeconds(1) : TimeSpan.FromMilliseconds(1));
            }

            waits.Add(_clock.GetUtcNow() - began);
            _queue.Done(Given.Key());
        }

        waits[0].ShouldBeLessThan(TimeSpan.FromMilliseconds(10));
        waits[5].ShouldBeInRange(TimeSpan.FromMilliseconds(160), TimeSpan.FromMilliseconds(170));
        waits[^1].ShouldBeInRange(TimeSpan.FromMinutes(5), TimeSpan.FromMinutes(5) + TimeSpan.FromSeconds(2));
    }

    [Fact]
    public void Success_makes_the_next_failure_wait_short_again()
    {
        for (int i = 0; i < 20; i++)
        {
            _queue.AddRateLimited(Given.Key());
        }

        _clock.Advance(TimeSpan.FromMinutes(6));
        Take().ShouldBe(Given.Key());
        _queue.Forget(Given.Key());
        _queue.AddRateLimited(Given.Key());
        _queue.Done(Given.Key());
        _clock.Advance(TimeSpan.FromMilliseconds(7));
        Take().ShouldBe(Given.Key());
    }

    [Fact]
    public void The_servers_own_wish_to_wait_is_heeded()
    {
        _queue.AddRateLimited(Given.Key(), TimeSpan.FromSeconds(30));
        _clock.Advance(TimeSpan.FromSeconds(29));
        Take().ShouldBeNull();
        _clock.Advance(TimeSpan.FromSeconds(2));
        Take().ShouldBe(Given.Key());
    }

    [Fact]
    public void Under_any_sequence_of_calls_the_queue_is_as_its_model_says()
    {
        // 0 add, 1 take, 2 done, 3 delayed, 4 clock, 5 rate-limited; the second number chooses the key.
        Gen<(int Op, int Key)[]> calls = Gen.Zip(Gen.Choose(0, 5), Gen.Choose(0, 3)).ArrayOf();
        Prop.ForAll(calls.ToArbitrary(), sequence => Holds(sequence)).Check(Config.QuickThrowOnFailure.WithMaxTest(300));
    }

    [Fact]
    public async Task Many_workers_and_adders_at_once_lose_nothing_and_never_share_a_key()
    {
        using var queue = new WorkQueue("busy", TimeProvider.System);
        queue.Open();
        const int Keys = 7;
        int[] wanted = new int[Keys];
        int[] seen = new int[Keys];
        int[] inside = new int[Keys];
        int shared = 0;
        using var stop = new CancellationTokenSource();
        Task[] workers = [.. Enumerable.Range(0, 6).Select(_ => Task.Run(async () =>
        {
            try
            {
                while (true)
                {
                    ObjectKey key = await queue.TakeAsync(stop.Token);
                    int i = key.Name[0] - 'a';
                    if (Interlocked.Increment(ref inside[i]) != 1)
                    {
                        Interlocked.Increment(ref shared);
                    }

                    // What was wanted before the run is seen by the run: that is what a reconcile relies on.
                    int now = Volatile.Read(ref wanted[i]);
                    await Task.Yield();
                    Volatile.Write(ref seen[i], Math.Max(Volatile.Read(ref seen[i]), now));
                    Interlocked.Decrement(ref inside[i]);
                    queue.Done(key);
                }
            }
            catch (OperationCanceledException)
            {
            }
        }))];
        await Task.WhenAll(Enumerable.Range(0, 4).Select(n => Task.Run(() =>
        {
            var random = new Random(n);
            for (int i = 0; i < 3000; i++)
            {
                int k = random.Next(Keys);
                Interlocked.Increment(ref wanted[k]);
                queue.Add(Given.Key(((char)('a' + k)).ToString()));
            }
        })));
        await Eventually.BeTrue(() => wanted.SequenceEqual(seen), "every add is followed by a run");
        await stop.CancelAsync();
        await Task.WhenAll(workers);
        shared.ShouldBe(0);
    }

    private static bool Holds((int Op, int Key)[] calls)
    {
        var clock = new FakeTimeProvider();
        using var queue = new WorkQueue("model", clock);
        queue.Open();
        var running = new HashSet<ObjectKey>();
        var wanted = new HashSet<ObjectKey>();
        var delayed = new HashSet<ObjectKey>();
        foreach ((int op, int n) in calls)
        {
            ObjectKey key = Given.Key("k" + n);
            switch (op)
            {
                case 0:
                    queue.Add(key);
                    wanted.Add(key);
                    break;
                case 1 when Take(queue) is { } taken:
                    if (running.Contains(taken) || !wanted.Remove(taken))
                    {
                        return false;
                    }

                    delayed.Remove(taken);
                    running.Add(taken);
                    break;
                case 1 when wanted.Except(running).Any():
                    return false;
                case 2 when running.Remove(key):
                    queue.Done(key);
                    break;
                case 3:
                    queue.AddAfter(key, TimeSpan.FromSeconds(n + 1));
                    delayed.Add(key);
                    break;
                case 4:
                    clock.Advance(TimeSpan.FromHours(1));
                    wanted.UnionWith(delayed);
                    delayed.Clear();
                    break;
                case 5:
                    queue.AddRateLimited(key);
                    delayed.Add(key);
                    break;
                default:
                    break;
            }
        }

        // Nothing is lost: let everything come to an end.
        foreach (ObjectKey key in running)
        {
            queue.Done(key);
        }

        clock.Advance(TimeSpan.FromHours(1));
        wanted.UnionWith(delayed);
        while (Take(queue) is { } left)
        {
            if (!wanted.Remove(left))
            {
                return false;
            }

            queue.Done(left);
        }

        return wanted.Count == 0;
    }

    private ObjectKey? Take() => Take(_queue);

    private static ObjectKey? Take(WorkQueue queue)
    {
        using var now = new CancellationTokenSource();
        ValueTask<ObjectKey> take = queue.TakeAsync(now.Token);
        if (take.IsCompleted)
        {
            return take.Result;
        }

        now.Cancel();
        try
        {
            return take.AsTask().GetAwaiter().GetResult();
        }
        catch (OperationCanceledException)
        {
            return null;
        }
    }
}
