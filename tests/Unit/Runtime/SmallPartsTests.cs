using System.Text;
using System.Text.Json;
using System.Text.Json.Nodes;
using FsCheck;
using FsCheck.Fluent;
using k8s.Models;
using Microsoft.Extensions.Time.Testing;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

public sealed class ConditionsTests
{
    private static readonly DateTimeOffset s_noon = new(2026, 5, 1, 12, 0, 0, 987, TimeSpan.Zero);

    [Fact]
    public void The_time_of_transition_moves_with_the_status_alone_and_has_whole_seconds()
    {
        var list = new List<V1Condition>();
        Conditions.Set(list, "Ready", "False", "Waiting", "for the image", 1, s_noon);
        list[0].LastTransitionTime.ShouldBe(new DateTime(2026, 5, 1, 12, 0, 0, DateTimeKind.Utc));
        Conditions.Set(list, "Ready", "False", "Pulling", "40 %", 2, s_noon.AddMinutes(1));
        list[0].LastTransitionTime.ShouldBe(new DateTime(2026, 5, 1, 12, 0, 0, DateTimeKind.Utc));
        (list[0].Reason, list[0].Message, list[0].ObservedGeneration).ShouldBe(("Pulling", "40 %", 2));
        Conditions.Set(list, "Ready", "True", "Done", "", 2, s_noon.AddMinutes(2));
        list[0].LastTransitionTime.ShouldBe(new DateTime(2026, 5, 1, 12, 2, 0, DateTimeKind.Utc));
        list.Count.ShouldBe(1);
    }

    [Fact]
    public void Other_conditions_keep_their_places()
    {
        var list = new List<V1Condition>();
        Conditions.Set(list, "A", "True", "R", "", null, s_noon);
        Conditions.Set(list, "B", "True", "R", "", null, s_noon);
        Conditions.Set(list, "A", "False", "R", "", null, s_noon);
        list.Select(c => c.Type).ShouldBe(["A", "B"]);
        Conditions.IsTrue(list, "A").ShouldBeFalse();
        Conditions.IsTrue(list, "B").ShouldBeTrue();
        Conditions.IsTrue(null, "B").ShouldBeFalse();
    }
}

public sealed class MergePatchTests
{
    [Theory]
    [InlineData("""{"a":1,"b":{"c":2}}""", """{"b":{"c":2},"a":1}""", null)]
    [InlineData("""{"a":1}""", """{"a":2}""", """{"a":2}""")]
    [InlineData("""{"a":1,"b":2}""", """{"a":1}""", """{"b":null}""")]
    [InlineData("""{"o":{"x":1,"y":2}}""", """{"o":{"x":1,"y":3}}""", """{"o":{"y":3}}""")]
    [InlineData("""{"o":{"x":1}}""", """{"o":{}}""", """{"o":{"x":null}}""")]
    [InlineData("""{"l":[1,2]}""", """{"l":[1]}""", """{"l":[1]}""")]
    [InlineData("""{"o":{"x":null}}""", """{"o":{}}""", null)]
    [InlineData("""{}""", """{"a":null}""", null)]
    public void Only_what_changed_is_in_the_patch(string from, string to, string? patch) =>
        MergePatch.Diff(Parse(from), Parse(to))?.ToJsonString().ShouldBe(patch);

    [Fact]
    public void Applied_to_the_old_the_patch_of_any_two_objects_gives_the_new()
    {
        Gen<JsonObject> objects = Objects(3);
        Prop.ForAll(Gen.Zip(objects, objects).ToArbitrary(), pair =>
        {
            (JsonObject from, JsonObject to) = pair;
            JsonObject? patch = MergePatch.Diff(from, to);
            return JsonNode.DeepEquals(patch is null ? from : Apply(from, patch), to) && (patch is null == JsonNode.DeepEquals(from, to));
        }).Check(Config.QuickThrowOnFailure.WithMaxTest(300));
    }

    private static JsonObject Parse(string json) => (JsonObject)JsonNode.Parse(json)!;

    private static Gen<JsonObject> Objects(int depth) =>
        from members in Gen.Zip(Gen.Elements("a", "b", "c"), Value(depth)).ArrayOf(3)
        select new JsonObject(members.DistinctBy(m => m.Item1).Select(m => KeyValuePair.Create(m.Item1, (JsonNode?)m.Item2.DeepClone())));

    private static Gen<JsonNode> Value(int depth)
    {
        Gen<JsonNode> plain = Gen.OneOf(
            Gen.Choose(0, 3).Select(n => (JsonNode)n),
            Gen.Choose(0, 2).ArrayOf(2).Select(a => (JsonNode)new JsonArray([.. a.Select(n => (JsonNode)n)])));
        return depth == 0 ? plain : Gen.OneOf(plain, Objects(depth - 1).Select(o => (JsonNode)o));
    }

