using System.Diagnostics;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd.Support;

/// <summary>Waits for what must come to be: looks often, and gives up at a deadline with what it saw last.</summary>
internal static class Eventually
{
    /// <summary>
    /// How long a condition may take before a test fails, in seconds; nobody waits longer than it takes. A kubelet of 1.20 at times leaves the sandbox of an
    /// ended pod to its garbage collection, once a minute, and the pod's name is taken until then: two of those, and a start on a machine that does far too much.
    /// </summary>
    public const double Patience = 300;

    private static readonly TimeSpan s_pause = TimeSpan.FromMilliseconds(200);

    /// <summary>Looks until <paramref name="holds"/>; gives what was seen then.</summary>
    public static async Task<T> SeesAsync<T>(
        string what, Func<Task<T>> look, Func<T, bool> holds, double seconds = Patience, Func<T, string>? describe = null)
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
    public static async Task<string> SucceedsAsync(string what, Func<Task<Outcome>> command, double seconds = Patience) =>
        (await SeesAsync(what, command, o => o.Code == 0, seconds)).Output;
}
