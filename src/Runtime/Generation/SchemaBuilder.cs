using System.Collections;
using System.Reflection;
using System.Text.Json;
using System.Text.Json.Nodes;
using System.Text.Json.Serialization;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Structural schemas from C# types.</summary>
internal static class SchemaBuilder
{
    private const string QuantityPattern = "^(\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))(([KMGTPE]i)|[numkMGTPE]|([eE](\\+|-)?(([0-9]+(\\.[0-9]*)?)|(\\.[0-9]+))))?$";

    /// <summary>The schema of a kind: its own properties beside apiVersion, kind and metadata.</summary>
    public static V1JSONSchemaProps Root(Type entity)
    {
        var schema = new V1JSONSchemaProps
        {
            Type = "object",
            Description = XmlDocs.Of(entity),
            Properties = new SortedDictionary<string, V1JSONSchemaProps>(StringComparer.Ordinal)
            {
                ["apiVersion"] = new() { Type = "string" },
                ["kind"] = new() { Type = "string" },
                ["metadata"] = new() { Type = "object" },
            },
        };
        foreach (PropertyInfo property in Properties(entity).Where(p => p.DeclaringType != typeof(CustomKubernetesEntity)))
        {
            // What a controller writes has no defaults: they would be filled in before it ever wrote.
            bool isStatus = property.Name == "Status";
            V1JSONSchemaProps part = Of(property, withDefaults: !isStatus, []);
            if (property.DeclaringType!.IsGenericType)
            {
                part.Description = XmlDocs.Of(Bare(property.PropertyType)) ?? part.Description;
            }

            schema.Properties[NameOf(property)] = part;
            if (part.Required is { Count: > 0 } && !isStatus)
            {
                schema.Required = [.. schema.Required ?? [], NameOf(property)];
            }
        }

        Rules(entity, schema);
        return schema;
    }

    /// <summary>The properties that are on the wire, in the order of their declaration.</summary>
    public static IEnumerable<PropertyInfo> Properties(Type type) => type
        .GetProperties(BindingFlags.Public | BindingFlags.Instance)
        .Where(p => p.GetMethod is not null && p.GetIndexParameters().Length == 0
            && p.GetCustomAttribute<IgnoreAttribute>() is null && p.GetCustomAttribute<JsonIgnoreAttribute>() is not { Condition: JsonIgnoreCondition.Always });

    /// <summary>The name on the wire.</summary>
    public static string NameOf(PropertyInfo property) =>
        property.GetCustomAttribute<JsonPropertyNameAttribute>()?.Name ?? JsonNamingPolicy.CamelCase.ConvertName(property.Name);

    /// <summary>The type without its <see cref="Nullable{T}"/>.</summary>
    public static Type Bare(Type type) => Nullable.GetUnderlyingType(type) ?? type;

    /// <summary>The item type of a list; null when it is none.</summary>
    public static Type? ItemOf(Type type) =>
        type == typeof(string) || type == typeof(byte[]) || ValueOf(type) is not null || Passes(type) ? null : Generic(type, typeof(IEnumerable<>))?[0];

    /// <summary>The value type of a dictionary by string; null when it is none.</summary>
    public static Type? ValueOf(Type type) => Passes(type) ? null
        : (Generic(type, typeof(IDictionary<,>)) ?? Generic(type, typeof(IReadOnlyDictionary<,>))) is [{ } key, { } value] && key == typeof(string) ? value : null;

    /// <summary>Whether the schema says no more of the type than that it is an object: the client's models, whose schema is the server's own, and raw JSON.</summary>
    public static bool IsOpaque(Type type) => type.Namespace == typeof(V1Pod).Namespace || Passes(type);

    private static bool Passes(Type type) => type == typeof(object) || type == typeof(JsonElement) || typeof(JsonNode).IsAssignableFrom(type);

    private static V1JSONSchemaProps Of(PropertyInfo property, bool withDefaults, IReadOnlyList<Type> within)
    {
        V1JSONSchemaProps schema = Of(property.PropertyType, withDefaults, within);
        schema.Description = XmlDocs.Of(property) ?? schema.Description;
        if (property.GetCustomAttribute<RangeMinimumAttribute>() is { } min)
        {
            schema.Minimum = min.Minimum;
            schema.ExclusiveMinimum = min.ExclusiveMinimum ? true : null;
        }

        if (property.GetCustomAttribute<RangeMaximumAttribute>() is { } max)
        {
            schema.Maximum = max.Maximum;
            schema.ExclusiveMaximum = max.ExclusiveMaximum ? true : null;
        }

        if (property.GetCustomAttribute<LengthAttribute>() is { } length)
        {
            schema.MinLength = length.MinLength;
            schema.MaxLength = length.MaxLength;
        }

        if (property.GetCustomAttribute<ItemsAttribute>() is { } items)
        {
            schema.MinItems = items.MinItems;
            schema.MaxItems = items.MaxItems;
        }

        schema.Pattern = property.GetCustomAttribute<PatternAttribute>()?.RegexPattern ?? schema.Pattern;
        if (property.GetCustomAttribute<AllowedValuesAttribute>() is { } values)
        {
            // Of a list it is the items that are from the closed list.
            (schema.Items as V1JSONSchemaProps ?? schema).EnumProperty = [.. values.Values];
        }

        if (property.GetCustomAttribute<PreserveUnknownFieldsAttribute>() is not null)
        {
            schema.XKubernetesPreserveUnknownFields = true;
        }

        if (withDefaults)
        {
            schema.DefaultProperty = property.GetCustomAttribute<DefaultAttribute>()?.Value ?? schema.DefaultProperty;
        }

        Rules(property, schema);
        return schema;
    }

