using System.Text;
using SandLabX.Runner.Consoles;

namespace SandLabX.Unit.Runner;

public class ConsoleTests
{
    [Theory]
    [InlineData("plain\r\ntext\n", "plain\ntext\n")]
    [InlineData("\x1b[1;31mred\x1b[0m", "red")]
    [InlineData("\x1b[2J\x1b[H\x1b[?25lboot", "boot")]
    [InlineData("\x1b]0;title\aafter", "after")]
    [InlineData("\x1b]0;title\x1b\\after", "after")]
    [InlineData("\x1b(Bafter", "after")]
    [InlineData("\x1b" + "cafter", "after")]
    [InlineData("abc\b\bd", "ad")]
    [InlineData("cut \x1b[3", "cut ")]
    [InlineData("cut \x1b", "cut ")]
    [InlineData("cut \x1b[3\nnext", "cut \nnext")]
    [InlineData("bell\a and \0 nul", "bell and  nul")]
    public void Control_sequences_leave_plain_text(string raw, string plain) => ConsoleText.Plain(Encoding.UTF8.GetBytes(raw)).ShouldBe(plain);

    [Fact]
    public void Bytes_that_are_no_text_are_replaced() => ConsoleText.Plain([0x41, 0xFF, 0xFE, 0x42]).ShouldBe("A\uFFFD\uFFFDB");

    [Fact]
    public void Readers_each_have_their_own_place()
    {
        var log = new ConsoleLog(16);
        log.Append("hello "u8);
        long early = 0;
        long late = log.End;
        log.Append("world"u8);

        Take(log, ref early).ShouldBe("hello world");
        Take(log, ref late).ShouldBe("world");
    }

    [Fact]
    public void Who_is_too_slow_is_told_how_much_is_lost()
    {
        var log = new ConsoleLog(16);
        long place = 0;
        log.Append("0123456789"u8);
        log.Append("abcdefghij"u8);

        byte[] buffer = new byte[100];
        int count = log.Read(ref place, buffer, out long lost);

        lost.ShouldBe(4);
        Encoding.ASCII.GetString(buffer, 0, count).ShouldBe("456789abcdefghij");
        Encoding.ASCII.GetString(log.Tail(3)).ShouldBe("hij");
    }

    [Fact]
    public void More_than_all_at_once_leaves_its_end()
    {
        var log = new ConsoleLog(4);
        log.Append("0123456789"u8);

        Encoding.ASCII.GetString(log.Tail(100)).ShouldBe("6789");
        log.End.ShouldBe(10);
    }

    [Fact]
    public async Task A_waiting_reader_is_woken_by_bytes_and_by_the_end()
    {
        var log = new ConsoleLog(16);
        Task<bool> waiting = log.WaitAsync(0);
        waiting.IsCompleted.ShouldBeFalse();
        log.Append("x"u8);
        (await waiting.WaitAsync(TimeSpan.FromSeconds(10))).ShouldBeTrue();

        Task<bool> last = log.WaitAsync(1);
        log.Close();
        (await last.WaitAsync(TimeSpan.FromSeconds(10))).ShouldBeFalse();
    }

    [Fact]
    public void A_script_sends_and_expects_in_turn()
    {
        var script = new ConsoleScript([new(false, "login:"), new(true, "root"), new(false, "# ")]);

        Typed(script, "boot... log").ShouldBe("");
        Typed(script, "in: ").ShouldBe("root\r");
        script.Expected.ShouldBe("# ");
        Typed(script, "root\r\n").ShouldBe("");
        Typed(script, "host# ").ShouldBe("");
        script.IsDone.ShouldBeTrue();
    }

    [Fact]
    public void What_came_before_a_line_is_no_answer_to_it()
    {
        var script = new ConsoleScript([new(false, "a"), new(true, "go"), new(false, "done")]);

        Typed(script, "a done").ShouldBe("go\r");
        script.IsDone.ShouldBeFalse();
        Typed(script, "done");
        script.IsDone.ShouldBeTrue();
    }

    [Fact]
    public void Arguments_make_a_script_or_are_refused()
    {
        ConsoleArguments script = ConsoleArguments.Parse(["--expect", "login:", "--send", "root", "--timeout", "1.5"])!;
        script.Steps.ShouldBe([new(false, "login:"), new(true, "root")]);
        script.Timeout.ShouldBe(TimeSpan.FromSeconds(1.5));
        ConsoleArguments.Parse([])!.Timeout.ShouldBeNull();
        ConsoleArguments.Parse(["--send", "x"])!.Timeout.ShouldBe(TimeSpan.FromSeconds(30));
        ConsoleArguments.Parse(["--send"]).ShouldBeNull();
        ConsoleArguments.Parse(["--help"]).ShouldBeNull();
        ConsoleArguments.Parse(["--timeout", "-1"]).ShouldBeNull();
    }

    private static string Take(ConsoleLog log, ref long place)
    {
        byte[] buffer = new byte[100];
        return Encoding.ASCII.GetString(buffer, 0, log.Read(ref place, buffer, out _));
    }

    private static string Typed(ConsoleScript script, string received) => Encoding.UTF8.GetString(script.Advance(Encoding.UTF8.GetBytes(received)));

    [Fact]
    public void A_record_of_an_end_keeps_the_last_50_lines()
    {
        string all = string.Join('\n', Enumerable.Range(1, 200).Select(n => $"line {n}"));
        string[] kept = ConsoleText.LastLines(all + "\n\n").Split('\n');
        (kept.Length, kept[0], kept[^1]).ShouldBe((50, "line 151", "line 200"));
        ConsoleText.LastLines("\none\n\ntwo\n").ShouldBe("one\n\ntwo");
        ConsoleText.LastLines("").ShouldBe("");
    }

    [Fact]
    public void And_no_more_than_8192_characters_of_them_in_whole_lines_where_there_are_any()
    {
        ConsoleText.LastLines(string.Join('\n', Enumerable.Repeat(new string('x', 1000), 50))).Split('\n').ShouldAllBe(line => line.Length == 1000);
        ConsoleText.LastLines(new string('x', 20_000)).Length.ShouldBe(8192);
        ConsoleText.LastLines("x" + string.Concat(Enumerable.Repeat("😀", 5000)) + "y").ShouldNotContain("\uFFFD");
    }
}
