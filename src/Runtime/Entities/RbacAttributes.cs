namespace SandLabX.Runtime;

/// <summary>What a role may do.</summary>
[Flags]
public enum RbacVerb
{
    /// <summary>Nothing.</summary>
    None = 0,

    /// <summary>Read one object.</summary>
    Get = 1 << 0,

    /// <summary>Read all objects.</summary>
    List = 1 << 1,

    /// <summary>Follow changes.</summary>
    Watch = 1 << 2,

    /// <summary>Make objects.</summary>
    Create = 1 << 3,

    /// <summary>Replace objects.</summary>
    Update = 1 << 4,

    /// <summary>Change parts of objects.</summary>
    Patch = 1 << 5,

    /// <summary>Delete objects.</summary>
    Delete = 1 << 6,

    /// <summary>Delete many objects at once.</summary>
    DeleteCollection = 1 << 7,

    /// <summary>All verbs there are (<c>*</c>).</summary>
    All = 1 << 30,
}

/// <summary>What the class may do with kinds that a C# type stands for.</summary>
/// <param name="entities">The types.</param>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
public sealed class EntityRbacAttribute(params Type[] entities) : Attribute
{
    /// <summary>The types.</summary>
    public Type[] Entities { get; } = entities;

    /// <summary>The verbs.</summary>
    public RbacVerb Verbs { get; init; }
}

/// <summary>What the class may do with resources or addresses given by name.</summary>
[AttributeUsage(AttributeTargets.Class, AllowMultiple = true)]
public sealed class GenericRbacAttribute : Attribute
{
    /// <summary>API groups; <c>""</c> is the core group.</summary>
    public string[] Groups { get; init; } = [];

    /// <summary>Resources, such as <c>pods</c> or <c>pods/log</c>.</summary>
    public string[] Resources { get; init; } = [];

    /// <summary>Addresses outside of the API's resources.</summary>
    public string[] Urls { get; init; } = [];

    /// <summary>The verbs.</summary>
    public RbacVerb Verbs { get; init; }
}
