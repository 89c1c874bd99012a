using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Conditions of a status, in the standard form.</summary>
public static class Conditions
{
    /// <summary>Value of a condition that holds.</summary>
    public const string True = "True";

    /// <summary>Value of a condition that does not hold.</summary>
    public const string False = "False";

    /// <summary>Value of a condition nobody knows about.</summary>
    public const string Unknown = "Unknown";

    /// <summary>Sets a condition. Its time of transition changes only when its status does; the API keeps whole seconds, so the rest is cut off.</summary>
    /// <param name="conditions">The list; changed in place, other conditions keep their places.</param>
    /// <param name="type">The condition.</param>
    /// <param name="status"><see cref="True"/>, <see cref="False"/> or <see cref="Unknown"/>.</param>
    /// <param name="reason">One word in CamelCase; never empty.</param>
    /// <param name="message">For people; may be empty.</param>
    /// <param name="observedGeneration">The generation of the spec this was decided from.</param>
    /// <param name="now">The present time.</param>
    public static void Set(
        IList<V1Condition> conditions, string type, string status, string reason, string message, long? observedGeneration, DateTimeOffset now)
    {
        ArgumentNullException.ThrowIfNull(conditions);
        V1Condition? before = Find(conditions, type);
        var condition = new V1Condition
        {
            Type = type,
            Status = status,
            Reason = reason,
            Message = message,
            ObservedGeneration = observedGeneration,
            LastTransitionTime = before is not null && before.Status == status ? Seconds(before.LastTransitionTime) : Seconds(now.UtcDateTime),
        };
        if (before is null)
        {
            conditions.Add(condition);
        }
        else
        {
            conditions[conditions.IndexOf(before)] = condition;
        }
    }

    /// <summary>The condition of a type; null when there is none.</summary>
    public static V1Condition? Find(IEnumerable<V1Condition>? conditions, string type) => conditions?.FirstOrDefault(c => c.Type == type);

    /// <summary>Whether a condition is there and holds.</summary>
    public static bool IsTrue(IEnumerable<V1Condition>? conditions, string type) => Find(conditions, type)?.Status == True;

    private static DateTime Seconds(DateTime time) => new(time.Ticks - (time.Ticks % TimeSpan.TicksPerSecond), DateTimeKind.Utc);
}
