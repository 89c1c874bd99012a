using SandLabX.Runtime;

namespace SandLabX.Entities;

/// <summary>
/// When a LabNode's guest is to go off by itself, and the LabNode itself to go. Each of it is warned of by an event before it happens. All spans of time are hours,
/// minutes and seconds, such as 8h, 90m or 1h30m.
/// </summary>
public sealed class LabNodeLifetime
{
    /// <summary>How long the guest may run after its last start; at least 30s. Any change of the spec starts it again.</summary>
    [Pattern(Durations.Pattern)]
    [Length(2, 24)]
    public string? Ttl { get; set; }

    /// <summary>
    /// How long the guest may run unused; at least 1m. It is used when somebody types on its serial console, has its screen open, or when it receives 20 frames
    /// over its network within a minute. Any change of the spec starts it again.
    /// </summary>
    [Pattern(Durations.Pattern)]
    [Length(2, 24)]
    public string? StopAfterIdle { get; set; }

    /// <summary>The hours of the day in which the guest runs.</summary>
    public LabNodeSchedule? Schedule { get; set; }

    /// <summary>How it goes off: Stop asks the guest to power off; Suspend saves its memory on its claim, and it goes on where it was. Stop when left out.</summary>
    [AllowedValues(LifetimeActions.Stop, LifetimeActions.Suspend)]
    public string? Action { get; set; }

    /// <summary>How long after its creation the LabNode itself is deleted, running or not; at least 30s. What becomes of its disk says spec.disk.reclaimPolicy.</summary>
    [Pattern(Durations.Pattern)]
    [Length(2, 24)]
    public string? DeleteAfter { get; set; }

    /// <summary>How long before something happens an event (LifetimeEnding) warns of it; at least 5s, 5m when left out, and never more than half of the time that ends.</summary>
    [Pattern(Durations.Pattern)]
    [Length(2, 24)]
    public string? WarnBefore { get; set; }
}

/// <summary>
/// The hours of the day in which a guest runs, as far as spec.powerState says Running or Paused. Outside of them it is off, until the next start, or until a change of
/// spec.restartRevision starts it by hand: it then runs until the next stop.
/// </summary>
public sealed class LabNodeSchedule
{
    /// <summary>When it starts: hours and minutes of the zone's clock, from 00:00 to 23:59.</summary>
    [Required]
    [Pattern(ClockPattern)]
    public string Start { get; set; } = "";

    /// <summary>When it stops, likewise; one before the start is on the following day.</summary>
    [Required]
    [Pattern(ClockPattern)]
    public string Stop { get; set; } = "";

    /// <summary>The days on which it starts; all of them when left out.</summary>
    [Items(1, 7)]
    [AllowedValues("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")]
    public IList<string>? Days { get; set; }

    /// <summary>The zone of start and stop, a name of the IANA time zone database such as Europe/Berlin; UTC when left out. A time that a clock change skips comes that much later; of one that comes twice the first counts.</summary>
    [Length(1, 64)]
    public string? TimeZone { get; set; }

    /// <summary>Hours and minutes.</summary>
    private const string ClockPattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$";
}

/// <summary>What comes next in a LabNode's lifetime; absent when nothing does, or when only an idle time runs that nobody was warned of.</summary>
public sealed class LabNodeLifetimeStatus
{
    /// <summary>What it will be: TtlExpired, IdleTooLong or OutsideSchedule (the guest goes off), or DeletionDue (the LabNode goes).</summary>
    public string? Reason { get; set; }

    /// <summary>When.</summary>
    public DateTime? EndsAt { get; set; }

    /// <summary>When it was warned of; absent when it was not yet.</summary>
    public DateTime? WarnedAt { get; set; }

    /// <summary>Since when the guest is not used; set once it was warned of that.</summary>
    public DateTime? IdleSince { get; set; }

    /// <summary>Until when a guest runs that was started by hand outside of its schedule.</summary>
    public DateTime? RunsUntil { get; set; }
}

/// <summary>Values of <c>spec.lifetime.action</c>.</summary>
public static class LifetimeActions
{
    /// <summary>The guest is asked to power off.</summary>
    public const string Stop = "Stop";

    /// <summary>The guest's memory is saved on its claim.</summary>
    public const string Suspend = "Suspend";
}

/// <summary>What ends a guest's run, or the LabNode: values of <c>status.lifetime.reason</c>, and of <c>status.halted.reason</c> while the guest is off for it.</summary>
public static class LifetimeReasons
{
    /// <summary>It ran for as long as <c>spec.lifetime.ttl</c> says.</summary>
    public const string TtlExpired = "TtlExpired";

    /// <summary>Nobody used it for as long as <c>spec.lifetime.stopAfterIdle</c> says.</summary>
    public const string IdleTooLong = "IdleTooLong";

    /// <summary>It is outside of the hours of <c>spec.lifetime.schedule</c>.</summary>
    public const string OutsideSchedule = "OutsideSchedule";

    /// <summary>The LabNode is as old as <c>spec.lifetime.deleteAfter</c> says.</summary>
    public const string DeletionDue = "DeletionDue";
}
