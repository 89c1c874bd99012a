using k8s.Models;
using SandLabX.Cli.Doctor;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Unit.Cli;

public class DoctorTests
{
    [Fact]
    public void A_sound_cluster_has_no_failure_and_nothing_to_cure_but_what_is_slow()
    {
        IReadOnlyList<Finding> findings = Checkup.Of(Sound());
        findings.ShouldNotContain(f => f.Verdict == Verdict.Fail);
        findings.Where(f => f.Verdict == Verdict.Warn).Select(f => f.Check).ShouldBe(["KVM"]);
    }

    [Fact]
    public void Without_an_API_server_nothing_else_is_said() =>
        Checkup.Of(Sound() with { Server = new Fetched<VersionInfo>(null, "refused") }).ShouldHaveSingleItem().Verdict.ShouldBe(Verdict.Fail);

    [Fact]
    public void Missing_and_older_definitions_are_told_apart()
    {
        Facts facts = Sound();
        V1CustomResourceDefinition older = Definition(typeof(V1Alpha1LabNode));
        older.Spec.Versions[0].Schema.OpenAPIV3Schema.Properties["spec"].Properties.Remove("resetRevision");
        facts = facts with { Definitions = new Fetched<IReadOnlyList<V1CustomResourceDefinition>>([older]) };
        Finding[] found = [.. ClusterChecks.Definitions(facts)];
        (found[0].Verdict, found[1].Verdict).ShouldBe((Verdict.Warn, Verdict.Fail));
        found[0].Message.ShouldContain("spec.resetRevision");
        found[0].Cure!.ShouldContain("charts/sandlabx/crds");
    }

    [Theory]
    [InlineData(1, 1, Verdict.Ok)]
    [InlineData(2, 1, Verdict.Warn)]
    [InlineData(1, 0, Verdict.Fail)]
    [InlineData(0, 0, Verdict.Fail)]
    public void The_operators_replicas_are_counted(int wanted, int ready, object verdict) =>
        ClusterChecks.Operators(Sound() with { Operators = Listed(Operator(wanted, ready)) }).Single().Verdict.ShouldBe(verdict);

    [Fact]
    public void An_operator_that_watches_another_namespace_does_nothing_here() =>
        ClusterChecks.Operators(Sound() with { Operators = Listed(Operator(1, 1, ("SANDLABX__WATCHNAMESPACE", "other"))) })
            .ShouldContain(f => f.Check == "Operator's scope" && f.Verdict == Verdict.Fail);

    [Theory]
    [InlineData(3, Verdict.Ok)]
    [InlineData(40, Verdict.Fail)]
    public void A_lease_that_nobody_renews_means_that_nobody_is_at_work(int secondsAgo, object verdict) =>
        ClusterChecks.Leaders(Sound() with { Leases = Listed(Lease(secondsAgo)) }).Single().Verdict.ShouldBe(verdict);

    [Fact]
    public void A_lease_of_another_namespace_does_not_count() =>
        ClusterChecks.Leaders(Sound() with { Leases = Listed<V1Lease>() }).Single().Verdict.ShouldBe(Verdict.Fail);

    [Fact]
    public void Storage_without_a_default_class_fails_and_one_that_can_not_grow_is_told()
    {
        ClusterChecks.Storage(Sound() with { Classes = Listed(Class("slow", isDefault: false)) }).Single().Message.ShouldBe("none of slow is the default");
        Finding[] two = [.. ClusterChecks.Storage(Sound() with { Classes = Listed(Class("standard", isDefault: true, grows: false)) })];
        (two[0].Verdict, two[1].Verdict).ShouldBe((Verdict.Ok, Verdict.Warn));
    }

    [Theory]
    [InlineData("", null, Verdict.Warn, "no device plugin")]
    [InlineData("", "devices.kubevirt.io/kvm", Verdict.Warn, "not used")]
    [InlineData("devices.kubevirt.io/kvm", null, Verdict.Fail, "no node offers")]
    [InlineData("devices.kubevirt.io/kvm", "devices.kubevirt.io/kvm", Verdict.Ok, "on 1 of 1 nodes")]
    public void KVM_that_is_asked_for_must_be_offered(string asked, string? offered, object verdict, string words)
    {
        V1Node node = Node("8Gi");
        if (offered is not null)
        {
            node.Status.Allocatable[offered] = new ResourceQuantity("1k");
        }

        Finding finding = ClusterChecks.Kvm(Sound() with { Operators = Listed(Operator(1, 1, ("SANDLABX__KVMRESOURCE", asked))), Nodes = Listed(node) });
        (finding.Verdict, finding.Message.Contains(words)).ShouldBe(((Verdict)verdict, true), finding.Message);
    }

