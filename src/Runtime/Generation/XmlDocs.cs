using System.Collections.Concurrent;
using System.Reflection;
using System.Text;
using System.Text.RegularExpressions;
using System.Xml.Linq;

namespace SandLabX.Runtime;

/// <summary>Docstrings, from the XML file that the compiler puts beside an assembly.</summary>
internal static partial class XmlDocs
{
    private static readonly ConcurrentDictionary<Assembly, IReadOnlyDictionary<string, XElement>> s_files = new();

    /// <summary>The summary of a type, as plain text; null when it has none.</summary>
    public static string? Of(Type type) =>
        type.GetCustomAttribute<DescriptionAttribute>()?.Text ?? Summary(type.Assembly, "T:" + NameOf(type));

    /// <summary>The summary of a property, as plain text; null when it has none.</summary>
    public static string? Of(PropertyInfo property) =>
        property.GetCustomAttribute<DescriptionAttribute>()?.Text
        ?? Summary(property.DeclaringType!.Assembly, $"P:{NameOf(property.DeclaringType!)}.{property.Name}");

    private static string? Summary(Assembly assembly, string member) =>
        s_files.GetOrAdd(assembly, Load).TryGetValue(member, out XElement? element) && element.Element("summary") is { } summary
            ? Space().Replace(Text(summary), " ").Trim()
            : null;

    private static string NameOf(Type type) => (type.IsGenericType ? type.GetGenericTypeDefinition() : type).FullName!.Replace('+', '.');

    private static Dictionary<string, XElement> Load(Assembly assembly)
    {
        string file = Path.ChangeExtension(assembly.Location, ".xml");
        return File.Exists(file)
            ? XDocument.Load(file).Descendants("member").ToDictionary(m => m.Attribute("name")!.Value)
            : [];
    }

    private static string Text(XElement element)
    {
        var text = new StringBuilder();
        foreach (XNode node in element.Nodes())
        {
            text.Append(node switch
            {
                XText t => t.Value,
                XElement e when e.Attribute("cref") is { } cref => cref.Value[(cref.Value.LastIndexOf('.') + 1)..],
                XElement e when e.Attribute("name") is { } name => name.Value,
                XElement e when e.Attribute("langword") is { } word => word.Value,
                XElement e => Text(e),
                _ => "",
            });
        }

        return text.ToString();
    }

    [GeneratedRegex("\\s+")]
    private static partial Regex Space();
}
