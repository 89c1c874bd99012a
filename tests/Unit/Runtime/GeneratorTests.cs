using System.Runtime.CompilerServices;
using System.Text.Json.Serialization;
using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Unit.Runtime;

/// <summary>Compares with files in Golden; run with UPDATE_GOLDEN=1 to write them anew, and read the difference.</summary>
public sealed class GeneratorTests
{
    [Fact]
    public void A_definition_says_all_that_the_types_say() => Golden("gadget.yaml", CrdGenerator.Yaml(typeof(Gadget)));

    [Fact]
    public void A_reference_for_people_says_the_same() => Golden("gadget.md", ApiDocsGenerator.Markdown([typeof(Gadget)]));

    [Fact]
    public void A_role_is_merged_and_sorted() =>
        Golden("role.yaml", k8s.KubernetesYaml.Serialize(RbacGenerator.ClusterRole([typeof(OneUser), typeof(AnotherUser)], "gadgets")));

    [Fact]
    public void The_lease_needs_no_more_than_three_verbs() => RbacGenerator.LeaseRoleYaml("x").ShouldContain("- get\n  - create\n  - patch\n");

    [Fact]
    public void Docstrings_come_from_the_compilers_file()
    {
        XmlDocs.Of(typeof(OperatorSettings).GetProperty(nameof(OperatorSettings.RetryPeriod))!)
            .ShouldBe("Time between renewals, and between tries to become the holder. Default 2 s.");
        XmlDocs.Of(typeof(OperatorSettings).GetProperty(nameof(OperatorSettings.Name))!)!.ShouldContain("(<name>-leader)");
        XmlDocs.Of(typeof(OperatorSettings).GetProperty(nameof(OperatorSettings.LeaseDuration))!)!.ShouldContain("more than RenewDeadline");
    }

    [Fact]
    public void A_type_that_contains_itself_has_no_schema() => Should.Throw<NotSupportedException>(() => CrdGenerator.Yaml(typeof(Endless)));

    [Fact]
    public void Several_versions_have_one_storage_version()
    {
        V1CustomResourceDefinition crd = CrdGenerator.Crd([typeof(Old), typeof(New)]);
        crd.Spec.Versions.Select(v => (v.Name, v.Storage)).ShouldBe([("v1", false), ("v2", true)]);
        Should.Throw<ArgumentException>(() => CrdGenerator.Crd([typeof(Old), typeof(Old)]));
        Should.Throw<ArgumentException>(() => CrdGenerator.Crd([typeof(Old), typeof(Gadget)]));
    }

    private static void Golden(string name, string text, [CallerFilePath] string here = "")
    {
        string file = Path.Combine(Path.GetDirectoryName(here)!, "Golden", name);
        if (Environment.GetEnvironmentVariable("UPDATE_GOLDEN") == "1")
        {
            File.WriteAllText(file, text);
        }

        text.ShouldBe(File.ReadAllText(file));
    }

    [KubernetesEntity(Group = "test.io", ApiVersion = "v1beta1", Kind = "Gadget", PluralName = "gadgets")]
    [KubernetesEntityShortNames("gd", "gg")]
    [KubernetesEntityCategories("tools")]
    [EntityScope(EntityScope.Cluster)]
    [GenericAdditionalPrinterColumn(".status.phase", "Phase", "string")]
    [GenericAdditionalPrinterColumn(".metadata.creationTimestamp", "Age", "date", Priority = 1, Description = "Since when.")]
    [ValidationRule("self.spec.size > 0", "size must be positive")]
    [Description("A thing with a handle.")]
    private sealed class Gadget : CustomKubernetesEntity<GadgetSpec, GadgetStatus>;

    private sealed class GadgetSpec
    {
        [Required]
        [Description("The colour | of it.")]
        [AllowedValues("Red", "Blue")]
        [AdditionalPrinterColumn]
        public string Color { get; set; } = "";

        [Default(3)]
        [RangeMinimum(1)]
        [RangeMaximum(64)]
        public int Size { get; set; }

        [Default(true)]
        public bool? On { get; set; }

        [Pattern("^[a-z]+$")]
        [Length(1, 63)]
        public string? Name { get; set; }

        public long Bytes { get; set; }

        public double Ratio { get; set; }

        public ResourceQuantity? Memory { get; set; }

        public IntOrString? Port { get; set; }

        public Mood Mood { get; set; }

        [Items(0, 5)]
        public IList<GadgetPart>? Parts { get; set; }

        [AllowedValues("Yes", "No")]
        public string[]? Words { get; set; }

        public Dictionary<string, string>? Labels { get; set; }

        public IDictionary<string, GadgetPart>? ByName { get; set; }

        public V1Affinity? Affinity { get; set; }

        public IList<V1Toleration>? Tolerations { get; set; }

        [ValidationRule("self == oldSelf", "fixed")]
        public GadgetInner Inner { get; set; } = new();

        [PreserveUnknownFields]
        public GadgetPart? Open { get; set; }

        [Ignore]
        public string? Secret { get; set; }

        public System.Text.Json.Nodes.JsonObject? Raw { get; set; }
    }

    private sealed class GadgetInner
    {
        [Default("Slow")]
        public string Speed { get; set; } = "Slow";

        [AdditionalPrinterColumn("Since", PrinterColumnPriority.WideView)]
        public DateTimeOffset? Since { get; set; }
    }

    private sealed class GadgetPart
    {
        [Required]
        public string Name { get; set; } = "";

        [Default(1)]
        public int Count { get; set; }

        [JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)]
        public string? Hint { get; set; }

        [JsonIgnore]
        public string Shown => $"{Count} × {Name}";
    }

    private sealed class GadgetStatus
    {
        public string? Phase { get; set; }

        [Default("never applied")]
        public string? Note { get; set; }

        public long? ObservedGeneration { get; set; }

        public IList<V1Condition>? Conditions { get; set; }
    }

    [KubernetesEntity(Group = "test.io", ApiVersion = "v1", Kind = "Endless", PluralName = "endless")]
    private sealed class Endless : CustomKubernetesEntity<EndlessSpec>;

    private sealed class EndlessSpec
    {
        public IList<EndlessSpec>? More { get; set; }
    }

    [KubernetesEntity(Group = "test.io", ApiVersion = "v1", Kind = "Versioned", PluralName = "versioneds")]
    private sealed class Old : CustomKubernetesEntity<GadgetInner>;

    [KubernetesEntity(Group = "test.io", ApiVersion = "v2", Kind = "Versioned", PluralName = "versioneds")]
    [StorageVersion]
    private sealed class New : CustomKubernetesEntity<GadgetInner>;

    [EntityRbac(typeof(Gadget), typeof(V1Pod), Verbs = RbacVerb.Get | RbacVerb.List | RbacVerb.Watch)]
    [GenericRbac(Groups = [""], Resources = ["secrets", "configmaps"], Verbs = RbacVerb.Get)]
    private sealed class OneUser;

    [EntityRbac(typeof(V1Pod), Verbs = RbacVerb.Delete | RbacVerb.Create)]
    [GenericRbac(Groups = ["test.io"], Resources = ["gadgets/status"], Verbs = RbacVerb.Patch)]
    [GenericRbac(Urls = ["/metrics"], Verbs = RbacVerb.Get)]
    [GenericRbac(Groups = ["apps"], Resources = ["deployments"], Verbs = RbacVerb.All)]
    private sealed class AnotherUser;
}
