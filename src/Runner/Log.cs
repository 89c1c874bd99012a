using System.Collections.Concurrent;
using System.Text;

namespace SandLabX.Runner;

/// <summary>
/// The runner's own lines, on standard error: one event a line, <c>key=value</c>, told apart from the guest's console by the prefix.
/// Whoever reads the log slowly loses lines; the guest and its shutdown never wait for the log.
/// </summary>
internal static class Log
{
    private const string Prefix = "sandlabx-runner: ";
    private const int MaxWaiting = 256;

    private static readonly BlockingCollection<byte[]> s_lines = new(MaxWaiting);
    private static readonly Thread s_writer = StartWriter();

    /// <summary>Writes one line. Values never hold secrets: no environment, no address with its query.</summary>
    internal static void Line(string what, params ReadOnlySpan<(string Key, string? Value)> values)
    {
        var line = new StringBuilder(Prefix).Append(what);
        foreach ((string key, string? value) in values)
        {
            if (value is not null)
            {
                line.Append(' ').Append(key).Append('=').Append(Quoted(value));
            }
        }

        _ = s_lines.TryAdd(Encoding.UTF8.GetBytes(line.Append('\n').ToString()));
    }

    /// <summary>Ends the log: gives the last lines a moment to get out.</summary>
    internal static void Close()
    {
        s_lines.CompleteAdding();
        s_writer.Join(TimeSpan.FromSeconds(1));
    }

    private static Thread StartWriter()
    {
        var writer = new Thread(Write, maxStackSize: 128 * 1024) { IsBackground = true, Name = "log" };
        writer.Start();
        return writer;
    }

    private static void Write()
    {
        using Stream errors = Console.OpenStandardError();
        foreach (byte[] line in s_lines.GetConsumingEnumerable())
        {
            try
            {
                errors.Write(line);
            }
            catch (IOException)
            {
                // Whoever read the log is gone.
            }
        }
    }

    private static string Quoted(string value)
    {
        string line = Consoles.ConsoleText.Printable(value);
        return line.Length == 0 || line.AsSpan().ContainsAny(" \"=") ? "\"" + line.Replace("\"", "'", StringComparison.Ordinal) + "\"" : line;
    }
}
