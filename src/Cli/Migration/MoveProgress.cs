using SandLabX.Cli.Shell;
using Spectre.Console;

namespace SandLabX.Cli.Migration;

/// <summary>What is being moved, as it goes: bars on a terminal, elsewhere a line a step and one every ten seconds.</summary>
internal sealed class MoveProgress
{
    private static readonly TimeSpan s_every = TimeSpan.FromSeconds(10);

    private readonly Output _output;
    private readonly TimeProvider _clock;
    private readonly ProgressContext? _bars;

    private MoveProgress(Output output, TimeProvider clock, ProgressContext? bars) => (_output, _clock, _bars) = (output, clock, bars);

    /// <summary>Runs what is to be shown.</summary>
    internal static Task RunAsync(Output output, TimeProvider clock, Func<MoveProgress, Task> work) => output.IsSideTerminal
        ? output.Side.Progress()
            .Columns(new TaskDescriptionColumn(), new ProgressBarColumn(), new PercentageColumn(), new TransferSpeedColumn(), new RemainingTimeColumn())
            .StartAsync(bars => work(new MoveProgress(output, clock, bars)))
        : work(new MoveProgress(output, clock, null));

    /// <summary>Begins a thing to be moved; gives what is to be told of how far it is.</summary>
    /// <param name="what">The thing.</param>
    /// <param name="bytes">How many bytes it has.</param>
    internal Action<string, long> Begin(string what, long bytes)
    {
        ProgressTask? bar = _bars?.AddTask(Markup.Escape(what), maxValue: Math.Max(1, bytes));
        string last = "";
        long told = 0;
        return (step, done) =>
        {
            if (bar is not null)
            {
                bar.Description = Markup.Escape($"{what}: {step}");
                bar.Value = done;
                return;
            }

            long now = _clock.GetTimestamp();
            if (step == last && _clock.GetElapsedTime(told, now) < s_every)
            {
                return;
            }

            (last, told) = (step, now);
            _output.Note(done > 0 ? $"{what}: {step}, {Sizes.Write(done)} of {Sizes.Write(bytes)}" : $"{what}: {step}");
        };
    }
}
