using System.Reflection;
using System.Text.RegularExpressions;
using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Makes CustomResourceDefinitions from attributed types. Descriptions are their docstrings.</summary>
public static partial class CrdGenerator
{
    /// <summary>The definition of one kind with one version.</summary>
    /// <exception cref="InvalidOperationException">The type has no <see cref="KubernetesEntityAttribute"/>.</exception>
    /// <exception cref="NotSupportedException">The type has no structural schema, such as one that contains itself.</exception>
    public static V1CustomResourceDefinition Crd(Type entity) => Crd([entity]);

    /// <summary>The definition of one kind with several versions, one type each.</summary>
    /// <exception cref="ArgumentException">The types are of several kinds, or not exactly one of several is marked by <see cref="StorageVersionAttribute"/>.</exception>
    public static V1CustomResourceDefinition Crd(IReadOnlyList<Type> versions)
    {
        ArgumentNullException.ThrowIfNull(versions);
        List<ResourceType> names = [.. versions.Select(ResourceType.Of)];
        if (names.Select(n => (n.Group, n.Kind, n.Plural, n.Namespaced)).Distinct().Count() != 1)
        {
            throw new ArgumentException("The types are not versions of one kind.", nameof(versions));
        }

        if (versions.Count > 1 && versions.Count(v => v.GetCustomAttribute<StorageVersionAttribute>() is not null) != 1)
        {
            throw new ArgumentException("Exactly one of several versions is to be marked by [StorageVersion].", nameof(versions));
        }

        ResourceType name = names[0];
        return new V1CustomResourceDefinition
        {
            ApiVersion = "apiextensions.k8s.io/v1",
            Kind = "CustomResourceDefinition",
            Metadata = new V1ObjectMeta { Name = $"{name.Plural}.{name.Group}" },
            Spec = new V1CustomResourceDefinitionSpec
            {
                Group = name.Group,
                Scope = name.Namespaced ? "Namespaced" : "Cluster",
                Names = new V1CustomResourceDefinitionNames
                {
                    Kind = name.Kind,
                    ListKind = name.Kind + "List",
                    Plural = name.Plural,
#pragma warning disable CA1308 // The API wants names in lower case.
                    Singular = name.Kind.ToLowerInvariant(),
#pragma warning restore CA1308
                    ShortNames = versions[0].GetCustomAttribute<KubernetesEntityShortNamesAttribute>()?.ShortNames,
                    Categories = versions[0].GetCustomAttribute<KubernetesEntityCategoriesAttribute>()?.Categories,
                },
                Versions = [.. versions.Select((v, i) => Version(v, names[i].Version, versions.Count == 1))],
            },
        };
    }

    /// <summary>The definition as YAML, the same bytes for the same types.</summary>
    public static string Yaml(Type entity) => WholeBound().Replace(KubernetesYaml.Serialize(Crd(entity)).TrimEnd(), "$1") + "\n";

    private static V1CustomResourceDefinitionVersion Version(Type entity, string name, bool only)
    {
        V1JSONSchemaProps schema = SchemaBuilder.Root(entity);
        List<V1CustomResourceColumnDefinition> columns = [.. Columns(entity, schema)];
        return new V1CustomResourceDefinitionVersion
        {
            Name = name,
            Served = true,
            Storage = only || entity.GetCustomAttribute<StorageVersionAttribute>() is not null,
            Schema = new V1CustomResourceValidation { OpenAPIV3Schema = schema },
            Subresources = entity.GetProperty("Status") is null ? null : new V1CustomResourceSubresources { Status = new Dictionary<string, object>() },
            AdditionalPrinterColumns = columns.Count > 0 ? columns : null,
        };
    }

    private static IEnumerable<V1CustomResourceColumnDefinition> Columns(Type entity, V1JSONSchemaProps schema)
    {
        foreach (PropertyInfo part in SchemaBuilder.Properties(entity).Where(p => p.DeclaringType != typeof(CustomKubernetesEntity)))
        {
            foreach (V1CustomResourceColumnDefinition column in Columns(part.PropertyType, "." + SchemaBuilder.NameOf(part), schema.Properties[SchemaBuilder.NameOf(part)]))
            {
                yield return column;
            }
        }

        foreach (GenericAdditionalPrinterColumnAttribute column in entity.GetCustomAttributes<GenericAdditionalPrinterColumnAttribute>())
        {
            yield return new V1CustomResourceColumnDefinition
            {
                Name = column.Name,
                Type = column.Type,
                JsonPath = column.JsonPath,
                Description = column.Description,
                Format = column.Format,
                Priority = column.Priority == 0 ? null : column.Priority,
            };
        }
    }

    private static IEnumerable<V1CustomResourceColumnDefinition> Columns(Type type, string path, V1JSONSchemaProps schema)
    {
        if (schema.Properties is null)
        {
            yield break;
        }

        foreach (PropertyInfo property in SchemaBuilder.Properties(SchemaBuilder.Bare(type)))
        {
            string name = SchemaBuilder.NameOf(property);
            V1JSONSchemaProps part = schema.Properties[name];
            if (property.GetCustomAttribute<AdditionalPrinterColumnAttribute>() is { } column)
            {
                yield return new V1CustomResourceColumnDefinition
                {
                    Name = column.Name ?? property.Name,
                    Type = part.Format == "date-time" ? "date" : part.Type ?? "string",
                    JsonPath = $"{path}.{name}",
                    Description = part.Description,
                    Priority = column.Priority == PrinterColumnPriority.StandardView ? null : 1,
                };
            }

            foreach (V1CustomResourceColumnDefinition inner in Columns(property.PropertyType, $"{path}.{name}", part))
            {
                yield return inner;
            }
        }
    }

    /// <summary>The client's model keeps bounds as floating-point numbers, also those of integers.</summary>
    [GeneratedRegex("^( *(?:minimum|maximum): -?[0-9]+)\\.0$", RegexOptions.Multiline)]
    private static partial Regex WholeBound();
}
