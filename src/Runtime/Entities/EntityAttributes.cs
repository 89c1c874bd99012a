namespace SandLabX.Runtime;

/// <summary>Where objects of a kind live.</summary>
public enum EntityScope
{
    /// <summary>In a namespace.</summary>
    Namespaced,

    /// <summary>In the whole cluster.</summary>
    Cluster,
}

/// <summary>Where objects of the kind live; a class without it is namespaced.</summary>
/// <param name="scope">The scope.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class EntityScopeAttribute(EntityScope scope = EntityScope.Namespaced) : Attribute
{
    /// <summary>The scope.</summary>
    public EntityScope Scope { get; } = scope;
}

/// <summary>Short names of the kind, as <c>kubectl get</c> takes them.</summary>
/// <param name="shortNames">The names.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class KubernetesEntityShortNamesAttribute(params string[] shortNames) : Attribute
{
    /// <summary>The names.</summary>
    public string[] ShortNames { get; } = shortNames;
}

/// <summary>Categories of the kind, such as <c>all</c>: <c>kubectl get</c> of a category lists all its kinds.</summary>
/// <param name="categories">The categories.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class KubernetesEntityCategoriesAttribute(params string[] categories) : Attribute
{
    /// <summary>The categories.</summary>
    public string[] Categories { get; } = categories;
}

/// <summary>The version in which objects are stored, where a kind has several.</summary>
[AttributeUsage(AttributeTargets.Class)]
public sealed class StorageVersionAttribute : Attribute;

/// <summary>A column of <c>kubectl get</c> that shows what a path leads to.</summary>
/// <param name="jsonPath">The path, such as <c>.status.phase</c>.</param>
/// <param name="name">The column's head.</param>
/// <param name="type">OpenAPI type: string, integer, number, boolean or date.</param>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
public sealed class GenericAdditionalPrinterColumnAttribute(string jsonPath, string name, string type) : Attribute
{
    /// <summary>The path, such as <c>.status.phase</c>.</summary>
    public string JsonPath { get; } = jsonPath;

    /// <summary>The column's head.</summary>
    public string Name { get; } = name;

    /// <summary>OpenAPI type: string, integer, number, boolean or date.</summary>
    public string Type { get; } = type;

    /// <summary>What the column shows.</summary>
    public string? Description { get; init; }

    /// <summary>OpenAPI format.</summary>
    public string? Format { get; init; }

    /// <summary>0 shows the column always, more only with <c>-o wide</c>.</summary>
    public int Priority { get; init; }
}

/// <summary>When a printer column is shown.</summary>
public enum PrinterColumnPriority
{
    /// <summary>Always.</summary>
    StandardView,

    /// <summary>With <c>-o wide</c> only.</summary>
    WideView,
}
