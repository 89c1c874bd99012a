using System.Text.Json;
using SandLabX.Runner.Http;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// Watches whether anybody uses the guest: types on its console, has its screen open, or talks to it over its network. What the runner itself is asked over the
/// pod's network (probes, the event stream) never reaches the guest, so it is no use.
/// </summary>
internal sealed class UseWatch(QmpConnection monitor, StateHub states, TimeProvider clock)
{
    /// <summary>What the answers to its questions are known by.</summary>
    internal const string IdPrefix = "use.";

    private const string DevicesId = IdPrefix + "devices";
    private const string FramesId = IdPrefix + "frames:";
    private const string ViewersId = IdPrefix + "viewers";

    // How often is looked, and how often at most is told: a guest in use must not keep all who listen busy.
    private static readonly TimeSpan s_period = TimeSpan.FromSeconds(10);

    private readonly UseMeter _meter = new();
    private IReadOnlyList<string>? _devices;
    private volatile bool _blind;

    /// <summary>Somebody uses the guest now.</summary>
    internal void Touch()
    {
        DateTimeOffset now = clock.GetUtcNow();
        states.Change(state => state.LastUsedAt is { } last && now - last >= s_period ? state with { LastUsedAt = now } : state);
    }

    /// <summary>Looks again and again, once a guest runs.</summary>
    internal async Task RunAsync(CancellationToken over)
    {
        try
        {
            using var timer = new PeriodicTimer(s_period, clock);
            while (!_blind && await timer.WaitForNextTickAsync(over).ConfigureAwait(false))
            {
                if (states.Current.State.LastUsedAt is not null)
                {
                    await AskAsync().ConfigureAwait(false);
                }
            }
        }
        catch (OperationCanceledException)
        {
            // It is over.
        }
    }

    /// <summary>Takes an answer in.</summary>
    internal void Hear(QmpMessage.Answer answer)
    {
        try
        {
            if (answer.Id == DevicesId)
            {
                _devices = [.. answer.Value.EnumerateArray().Where(device => device.GetProperty("name").GetString() == "virtio-net").Select(device => device.GetProperty("path").GetString()!)];
            }
            else if (IsUse(answer))
            {
                Touch();
            }
        }
        catch (Exception e) when (e is KeyNotFoundException or InvalidOperationException or FormatException)
        {
            Refused($"{answer.Id} was answered by what is not understood: {e.Message}");
        }
    }

    private bool IsUse(QmpMessage.Answer answer) => answer.Id == ViewersId
        ? answer.Value.GetProperty("clients").GetArrayLength() > 0
        : _meter.Counted(answer.Id[FramesId.Length..], answer.Value.GetProperty("used-idx").GetInt32(), clock.GetUtcNow());

    /// <summary>A QEMU that does not count leaves unknown what is used: nobody then takes the guest for idle.</summary>
    internal void Refused(string why)
    {
        _blind = true;
        Log.Line("use.unknown", ("says", why));
        states.Change(state => state with { LastUsedAt = null });
    }

    private async Task AskAsync()
    {
        await monitor.SendAsync("query-vnc", id: ViewersId).ConfigureAwait(false);
        if (_devices is null)
        {
            await monitor.SendAsync("x-query-virtio", id: DevicesId).ConfigureAwait(false);
        }

        foreach (string device in _devices ?? [])
        {
            // Queue 0 is the one on which a network device receives.
            await monitor.SendAsync("x-query-virtio-queue-status", $"{{\"path\":\"{JsonEncodedText.Encode(device)}\",\"queue\":0}}", FramesId + device).ConfigureAwait(false);
        }
    }
}
