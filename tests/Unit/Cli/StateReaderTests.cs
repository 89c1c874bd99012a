using System.Diagnostics;
using System.Text;
using SandLabX.Cli.Migration;

namespace SandLabX.Unit.Cli;

/// <summary>nodes-state.json as its versions wrote it, as crashes left it, and as nobody should have written it.</summary>
public sealed class StateReaderTests
{
    private const string Web = """
        {"id":"3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e","name":"web","osType":"debian","status":"running","overlayPath":"/overlays/node_3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e.qcow2",
         "vncPort":5900,"guacConnectionId":7,"guacUrl":"http://localhost:8081/guacamole/#/client/NwBjAHBvc3RncmVzcWw=","pid":null,
         "createdAt":"2025-10-20T13:00:00.000Z","updatedAt":"2025-10-21T13:00:00.000Z","startedAt":"2025-10-20T14:00:00.000Z","stoppedAt":null,"wipedAt":"2025-10-20T13:30:00.000Z",
         "resources":{"ram":4096,"cpus":3}}
        """;

    private const string Db = """{"id":"a7d7b2c4-1111-4222-8333-444455556666","name":"db","osType":"ubuntu","resources":{"ram":1024,"cpus":1}}""";

    [Fact]
    public void A_file_of_the_platform_is_read_key_by_key()
    {
        OldState state = Read($$"""{"version":"1.0.0","lastUpdated":"2025-10-20T13:00:00.000Z","nodes":[{{Web}}]}""");
        OldNode node = state.Nodes.ShouldHaveSingleItem();
        node.ShouldBe(new OldNode
        {
            Id = "3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e",
            Name = "web",
            OsType = "debian",
            Status = "running",
            OverlayPath = "/overlays/node_3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e.qcow2",
            MemoryMiB = 4096,
            Cpus = 3,
            CreatedAt = Utc(13, 0),
            StartedAt = Utc(14, 0),
            WipedAt = Utc(13, 30),
            Notes = node.Notes,
        });
        node.Notes.ShouldBeEmpty();
        state.Losses.ShouldBeEmpty();
        state.Notes.ShouldBeEmpty();
    }

    [Fact]
    public void The_image_that_later_versions_noted_is_read()
    {
        OldNode node = ReadOne("""{"id":"a","name":"r","osType":"custom","image":{"type":"custom","id":"x","path":"/images/custom/lab.qcow2","sizeBytes":5,"size":"5 B"}}""");
        node.ImagePath.ShouldBe("/images/custom/lab.qcow2");
        node.Notes.ShouldBeEmpty();
        ReadOne("""{"id":"a","name":"r","osType":"alpine","image":null}""").ImagePath.ShouldBeNull();
    }

    [Fact]
    public void What_is_missing_has_the_platforms_defaults()
    {
        OldNode node = ReadOne("""{"id":"0123456789","name":"bare"}""");
        (node.OsType, node.MemoryMiB, node.Cpus, node.CreatedAt).ShouldBe(("ubuntu", 2048, 2, null));
        node.Notes.ShouldBeEmpty();
        ReadOne("""{"id":"0123456789","resources":null}""").ShouldSatisfyAllConditions(
            n => n.MemoryMiB.ShouldBe(2048), n => n.Cpus.ShouldBe(2), n => n.Name.ShouldBe("node-01234567"), n => n.Notes.ShouldHaveSingleItem().ShouldContain("no name"));
    }

