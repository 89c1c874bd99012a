using SandLabX.Contract;

namespace SandLabX.Runner.Http;

/// <summary>The runner's present state. Readers wait for a change and then read the latest: a slow one skips states, and holds up nobody.</summary>
internal sealed class StateHub(TimeProvider clock, string version, string? podUid = null)
{
    private readonly Lock _lock = new();
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private RunnerState _current = new() { Phase = RunnerPhases.Preparing, At = clock.GetUtcNow(), RunnerVersion = version, PodUid = podUid };
    private int _number;

    /// <summary>The present state, and its number: each change has the next one.</summary>
    internal (RunnerState State, int Number) Current
    {
        get
        {
            lock (_lock)
            {
                return (_current, _number);
            }
        }
    }

    /// <summary>Changes the state; a change that changes nothing is none.</summary>
    internal void Change(Func<RunnerState, RunnerState> change)
    {
        lock (_lock)
        {
            RunnerState next = change(_current);
            if (next == _current)
            {
                return;
            }

            if (next.Phase != _current.Phase)
            {
                Log.Line("phase", ("is", next.Phase));
            }

            _current = next with { At = clock.GetUtcNow() };
            _number++;
            TaskCompletionSource changed = _changed;
            _changed = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            changed.SetResult();
        }
    }

    /// <summary>Waits until there is a state newer than this number.</summary>
    internal async Task WaitAsync(int number, CancellationToken stop)
    {
        while (true)
        {
            Task change;
            lock (_lock)
            {
                if (_number != number)
                {
                    return;
                }

                change = _changed.Task;
            }

            await change.WaitAsync(stop).ConfigureAwait(false);
        }
    }
}
