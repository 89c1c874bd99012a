using System.Globalization;
using k8s.Models;
using SandLabX.Entities;

namespace SandLabX.Cli.Doctor;

/// <summary>Checks of the installation. Each is a pure function of the facts.</summary>
internal static class ClusterChecks
{
    private const string WatchNamespace = "SANDLABX__WATCHNAMESPACE";
    private const string KvmResource = "SANDLABX__KVMRESOURCE";

    internal static Finding Server(Facts facts) => facts.Server.Value is { } version
        ? new Finding("API server", Verdict.Ok, $"Kubernetes {version.GitVersion}")
        : new Finding("API server", Verdict.Fail, facts.Server.Error!, "Is it the right cluster (--kubeconfig, --context), is it up, and do your credentials still hold?");

    /// <summary>Whether our kinds are there, served, and know every field that this version knows.</summary>
    internal static IEnumerable<Finding> Definitions(Facts facts)
    {
        if (Unknown("Definitions", facts.Definitions) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        foreach (V1CustomResourceDefinition expected in facts.Expected)
        {
            string check = $"Definition {expected.Spec.Names.Kind}";
            V1CustomResourceDefinition? found = facts.Definitions.Value!.FirstOrDefault(d => d.Metadata.Name == expected.Metadata.Name);
            V1CustomResourceDefinitionVersion? version = found?.Spec.Versions.FirstOrDefault(v => v.Name == Api.Version && v.Served);
            string[] missing = version is null ? [] : [.. Missing("", expected.Spec.Versions[0].Schema.OpenAPIV3Schema, version.Schema?.OpenAPIV3Schema)];
            yield return found is null
                ? new Finding(check, Verdict.Fail, $"{expected.Metadata.Name} is not installed", "Install the chart charts/sandlabx.")
                : version is null
                ? new Finding(check, Verdict.Fail, $"{expected.Metadata.Name} does not serve {Api.Version}", "kubectl apply -f charts/sandlabx/crds, of this program's version")
                : found.Status?.Conditions?.Any(c => c is { Type: "Established", Status: "True" }) != true
                ? new Finding(check, Verdict.Fail, $"{expected.Metadata.Name} is not established", $"kubectl describe crd {expected.Metadata.Name}")
                : missing.Length > 0
                ? new Finding(check, Verdict.Warn, $"it is of another version: it lacks {string.Join(", ", missing.Take(5))}{(missing.Length > 5 ? $" and {missing.Length - 5} more" : "")}", "Helm installs definitions once and never changes them: kubectl apply -f charts/sandlabx/crds")
                : new Finding(check, Verdict.Ok, $"{expected.Metadata.Name}, {Api.Version}");
        }
    }

    internal static IEnumerable<Finding> Operators(Facts facts)
    {
        if (Unknown("Operator", facts.Operators) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        if (facts.Operators.Value!.Count == 0)
        {
            yield return new Finding("Operator", Verdict.Fail, "there is no deployment of it", "Install the chart charts/sandlabx.");
            yield break;
        }

        foreach (V1Deployment deployment in facts.Operators.Value)
        {
            string name = $"{deployment.Metadata.NamespaceProperty}/{deployment.Metadata.Name}";
            int wanted = deployment.Spec.Replicas ?? 1;
            int ready = deployment.Status?.ReadyReplicas ?? 0;
            yield return wanted == 0
                ? new Finding("Operator", Verdict.Fail, $"{name} is scaled to 0", $"kubectl -n {deployment.Metadata.NamespaceProperty} scale deployment {deployment.Metadata.Name} --replicas=1")
                : ready == 0
                ? new Finding("Operator", Verdict.Fail, $"{name}: none of {wanted} replicas is ready", $"kubectl -n {deployment.Metadata.NamespaceProperty} describe pods, and logs deployment/{deployment.Metadata.Name}")
                : ready < wanted
                ? new Finding("Operator", Verdict.Warn, $"{name}: {ready} of {wanted} replicas are ready", $"kubectl -n {deployment.Metadata.NamespaceProperty} describe pods")
                : new Finding("Operator", Verdict.Ok, $"{name}: {ready} of {wanted} ready");
            if (Variable(deployment, WatchNamespace) is { } only && only != facts.Space)
            {
                yield return new Finding("Operator's scope", Verdict.Fail, $"{name} watches namespace {only} alone; you chose {facts.Space}", $"-n {only}, or chart value watchNamespace");
            }
        }
    }

    /// <summary>Whether some replica leads: a deployment can be ready and nobody at work.</summary>
    internal static IEnumerable<Finding> Leaders(Facts facts)
    {
        foreach (V1Deployment deployment in facts.Operators.Value?.Where(d => d.Status?.ReadyReplicas > 0) ?? [])
        {
            string space = deployment.Metadata.NamespaceProperty;
            if (Unknown("Leader", facts.Leases) is { } unknown)
            {
                yield return unknown;
                yield break;
            }

            V1Lease? lease = facts.Leases.Value!.FirstOrDefault(l => l.Metadata.NamespaceProperty == space && l.Metadata.Name.StartsWith("sandlabx", StringComparison.Ordinal));
            TimeSpan? age = lease?.Spec?.RenewTime is { } renewed ? facts.Now - renewed : null;
            int lasts = lease?.Spec?.LeaseDurationSeconds ?? 15;
            yield return age is null
                ? new Finding("Leader", Verdict.Fail, $"nobody holds the lease in {space}", $"kubectl -n {space} logs deployment/{deployment.Metadata.Name}")
                : age > TimeSpan.FromSeconds(2 * lasts)
                ? new Finding("Leader", Verdict.Fail, $"lease {space}/{lease!.Metadata.Name} was renewed {age.Value.TotalSeconds:0} s ago, and lasts {lasts} s: nobody is at work", $"kubectl -n {space} logs deployment/{deployment.Metadata.Name}")
                : new Finding("Leader", Verdict.Ok, $"{lease!.Spec!.HolderIdentity?.Split('_')[0]}");
        }
    }

    internal static IEnumerable<Finding> Storage(Facts facts)
    {
        if (Unknown("Storage", facts.Classes) is { } unknown)
        {
            yield return unknown;
            yield break;
        }

        V1StorageClass[] defaults = [.. facts.Classes.Value!.Where(c => c.Metadata.Annotations is { } a && a.TryGetValue("storageclass.kubernetes.io/is-default-class", out string? value) && value == "true")];
        string names = string.Join(", ", facts.Classes.Value!.Select(c => c.Metadata.Name));
        yield return defaults.Length switch
        {
            0 => new Finding(
                "Default storage class", Verdict.Fail, names.Length == 0 ? "there is no storage class at all" : $"none of {names} is the default",
                names.Length == 0 ? "Install a storage driver." : $"kubectl annotate storageclass <name> storageclass.kubernetes.io/is-default-class=true, or name one in spec.disk.storageClassName and spec.storage.storageClassName"),
            1 => new Finding("Default storage class", Verdict.Ok, $"{defaults[0].Metadata.Name} ({defaults[0].Provisioner})"),
            _ => new Finding("Default storage class", Verdict.Warn, $"{string.Join(", ", defaults.Select(c => c.Metadata.Name))} all are the default", "Leave one: which of them a claim gets depends on the server's version."),
        };
        foreach (V1StorageClass one in defaults)
        {
            yield return one.AllowVolumeExpansion == true
                ? new Finding("Disks can grow", Verdict.Ok, $"{one.Metadata.Name} allows expansion")
                : new Finding("Disks can grow", Verdict.Warn, $"{one.Metadata.Name} does not allow expansion: spec.disk.size can't be raised", $"kubectl patch storageclass {one.Metadata.Name} -p '{{\"allowVolumeExpansion\": true}}', if its driver can");
        }
    }

    /// <summary>Where /dev/kvm comes from.</summary>
    internal static Finding Kvm(Facts facts)
    {
        const string check = "KVM";
        if (Unknown(check, facts.Nodes) is { } unknown)
        {
            return unknown;
        }

        string? asked = facts.Operators.Value?.Select(d => Variable(d, KvmResource)).FirstOrDefault(v => v is not null);
        (string Node, string Resource)[] offers =
        [
            .. facts.Nodes.Value!.SelectMany(n => (n.Status?.Allocatable ?? new Dictionary<string, ResourceQuantity>())
                .Where(a => a.Key == asked || (asked is null && a.Key.EndsWith("/kvm", StringComparison.Ordinal)))
                .Where(a => a.Value.ToDecimal() > 0).Select(a => (n.Metadata.Name, a.Key))),
        ];
        return (asked, offers.Length) switch
        {
            (not null, 0) => new Finding(check, Verdict.Fail, $"no node offers {asked}, which every guest's pod asks for", "Install its device plugin, or empty the chart value kvmResource: guests then run under TCG."),
            (not null, _) => new Finding(check, Verdict.Ok, $"{asked} on {offers.Length} of {facts.Nodes.Value!.Count} nodes"),
            (null, 0) => new Finding(check, Verdict.Warn, "no device plugin offers /dev/kvm: guests run under TCG, many times slower", "A device plugin, such as KubeVirt's, and the chart value kvmResource."),
            (null, _) => new Finding(check, Verdict.Warn, $"{offers[0].Resource} is offered by {offers.Length} nodes, and not used", $"Set the chart value kvmResource to {offers[0].Resource}."),
        };
    }

    /// <summary>The finding about something that could not be asked for; null when it could.</summary>
    internal static Finding? Unknown<T>(string check, Fetched<T> fetched)
        where T : class => fetched.Value is not null ? null
        : fetched.Forbidden ? new Finding(check, Verdict.Warn, "not looked at: you may not list it", "Have somebody look who may.")
        : new Finding(check, Verdict.Warn, $"not looked at: {fetched.Error}");

    private static string? Variable(V1Deployment deployment, string name) =>
        deployment.Spec.Template.Spec.Containers.SelectMany(c => c.Env ?? []).FirstOrDefault(e => e.Name == name)?.Value is { Length: > 0 } value ? value : null;

    /// <summary>Paths of properties that one schema has and the other lacks.</summary>
    private static IEnumerable<string> Missing(string path, V1JSONSchemaProps expected, V1JSONSchemaProps? found)
    {
        foreach ((string name, V1JSONSchemaProps property) in expected.Properties ?? new Dictionary<string, V1JSONSchemaProps>())
        {
            V1JSONSchemaProps? there = null;
            string here = string.Create(CultureInfo.InvariantCulture, $"{path}{name}");
            if (found?.Properties?.TryGetValue(name, out there) != true)
            {
                yield return here;
                continue;
            }

            foreach (string inner in Missing(here + ".", property, there))
            {
                yield return inner;
            }
        }
    }
}
