using System.Diagnostics;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd.Support;

/// <summary>Waits for what must come to be: looks often, and gives up at a deadline with what it saw last.</summary>
internal static class Eventually
{
    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Looks until <paramref name="holds"/>; gives what was seen then.</summary>
    public static async Task<T> SeesAsync<T>(
        string what, Func<Task<T>> look, Func<T, bool> holds, double seconds = 60, Func<T, string>? describe = null)
    {
        long began = Stopwatch.GetTimestamp();
        string last = "nothing";
        while (true)
        {
            try
            {
                T seen = await look();
                if (holds(seen))
                {
                    return seen;
                }

                last = describe?.Invoke(seen) ?? seen?.ToString() ?? "nothing";
            }
            catch (KubeException e) when (e.Kind is KubeError.Transient or KubeError.Throttled)
            {
                last = e.Message; // the API server may be away in some tests
            }

            if (Stopwatch.GetElapsedTime(began).TotalSeconds > seconds)
            {
                throw new TimeoutException($"Not seen within {seconds} s: {what}. Seen last: {last}");
            }

            await Task.Delay(s_pause);
        }
    }

    /// <summary>Tries until a command ends well; gives its output.</summary>
    public static async Task<string> SucceedsAsync(string what, Func<Task<Outcome>> command, double seconds = 60) =>
        (await SeesAsync(what, command, o => o.Code == 0, seconds)).Output;
}
