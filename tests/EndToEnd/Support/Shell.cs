using System.Diagnostics;
using System.Text;

namespace SandLabX.EndToEnd.Support;

/// <summary>How a command ended.</summary>
internal sealed record Outcome(int Code, string Output, string Errors)
{
    public override string ToString() => $"exit code {Code}\n{Output}\n{Errors}".Trim();
}

/// <summary>Commands of this machine.</summary>
internal static class Shell
{
    /// <summary>Runs a command to its end; one that takes longer than it may is ended, and says so.</summary>
    public static async Task<Outcome> RunAsync(IEnumerable<string> command, double seconds = Eventually.Patience, string? input = null, string? inputFile = null)
    {
        string[] words = [.. command];
        using var process = new Process { StartInfo = Start(words, redirectInput: true) };
        process.Start();
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        Task feeding = FeedAsync(process, input, inputFile);
        using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(seconds));
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill(entireProcessTree: true);
            return new Outcome(-1, "", $"{string.Join(' ', words)} did not end within {seconds} s");
        }

        await feeding;
        return new Outcome(process.ExitCode, await output, await errors);
    }

    /// <summary>Begins a command whose lines are taken as they come, until it is disposed of.</summary>
    public static Following Follow(IEnumerable<string> command, Action<string> line)
    {
        var process = new Process { StartInfo = Start([.. command], redirectInput: false) };
        process.OutputDataReceived += (_, e) =>
        {
            if (e.Data is { } text)
            {
                line(text);
            }
        };
        process.Start();
        process.BeginOutputReadLine();
        process.BeginErrorReadLine();
        return new Following(process);
    }

    private static ProcessStartInfo Start(string[] words, bool redirectInput) => new(words[0], words[1..])
    {
        RedirectStandardInput = redirectInput,
        RedirectStandardOutput = true,
        RedirectStandardError = true,
        StandardOutputEncoding = Encoding.UTF8,
    };

    private static async Task FeedAsync(Process process, string? input, string? file)
    {
        try
        {
            if (file is not null)
            {
                await using FileStream bytes = File.OpenRead(file);
                await bytes.CopyToAsync(process.StandardInput.BaseStream);
            }

            if (input is not null)
            {
                await process.StandardInput.WriteAsync(input);
            }

            process.StandardInput.Close();
        }
        catch (IOException)
        {
            // It ended without reading all; its exit code tells.
        }
    }
}

/// <summary>A command that runs beside a test.</summary>
internal sealed class Following(Process process) : IDisposable
{
    public void Dispose()
    {
        try
        {
            process.Kill(entireProcessTree: true);
            process.WaitForExit();
        }
        catch (InvalidOperationException)
        {
            // It ended by itself.
        }

        process.Dispose();
    }
}
