using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Time.Testing;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

public sealed class LeaderElectorTests
{
    private static readonly TimeSpan s_step = TimeSpan.FromMilliseconds(250);

    private readonly FakeTimeProvider _clock = new(DateTimeOffset.Parse("2026-01-01T00:00:00Z", System.Globalization.CultureInfo.InvariantCulture));
    private readonly FakeLease _lease = new();

    [Fact]
    public async Task The_first_one_becomes_leader_at_once_and_renews()
    {
        (LeaderElector one, Task<bool> run, CancellationTokenSource stop) = Start("one");
        await Eventually.BeTrue(() => one.IsLeader, "the lease is taken");
        _lease.Kept!.Holder.ShouldBe("one");
        int writes = _lease.Writes;
        await Eventually.BeTrue(_clock, s_step, () => _lease.Writes > writes + 3, "it is renewed");
        one.IsLeader.ShouldBeTrue();
        await stop.CancelAsync();
        (await run).ShouldBeFalse();
    }

    [Fact]
    public async Task A_lease_is_released_on_stop_so_that_the_next_need_not_wait()
    {
        (LeaderElector one, Task<bool> run, CancellationTokenSource stop) = Start("one");
        await one.Acquired;
        await stop.CancelAsync();
        await run;
        _lease.Kept!.Holder.ShouldBe("");
        one.IsLeader.ShouldBeFalse();
        (LeaderElector two, _, CancellationTokenSource stopTwo) = Start("two");
        await two.Acquired.WaitAsync(TimeSpan.FromSeconds(5));
        _lease.Kept!.Transitions.ShouldBe(1);
        await stopTwo.CancelAsync();
    }

    [Fact]
    public async Task A_silent_holder_is_waited_out_from_when_we_first_saw_it_whatever_its_clock_says()
    {
        // The other's clock is a year behind: by it the lease ran out long ago.
        _lease.Kept = new LeaseRecord("other", TimeSpan.FromSeconds(15), default, _clock.GetUtcNow().AddYears(-1), 0, "7");
        DateTimeOffset began = _clock.GetUtcNow();
        (LeaderElector one, _, CancellationTokenSource stop) = Start("one");
        await Eventually.BeTrue(_clock, s_step, () => one.IsLeader, "the lease is taken over");
        (_clock.GetUtcNow() - began).ShouldBeGreaterThan(TimeSpan.FromSeconds(15));
        (_clock.GetUtcNow() - began).ShouldBeLessThan(TimeSpan.FromSeconds(20));
        await stop.CancelAsync();
    }

    [Fact]
    public async Task A_holder_that_renews_is_left_alone()
    {
        (LeaderElector one, _, CancellationTokenSource stop) = Start("one");
        await one.Acquired;
        (LeaderElector two, _, CancellationTokenSource stopTwo) = Start("two");
        for (int i = 0; i < 200; i++)
        {
            _clock.Advance(s_step);
            await Task.Delay(1);
            (one.IsLeader && two.IsLeader).ShouldBeFalse();
            two.IsLeader.ShouldBeFalse();
        }

        await stop.CancelAsync();
        await stopTwo.CancelAsync();
    }

    [Fact]
    public async Task Renewals_that_fail_end_leadership_at_the_deadline_and_nothing_is_written_afterwards()
    {
        (LeaderElector one, Task<bool> run, _) = Start("one");
        await one.Acquired;
        DateTimeOffset began = _clock.GetUtcNow();
        _lease.Fault = () => throw new KubeException("the server is away");
        await Eventually.BeTrue(_clock, s_step, () => !one.IsLeader, "it ceases to be leader");
        (_clock.GetUtcNow() - began).ShouldBeLessThanOrEqualTo(TimeSpan.FromSeconds(10.5));
        await Eventually.BeTrue(_clock, s_step, () => run.IsCompleted, "it says so");
        (await run).ShouldBeTrue();
        (_clock.GetUtcNow() - began).ShouldBeLessThan(TimeSpan.FromSeconds(15));
        _lease.Fault = null;
        int writes = _lease.Writes;
        _clock.Advance(TimeSpan.FromMinutes(5));
        await Eventually.Settle();
        _lease.Writes.ShouldBe(writes);
        one.IsLeader.ShouldBeFalse();
    }

    [Fact]
    public async Task A_call_that_hangs_ends_leadership_at_the_deadline_too()
    {
        (LeaderElector one, Task<bool> run, _) = Start("one");
        await one.Acquired;
        DateTimeOffset began = _clock.GetUtcNow();
        _lease.Hang = true;
        await Eventually.BeTrue(_clock, s_step, () => run.IsCompleted, "the loss is told");
        (await run).ShouldBeTrue();
        (_clock.GetUtcNow() - began).ShouldBeInRange(TimeSpan.FromSeconds(9), TimeSpan.FromSeconds(13));
    }

