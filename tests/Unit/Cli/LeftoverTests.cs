using k8s.Models;
using SandLabX.Cli.Prune;
using SandLabX.Entities;

namespace SandLabX.Unit.Cli;

public class LeftoverTests
{
    private static readonly V1PersistentVolumeClaim s_disk = Claim("labnode-web", Labels.Node, "web", ("sandlabx.io/backing-claim", "labimage-debian-aaaaaaaaaaaa"));
    private static readonly V1PersistentVolumeClaim s_base = Claim("labimage-debian-aaaaaaaaaaaa", Labels.Image, "debian");

    [Fact]
    public void A_disk_whose_LabNode_is_gone_is_left_over_with_its_size()
    {
        Leftover found = LeftoverFinder.Find([s_disk], [], [], []).ShouldHaveSingleItem();
        (found.Kind, found.Claim, found.Bytes).ShouldBe((LeftoverKind.DiskClaim, "labnode-web", 2L << 30));
    }

    [Fact]
    public void A_disk_whose_LabNode_is_there_is_not() => WhyNot(s_disk, nodes: [NodeGiven.Running()]).ShouldContain("LabNode web");

    [Fact]
    public void A_LabNode_of_another_namespace_holds_nothing() =>
        LeftoverFinder.Find([s_disk], [NodeGiven.Running(n => n.Metadata.NamespaceProperty = "other")], [], []).ShouldHaveSingleItem();

    [Fact]
    public void A_base_is_not_left_over_while_a_disk_stands_on_it_even_one_that_is_left_over() =>
        LeftoverFinder.Find([s_disk, s_base], [], [], []).ShouldHaveSingleItem().Claim.ShouldBe("labnode-web");

    [Fact]
    public void A_base_that_nothing_stands_on_is() =>
        LeftoverFinder.Find([s_base], [], [], []).ShouldHaveSingleItem().Kind.ShouldBe(LeftoverKind.ImageClaim);

    [Fact]
    public void The_claim_of_a_LabImage_stays_and_that_of_an_older_revision_does_not()
    {
        WhyNot(s_base, images: [Image("labimage-debian-aaaaaaaaaaaa")]).ShouldContain("LabImage debian");
        WhyNot(s_base, images: [Image(null)]).ShouldContain("LabImage debian");
        LeftoverFinder.WhyNot(s_base, [s_base], [], [Image("labimage-debian-bbbbbbbbbbbb")], []).ShouldBeNull();
    }

    [Fact]
    public void A_claim_in_a_pod_stays_until_that_has_ended()
    {
        var pod = new V1Pod
        {
            Metadata = new V1ObjectMeta { Name = "disk-web", NamespaceProperty = "lab" },
            Spec = new V1PodSpec { Volumes = [new V1Volume { PersistentVolumeClaim = new V1PersistentVolumeClaimVolumeSource { ClaimName = "labnode-web" } }] },
            Status = new V1PodStatus { Phase = "Running" },
        };
        WhyNot(s_disk, pods: [pod]).ShouldContain("pod disk-web");
        pod.Status.Phase = "Succeeded";
        LeftoverFinder.WhyNot(s_disk, [s_disk], [], [], [pod]).ShouldBeNull();
    }

    [Fact]
    public void A_claim_that_is_not_ours_stays()
    {
        V1PersistentVolumeClaim other = Claim("data", "app", "db");
        WhyNot(other).ShouldContain("not SandLabX's");
        LeftoverFinder.Find([other], [], [], []).ShouldBeEmpty();
    }

    [Fact]
    public void Kept_disks_are_told_with_what_they_take()
    {
        V1Alpha1LabNode node = NodeGiven.Running(n => n.Status!.Disk!.Kept = [new LabNodeKeptDisk { Revision = "old", ActualSizeBytes = 5 }]);
        Leftover found = LeftoverFinder.Find([s_disk], [node], [], []).ShouldHaveSingleItem();
        (found.Kind, found.Bytes).ShouldBe((LeftoverKind.KeptDisk, 5));
    }

    private static string WhyNot(V1PersistentVolumeClaim claim, V1Alpha1LabNode[]? nodes = null, V1Alpha1LabImage[]? images = null, V1Pod[]? pods = null) =>
        LeftoverFinder.WhyNot(claim, [claim], nodes ?? [], images ?? [], pods ?? []).ShouldNotBeNull();

    private static V1Alpha1LabImage Image(string? claim) => new()
    {
        Metadata = new V1ObjectMeta { Name = "debian", NamespaceProperty = "lab" },
        Status = claim is null ? null : new LabImageStatus { Claim = claim },
    };

    private static V1PersistentVolumeClaim Claim(string name, string label, string of, params (string Name, string Value)[] notes) => new()
    {
        Metadata = new V1ObjectMeta
        {
            Name = name,
            NamespaceProperty = "lab",
            Uid = name + "-uid",
            Labels = new Dictionary<string, string> { [Labels.ManagedBy] = Labels.ManagedByValue, [label] = of },
            Annotations = notes.ToDictionary(n => n.Name, n => n.Value),
        },
        Spec = new V1PersistentVolumeClaimSpec { Resources = new V1VolumeResourceRequirements { Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new("1Gi") } } },
        Status = new V1PersistentVolumeClaimStatus { Capacity = new Dictionary<string, ResourceQuantity> { ["storage"] = new("2Gi") } },
    };
}