    [Theory]
    [InlineData("""{"id":"a","name":"n","os":"alpine","resources":{"memoryMb":512,"cpu":4}}""")]
    [InlineData("""{"id":"a","name":"n","osType":"alpine","resources":{"ram":"512","vcpus":"4"}}""")]
    [InlineData("""{"id":"a","name":"n","os_type":"alpine","ram_mb":512,"cpu_cores":4}""")]
    [InlineData("""{"id":"a","name":"n","os":"alpine","ram":512.0,"cpus":4}""")]
    public void Other_names_of_the_same_are_understood(string record)
    {
        OldNode node = ReadOne(record);
        (node.OsType, node.MemoryMiB, node.Cpus).ShouldBe(("alpine", 512, 4));
        node.Notes.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("-5", 2048, "\"-5\"")]
    [InlineData("0", 2048, "\"0\"")]
    [InlineData("\"much\"", 2048, "\"much\"")]
    [InlineData("8", 16, "16 MiB is taken")]
    [InlineData("1e99", 2048, "1e99")]
    [InlineData("99999999999", 1048576, "1048576 MiB is taken")]
    [InlineData("[1]", 2048, "[1]")]
    public void A_number_that_can_not_be_meant_is_told_and_not_taken(string ram, int taken, string note)
    {
        OldNode node = ReadOne($$"""{"id":"a","name":"n","resources":{"ram":{{ram}},"cpus":2} }""");
        node.MemoryMiB.ShouldBe(taken);
        node.Notes.ShouldHaveSingleItem().ShouldContain(note);
    }

    [Fact]
    public void Keys_that_nobody_knows_are_told()
    {
        OldNode node = ReadOne("""{"id":"a","name":"n","tags":["x"],"owner":{"deep":[1,{"a":2}]}}""");
        node.Notes.ShouldHaveSingleItem().ShouldContain("tags, owner");
    }

    [Fact]
    public void A_time_that_is_none_is_left_out_and_told()
    {
        OldNode node = ReadOne("""{"id":"a","name":"n","createdAt":"yesterday","startedAt":"2025-10-20T14:00:00+02:00"}""");
        node.CreatedAt.ShouldBeNull();
        node.StartedAt.ShouldBe(Utc(12, 0));
        node.Notes.ShouldHaveSingleItem().ShouldContain("createdAt");
    }

    [Fact]
    public void A_record_without_an_id_is_known_by_its_overlay_or_told_as_lost()
    {
        OldState state = Read("""{"nodes":[{"name":"x","overlayPath":"/vms/node_abc.qcow2"},{"name":"y"},7]}""");
        state.Nodes.ShouldHaveSingleItem().Id.ShouldBe("abc");
        state.Losses.Count.ShouldBe(2);
        state.Losses[0].What.ShouldContain("Entry 2");
        state.Losses[1].What.ShouldContain("Entry 3");
    }

    [Fact]
    public void A_file_that_was_cut_gives_all_that_is_whole_and_names_what_is_not()
    {
        string whole = $$"""{"version":"1.0.0","nodes":[{{Web}},{{Db}},{"id":"cut-one","name":"third","osTy""";
        OldState state = Read(whole);
        state.Nodes.Select(n => n.Name).ShouldBe(["web", "db"]);
        Loss loss = state.Losses.ShouldHaveSingleItem();
        loss.Ids.ShouldBe(["cut-one"]);
        loss.What.ShouldContain("can't be read");
    }

    /// <summary>Wherever it is cut: never an exception, never a node that is not there, and always a word about it.</summary>
    [Fact]
    public void It_can_be_cut_anywhere()
    {
        byte[] whole = Encoding.UTF8.GetBytes($$"""{"version":"1.0.0","nodes":[{{Web}},{{Db}}],"lastUpdated":"x"}""");
        for (int length = 0; length < whole.Length; length++)
        {
            OldState state = StateReader.Read(whole.AsSpan(0, length));
            state.Losses.ShouldNotBeEmpty($"cut at {length}");
            state.Nodes.Select(n => n.Name).ShouldBe(((string[])["web", "db"])[..state.Nodes.Count], $"cut at {length}");
            foreach (OldNode node in state.Nodes)
            {
                node.ShouldSatisfyAllConditions(n => n.MemoryMiB.ShouldBeOneOf(4096, 1024), n => n.Cpus.ShouldBeOneOf(3, 1));
            }
        }
    }

