using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using k8s;
using Spectre.Console;
using Spectre.Console.Rendering;

namespace SandLabX.Cli.Shell;

/// <summary>
/// All that is printed. Results go to standard output, and nothing but results; progress, hints and errors to standard error. On a terminal there is colour
/// (unless NO_COLOR is set) and what moves; elsewhere plain lines. What comes from the cluster is shown without control characters: a guest's words must
/// not steer a terminal.
/// </summary>
internal sealed class Output
{
    private static readonly JsonSerializerOptions s_indented = new() { WriteIndented = true, Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping };

    private readonly TextWriter _out = Console.Out;
    private readonly TextWriter _error = Console.Error;
    private readonly Lazy<IAnsiConsole> _screen;
    private readonly Lazy<IAnsiConsole> _side;

    internal Output()
    {
        _screen = new Lazy<IAnsiConsole>(() => Make(_out, IsTerminal));
        _side = new Lazy<IAnsiConsole>(() => Make(_error, IsSideTerminal));
    }

    /// <summary>Whether standard output is a terminal.</summary>
    internal bool IsTerminal { get; } = !Console.IsOutputRedirected;

    /// <summary>Whether standard error is a terminal.</summary>
    internal bool IsSideTerminal { get; } = !Console.IsErrorRedirected;

    /// <summary>Whether there is a person to ask.</summary>
    internal bool IsInteractive => !Console.IsInputRedirected && IsSideTerminal;

    /// <summary>Standard output, for what moves. On a terminal only.</summary>
    internal IAnsiConsole Screen => _screen.Value;

    /// <summary>Standard error, for what moves. On a terminal only.</summary>
    internal IAnsiConsole Side => _side.Value;

    /// <summary>A line of the result.</summary>
    internal void Line(string text = "") => _out.WriteLine(Plain(text));

    /// <summary>A line of the result that begins with a coloured word.</summary>
    internal void Marked(string word, string text)
    {
        if (IsTerminal)
        {
            Screen.Write(new Text(word.PadRight(6), Colour(word)));
        }
        else
        {
            _out.Write(word.PadRight(6));
        }

        Line(text);
    }

    /// <summary>A line beside the result: progress, a hint.</summary>
    internal void Note(string text) => _error.WriteLine(Plain(text));

    /// <summary>Something that is not as it should be, and stops nothing.</summary>
    internal void Warning(string text) => Told("warning: ", text, Color.Yellow);

    /// <summary>Why it did not work.</summary>
    internal void Error(string text) => Told("error: ", text, Color.Red);

    /// <summary>The result in the form that was asked for.</summary>
    /// <param name="format">The form.</param>
    /// <param name="document">The result as data.</param>
    /// <param name="table">Prints it for people.</param>
    internal void Result(Format format, JsonNode document, Action table)
    {
        switch (format)
        {
            case Format.Json:
                _out.WriteLine(document.ToJsonString(s_indented));
                break;
            case Format.Yaml:
                _out.WriteLine(KubernetesYaml.Serialize(Bare(document)).TrimEnd());
                break;
            default:
                table();
                break;
        }
    }

    /// <summary>A Kubernetes object, or any other that its client writes, as data.</summary>
    internal static JsonNode Data(object value) => JsonNode.Parse(KubernetesJson.Serialize(value))!;

    /// <summary>A table: on a terminal with coloured heads, elsewhere columns of plain text that are never folded or cut.</summary>
    internal void Table(IReadOnlyList<string> heads, IEnumerable<IReadOnlyList<string>> rows)
    {
        if (IsTerminal)
        {
            Screen.Write(Grid(heads, rows));
            return;
        }

        List<IReadOnlyList<string>> all = [heads, .. rows];
        int[] widths = [.. heads.Select((_, i) => all.Max(r => Plain(r[i]).Length))];
        foreach (IReadOnlyList<string> row in all)
        {
            var line = new StringBuilder();
            for (int i = 0; i < row.Count; i++)
            {
                line.Append(Plain(row[i]).PadRight(widths[i])).Append(i < row.Count - 1 ? "   " : "");
            }

            _out.WriteLine(line.ToString().TrimEnd());
        }
    }

    /// <summary>The same as something that a live display can show.</summary>
    internal static Table Grid(IReadOnlyList<string> heads, IEnumerable<IReadOnlyList<string>> rows)
    {
        var table = new Table { Border = TableBorder.None, ShowRowSeparators = false };
        foreach (string head in heads)
        {
            table.AddColumn(new TableColumn(new Text(head, new Style(decoration: Decoration.Bold))) { NoWrap = true, Padding = new Padding(0, 0, 2, 0) });
        }

        foreach (IReadOnlyList<string> row in rows)
        {
            table.AddRow(row.Select(cell => (IRenderable)new Text(Plain(cell), Colour(cell))));
        }

        return table;
    }

    /// <summary>Asks a question that yes or no answers; without a person to ask, or without an answer, it is no.</summary>
    internal bool Confirm(string question)
    {
        if (!IsInteractive)
        {
            return false;
        }

        _error.Write($"{Plain(question)} [y/N] ");
        string? answer = Console.In.ReadLine()?.Trim();
        return answer is not null && (answer.Equals("y", StringComparison.OrdinalIgnoreCase) || answer.Equals("yes", StringComparison.OrdinalIgnoreCase));
    }

    /// <summary>Text without what would steer a terminal; line ends stay.</summary>
    internal static string Plain(string text) =>
        text.Any(IsControl) ? string.Concat(text.Where(c => !IsControl(c))) : text;

    private static bool IsControl(char c) => char.IsControl(c) && c is not ('\n' or '\t');

    private static Style Colour(string word) => new(word switch
    {
        "Running" or "Ready" or "Verified" or "ok" => Color.Green,
        "Failed" or "fail" => Color.Red,
        "BackOff" or "Unschedulable" or "WaitingForImage" or "WaitingForVolume" or "warn" => Color.Yellow,
        _ => Color.Default,
    });

    private static IAnsiConsole Make(TextWriter writer, bool terminal) => AnsiConsole.Create(new AnsiConsoleSettings
    {
        Ansi = terminal ? AnsiSupport.Detect : AnsiSupport.No,
        ColorSystem = terminal && Environment.GetEnvironmentVariable("NO_COLOR") is not { Length: > 0 } ? ColorSystemSupport.Detect : ColorSystemSupport.NoColors,
        Interactive = terminal ? InteractionSupport.Detect : InteractionSupport.No,
        Out = new AnsiConsoleOutput(writer),
    });

    private void Told(string head, string text, Color color)
    {
        if (IsSideTerminal)
        {
            Side.Write(new Text(head, new Style(color)));
            _error.WriteLine(Plain(text));
        }
        else
        {
            _error.WriteLine(head + Plain(text));
        }
    }

    /// <summary>JSON as dictionaries and lists, which the YAML writer knows.</summary>
    private static object? Bare(JsonNode? node) => node switch
    {
        JsonObject o => o.ToDictionary(p => p.Key, p => Bare(p.Value)),
        JsonArray a => a.Select(Bare).ToList(),
        JsonValue v when v.TryGetValue(out bool truth) => truth,
        JsonValue v when v.TryGetValue(out long whole) => whole,
        JsonValue v when v.TryGetValue(out double real) => real,
        JsonValue v => v.GetValue<string>(),
        _ => null,
    };
}