    [Theory]
    [InlineData("8Gi", Verdict.Ok)]
    [InlineData("1600Mi", Verdict.Warn)]
    [InlineData("1100Mi", Verdict.Fail)]
    public void Room_is_what_a_node_can_give_less_what_its_pods_ask_for(string memory, object verdict)
    {
        V1Pod other = Pod("other", "1Gi", "Running");
        V1Pod ended = Pod("ended", "4Gi", "Succeeded");
        SpaceChecks.Room(Sound() with { Nodes = Listed(Node(memory)), AllPods = Listed(other, ended) }).Verdict.ShouldBe(verdict);
    }

    [Fact]
    public void A_node_that_takes_no_pods_gives_no_room()
    {
        V1Node node = Node("8Gi");
        node.Spec.Unschedulable = true;
        SpaceChecks.Room(Sound() with { Nodes = Listed(node) }).Verdict.ShouldBe(Verdict.Fail);
    }

    [Fact]
    public void An_image_that_can_not_be_pulled_names_the_image_and_the_chart_value()
    {
        V1Pod pod = Pod("labnode-web", "1Gi", "Pending");
        pod.Status.ContainerStatuses = [new V1ContainerStatus { State = new V1ContainerState { Waiting = new V1ContainerStateWaiting { Reason = "ImagePullBackOff", Message = "no such host" } } }];
        Finding finding = SpaceChecks.Containers(Sound() with { Pods = Listed(pod) }).Single();
        (finding.Verdict, finding.Message).ShouldBe((Verdict.Fail, "pod labnode-web: ImagePullBackOff: no such host"));
        finding.Cure!.ShouldContain("runner.image");

        // Of an image volume it is another one that can't be pulled.
        pod.Spec.Volumes = [new V1Volume { Name = "image", Image = new V1ImageVolumeSource { Reference = "registry.example.org/lab/debian@sha256:cc" } }];
        SpaceChecks.Containers(Sound() with { Pods = Listed(pod) }).Single().Cure!.ShouldContain("runner.image");
        pod.Status.ContainerStatuses[0].State.Waiting.Message = "failed to pull registry.example.org/lab/debian@sha256:cc: not found";
        SpaceChecks.Containers(Sound() with { Pods = Listed(pod) }).Single().Cure!.ShouldContain("Make registry.example.org/lab/debian@sha256:cc reachable from the nodes");
    }

    [Fact]
    public void Rights_that_are_missing_are_named_with_the_verbs_that_need_them()
    {
        Facts facts = Sound();
        facts = facts with { Rights = [.. facts.Rights.Select(r => (r.Right, (bool?)(r.Right is not { Verb: "get", Resource: "pods/exec" })))] };
        Finding finding = SpaceChecks.Rights(facts).Single();
        (finding.Verdict, finding.Message).ShouldBe((Verdict.Warn, "you may not get pods/exec in namespace lab: console, vnc"));
        SpaceChecks.Rights(facts with { Rights = [.. facts.Rights.Select(r => (r.Right, (bool?)false))] }).ShouldAllBe(f => f.Verdict == Verdict.Fail);
    }

    [Fact]
    public void What_may_not_be_listed_is_said_to_be_not_looked_at()
    {
        Facts facts = Sound() with { Nodes = new Fetched<IReadOnlyList<V1Node>>(null, "403", Forbidden: true) };
        SpaceChecks.Room(facts).ShouldBe(new Finding("Room for guests", Verdict.Warn, "not looked at: you may not list it", "Have somebody look who may."));
    }

    [Fact]
    public void Troubled_nodes_are_told_with_their_own_words_and_those_on_the_way_are_not()
    {
        V1Alpha1LabNode troubled = NodeGiven.Running(n => n.Is(NodePhases.WaitingForImage, "False", "ImageNotFound", "There is no LabImage x."));
        V1Alpha1LabNode starting = NodeGiven.Running(n => n.Is(NodePhases.Starting, "False", "Starting"));
        Finding[] findings = [.. SpaceChecks.Nodes(Sound() with { LabNodes = Listed(troubled, starting) })];
        findings[0].ShouldBe(new Finding("LabNode web", Verdict.Warn, "WaitingForImage, ImageNotFound", "There is no LabImage x."));
        findings[1].Message.ShouldBe("1 of 2 in lab in trouble");
    }

