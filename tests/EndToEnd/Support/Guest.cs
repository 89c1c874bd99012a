using System.Globalization;

namespace SandLabX.EndToEnd.Support;

/// <summary>The tiny guest at the other end of a LabNode's serial console, reached as a user reaches it: through kubectl exec.</summary>
internal sealed class Guest(Space space, string node)
{
    private static int s_token;

    public string Node => node;

    /// <summary>Waits until the guest says that it is ready; <paramref name="boot"/> asks for a certain boot of its disk.</summary>
    public async Task ReadyAsync(int? boot = null, double seconds = Eventually.Patience)
    {
        string line = boot is { } n ? $"SANDLABX-TINY READY boot={n.ToString(CultureInfo.InvariantCulture)} " : "SANDLABX-TINY READY boot=";
        await Eventually.SucceedsAsync(
            $"guest {node}: {line}", () => ConsoleAsync(20, "--expect", line), seconds);
    }

    /// <summary>Whether the guest of this pod has said that it is ready, or does so within some seconds.</summary>
    public async Task<bool> SaidReadyAsync(double seconds) => (await ConsoleAsync(seconds, "--expect", "SANDLABX-TINY READY boot=")).Code == 0;

    /// <summary>Whether the guest answers just now.</summary>
    public async Task<bool> AnswersAsync()
    {
        string token = $"t{Interlocked.Increment(ref s_token)}x";
        return (await ConsoleAsync(10, "--send", $"ping {token}", "--expect", $"OK pong {token}")).Code == 0;
    }

    /// <summary>Sends a command; gives its answer: the lines up to OK or ERR.</summary>
    public async Task<string> AskAsync(string command, double seconds = Eventually.Patience)
    {
        // The second question's answer comes after the whole of the first one's.
        string token = $"t{Interlocked.Increment(ref s_token)}x";
        Outcome outcome = await ConsoleAsync(seconds, "--send", command, "--send", $"ping {token}", "--expect", $"OK pong {token}");
        outcome.Code.ShouldBe(0, $"guest {node} was asked: {command}\n{outcome}");
        string[] lines = [.. outcome.Output.ReplaceLineEndings("\n").Split('\n').TakeWhile(l => !l.Contains($"OK pong {token}", StringComparison.Ordinal))];
        int last = Array.FindLastIndex(lines, l => l.StartsWith("OK", StringComparison.Ordinal) || l.StartsWith("ERR", StringComparison.Ordinal));
        last.ShouldBeGreaterThanOrEqualTo(0, $"guest {node} gave no answer to: {command}\n{outcome}");
        return string.Join('\n', lines[..(last + 1)].Where(l => !l.StartsWith("SYNCED", StringComparison.Ordinal)));
    }

    /// <summary>Sends a command that must be answered with OK; gives what follows it.</summary>
    public async Task<string> OkAsync(string command, double seconds = Eventually.Patience)
    {
        string answer = await AskAsync(command, seconds);
        string last = answer.Split('\n')[^1];
        last.ShouldStartWith("OK", customMessage: $"guest {node} was asked: {command}");
        return last.Length > 3 ? last[3..].Trim() : "";
    }

    /// <summary>Which boot of its disk this is.</summary>
    public async Task<int> BootAsync() =>
        int.Parse((await OkAsync("info")).Split(' ').First(w => w.StartsWith("boot=", StringComparison.Ordinal)).AsSpan(5), CultureInfo.InvariantCulture);

    /// <summary>Sends a command that ends the guest, or this boot of it. Its OK can be lost with the container that waits for it: what came of it is in the LabNode's status.</summary>
    public Task TellAsync(string command) => ConsoleAsync(Eventually.Patience, "--send", command, "--expect", "OK");

    /// <summary>The number of the last record that is proved to be there with all before it.</summary>
    public async Task<long> CheckAsync(string file) => long.Parse(await OkAsync($"count check {file}"), CultureInfo.InvariantCulture);

    /// <summary>Starts counting, and calls <paramref name="synced"/> with each number whose record the guest says is on its disk.</summary>
    public async Task<Following> CountAsync(string file, int pauseMilliseconds, Action<long> synced)
    {
        Following following = Shell.Follow(
            ["kubectl", "-n", space.Name, "exec", "labnode-" + node, "--", "sandlabx-runner", "console", "--no-input"],
            line =>
            {
                // A number that the guest's end cut short is a smaller one: still no more than was promised.
                if (line.TrimEnd('\r') is { } text && text.StartsWith("SYNCED ", StringComparison.Ordinal)
                    && long.TryParse(text.AsSpan(7), NumberStyles.None, CultureInfo.InvariantCulture, out long number))
                {
                    synced(number);
                }
            });
        await OkAsync($"count start {file} {pauseMilliseconds.ToString(CultureInfo.InvariantCulture)}");
        return following;
    }

    private Task<Outcome> ConsoleAsync(double seconds, params string[] words) => Shell.RunAsync(
        ["kubectl", "-n", space.Name, "exec", "labnode-" + node, "--", "sandlabx-runner", "console", .. words, "--timeout", seconds.ToString(CultureInfo.InvariantCulture)],
        seconds + 15);
}
