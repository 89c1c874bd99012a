using System.Diagnostics;
using Spectre.Console;

namespace SandLabX.Cli.Shell;

/// <summary>Shows how far a transfer is: on a terminal a bar with rate and time left, elsewhere a line each tenth.</summary>
internal static class TransferProgress
{
    /// <summary>Runs a transfer under such a display.</summary>
    /// <param name="output">Where to; standard error.</param>
    /// <param name="title">What is transferred.</param>
    /// <param name="total">Bytes in all.</param>
    /// <param name="work">The transfer; it is handed what it tells the bytes to that are across.</param>
    internal static async Task<T> RunAsync<T>(Output output, string title, long total, Func<Action<long>, Task<T>> work)
    {
        if (!output.IsSideTerminal || total == 0)
        {
            var lines = new ProgressLines(title, total);
            long began = Stopwatch.GetTimestamp();
            return await work(now =>
            {
                if (lines.At(now, Stopwatch.GetElapsedTime(began)) is { } line)
                {
                    output.Note(line);
                }
            }).ConfigureAwait(false);
        }

        return await output.Side.Progress().AutoClear(false)
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new DownloadedColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .StartAsync(async display =>
            {
                ProgressTask task = display.AddTask(Markup.Escape(Output.Plain(title)), maxValue: total);
                T result = await work(now => task.Value = now).ConfigureAwait(false);
                task.Value = total;
                return result;
            }).ConfigureAwait(false);
    }
}

/// <summary>Progress as lines: one each tenth that was passed. Told by several threads.</summary>
internal sealed class ProgressLines(string title, long total)
{
    private readonly Lock _gate = new();
    private long _from = -1;
    private TimeSpan _since;
    private int _tenths = -1;

    /// <summary>The line to print now; null when there is nothing new to say.</summary>
    /// <param name="bytes">Bytes that are across.</param>
    /// <param name="time">Time since the beginning.</param>
    internal string? At(long bytes, TimeSpan time)
    {
        lock (_gate)
        {
            if (_from < 0)
            {
                // What was across before we began says nothing about the rate.
                (_from, _since) = (bytes, time);
            }

            int tenths = total == 0 ? 10 : (int)(bytes * 10 / total);
            if (tenths <= _tenths)
            {
                return null;
            }

            _tenths = tenths;
            double seconds = (time - _since).TotalSeconds;
            double rate = seconds > 0 ? (bytes - _from) / seconds : 0;
            string pace = rate > 0 ? $", {Sizes.Write((long)rate)}/s" + (bytes < total ? $", {KubectlDurations.Write(TimeSpan.FromSeconds((total - bytes) / rate))} left" : "") : "";
            return $"{title}: {tenths * 10}%, {Sizes.Write(bytes)} of {Sizes.Write(total)}{pace}";
        }
    }
}
