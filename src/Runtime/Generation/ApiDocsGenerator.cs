using System.Globalization;
using System.Reflection;
using System.Text;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Makes the reference of an API for people, from the types that its definitions are made from.</summary>
public static class ApiDocsGenerator
{
    /// <summary>Markdown: a section a kind, with a table of all fields.</summary>
    public static string Markdown(IEnumerable<Type> entities)
    {
        ArgumentNullException.ThrowIfNull(entities);
        var text = new StringBuilder();
        foreach (Type entity in entities)
        {
            ResourceType name = ResourceType.Of(entity);
            V1JSONSchemaProps schema = SchemaBuilder.Root(entity);
            string[] shortNames = entity.GetCustomAttribute<KubernetesEntityShortNamesAttribute>()?.ShortNames ?? [];
            text.Append(text.Length > 0 ? "\n" : "").Append("## ").Append(name.Kind).Append("\n\n")
                .Append('`').Append(name.ApiVersion).Append("`, ").Append(name.Namespaced ? "namespaced" : "cluster-wide")
                .Append(", `kubectl get ").Append(string.Join("|", shortNames.Prepend(name.Plural))).Append("`\n");
            if (schema.Description is { } summary)
            {
                text.Append('\n').Append(summary).Append('\n');
            }

            text.Append("\n| Field | Type | Default | Values | Description |\n|---|---|---|---|---|\n");
            foreach ((string field, V1JSONSchemaProps part) in schema.Properties.Where(p => p.Key is not ("apiVersion" or "kind" or "metadata")))
            {
                Row(text, field, part, schema.Required?.Contains(field) == true);
            }
        }

        return text.ToString();
    }

    private static void Row(StringBuilder text, string path, V1JSONSchemaProps schema, bool required)
    {
        text.Append("| `").Append(path).Append('`').Append(required ? " (required)" : "")
            .Append(" | ").Append(TypeOf(schema))
            .Append(" | ").Append(Default(schema.DefaultProperty))
            .Append(" | ").Append(Cell(string.Join("; ", Limits(schema))))
            .Append(" | ").Append(Cell(schema.Description ?? "")).Append(" |\n");
        (string below, V1JSONSchemaProps inner) = schema switch
        {
            { Items: V1JSONSchemaProps item } => (path + "[]", item),
            { AdditionalProperties: V1JSONSchemaProps value } => (path + ".*", value),
            _ => (path, schema),
        };

        // Conditions have the form that all of Kubernetes has.
        if (schema.XKubernetesListType == "map")
        {
            return;
        }

        foreach ((string field, V1JSONSchemaProps part) in inner.Properties ?? new Dictionary<string, V1JSONSchemaProps>())
        {
            Row(text, $"{below}.{field}", part, inner.Required?.Contains(field) == true);
        }
    }

    private static string TypeOf(V1JSONSchemaProps schema) => schema switch
    {
        { XKubernetesIntOrString: true, Pattern: not null } => "quantity",
        { XKubernetesIntOrString: true } => "integer or string",
        { XKubernetesListType: "map" } => "conditions",
        { Items: V1JSONSchemaProps item } => "list of " + TypeOf(item),
        { AdditionalProperties: V1JSONSchemaProps value } => "map of " + TypeOf(value),
        { Format: "date-time" } => "time",
        _ => schema.Type ?? "any",
    };

    private static string Default(object? value) => value switch
    {
        null or IDictionary<string, object> => "",
        bool b => b ? "`true`" : "`false`",
        _ => $"`{Convert.ToString(value, CultureInfo.InvariantCulture)}`",
    };

    private static IEnumerable<string> Limits(V1JSONSchemaProps schema)
    {
        if ((schema.EnumProperty ?? (schema.Items as V1JSONSchemaProps)?.EnumProperty) is { } values)
        {
            yield return string.Join(", ", values.Select(v => $"`{v}`"));
        }

        if (Range(schema.Minimum, schema.Maximum) is { } range)
        {
            yield return range;
        }

        if (Range(schema.MinLength, schema.MaxLength) is { } length)
        {
            yield return length + " characters";
        }

        if (Range(schema.MinItems, schema.MaxItems) is { } items)
        {
            yield return items + " items";
        }

        if (schema.Pattern is { } pattern && schema.XKubernetesIntOrString != true)
        {
            yield return $"`{pattern}`";
        }

        foreach (V1ValidationRule rule in schema.XKubernetesValidations ?? [])
        {
            yield return rule.Message ?? $"`{rule.Rule}`";
        }
    }

    private static string? Range(double? from, double? to) => (from, to) switch
    {
        ({ } a, { } b) => string.Create(CultureInfo.InvariantCulture, $"{a} to {b}"),
        ({ } a, null) => string.Create(CultureInfo.InvariantCulture, $"at least {a}"),
        (null, { } b) => string.Create(CultureInfo.InvariantCulture, $"at most {b}"),
        _ => null,
    };

    private static string Cell(string text) => text.Replace("|", "\\|", StringComparison.Ordinal).Replace('\n', ' ');
}
