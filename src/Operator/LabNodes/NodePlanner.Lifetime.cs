using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Operator.LabNodes;

/// <content>
/// A LabNode's lifetime. What is due is done before the power is planned, and what comes next is told after it. Nothing is done to a guest that runs, or to the
/// LabNode, that was not warned of for as long as the spec says: an operator that was away warns first.
/// </content>
public static partial class NodePlanner
{
    /// <summary>Does what is due; true when the LabNode goes.</summary>
    private static bool EndLifetime(NodeDraft draft)
    {
        DailySchedule? schedule = ScheduleOf(draft);
        EndHalt(draft, schedule);
        if (MayRun(draft) && schedule is not null && !draft.GuestRuns && ByHandUntil(draft) is null && schedule.Open(draft.Now) is null)
        {
            // No guest, nobody to warn.
            GoOff(draft, LifetimeReasons.OutsideSchedule, "spec.lifetime.schedule has it off now");
        }

        if (draft.Status.Lifetime is not { WarnedAt: not null } told
            || Ends(draft, schedule).FirstOrDefault(end => end.Reason == told.Reason) is not { } due || DueAt(due, told) > draft.Now)
        {
            return false;
        }

        if (due.Reason != LifetimeReasons.DeletionDue)
        {
            GoOff(draft, due.Reason, due.Because);
            return false;
        }

        V1ObjectMeta node = draft.Seen.Node.Metadata;
        string says = $"The LabNode is deleted: {due.Because}.";
        draft.Phase(NodePhases.Deleting);
        draft.Ready(false, due.Reason, says);
        if (draft.Seen.Refusal is null)
        {
            draft.Do(new Intent.Announce(false, due.Reason, says));
        }
        else
        {
            draft.Ready(false, "RefusedByServer", $"The API server refused to {draft.Seen.Refusal.What}: {draft.Seen.Refusal.Message}");
        }

        draft.Do(new Intent.DeleteNode(new ObjectKey(node.NamespaceProperty, node.Name), node.Uid));
        return true;
    }

    /// <summary>Tells what comes next, warns of it when it is near, and looks again in time.</summary>
    private static void TellLifetime(NodeDraft draft)
    {
        LabNodeLifetimeStatus? told = draft.Status.Lifetime;
        DailySchedule? schedule = ScheduleOf(draft);
        DateTime? byHandUntil = schedule is null ? null : ByHandUntil(draft)?.UtcDateTime;
        draft.Status.Lifetime = byHandUntil is null ? null : new LabNodeLifetimeStatus { RunsUntil = byHandUntil };
        if (schedule is not null && draft.IsWishedOn && draft.Status.Halted is not null)
        {
            draft.Again(schedule.NextStart(draft.Now) - draft.Now);
        }

        // One at a time, in the order in which people are to be told: what waits for its turn is warned of as long as the first.
        LifetimeEnd[] ends = [.. Ends(draft, schedule).OrderBy(end => end.WarnAt)];
        bool warned = ends.Length > 0 && told?.WarnedAt is not null && told.Reason == ends[0].Reason;
        if (ends.FirstOrDefault() is { } next && next.WarnAt <= draft.Now)
        {
            DateTime warnedAt = warned ? told!.WarnedAt!.Value : NodeEnds.Instant(draft.Now.UtcDateTime)!.Value;
            DateTimeOffset at = DueAt(next, new LabNodeLifetimeStatus { WarnedAt = warnedAt, EndsAt = warned ? told!.EndsAt : null });
            draft.Status.Lifetime = new LabNodeLifetimeStatus
            {
                Reason = next.Reason,
                EndsAt = NodeEnds.Instant(at.UtcDateTime),
                WarnedAt = warnedAt,
                IdleSince = NodeEnds.Instant(next.IdleSince?.UtcDateTime),
                RunsUntil = byHandUntil,
            };
            if (!warned)
            {
                draft.Do(new Intent.Announce(true, "LifetimeEnding", $"At {at:u} {What(draft, next.Reason)}: {next.Because}. {next.WayOut}"));
            }

            draft.Again(at - draft.Now);
            return;
        }

        if (told?.WarnedAt is not null && ends.Any(end => end.Reason == told.Reason))
        {
            draft.Do(new Intent.Announce(false, "LifetimeExtended", "What was warned of does not happen: the guest is in use again, or its lifetime was changed."));
        }

        // An idle time moves with each use: it is written once it is warned of, so that a guest in use costs no write.
        if (ends.FirstOrDefault(end => end.Reason != LifetimeReasons.IdleTooLong) is { } known)
        {
            draft.Status.Lifetime = new LabNodeLifetimeStatus { Reason = known.Reason, EndsAt = NodeEnds.Instant(known.At.UtcDateTime), RunsUntil = byHandUntil };
        }

        if (ends.Length > 0)
        {
            draft.Again(ends[0].WarnAt - draft.Now);
        }
    }

