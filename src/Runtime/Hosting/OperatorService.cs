using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Prometheus;

namespace SandLabX.Runtime;

/// <summary>An operator's life: fill the caches, become the leader, work; and at the end stop in the opposite order.</summary>
internal sealed class OperatorService(
    IEnumerable<Informer> informers,
    IEnumerable<ControllerLoop> loops,
    IEnumerable<LeaderWork> works,
    LeaderElector elector,
    OperatorSettings settings,
    TimeProvider clock,
    OperatorEnd end) : BackgroundService
{
    private readonly IReadOnlyList<Informer> _informers = [.. informers];
    private readonly IReadOnlyList<ControllerLoop> _loops = [.. loops];
    private readonly IReadOnlyList<LeaderWork> _works = [.. works];

    /// <inheritdoc/>
    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        Metrics.DefaultRegistry.AddBeforeCollectCallback(Measure);
        using var watching = new CancellationTokenSource();
        Task informing = Task.WhenAll(_informers.Select(i => Task.Run(() => i.RunAsync(watching.Token), CancellationToken.None)));
        try
        {
            await Task.WhenAll(_informers.Select(i => i.Synced)).WaitAsync(stoppingToken).ConfigureAwait(false);
            await LeadAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // Asked to end before the caches were filled.
        }
#pragma warning disable CA1031 // A bug of the runtime itself: the process must not live on as if it worked.
        catch (Exception e)
#pragma warning restore CA1031
        {
            end.WithFailure($"The operator broke down: {e}");
        }
        finally
        {
            await watching.CancelAsync().ConfigureAwait(false);
            await informing.ConfigureAwait(false);
        }
    }

    private async Task LeadAsync(CancellationToken stopping)
    {
        if (!settings.LeaderElection)
        {
            await WorkAsync(Task.Delay(Timeout.Infinite, CancellationToken.None), stopping).ConfigureAwait(false);
            return;
        }

        // The lease is kept until the last reconcile is through, so it does not end with the process being asked to.
        using var holding = new CancellationTokenSource();
        Task<bool> lease = elector.RunAsync(holding.Token);
        try
        {
            await Task.WhenAny(elector.Acquired, lease).WaitAsync(stopping).ConfigureAwait(false);
            await WorkAsync(lease, stopping).ConfigureAwait(false);
        }
        finally
        {
            await holding.CancelAsync().ConfigureAwait(false);
            bool lost = await lease.ConfigureAwait(false);
            if (lost)
            {
                end.WithFailure("The lease is lost; another process works now.");
            }
        }
    }

    /// <summary>Works until asked to end, or until the lease ends.</summary>
    private async Task WorkAsync(Task lease, CancellationToken stopping)
    {
        using var stop = CancellationTokenSource.CreateLinkedTokenSource(stopping);
        using var abort = new CancellationTokenSource();
        Task work = Task.WhenAll([.. _loops.Select(l => l.RunAsync(stop.Token, abort.Token)), .. _works.Select(w => RunAsync(w, stop.Token))]);
        Task resync = ResyncAsync(stop.Token);
        await Task.WhenAny(work, lease, WhenCancelled(stopping)).ConfigureAwait(false);
        if (!stopping.IsCancellationRequested)
        {
            // Who is not the leader any more must not write: no drain.
            await abort.CancelAsync().ConfigureAwait(false);
        }

        await stop.CancelAsync().ConfigureAwait(false);
        await Task.WhenAny(work, lease, Task.Delay(settings.DrainTimeout, clock, CancellationToken.None)).ConfigureAwait(false);
        await abort.CancelAsync().ConfigureAwait(false);

        // A reconcile that does not heed its cancellation is left behind: the process ends anyway.
        await Task.WhenAny(work, Task.Delay(settings.DrainTimeout, clock, CancellationToken.None)).ConfigureAwait(false);
        await resync.ConfigureAwait(false);
    }

    private static async Task RunAsync(LeaderWork work, CancellationToken stop)
    {
        try
        {
            await work.Run(stop).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            // As it was told.
        }
    }

    private async Task ResyncAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
#pragma warning disable CA5394 // Spread is no secret.
            TimeSpan wait = settings.ResyncPeriod * (0.9 + (Random.Shared.NextDouble() / 5));
#pragma warning restore CA5394
            await Task.Delay(wait, clock, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            if (!stop.IsCancellationRequested)
            {
                foreach (ControllerLoop loop in _loops)
                {
                    loop.EnqueueAll();
                }
            }
        }
    }

    private void Measure()
    {
        foreach (ControllerLoop loop in _loops)
        {
            RuntimeMetrics.LongestRunning.WithLabels(loop.Name).Set(loop.LongestRunning.TotalSeconds);
        }
    }

    private static Task WhenCancelled(CancellationToken token)
    {
        var done = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        token.Register(done.SetResult);
        return done.Task;
    }
}

/// <summary>Ends the process.</summary>
internal sealed class OperatorEnd(IHostApplicationLifetime lifetime, ILogger<OperatorEnd> log)
{
    /// <summary>Ends the process with exit code 1, in an orderly way.</summary>
    public void WithFailure(string why)
    {
        log.LogCritical("{Why}", why);
        Environment.ExitCode = 1;
        lifetime.StopApplication();
    }
}