    /// <summary>RFC 7386, by the letter.</summary>
    private static JsonObject Apply(JsonObject target, JsonObject patch)
    {
        var result = (JsonObject)target.DeepClone();
        foreach ((string name, JsonNode? value) in patch)
        {
            if (value is null)
            {
                result.Remove(name);
            }
            else if (value is JsonObject inner)
            {
                result[name] = Apply(result[name] as JsonObject ?? [], inner);
            }
            else
            {
                result[name] = value.DeepClone();
            }
        }

        return result;
    }
}

public sealed class KubeJsonTests
{
    [Fact]
    public void A_member_that_an_enum_does_not_know_hides_only_itself()
    {
        Thing thing = Read(FakeApi.Thing("a", 1, """{"color":"red","mood":"Furious","size":3}"""), out IReadOnlyList<string> faults);
        (thing.Spec.Color, thing.Spec.Size, thing.Metadata.Name).ShouldBe(("red", 3, "a"));
        faults.ShouldBe(["$.spec.mood"]);
    }

    [Fact]
    public void Several_fields_of_the_wrong_form_hide_only_themselves()
    {
        Thing thing = Read(
            FakeApi.Thing("a", 1, """{"color":{"r":1},"size":"big","mood":"Wild"}""", status: """{"phase":"Up","count":"many","notes":{"x.y/z":7,"ok":"yes"}}"""),
            out IReadOnlyList<string> faults);
        thing.Spec.Mood.ShouldBe(Mood.Wild);
        thing.Status!.Phase.ShouldBe("Up");
        thing.Status.Notes!["ok"].ShouldBe("yes");
        faults.Count.ShouldBe(4);
    }

    [Fact]
    public void Fields_nobody_knows_are_no_fault()
    {
        Read(FakeApi.Thing("a", 1, """{"color":"red","fromTheFuture":{"x":[1]}}"""), out IReadOnlyList<string> faults).Spec.Color.ShouldBe("red");
        faults.ShouldBeEmpty();
    }

    [Fact]
    public void A_spec_that_is_no_object_leaves_the_object_visible()
    {
        Thing thing = Read(FakeApi.Thing("a", 9, "\"nonsense\""), out IReadOnlyList<string> faults);
        ObjectKey.Of(thing).ShouldBe(Given.Key());
        thing.Metadata.ResourceVersion.ShouldBe("9");
        faults.ShouldNotBeEmpty();
    }

    [Fact]
    public void A_quantity_that_is_none_leaves_the_pod_visible()
    {
        const string Pod = """
            {"metadata":{"name":"p","namespace":"ns","uid":"u","resourceVersion":"1"},
             "spec":{"nodeName":"n","containers":[{"name":"c","resources":{"limits":{"cpu":"not a number"}}}]},"status":{"phase":"Running"}}
            """;
        V1Pod pod = KubeJson.Read<V1Pod>(JsonDocument.Parse(Pod).RootElement, out IReadOnlyList<string> faults);
        pod.Metadata.Name.ShouldBe("p");
        pod.Kind.ShouldBe("Pod");
        faults.ShouldNotBeEmpty();
    }

    [Fact]
    public void What_has_no_name_is_no_object() =>
        Should.Throw<KubeException>(() => Read("""{"metadata":{}}""", out _));

    [Fact]
    public void A_copy_shares_nothing()
    {
        Thing one = Given.Thing(with: t => t.Metadata.Labels = new Dictionary<string, string> { ["a"] = "b" });
        Thing two = KubeJson.Clone(one);
        two.Metadata.Labels["a"] = "changed";
        one.Metadata.Labels["a"].ShouldBe("b");
    }

    private static Thing Read(string json, out IReadOnlyList<string> faults) => KubeJson.Read<Thing>(JsonDocument.Parse(json).RootElement, out faults);
}

public sealed class WatchStreamTests
{
    private const string Event = """{"type":"ADDED","object":{"metadata":{"name":"a"}}}""";

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    [InlineData(100_000)]
    public async Task Events_come_whole_however_the_network_cuts_them(int piece)
    {
        byte[] text = Encoding.UTF8.GetBytes($"{Event}\n\n{Event}\r\n{Event}\n");
        (await Read(new Pieces(text, piece))).Select(e => e.Type).ShouldBe(["ADDED", "ADDED", "ADDED"]);
    }