    [Fact]
    public void What_stands_behind_a_damaged_stretch_is_found_again_and_marked()
    {
        OldState state = Read($$"""{"version":"1.0.0","nodes":[{"id":"broken","name":"a","resources":{"ram":::} },{{Web}},###,{{Db}}]}""");
        state.Nodes.Select(n => n.Name).ShouldBe(["web", "db"]);
        state.Nodes[0].Notes.ShouldHaveSingleItem().ShouldContain("damaged");
        state.Losses.SelectMany(l => l.Ids).ShouldBe(["broken"]);
        state.Losses.Count.ShouldBe(2);
    }

    [Theory]
    [InlineData("", "empty")]
    [InlineData("\0\0\0\0", "nothing is written")]
    [InlineData("{}", "no list called nodes")]
    [InlineData("\"nodes\"", "neither an object nor a list")]
    [InlineData("not json", "can't be read")]
    [InlineData("""{"nodes":{}}""", "no list called nodes")]
    [InlineData("""{"nodes":[]} and more""", "can't be read")]
    public void A_file_that_is_none_says_so(string text, string what)
    {
        OldState state = Read(text);
        state.Nodes.ShouldBeEmpty();
        state.Losses.ShouldHaveSingleItem().What.ShouldContain(what);
    }

    [Fact]
    public void A_bare_list_a_byte_order_mark_and_a_comma_too_many_are_no_matter()
    {
        StateReader.Read([.. Encoding.UTF8.Preamble, .. Encoding.UTF8.GetBytes($"[{Web},{Db},]")]).ShouldSatisfyAllConditions(
            s => s.Nodes.Count.ShouldBe(2), s => s.Losses.ShouldBeEmpty());
        Read("""{"version":"2.0","nodes":[]}""").Notes.ShouldHaveSingleItem().ShouldContain("2.0");
    }

    [Fact]
    public void Bytes_that_are_no_text_do_not_stop_the_rest()
    {
        byte[] bytes = [.. "{\"nodes\":[{\"id\":\"a\",\"name\":\""u8, 0xFF, 0xFE, .. "\"},"u8, .. Encoding.UTF8.GetBytes(Db), .. "]}"u8];
        OldState state = StateReader.Read(bytes);
        state.Nodes.Select(n => n.Name).ShouldContain("db");
        (state.Losses.Count + state.Nodes.Sum(n => n.Notes.Count)).ShouldBeGreaterThan(0);
    }

    [Fact]
    public void Ten_thousand_nodes_are_read()
    {
        string nodes = string.Join(',', Enumerable.Range(0, 10_000).Select(i => Web.Replace("3f0c9f5e", i.ToString("x8", System.Globalization.CultureInfo.InvariantCulture), StringComparison.Ordinal)));
        byte[] json = Encoding.UTF8.GetBytes($$"""{"version":"1.0.0","nodes":[{{nodes}}]}""");
        StateReader.Read(json).Nodes.Count.ShouldBe(10_000);
    }

    [Theory]
    [InlineData("{")]
    [InlineData("{\"id\":")]
    [InlineData("[")]
    [InlineData("{\"a\":[1,")]
    public void A_hostile_file_costs_no_time(string filling)
    {
        byte[] json = Encoding.UTF8.GetBytes("{\"nodes\":[" + string.Concat(Enumerable.Repeat(filling, 2_000_000 / filling.Length)));
        long began = Stopwatch.GetTimestamp();
        StateReader.Read(json).Nodes.ShouldBeEmpty();
        // It takes milliseconds; a reader that begins anew at each bracket would take hours.
        Stopwatch.GetElapsedTime(began).ShouldBeLessThan(TimeSpan.FromMinutes(2));
    }

    private static OldState Read(string json) => StateReader.Read(Encoding.UTF8.GetBytes(json));

    private static OldNode ReadOne(string record)
    {
        OldState state = Read($$"""{"version":"1.0.0","nodes":[{{record}}]}""");
        state.Losses.ShouldBeEmpty();
        return state.Nodes.ShouldHaveSingleItem();
    }

    private static DateTimeOffset Utc(int hour, int minute) => new(2025, 10, 20, hour, minute, 0, TimeSpan.Zero);
}
