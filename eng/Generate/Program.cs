// Writes what follows from the attributed types: CRDs, RBAC rules, docs/API.md. `make generate` runs it; CI runs it and fails when something differs.
using SandLabX.Entities;
using SandLabX.Operator;
using SandLabX.Runtime;

string root = args.Length == 1 ? args[0] : throw new ArgumentException("Usage: Generate <root of the repository>");
Type[] kinds = [typeof(V1Alpha1LabNode), typeof(V1Alpha1LabImage)];
foreach (Type kind in kinds)
{
    string crd = CrdGenerator.Yaml(kind);
    string name = $"{Api.Group}_{ResourceTypeName(kind)}.yaml";
    Write($"config/crd/{name}", crd);
    Write($"charts/sandlabx/crds/{name}", crd);
}

string role = RbacGenerator.Yaml(typeof(Composition).Assembly, "sandlabx-operator");
Write("config/rbac/role.yaml", role);
Write("config/rbac/lease-role.yaml", RbacGenerator.LeaseRoleYaml("sandlabx-operator"));
// The chart names its own role and takes the rules alone.
Write("charts/sandlabx/files/rules.yaml", role[role.IndexOf("rules:", StringComparison.Ordinal)..]);
Write("docs/API.md", ApiDocsGenerator.Markdown(kinds));

void Write(string path, string text)
{
    string target = Path.Combine(root, path);
    Directory.CreateDirectory(Path.GetDirectoryName(target)!);
    File.WriteAllText(target, text.EndsWith('\n') ? text : text + "\n");
}

static string ResourceTypeName(Type kind) =>
    ((k8s.Models.KubernetesEntityAttribute)kind.GetCustomAttributes(typeof(k8s.Models.KubernetesEntityAttribute), false)[0]).PluralName;
