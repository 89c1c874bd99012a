using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>One end in a LabNode's lifetime that is to come, or is due.</summary>
/// <param name="Reason">One of <see cref="LifetimeReasons"/>.</param>
/// <param name="At">When it is due.</param>
/// <param name="Warning">How long before it people are told.</param>
/// <param name="Because">What of the spec asks for it.</param>
/// <param name="WayOut">What prevents it.</param>
/// <param name="IdleSince">Since when the guest is not used, where that is the reason.</param>
internal sealed record LifetimeEnd(string Reason, DateTimeOffset At, TimeSpan Warning, string Because, string WayOut, DateTimeOffset? IdleSince = null)
{
    /// <summary>When people are to be told at the latest.</summary>
    public DateTimeOffset WarnAt => At - Warning;
}

/// <summary>Reads <c>spec.lifetime</c>: what is wrong with it, and which ends it has coming.</summary>
internal static class NodeLifetime
{
    /// <summary>The warning time where <c>warnBefore</c> is left out.</summary>
    private static readonly TimeSpan s_warning = TimeSpan.FromMinutes(5);

    private static readonly TimeSpan s_leastWarning = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan s_leastTime = TimeSpan.FromSeconds(30);

    // Use is told every ten seconds at most: below this, a guest in use could seem to be at rest.
    private static readonly TimeSpan s_leastIdle = TimeSpan.FromMinutes(1);

    /// <summary>What is wrong with it, with the way out; null when nothing is.</summary>
    public static string? Wrong(LabNodeLifetime? spec)
    {
        if (spec is null)
        {
            return null;
        }

        string? wrong = WrongTime("ttl", spec.Ttl, s_leastTime) ?? WrongTime("stopAfterIdle", spec.StopAfterIdle, s_leastIdle)
            ?? WrongTime("deleteAfter", spec.DeleteAfter, s_leastTime) ?? WrongTime("warnBefore", spec.WarnBefore, s_leastWarning)
            ?? (spec.Action is null or LifetimeActions.Stop or LifetimeActions.Suspend ? null : $"spec.lifetime.action is \"{spec.Action}\", which this version does not know; give Stop or Suspend.");
        if (wrong is null && spec.Schedule is { } schedule)
        {
            DailySchedule.Read(schedule, out wrong);
        }

        return wrong;
    }

    /// <summary>Whether a halt is one that a lifetime brought.</summary>
    public static bool Ended(LabNodeHalt? halt) => halt?.Reason is LifetimeReasons.TtlExpired or LifetimeReasons.IdleTooLong or LifetimeReasons.OutsideSchedule;

    /// <summary>The ends that a guest which runs has coming.</summary>
    /// <param name="spec">Its lifetime.</param>
    /// <param name="startedAt">When it began to run.</param>
    /// <param name="lastUsedAt">When it was last used; null when that can't be known: it is then not taken for idle.</param>
    /// <param name="schedule">Its schedule.</param>
    /// <param name="byHandUntil">Until when it runs although its schedule says otherwise.</param>
    /// <param name="now">The present time.</param>
    public static IEnumerable<LifetimeEnd> OfGuest(
        LabNodeLifetime spec, DateTimeOffset startedAt, DateTimeOffset? lastUsedAt, DailySchedule? schedule, DateTimeOffset? byHandUntil, DateTimeOffset now)
    {
        if (Time(spec.Ttl) is { } ttl)
        {
            yield return new LifetimeEnd(LifetimeReasons.TtlExpired, startedAt + ttl, Warning(spec, ttl), $"spec.lifetime.ttl is {spec.Ttl}, and it runs since {startedAt:u}", "Raise it, or take it away, to let it run on.");
        }

        if (Time(spec.StopAfterIdle) is { } idle && lastUsedAt is { } used)
        {
            DateTimeOffset since = used > startedAt ? used : startedAt;
            yield return new LifetimeEnd(LifetimeReasons.IdleTooLong, since + idle, Warning(spec, idle), $"spec.lifetime.stopAfterIdle is {spec.StopAfterIdle}, and nobody has used its console or network since {since:u}", "Any use lets it run on.", since);
        }

        if (schedule is not null)
        {
            RunWindow window = schedule.Last(now);
            yield return new LifetimeEnd(
                LifetimeReasons.OutsideSchedule,
                byHandUntil ?? window.Stop,
                Warning(spec, window.Stop - window.Start),
                $"spec.lifetime.schedule has it run from {spec.Schedule!.Start} to {spec.Schedule.Stop} ({spec.Schedule.TimeZone ?? "UTC"})",
                "Change the schedule to let it run on; once it is off, a change of spec.restartRevision starts it until the next stop.");
        }
    }

    /// <summary>The end of the LabNode itself; null when it has none.</summary>
    public static LifetimeEnd? OfNode(LabNodeLifetime spec, DateTime? createdAt, string reclaimPolicy) =>
        Time(spec.DeleteAfter) is { } age && createdAt is { } created
            ? new LifetimeEnd(
                LifetimeReasons.DeletionDue,
                new DateTimeOffset(created, TimeSpan.Zero) + age,
                Warning(spec, age),
                $"spec.lifetime.deleteAfter is {spec.DeleteAfter}, and it was created at {created:u}; its disk {(reclaimPolicy == ReclaimPolicies.Delete ? "goes with it" : "stays")}, as spec.disk.reclaimPolicy says",
                "Raise deleteAfter, or take it away, to keep it.")
            : null;

    private static TimeSpan? Time(string? text) => Durations.TryParse(text, out TimeSpan time) ? time : null;

    /// <summary>A short time is not all warning.</summary>
    private static TimeSpan Warning(LabNodeLifetime spec, TimeSpan ofTime)
    {
        TimeSpan wished = Time(spec.WarnBefore) ?? s_warning;
        return wished < ofTime / 2 ? wished : ofTime / 2;
    }

    private static string? WrongTime(string field, string? text, TimeSpan least) =>
        text is null || (Durations.TryParse(text, out TimeSpan time) && time >= least)
            ? null
            : $"spec.lifetime.{field} is \"{text}\"; give hours, minutes and seconds such as 8h or 1h30m, at least {Durations.Format(least)}.";
}