    [Fact]
    public async Task Half_a_line_at_the_end_is_no_event() =>
        (await Read(new MemoryStream(Encoding.UTF8.GetBytes($"{Event}\n{Event[..20]}")))).Count.ShouldBe(1);

    [Theory]
    [InlineData("not json\n")]
    [InlineData("[]\n")]
    [InlineData("{\"type\":\"ADDED\"}\n")]
    [InlineData("{\"type\":7,\"object\":{}}\n")]
    public async Task A_whole_line_that_is_no_event_is_an_error(string line) =>
        await Should.ThrowAsync<JsonException>(() => Read(new MemoryStream(Encoding.UTF8.GetBytes(line))));

    private static async Task<List<WatchEvent>> Read(Stream stream)
    {
        var all = new List<WatchEvent>();
        await foreach (WatchEvent one in WatchStream.ReadAsync(stream, CancellationToken.None))
        {
            all.Add(one);
        }

        return all;
    }

    private sealed class Pieces(byte[] data, int size) : MemoryStream(data)
    {
        public override ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default) =>
            base.ReadAsync(buffer[..Math.Min(size, buffer.Length)], cancellationToken);
    }
}

public sealed class LabelSelectorTests
{
    private static readonly Dictionary<string, string> s_labels = new() { ["app"] = "x", ["tier"] = "web", ["empty"] = "" };

    [Theory]
    [InlineData(null, true)]
    [InlineData("app=x", true)]
    [InlineData("app==x,tier=web", true)]
    [InlineData("app=y", false)]
    [InlineData("app!=y", true)]
    [InlineData("none!=y", true)]
    [InlineData("app!=x", false)]
    [InlineData("app", true)]
    [InlineData("none", false)]
    [InlineData("!none", true)]
    [InlineData("!app", false)]
    [InlineData("tier in (web, db), app", true)]
    [InlineData("tier in (db)", false)]
    [InlineData("tier notin (db)", true)]
    [InlineData("none notin (db)", true)]
    [InlineData("empty=", true)]
    [InlineData("app.kubernetes.io/managed-by=sandlabx", false)]
    public void Labels_match_as_kubectl_says(string? selector, bool matches) => LabelSelector.Matches(selector, s_labels).ShouldBe(matches);
}

public sealed class BackoffTests
{
    [Fact]
    public void Waits_double_up_to_the_last_and_start_anew_after_a_healthy_while()
    {
        var clock = new FakeTimeProvider();
        var backoff = new Backoff(TimeSpan.FromSeconds(1), TimeSpan.FromSeconds(30), TimeSpan.FromMinutes(2), clock);
        double[] steps = [1, 2, 4, 8, 16, 30, 30];
        foreach (double step in steps)
        {
            TimeSpan wait = backoff.Next();
            wait.ShouldBeInRange(TimeSpan.FromSeconds(step / 2), TimeSpan.FromSeconds(step));
            clock.Advance(wait);
        }

        clock.Advance(TimeSpan.FromMinutes(3));
        backoff.Next().ShouldBeLessThanOrEqualTo(TimeSpan.FromSeconds(1));
    }
}

public sealed class OperatorSettingsTests
{
    [Theory]
    [InlineData(15, 10, 2, true)]
    [InlineData(10, 10, 2, false)]
    [InlineData(15, 3, 2, false)]
    [InlineData(15, 10, 0, false)]
    public void Times_of_the_lease_must_fit_each_other(int duration, int deadline, int period, bool fit)
    {
        var settings = new OperatorSettings
        {
            LeaseDuration = TimeSpan.FromSeconds(duration),
            RenewDeadline = TimeSpan.FromSeconds(deadline),
            RetryPeriod = TimeSpan.FromSeconds(period),
        };
        if (fit)
        {
            Should.NotThrow(settings.Validate);
        }
        else
        {
            Should.Throw<ArgumentException>(settings.Validate);
        }
    }
}

public sealed class ResourceTypeTests
{
    [Fact]
    public void Paths_are_where_the_server_keeps_the_objects()
    {
        ResourceType.Of<V1Pod>().Path("ns", "p").ShouldBe("/api/v1/namespaces/ns/pods/p");
        ResourceType.Of<V1Pod>().Path("").ShouldBe("/api/v1/pods");
        ResourceType.Of<V1PersistentVolumeClaim>().Path("ns").ShouldBe("/api/v1/namespaces/ns/persistentvolumeclaims");
        ResourceType.Of<V1StorageClass>().Path("ns", "fast").ShouldBe("/apis/storage.k8s.io/v1/storageclasses/fast");
        ResourceType.Of<Thing>().Path("ns", "a", "status").ShouldBe("/apis/test.io/v1/namespaces/ns/things/a/status");
    }
}
