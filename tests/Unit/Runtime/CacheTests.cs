using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

public sealed class CacheTests
{
    private readonly Cache<Thing> _cache = new();
    private readonly List<string> _changes = [];

    public CacheTests() => _cache.Subscribe(c => _changes.Add(
        (c.Old, c.New) switch { (null, _) => "+", (_, null) => "-", _ => "~" } + (c.New ?? c.Old)!.Metadata.Name + (c.OwnWrite ? "!" : "")));

    [Fact]
    public void A_list_tells_what_is_new_what_changed_and_what_is_gone()
    {
        _cache.Load([Given.Thing("a", 1), Given.Thing("b", 2), Given.Thing("c", 3)], "3");
        _cache.HasSynced.ShouldBeTrue();
        _changes.Clear();
        _cache.Load([Given.Thing("a", 1), Given.Thing("b", 5), Given.Thing("d", 6)], "7");
        _changes.Order().ShouldBe(["+d", "-c", "~b"]);
    }

    [Fact]
    public void An_object_deleted_and_made_again_while_nobody_looked_is_two_objects()
    {
        _cache.Load([Given.Thing("a", 1, uid: "one")], "1");
        _changes.Clear();
        _cache.Load([Given.Thing("a", 5, uid: "two")], "5");
        _changes.ShouldBe(["-a", "+a"]);
    }

    [Fact]
    public void Events_that_come_twice_or_late_change_nothing()
    {
        _cache.Load([], "0");
        _cache.Apply(Given.Thing("a", 5));
        _cache.Apply(Given.Thing("a", 5));
        _cache.Apply(Given.Thing("a", 4));
        _cache.ApplyDeleted(Given.Thing("a", 6));
        _cache.ApplyDeleted(Given.Thing("a", 6));
        _changes.ShouldBe(["+a", "-a"]);
    }

    [Fact]
    public void A_write_of_ours_is_seen_at_once_and_the_watch_adds_nothing_to_it()
    {
        _cache.Load([Given.Thing("a", 1)], "1");
        _changes.Clear();
        _cache.Observe(Given.Thing("a", 7));
        _cache.Observe(Given.Thing("new", 8));
        _cache.Get(Given.Key())!.Metadata.ResourceVersion.ShouldBe("7");
        _cache.Apply(Given.Thing("a", 6));
        _cache.Apply(Given.Thing("a", 7));
        _cache.Apply(Given.Thing("new", 8));
        _changes.ShouldBe(["~a!", "+new!"]);
        _cache.Apply(Given.Thing("a", 9));
        _changes[^1].ShouldBe("~a");
    }

    [Fact]
    public void A_write_of_ours_that_the_watch_has_overtaken_is_ignored()
    {
        _cache.Load([Given.Thing("a", 1)], "1");
        _cache.Apply(Given.Thing("a", 9));
        _changes.Clear();
        _cache.Observe(Given.Thing("a", 7));
        _changes.ShouldBeEmpty();
        _cache.Get(Given.Key())!.Metadata.ResourceVersion.ShouldBe("9");
    }

    [Fact]
    public void A_late_answer_to_a_write_does_not_bring_a_deleted_object_back()
    {
        _cache.Load([Given.Thing("a", 1)], "1");
        _cache.ApplyDeleted(Given.Thing("a", 9));
        _cache.Observe(Given.Thing("a", 8));
        _cache.Get(Given.Key()).ShouldBeNull();

        // The same when a bookmark was the last that the watch told.
        _cache.Advance("20");
        _cache.Observe(Given.Thing("a", 15));
        _cache.Get(Given.Key()).ShouldBeNull();
    }

    [Fact]
    public void An_object_we_made_is_not_taken_for_gone_by_a_list_that_is_older_than_it()
    {
        _cache.Load([], "5");
        _cache.Observe(Given.Thing("a", 9));
        _cache.Load([], "8");
        _cache.Get(Given.Key()).ShouldNotBeNull();
        _cache.Load([], "10");
        _cache.Get(Given.Key()).ShouldBeNull();
    }

