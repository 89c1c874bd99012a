using System.Reflection;
using k8s;
using k8s.Models;

namespace SandLabX.Runtime;

/// <summary>Makes roles from <see cref="EntityRbacAttribute"/> and <see cref="GenericRbacAttribute"/>.</summary>
public static class RbacGenerator
{
    private static readonly (RbacVerb Verb, string Name)[] s_verbs =
    [
        (RbacVerb.Get, "get"), (RbacVerb.List, "list"), (RbacVerb.Watch, "watch"), (RbacVerb.Create, "create"), (RbacVerb.Update, "update"),
        (RbacVerb.Patch, "patch"), (RbacVerb.Delete, "delete"), (RbacVerb.DeleteCollection, "deletecollection"),
    ];

    /// <summary>One ClusterRole with all that the classes of an assembly ask for, sorted and merged.</summary>
    public static string Yaml(Assembly assembly, string roleName)
    {
        ArgumentNullException.ThrowIfNull(assembly);
        return KubernetesYaml.Serialize(ClusterRole(assembly.GetTypes(), roleName)).TrimEnd() + "\n";
    }

    /// <summary>One ClusterRole with all that these classes ask for, sorted and merged.</summary>
    public static V1ClusterRole ClusterRole(IEnumerable<Type> types, string roleName)
    {
        ArgumentNullException.ThrowIfNull(types);
        var resources = new SortedDictionary<(string Group, string Resource), RbacVerb>();
        var urls = new SortedDictionary<string, RbacVerb>(StringComparer.Ordinal);
        foreach (Type type in types)
        {
            foreach (EntityRbacAttribute rbac in type.GetCustomAttributes<EntityRbacAttribute>())
            {
                foreach (ResourceType entity in rbac.Entities.Select(ResourceType.Of))
                {
                    Grant(resources, (entity.Group, entity.Plural), rbac.Verbs);
                }
            }

            foreach (GenericRbacAttribute rbac in type.GetCustomAttributes<GenericRbacAttribute>())
            {
                foreach ((string group, string resource) in rbac.Groups.SelectMany(g => rbac.Resources.Select(r => (g, r))))
                {
                    Grant(resources, (group, resource), rbac.Verbs);
                }

                foreach (string url in rbac.Urls)
                {
                    Grant(urls, url, rbac.Verbs);
                }
            }
        }

        return new V1ClusterRole
        {
            ApiVersion = "rbac.authorization.k8s.io/v1",
            Kind = "ClusterRole",
            Metadata = new V1ObjectMeta { Name = roleName },
            Rules =
            [
                .. resources.GroupBy(r => (r.Key.Group, r.Value)).Select(g => new V1PolicyRule
                {
                    ApiGroups = [g.Key.Group],
                    Resources = [.. g.Select(r => r.Key.Resource)],
                    Verbs = Names(g.Key.Value),
                }),
                .. urls.GroupBy(u => u.Value).Select(g => new V1PolicyRule { NonResourceURLs = [.. g.Select(u => u.Key)], Verbs = Names(g.Key) }),
            ],
        };
    }

    /// <summary>The Role that the runtime itself needs in the operator's own namespace, for its lease.</summary>
    public static string LeaseRoleYaml(string roleName) => KubernetesYaml.Serialize(new V1Role
    {
        ApiVersion = "rbac.authorization.k8s.io/v1",
        Kind = "Role",
        Metadata = new V1ObjectMeta { Name = roleName },
        Rules = [new V1PolicyRule { ApiGroups = ["coordination.k8s.io"], Resources = ["leases"], Verbs = ["get", "create", "patch"] }],
    }).TrimEnd() + "\n";

    private static void Grant<TKey>(SortedDictionary<TKey, RbacVerb> granted, TKey what, RbacVerb verbs)
        where TKey : notnull
    {
        granted.TryGetValue(what, out RbacVerb before);
        granted[what] = before | verbs;
    }

    private static IList<string> Names(RbacVerb verbs) =>
        verbs.HasFlag(RbacVerb.All) ? ["*"] : [.. s_verbs.Where(v => verbs.HasFlag(v.Verb)).Select(v => v.Name)];
}