    private static V1JSONSchemaProps Of(Type declared, bool withDefaults, IReadOnlyList<Type> within)
    {
        Type type = Bare(declared);
        if (Scalar(type) is { } scalar)
        {
            return scalar;
        }

        if (ValueOf(type) is { } value)
        {
            return new V1JSONSchemaProps { Type = "object", AdditionalProperties = Of(value, withDefaults, within) };
        }

        if (ItemOf(type) is { } item)
        {
            return item == typeof(V1Condition) ? ConditionSchema.List() : new V1JSONSchemaProps { Type = "array", Items = Of(item, withDefaults, within) };
        }

        if (Passes(type))
        {
            return new V1JSONSchemaProps { XKubernetesPreserveUnknownFields = true, Type = typeof(JsonObject) == type ? "object" : null };
        }

        if (type == typeof(V1Condition))
        {
            return ConditionSchema.One();
        }

        if (IsOpaque(type))
        {
            return new V1JSONSchemaProps { Type = "object", XKubernetesPreserveUnknownFields = true };
        }

        if (within.Contains(type) || typeof(IEnumerable).IsAssignableFrom(type))
        {
            throw new NotSupportedException($"{type} has no structural schema: it contains itself, or is a collection of an unknown form.");
        }

        return Object(type, withDefaults, [.. within, type]);
    }

    private static V1JSONSchemaProps Object(Type type, bool withDefaults, IReadOnlyList<Type> within)
    {
        var schema = new V1JSONSchemaProps
        {
            Type = "object",
            Description = XmlDocs.Of(type),
            Properties = new SortedDictionary<string, V1JSONSchemaProps>(StringComparer.Ordinal),
            XKubernetesPreserveUnknownFields = type.GetCustomAttribute<PreserveUnknownFieldsAttribute>() is null ? null : true,
            MinProperties = type.GetCustomAttribute<PropertyCountAttribute>()?.Minimum,
            MaxProperties = type.GetCustomAttribute<PropertyCountAttribute>()?.Maximum,
        };
        var required = new List<string>();
        foreach (PropertyInfo property in Properties(type))
        {
            V1JSONSchemaProps part = Of(property, withDefaults, within);
            bool must = property.GetCustomAttribute<RequiredAttribute>() is not null;

            // Defaults inside of an object are filled in only where there is an object.
            if (withDefaults && !must && part.Type == "object" && part.DefaultProperty is null && part.Required is null
                && part.Properties?.Values.Any(p => p.DefaultProperty is not null) == true)
            {
                part.DefaultProperty = new Dictionary<string, object>();
            }

            schema.Properties[NameOf(property)] = part;
            if (must)
            {
                required.Add(NameOf(property));
            }
        }

        schema.Required = required.Count > 0 ? required : null;
        Rules(type, schema);
        return schema;
    }

    private static V1JSONSchemaProps? Scalar(Type type)
    {
        if (type == typeof(ResourceQuantity))
        {
            return new V1JSONSchemaProps
            {
                AnyOf = [new V1JSONSchemaProps { Type = "integer" }, new V1JSONSchemaProps { Type = "string" }],
                Pattern = QuantityPattern,
                XKubernetesIntOrString = true,
            };
        }

        if (type == typeof(IntOrString))
        {
            return new V1JSONSchemaProps
            {
                AnyOf = [new V1JSONSchemaProps { Type = "integer" }, new V1JSONSchemaProps { Type = "string" }],
                XKubernetesIntOrString = true,
            };
        }

        if (type.IsEnum)
        {
            return new V1JSONSchemaProps { Type = "string", EnumProperty = [.. Enum.GetNames(type)] };
        }

        return type switch
        {
            _ when type == typeof(string) => new V1JSONSchemaProps { Type = "string" },
            _ when type == typeof(bool) => new V1JSONSchemaProps { Type = "boolean" },
            _ when type == typeof(int) => new V1JSONSchemaProps { Type = "integer", Format = "int32" },
            _ when type == typeof(long) => new V1JSONSchemaProps { Type = "integer", Format = "int64" },
            _ when type == typeof(float) => new V1JSONSchemaProps { Type = "number", Format = "float" },
            _ when type == typeof(double) => new V1JSONSchemaProps { Type = "number", Format = "double" },
            _ when type == typeof(DateTime) || type == typeof(DateTimeOffset) => new V1JSONSchemaProps { Type = "string", Format = "date-time" },
            _ when type == typeof(byte[]) => new V1JSONSchemaProps { Type = "string", Format = "byte" },
            _ => null,
        };
    }

    private static void Rules(MemberInfo member, V1JSONSchemaProps schema)
    {
        List<V1ValidationRule> rules =
        [
            .. schema.XKubernetesValidations ?? [],
            .. member.GetCustomAttributes<ValidationRuleAttribute>().Select(r => new V1ValidationRule { Rule = r.Rule, Message = r.Message }),
        ];
        schema.XKubernetesValidations = rules.Count > 0 ? rules : null;
    }

    private static Type[]? Generic(Type type, Type definition) =>
        type.GetInterfaces().Prepend(type).FirstOrDefault(i => i.IsGenericType && i.GetGenericTypeDefinition() == definition)?.GetGenericArguments();
}
