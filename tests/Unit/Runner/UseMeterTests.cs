using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public sealed class UseMeterTests
{
    private static readonly DateTimeOffset s_start = new(2026, 11, 24, 12, 0, 0, TimeSpan.Zero);

    /// <summary>Counts a device has at 0 s, 10 s, 20 s, …: when that is use, in seconds.</summary>
    private static int[] UsedAt(params int[] counts)
    {
        var meter = new UseMeter();
        return [.. Enumerable.Range(0, counts.Length).Where(i => meter.Counted("net", counts[i], s_start.AddSeconds(10 * i))).Select(i => 10 * i)];
    }

    [Fact]
    public void What_was_counted_before_anybody_looked_is_no_use() => UsedAt(5000, 5000, 5000).ShouldBeEmpty();

    [Fact]
    public void A_burst_is_use_at_once_and_once() => UsedAt(0, 0, 25, 25, 25).ShouldBe([20]);

    [Fact]
    public void Frames_of_one_minute_add_up() => UsedAt(0, 5, 10, 15, 20, 25).ShouldBe([40]);

    [Fact]
    public void Keep_alives_are_no_use_however_long_they_go_on() =>
        UsedAt([.. Enumerable.Range(0, 600).Select(i => 3 * i)]).ShouldBeEmpty();

    [Fact]
    public void The_counter_goes_round() => UsedAt(65530, 65535, 3, 12, 14).ShouldBe([40]);

    [Fact]
    public void A_device_that_begins_anew_is_no_use() => UsedAt(40000, 40000, 3, 5).ShouldBeEmpty();

    [Fact]
    public void Devices_are_told_apart_and_counted_together()
    {
        var meter = new UseMeter();
        meter.Counted("a", 100, s_start).ShouldBeFalse();
        meter.Counted("b", 9000, s_start).ShouldBeFalse();
        meter.Counted("a", 110, s_start.AddSeconds(10)).ShouldBeFalse();
        meter.Counted("b", 9010, s_start.AddSeconds(10)).ShouldBeTrue();
    }
}
