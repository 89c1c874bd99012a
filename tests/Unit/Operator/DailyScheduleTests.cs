using System.Globalization;
using SandLabX.Entities;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

public sealed class DailyScheduleTests
{
    private static DateTimeOffset Utc(string text) => DateTimeOffset.ParseExact(text, "yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);

    private static DailySchedule Read(string start, string stop, string? zone = null, string? days = null)
    {
        DailySchedule? read = DailySchedule.Read(new LabNodeSchedule { Start = start, Stop = stop, TimeZone = zone, Days = days?.Split(',') }, out string? wrong);
        wrong.ShouldBeNull();
        return read!;
    }

    // 2026: 24 November is a Tuesday; Berlin is UTC+1 in winter; clocks change on 29 March and 25 October, in New York on 8 March and 1 November.
    [Theory]
    [InlineData("08:00", "18:00", "Europe/Berlin", null, "2026-11-24 06:59", null)]
    [InlineData("08:00", "18:00", "Europe/Berlin", null, "2026-11-24 07:00", "2026-11-24 07:00/2026-11-24 17:00")]
    [InlineData("08:00", "18:00", "Europe/Berlin", null, "2026-11-24 16:59", "2026-11-24 07:00/2026-11-24 17:00")]
    [InlineData("08:00", "18:00", "Europe/Berlin", null, "2026-11-24 17:00", null)]
    [InlineData("08:00", "18:00", "Europe/Berlin", null, "2026-07-01 06:00", "2026-07-01 06:00/2026-07-01 16:00")]
    [InlineData("08:00", "18:00", null, null, "2026-11-24 08:00", "2026-11-24 08:00/2026-11-24 18:00")]
    [InlineData("08:00", "18:00", "Asia/Kathmandu", null, "2026-11-24 02:15", "2026-11-24 02:15/2026-11-24 12:15")]
    [InlineData("08:00", "18:00", null, "Mon,Wed", "2026-11-24 12:00", null)]
    [InlineData("08:00", "18:00", null, "Mon,Tue", "2026-11-24 12:00", "2026-11-24 08:00/2026-11-24 18:00")]
    [InlineData("22:00", "06:00", null, null, "2026-11-24 05:59", "2026-11-23 22:00/2026-11-24 06:00")]
    [InlineData("22:00", "06:00", null, "Mon", "2026-11-24 05:59", "2026-11-23 22:00/2026-11-24 06:00")]
    [InlineData("22:00", "06:00", null, "Mon", "2026-11-24 22:30", null)]
    [InlineData("18:00", "08:00", "America/New_York", "Fri", "2026-11-28 12:59", "2026-11-27 23:00/2026-11-28 13:00")]
    // A window over a change of the clock is an hour shorter, or longer.
    [InlineData("22:00", "06:00", "Europe/Berlin", null, "2026-03-29 00:00", "2026-03-28 21:00/2026-03-29 04:00")]
    [InlineData("22:00", "06:00", "Europe/Berlin", null, "2026-10-25 00:00", "2026-10-24 20:00/2026-10-25 05:00")]
    // 02:30 does not exist on 29 March: it comes at 03:30; and on 25 October it comes twice, and the first counts.
    [InlineData("02:30", "05:00", "Europe/Berlin", null, "2026-03-29 01:29", null)]
    [InlineData("02:30", "05:00", "Europe/Berlin", null, "2026-03-29 01:30", "2026-03-29 01:30/2026-03-29 03:00")]
    [InlineData("02:30", "05:00", "Europe/Berlin", null, "2026-10-25 00:30", "2026-10-25 00:30/2026-10-25 04:00")]
    [InlineData("01:00", "02:30", "Europe/Berlin", null, "2026-10-25 00:29", "2026-10-24 23:00/2026-10-25 00:30")]
    [InlineData("01:00", "02:30", "Europe/Berlin", null, "2026-10-25 00:30", null)]
    // All of it is in the hour that is skipped, or its start moves beyond its stop.
    [InlineData("02:10", "02:50", "Europe/Berlin", null, "2026-03-29 01:20", "2026-03-29 01:10/2026-03-29 01:50")]
    [InlineData("02:30", "03:10", "Europe/Berlin", null, "2026-03-29 01:20", null)]
    public void A_window_is_where_the_zones_clock_has_it(string start, string stop, string? zone, string? days, string at, string? window)
    {
        RunWindow? open = Read(start, stop, zone, days).Open(Utc(at));
        string? seen = open is { } w ? string.Create(CultureInfo.InvariantCulture, $"{w.Start:yyyy-MM-dd HH:mm}/{w.Stop:yyyy-MM-dd HH:mm}") : null;
        seen.ShouldBe(window);
    }

    [Theory]
    [InlineData(null, "2026-11-24 07:00", "2026-11-24 08:00", "2026-11-24 18:00", "2026-11-23 08:00")]
    [InlineData(null, "2026-11-24 08:00", "2026-11-25 08:00", "2026-11-24 18:00", "2026-11-24 08:00")]
    [InlineData(null, "2026-11-24 18:00", "2026-11-25 08:00", "2026-11-25 18:00", "2026-11-24 08:00")]
    [InlineData("Mon", "2026-11-24 12:00", "2026-11-30 08:00", "2026-11-30 18:00", "2026-11-23 08:00")]
    [InlineData("Tue", "2026-11-24 19:00", "2026-12-01 08:00", "2026-12-01 18:00", "2026-11-24 08:00")]
    public void The_next_start_and_stop_and_the_last_window_are_found(string? days, string at, string start, string stop, string last)
    {
        DailySchedule schedule = Read("08:00", "18:00", null, days);
        schedule.NextStart(Utc(at)).ShouldBe(Utc(start));
        schedule.NextStop(Utc(at)).ShouldBe(Utc(stop));
        schedule.Last(Utc(at)).Start.ShouldBe(Utc(last));
    }

    [Theory]
    [InlineData("8:00", "18:00", null, null, "spec.lifetime.schedule.start is \"8:00\"")]
    [InlineData("24:00", "18:00", null, null, "spec.lifetime.schedule.start is \"24:00\"")]
    [InlineData("08:00", "18:60", null, null, "spec.lifetime.schedule.stop is \"18:60\"")]
    [InlineData("08:00", "08:00", null, null, "both 08:00")]
    [InlineData("08:00", "18:00", "Europe/Atlantis", null, "spec.lifetime.schedule.timeZone is \"Europe/Atlantis\"")]
    [InlineData("08:00", "18:00", null, "Mon,Someday", "\"Someday\"")]
    public void What_is_no_schedule_is_told_by_field_and_value(string start, string stop, string? zone, string? days, string says)
    {
        DailySchedule.Read(new LabNodeSchedule { Start = start, Stop = stop, TimeZone = zone, Days = days?.Split(',') }, out string? wrong).ShouldBeNull();
        wrong.ShouldNotBeNull().ShouldContain(says);
    }

    [Fact]
    public void A_moment_is_shown_as_the_zones_clock_does() => Read("08:00", "18:00", "Europe/Berlin").Show(Utc("2026-11-24 17:00")).ShouldBe("Tue 24 Nov 18:00 (Europe/Berlin)");
}
