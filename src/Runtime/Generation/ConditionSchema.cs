using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>The schema of conditions in the standard form (<c>metav1.Condition</c>).</summary>
internal static class ConditionSchema
{
    public static V1JSONSchemaProps List() => new()
    {
        Type = "array",
        Items = One(),
        XKubernetesListType = "map",
        XKubernetesListMapKeys = ["type"],
    };

    public static V1JSONSchemaProps One() => new()
    {
        Type = "object",
        Required = ["lastTransitionTime", "message", "reason", "status", "type"],
        Properties = new SortedDictionary<string, V1JSONSchemaProps>(StringComparer.Ordinal)
        {
            ["lastTransitionTime"] = new() { Type = "string", Format = "date-time", Description = "When the status last changed." },
            ["message"] = new() { Type = "string", MaxLength = 32768, Description = "For people; may be empty." },
            ["observedGeneration"] = new() { Type = "integer", Format = "int64", Minimum = 0, Description = "The generation of the spec that this was decided from." },
            ["reason"] = new()
            {
                Type = "string",
                MinLength = 1,
                MaxLength = 1024,
                Pattern = "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                Description = "Why, in one word.",
            },
            ["status"] = new() { Type = "string", EnumProperty = [Conditions.True, Conditions.False, Conditions.Unknown], Description = "Whether it holds." },
            ["type"] = new()
            {
                Type = "string",
                MaxLength = 316,
                Pattern = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$",
                Description = "What the condition is about.",
            },
        },
    };
}
