namespace SandLabX.Runtime;

/// <summary>Shows the property as a column of <c>kubectl get</c>.</summary>
/// <param name="name">The column's head; null takes the property's name.</param>
/// <param name="priority">When it is shown.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class AdditionalPrinterColumnAttribute(string? name = null, PrinterColumnPriority priority = PrinterColumnPriority.StandardView) : Attribute
{
    /// <summary>The column's head; null takes the property's name.</summary>
    public string? Name { get; } = name;

    /// <summary>When it is shown.</summary>
    public PrinterColumnPriority Priority { get; } = priority;
}

/// <summary>Describes a class or property in the schema; without it the XML docstring is taken.</summary>
/// <param name="text">The description.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Property)]
public sealed class DescriptionAttribute(string text) : Attribute
{
    /// <summary>The description.</summary>
    public string Text { get; } = text;
}

/// <summary>The property must be given.</summary>
[AttributeUsage(AttributeTargets.Property)]
public sealed class RequiredAttribute : Attribute;

/// <summary>The smallest number admitted.</summary>
/// <param name="minimum">The bound.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class RangeMinimumAttribute(double minimum) : Attribute
{
    /// <summary>The bound.</summary>
    public double Minimum { get; } = minimum;

    /// <summary>Whether the bound itself is refused.</summary>
    public bool ExclusiveMinimum { get; init; }
}

/// <summary>The largest number admitted.</summary>
/// <param name="maximum">The bound.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class RangeMaximumAttribute(double maximum) : Attribute
{
    /// <summary>The bound.</summary>
    public double Maximum { get; } = maximum;

    /// <summary>Whether the bound itself is refused.</summary>
    public bool ExclusiveMaximum { get; init; }
}

/// <summary>What a string must match.</summary>
/// <param name="regexPattern">A regular expression (RE2), not anchored by itself.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class PatternAttribute(string regexPattern) : Attribute
{
    /// <summary>The expression.</summary>
    public string RegexPattern { get; } = regexPattern;
}

/// <summary>How long a string may be, in characters.</summary>
/// <param name="minLength">At least; -1 for no bound.</param>
/// <param name="maxLength">At most; -1 for no bound.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class LengthAttribute(long minLength = -1, long maxLength = -1) : Attribute
{
    /// <summary>At least; null for no bound.</summary>
    public long? MinLength { get; } = minLength < 0 ? null : minLength;

    /// <summary>At most; null for no bound.</summary>
    public long? MaxLength { get; } = maxLength < 0 ? null : maxLength;
}

/// <summary>How many items a list may have.</summary>
/// <param name="minItems">At least; -1 for no bound.</param>
/// <param name="maxItems">At most; -1 for no bound.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class ItemsAttribute(long minItems = -1, long maxItems = -1) : Attribute
{
    /// <summary>At least; null for no bound.</summary>
    public long? MinItems { get; } = minItems < 0 ? null : minItems;

    /// <summary>At most; null for no bound.</summary>
    public long? MaxItems { get; } = maxItems < 0 ? null : maxItems;
}

/// <summary>How many of its properties an object may have. With <c>[PropertyCount(1, 1)]</c> it is one of several forms: every server knows this, unlike CEL.</summary>
/// <param name="minimum">At least.</param>
/// <param name="maximum">At most.</param>
[AttributeUsage(AttributeTargets.Class)]
public sealed class PropertyCountAttribute(long minimum, long maximum) : Attribute
{
    /// <summary>At least.</summary>
    public long Minimum { get; } = minimum;

    /// <summary>At most.</summary>
    public long Maximum { get; } = maximum;
}

/// <summary>A rule in CEL (<c>x-kubernetes-validations</c>). Servers before 1.25 ignore it, so nothing may depend on it for safety.</summary>
/// <param name="rule">The expression; <c>self</c> is the value, <c>oldSelf</c> the one before.</param>
/// <param name="message">What the user is told.</param>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Property, AllowMultiple = true)]
public sealed class ValidationRuleAttribute(string rule, string? message = null) : Attribute
{
    /// <summary>The expression.</summary>
    public string Rule { get; } = rule;

    /// <summary>What the user is told.</summary>
    public string? Message { get; } = message;
}

/// <summary>What the API server fills in when the property is left out.</summary>
/// <param name="value">A string, number or boolean.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class DefaultAttribute(object value) : Attribute
{
    /// <summary>The value.</summary>
    public object Value { get; } = value;
}

/// <summary>The closed list of strings the API server admits. The property stays a string, so that a member this program does not know never hides an object from it.</summary>
/// <param name="values">The members.</param>
[AttributeUsage(AttributeTargets.Property)]
public sealed class AllowedValuesAttribute(params string[] values) : Attribute
{
    /// <summary>The members.</summary>
    public string[] Values { get; } = values;
}

/// <summary>Leaves a class or property out of the schema.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Property)]
public sealed class IgnoreAttribute : Attribute;

/// <summary>Keeps what the schema does not name, instead of pruning it.</summary>
[AttributeUsage(AttributeTargets.Class | AttributeTargets.Property)]
public sealed class PreserveUnknownFieldsAttribute : Attribute;