    [Fact]
    public async Task A_stolen_lease_is_lost_at_the_next_renewal()
    {
        (LeaderElector one, Task<bool> run, _) = Start("one");
        await one.Acquired;
        DateTimeOffset began = _clock.GetUtcNow();
        _lease.Kept = _lease.Kept! with { Holder = "thief", Version = "999" };
        await Eventually.BeTrue(_clock, s_step, () => run.IsCompleted, "the loss is told");
        (await run).ShouldBeTrue();
        (_clock.GetUtcNow() - began).ShouldBeLessThan(TimeSpan.FromSeconds(5));
        _lease.Kept!.Holder.ShouldBe("thief");
    }

    [Fact]
    public async Task A_lease_that_was_deleted_is_lost()
    {
        (LeaderElector one, Task<bool> run, _) = Start("one");
        await one.Acquired;
        _lease.Kept = null;
        await Eventually.BeTrue(_clock, s_step, () => run.IsCompleted, "the loss is told");
        (await run).ShouldBeTrue();
    }

    [Fact]
    public async Task A_renewal_whose_answer_got_lost_is_no_loss()
    {
        (LeaderElector one, Task<bool> run, CancellationTokenSource stop) = Start("one");
        await one.Acquired;
        _lease.LoseAnswers = 1;
        int writes = _lease.Writes;
        await Eventually.BeTrue(_clock, s_step, () => _lease.Writes > writes + 4, "it goes on renewing");
        one.IsLeader.ShouldBeTrue();
        run.IsCompleted.ShouldBeFalse();
        await stop.CancelAsync();
    }

    [Fact]
    public async Task Of_two_that_see_no_lease_one_becomes_leader()
    {
        _lease.Gate = new TaskCompletionSource();
        (LeaderElector one, _, CancellationTokenSource stop) = Start("one");
        (LeaderElector two, _, CancellationTokenSource stopTwo) = Start("two");
        await Eventually.BeTrue(() => _lease.Waiting == 2, "both have read and want to write");
        _lease.Gate.SetResult();
        await Eventually.BeTrue(() => one.IsLeader || two.IsLeader, "one leads");
        await Eventually.Settle();
        (one.IsLeader && two.IsLeader).ShouldBeFalse();
        await stop.CancelAsync();
        await stopTwo.CancelAsync();
    }

    private (LeaderElector Elector, Task<bool> Run, CancellationTokenSource Stop) Start(string identity)
    {
        var settings = new OperatorSettings { Identity = identity };
        var elector = new LeaderElector(_lease, settings, _clock, NullLogger<LeaderElector>.Instance);
        var stop = new CancellationTokenSource();
        return (elector, elector.RunAsync(stop.Token), stop);
    }

    private sealed class FakeLease : ILeaseLock
    {
        private readonly Lock _gate = new();
        private int _version = 100;

        public LeaseRecord? Kept { get; set; }

        public Action? Fault { get; set; }

        public bool Hang { get; set; }

        public int LoseAnswers { get; set; }

        public int Writes { get; private set; }

        public TaskCompletionSource? Gate { get; set; }

        public int Waiting { get; private set; }

        public async Task<LeaseRecord?> ReadAsync(CancellationToken stop)
        {
            await FaultsAsync(stop);
            return Kept;
        }

        public async Task<LeaseRecord> WriteAsync(LeaseRecord record, CancellationToken stop)
        {
            if (Gate is { } gate)
            {
                lock (_gate)
                {
                    Waiting++;
                }

                await gate.Task;
            }

            await FaultsAsync(stop);
            lock (_gate)
            {
                if (Kept is null && record.Version is not null)
                {
                    throw new KubeException(KubeError.NotFound, "no lease");
                }

                if (Kept is not null && record.Version is null)
                {
                    throw new KubeException(KubeError.AlreadyExists, "there is one");
                }

                if (Kept is not null && Kept.Version != record.Version)
                {
                    throw new KubeException(KubeError.Conflict, "it changed");
                }

                Kept = record with { Version = (++_version).ToString(System.Globalization.CultureInfo.InvariantCulture) };
                Writes++;
                if (LoseAnswers-- > 0)
                {
                    throw new KubeException("the connection broke");
                }

                return Kept;
            }
        }

        private async Task FaultsAsync(CancellationToken stop)
        {
            Fault?.Invoke();
            if (Hang)
            {
                await Task.Delay(Timeout.Infinite, stop);
            }
        }
    }
}