    [Fact]
    public void A_namespace_that_is_not_there_is_a_failure() =>
        SpaceChecks.PodSecurity(Sound() with { Namespace = new Fetched<V1Namespace>(null, FactFinder.MissingNamespace) }).Verdict.ShouldBe(Verdict.Fail);

    private static Facts Sound() => new()
    {
        Now = NodeGiven.Now,
        Space = "lab",
        Server = new Fetched<VersionInfo>(new VersionInfo { GitVersion = "v1.36.0" }),
        Definitions = Listed(Definition(typeof(V1Alpha1LabNode)), Definition(typeof(V1Alpha1LabImage))),
        Expected = [CrdGenerator.Crd(typeof(V1Alpha1LabNode)), CrdGenerator.Crd(typeof(V1Alpha1LabImage))],
        Operators = Listed(Operator(1, 1)),
        Leases = Listed(Lease(2)),
        Classes = Listed(Class("standard", isDefault: true)),
        Namespace = new Fetched<V1Namespace>(new V1Namespace { Metadata = new V1ObjectMeta { Name = "lab" } }),
        Nodes = Listed(Node("8Gi")),
        AllPods = Listed<V1Pod>(),
        Pods = Listed<V1Pod>(),
        LabNodes = Listed(NodeGiven.Running()),
        LabImages = Listed<V1Alpha1LabImage>(),
        Claims = Listed<V1PersistentVolumeClaim>(),
        Rights = [.. Right.All.Select(r => (r, (bool?)true))],
    };

    private static Fetched<IReadOnlyList<T>> Listed<T>(params T[] items) => new(items);

    private static V1CustomResourceDefinition Definition(Type kind)
    {
        V1CustomResourceDefinition crd = CrdGenerator.Crd(kind);
        crd.Spec.Versions[0].Served = true;
        crd.Status = new V1CustomResourceDefinitionStatus { Conditions = [new V1CustomResourceDefinitionCondition { Type = "Established", Status = "True" }] };
        return crd;
    }

    private static V1Deployment Operator(int wanted, int ready, params (string Name, string Value)[] environment) => new()
    {
        Metadata = new V1ObjectMeta { Name = "sandlabx-operator", NamespaceProperty = "sandlabx-system" },
        Spec = new V1DeploymentSpec
        {
            Replicas = wanted,
            Template = new V1PodTemplateSpec { Spec = new V1PodSpec { Containers = [new V1Container { Name = "operator", Env = [.. environment.Select(e => new V1EnvVar { Name = e.Name, Value = e.Value })] }] } },
        },
        Status = new V1DeploymentStatus { ReadyReplicas = ready },
    };

    private static V1Lease Lease(int secondsAgo) => new()
    {
        Metadata = new V1ObjectMeta { Name = "sandlabx-operator-leader", NamespaceProperty = "sandlabx-system" },
        Spec = new V1LeaseSpec { HolderIdentity = "operator-0_x", LeaseDurationSeconds = 15, RenewTime = NodeGiven.Now.UtcDateTime.AddSeconds(-secondsAgo) },
    };

    private static V1StorageClass Class(string name, bool isDefault, bool grows = true) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = name,
            Annotations = new Dictionary<string, string> { ["storageclass.kubernetes.io/is-default-class"] = isDefault ? "true" : "false" },
        },
        Provisioner = "example",
        AllowVolumeExpansion = grows,
    };

    private static V1Node Node(string memory) => new()
    {
        Metadata = new V1ObjectMeta { Name = "n1" },
        Spec = new V1NodeSpec(),
        Status = new V1NodeStatus
        {
            Allocatable = new Dictionary<string, ResourceQuantity> { ["memory"] = new(memory) },
            Conditions = [new V1NodeCondition { Type = "Ready", Status = "True" }],
        },
    };

    private static V1Pod Pod(string name, string memory, string phase) => new()
    {
        Metadata = new V1ObjectMeta { Name = name, NamespaceProperty = "lab" },
        Spec = new V1PodSpec
        {
            NodeName = "n1",
            Containers = [new V1Container { Image = "runner:1", Resources = new V1ResourceRequirements { Requests = new Dictionary<string, ResourceQuantity> { ["memory"] = new(memory) } } }],
        },
        Status = new V1PodStatus { Phase = phase },
    };
}
