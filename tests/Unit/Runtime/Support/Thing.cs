using System.Text.Json.Serialization;
using k8s;
using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

[KubernetesEntity(Group = "test.io", ApiVersion = "v1", Kind = "Thing", PluralName = "things")]
internal sealed class Thing : CustomKubernetesEntity<ThingSpec, ThingStatus>;

internal sealed class ThingSpec
{
    public string? Color { get; set; }

    public int Size { get; set; }

    [JsonConverter(typeof(JsonStringEnumConverter<Mood>))]
    public Mood Mood { get; set; }
}

internal enum Mood
{
    Calm,
    Wild,
}

internal sealed class ThingStatus
{
    public string? Phase { get; set; }

    public int? Count { get; set; }

    public IList<V1Condition>? Conditions { get; set; }

    public Dictionary<string, string>? Notes { get; set; }
}

internal static class Given
{
    public static Thing Thing(string name = "a", ulong version = 1, string? uid = null, Action<Thing>? with = null)
    {
        var thing = new Thing
        {
            Metadata = new V1ObjectMeta { NamespaceProperty = "ns", Name = name, Uid = uid ?? "uid-" + name, ResourceVersion = version.ToString(System.Globalization.CultureInfo.InvariantCulture) },
        };
        with?.Invoke(thing);
        return thing;
    }

    public static ObjectKey Key(string name = "a") => new("ns", name);

    public static string JsonOf(object value) => KubernetesJson.Serialize(value);
}
