using System.Collections.Immutable;
using System.Globalization;
using NodaTime;
using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>A span of time in which a schedule has a guest run.</summary>
/// <param name="Start">Its first moment.</param>
/// <param name="Stop">The first moment after it.</param>
public readonly record struct RunWindow(DateTimeOffset Start, DateTimeOffset Stop);

/// <summary>When a LabNode's schedule has its guest run. The time zones are NodaTime's own data: no file of the machine's is read, so the planner stays pure.</summary>
public sealed class DailySchedule
{
    private static readonly ImmutableArray<string> s_days = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

    private readonly LocalTime _start;
    private readonly LocalTime _stop;
    private readonly ImmutableHashSet<IsoDayOfWeek> _days;
    private readonly DateTimeZone _zone;

    private DailySchedule(LocalTime start, LocalTime stop, ImmutableHashSet<IsoDayOfWeek> days, DateTimeZone zone) =>
        (_start, _stop, _days, _zone) = (start, stop, days, zone);

    /// <summary>Reads a schedule; null, and what is wrong with it, when it is none.</summary>
    public static DailySchedule? Read(LabNodeSchedule spec, out string? wrong)
    {
        const string field = "spec.lifetime.schedule";
        string zoneName = string.IsNullOrEmpty(spec.TimeZone) ? "UTC" : spec.TimeZone;
        DateTimeZone? zone = DateTimeZoneProviders.Tzdb.GetZoneOrNull(zoneName);
        string? unknown = spec.Days?.FirstOrDefault(day => !s_days.Contains(day));
        bool starts = TryRead(spec.Start, out LocalTime start);
        bool stops = TryRead(spec.Stop, out LocalTime stop);
        wrong = !starts ? $"{field}.start is \"{spec.Start}\"; give hours and minutes such as 08:00."
            : !stops ? $"{field}.stop is \"{spec.Stop}\"; give hours and minutes such as 18:00."
            : start == stop ? $"{field}.start and .stop are both {spec.Start}; give two times, or leave the schedule out for a guest that runs at all hours."
            : unknown is not null ? $"{field}.days has \"{unknown}\"; give some of {string.Join(", ", s_days)}."
            : spec.Days is { Count: 0 } ? $"{field}.days is empty; name a day, or leave it out for all of them."
            : zone is null ? $"{field}.timeZone is \"{zoneName}\", which is no name of the IANA time zone database; give one such as Europe/Berlin or UTC."
            : null;
        return wrong is not null
            ? null
            : new DailySchedule(start, stop, [.. (spec.Days ?? s_days).Select(day => (IsoDayOfWeek)(s_days.IndexOf(day) + 1))], zone!);
    }

    /// <summary>The window that this moment is in; null when it is in none.</summary>
    public RunWindow? Open(DateTimeOffset at)
    {
        foreach (RunWindow window in Around(at))
        {
            if (window.Start <= at && at < window.Stop)
            {
                return window;
            }
        }

        return null;
    }

    /// <summary>The last window that had begun by this moment: the one that it is in, or the one before.</summary>
    public RunWindow Last(DateTimeOffset at) => Around(at).Last(window => window.Start <= at);

    /// <summary>The first start after this moment.</summary>
    public DateTimeOffset NextStart(DateTimeOffset at) => Around(at).First(window => window.Start > at).Start;

    /// <summary>The first stop after this moment.</summary>
    public DateTimeOffset NextStop(DateTimeOffset at) => Around(at).First(window => window.Stop > at).Stop;

    /// <summary>A moment as the zone's clock shows it.</summary>
    public string Show(DateTimeOffset at) =>
        $"{Instant.FromDateTimeOffset(at).InZone(_zone).ToString("ddd d MMM HH:mm", CultureInfo.InvariantCulture)} ({_zone.Id})";

    /// <summary>The windows of two weeks before and after, in their order: of those of one day a week a clock change may swallow one, not two.</summary>
    private IEnumerable<RunWindow> Around(DateTimeOffset at)
    {
        LocalDate today = Instant.FromDateTimeOffset(at).InZone(_zone).Date;
        for (int day = -15; day <= 15; day++)
        {
            LocalDate date = today.PlusDays(day);
            if (!_days.Contains(date.DayOfWeek))
            {
                continue;
            }

            DateTimeOffset start = At(date, _start);
            DateTimeOffset stop = At(_stop > _start ? date : date.PlusDays(1), _stop);
            if (start < stop)
            {
                yield return new RunWindow(start, stop);
            }
        }
    }

    // A time that a clock change skips comes that much later; of one that comes twice the first counts.
    private DateTimeOffset At(LocalDate date, LocalTime time) => _zone.AtLeniently(date + time).ToDateTimeOffset().ToUniversalTime();

    private static bool TryRead(string text, out LocalTime time)
    {
        time = default;
        if (text is not [>= '0' and <= '2', >= '0' and <= '9', ':', >= '0' and <= '5', >= '0' and <= '9'])
        {
            return false;
        }

        int hour = ((text[0] - '0') * 10) + text[1] - '0';
        if (hour > 23)
        {
            return false;
        }

        time = new LocalTime(hour, ((text[3] - '0') * 10) + text[4] - '0');
        return true;
    }
}