    [Fact]
    public void A_confirmed_deletion_is_seen_at_once_and_late_events_of_that_object_do_not_bring_it_back()
    {
        _cache.Load([Given.Thing("a", 1, "one")], "1");
        _changes.Clear();
        _cache.ObserveDeleted(Given.Key(), "one");
        _cache.Apply(Given.Thing("a", 3, "one"));
        _cache.Get(Given.Key()).ShouldBeNull();
        _cache.ApplyDeleted(Given.Thing("a", 4, "one"));
        _changes.ShouldBe(["-a!"]);
        _cache.Apply(Given.Thing("a", 5, "two"));
        _cache.Get(Given.Key())!.Metadata.Uid.ShouldBe("two");
    }

    [Fact]
    public void The_deletion_of_an_object_does_not_take_its_successor_away()
    {
        _cache.Load([Given.Thing("a", 1, "one")], "1");
        _cache.Observe(Given.Thing("a", 5, "two"));
        _cache.ApplyDeleted(Given.Thing("a", 4, "one"));
        _cache.Get(Given.Key())!.Metadata.Uid.ShouldBe("two");
        _changes.ShouldBe(["+a", "-a!", "+a!"]);
    }

    [Fact]
    public void A_server_that_was_set_back_to_a_backup_is_believed()
    {
        _cache.Load([Given.Thing("a", 100)], "100");
        _cache.Load([Given.Thing("a", 40)], "50");
        _cache.Get(Given.Key())!.Metadata.ResourceVersion.ShouldBe("40");
    }

    [Fact]
    public void What_does_not_match_the_selector_or_namespace_is_not_taken_in_from_our_writes()
    {
        var cache = new Cache<Thing>("app=x", "ns");
        cache.Load([], "1");
        cache.Observe(Given.Thing("a", 2));
        cache.Observe(Given.Thing("b", 3, with: t => t.Metadata.Labels = new Dictionary<string, string> { ["app"] = "x" }));
        cache.Observe(Given.Thing("c", 4, with: t => (t.Metadata.Labels, t.Metadata.NamespaceProperty) = (new Dictionary<string, string> { ["app"] = "x" }, "other")));
        cache.List().Select(t => t.Metadata.Name).ShouldBe(["b"]);
    }

    [Fact]
    public void Indexes_follow_every_change_and_take_in_what_was_there_before_them()
    {
        _cache.Load([Given.Thing("a", 1, with: t => t.Spec.Color = "red")], "1");
        _cache.AddIndex("color", t => t.Spec.Color is { } c ? [c] : []);
        Names("red").ShouldBe(["a"]);
        _cache.Apply(Given.Thing("b", 2, with: t => t.Spec.Color = "red"));
        Names("red").ShouldBe(["a", "b"]);
        _cache.Apply(Given.Thing("a", 3, with: t => t.Spec.Color = "blue"));
        Names("red").ShouldBe(["b"]);
        Names("blue").ShouldBe(["a"]);
        _cache.ApplyDeleted(Given.Thing("b", 4));
        Names("red").ShouldBeEmpty();
        Should.Throw<InvalidOperationException>(() => _cache.ByIndex("nothing", "x"));
    }

    [Fact]
    public void An_index_with_a_bug_hides_no_object()
    {
        var failures = new List<string>();
        _cache.IndexFailed = (index, item, _) => failures.Add(index + " " + item.Metadata.Name);
        _cache.AddIndex("buggy", t => t.Metadata.Name == "bad" ? throw new InvalidOperationException("bug") : ["x"]);
        _cache.Load([Given.Thing("good"), Given.Thing("bad", 2)], "2");
        _cache.Count.ShouldBe(2);
        _changes.Order().ShouldBe(["+bad", "+good"]);
        _cache.ByIndex("buggy", "x").Count.ShouldBe(1);
        failures.ShouldBe(["buggy bad"]);
    }

    private IEnumerable<string> Names(string color) => _cache.ByIndex("color", color).Select(t => t.Metadata.Name).Order();
}
