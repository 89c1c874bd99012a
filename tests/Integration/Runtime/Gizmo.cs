using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

[KubernetesEntity(Group = "test.sandlabx.io", ApiVersion = "v1", Kind = "Gizmo", PluralName = "gizmos")]
[KubernetesEntityShortNames("gz")]
[KubernetesEntityCategories("sandlabx-test")]
[GenericAdditionalPrinterColumn(".status.phase", "Phase", "string")]
public sealed class Gizmo : CustomKubernetesEntity<GizmoSpec, GizmoStatus>;

public sealed class GizmoSpec
{
    [Required]
    [AllowedValues("Red", "Blue")]
    public string Color { get; set; } = "Red";

    [Default(3)]
    [RangeMinimum(1)]
    [RangeMaximum(10)]
    public int? Size { get; set; }

    public GizmoInner? Inner { get; set; }

    public ResourceQuantity? Memory { get; set; }

    public IList<V1Toleration>? Tolerations { get; set; }
}

public sealed class GizmoInner
{
    [Default("Slow")]
    public string? Speed { get; set; }
}

[PreserveUnknownFields]
public sealed class GizmoStatus
{
    public string? Phase { get; set; }

    public long? ObservedGeneration { get; set; }

    public IList<V1Condition>? Conditions { get; set; }
}

internal static class Make
{
    public static Gizmo Gizmo(string space, string name, string color = "Red") => new()
    {
        Metadata = new V1ObjectMeta { NamespaceProperty = space, Name = name },
        Spec = new GizmoSpec { Color = color },
    };
}