    /// <summary>Says why a guest is off, and what starts it again.</summary>
    private static void DescribeEndedLifetime(NodeDraft draft, LabNodeHalt halt)
    {
        LabNodeLifetime? spec = draft.Seen.Node.Spec.Lifetime;
        string since = $"{(draft.Status.SavedState is null ? "Off" : "Suspended")} since {halt.At:u}";
        string next = ScheduleOf(draft) is { } schedule ? schedule.Show(schedule.NextStart(draft.Now)) : "";
        draft.Ready(true, halt.Reason!, halt.Reason switch
        {
            LifetimeReasons.OutsideSchedule => $"{since}, as spec.lifetime.schedule asks, until {next}. A change of spec.restartRevision starts it until the next stop.",
            LifetimeReasons.TtlExpired => $"{since}: it had run for spec.lifetime.ttl, {spec?.Ttl}. {Again(next)}",
            _ => $"{since}: nobody had used it for spec.lifetime.stopAfterIdle, {spec?.StopAfterIdle}. {Again(next)}",
        });

        static string Again(string next) => $"Any change of the spec starts it again, such as one of spec.restartRevision{(next.Length > 0 ? $"; its schedule does at {next}" : "")}.";
    }

    /// <summary>Every end that the LabNode has coming; those of its guest while it runs and should.</summary>
    private static IEnumerable<LifetimeEnd> Ends(NodeDraft draft, DailySchedule? schedule)
    {
        V1Alpha1LabNode node = draft.Seen.Node;
        if (node.Spec.Lifetime is not { } spec)
        {
            yield break;
        }

        if (MayRun(draft) && draft.GuestRuns && !NodeObjects.WasToldToPowerOff(draft.Alive!) && draft.Status.StartedAt is { } started)
        {
            foreach (LifetimeEnd end in NodeLifetime.OfGuest(spec, new DateTimeOffset(started, TimeSpan.Zero), draft.Seen.Runner?.LastUsedAt, schedule, ByHandUntil(draft), draft.Now))
            {
                yield return end;
            }
        }

        if (NodeLifetime.OfNode(spec, node.Metadata.CreationTimestamp, node.Spec.Disk.ReclaimPolicy) is { } last)
        {
            yield return last;
        }
    }

    /// <summary>A halt of a lifetime's ends by what starts its guest again; a schedule's next day also starts one that had powered itself off.</summary>
    private static void EndHalt(NodeDraft draft, DailySchedule? schedule)
    {
        if (draft.Status.Halted is not { } halt)
        {
            return;
        }

        V1Alpha1LabNode node = draft.Seen.Node;
        RunWindow? open = schedule?.Open(draft.Now);
        bool lifetime = NodeLifetime.Ended(halt);
        bool byHand = lifetime && (node.Spec.RestartRevision ?? "") != (halt.RestartRevision ?? "");
        bool newDay = open is { } window && halt.At < window.Start.UtcDateTime && (lifetime || halt.Reason == Contract.TerminationReasons.GuestShutdown);
        bool over = halt.Reason == LifetimeReasons.OutsideSchedule ? schedule is null || open is not null || byHand || !draft.IsWishedOn
            : lifetime ? halt.Generation != node.Metadata.Generation || newDay
            : newDay;
        if (!over)
        {
            return;
        }

        draft.Status.Halted = null;
        if (byHand && draft.IsWishedOn)
        {
            // The change was the start: it asks for no restart on top of that.
            draft.Status.RestartRevision = node.Spec.RestartRevision;
            if (schedule is not null && open is null)
            {
                (draft.Status.Lifetime ??= new LabNodeLifetimeStatus()).RunsUntil = schedule.NextStop(draft.Now).UtcDateTime;
            }
        }
    }

    private static void GoOff(NodeDraft draft, string reason, string because)
    {
        draft.Status.Halted = new LabNodeHalt
        {
            Reason = reason,
            Generation = draft.Seen.Node.Metadata.Generation ?? 0,
            At = NodeEnds.Instant(draft.Now.UtcDateTime),
            RestartRevision = draft.Seen.Node.Spec.RestartRevision,
        };
        draft.Do(new Intent.Announce(false, reason, $"{(draft.GuestRuns ? Sentence(What(draft, reason)) : "The guest stays off")}: {because}."));
    }

    /// <summary>Nothing but its lifetime could have the guest off.</summary>
    private static bool MayRun(NodeDraft draft) => draft.IsWishedOn && draft.Status.Halted is null;

    /// <summary>Until when a guest runs that was started outside of its schedule; null when it was not, or that is over.</summary>
    private static DateTimeOffset? ByHandUntil(NodeDraft draft) =>
        draft.Status.Lifetime?.RunsUntil is { } until && until > draft.Now.UtcDateTime ? new DateTimeOffset(until, TimeSpan.Zero) : null;

    private static string What(NodeDraft draft, string reason) => reason == LifetimeReasons.DeletionDue ? "this LabNode is deleted"
        : draft.Seen.Node.Spec.Lifetime?.Action == LifetimeActions.Suspend ? "the guest is suspended"
        : "the guest is asked to power off";

    private static string Sentence(string words) => char.ToUpperInvariant(words[0]) + words[1..];

    private static DailySchedule? ScheduleOf(NodeDraft draft) =>
        draft.Seen.Node.Spec.Lifetime?.Schedule is { } spec ? DailySchedule.Read(spec, out _) : null;

    /// <summary>Not before people have had the time that the warning gives them, and not before the time that it named.</summary>
    private static DateTimeOffset DueAt(LifetimeEnd end, LabNodeLifetimeStatus told)
    {
        DateTimeOffset patience = new DateTimeOffset(told.WarnedAt!.Value, TimeSpan.Zero) + end.Warning;
        DateTimeOffset due = patience > end.At ? patience : end.At;
        return told.EndsAt > due.UtcDateTime ? new DateTimeOffset(told.EndsAt.Value, TimeSpan.Zero) : due;
    }
}
