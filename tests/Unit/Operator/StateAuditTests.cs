using System.Collections.Immutable;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Operator.Validation;

namespace SandLabX.Unit.Operator;

/// <summary>Records, claims, images and pods, held against each other.</summary>
public sealed class StateAuditTests
{
    [Fact]
    public void What_agrees_gives_no_finding()
    {
        V1Alpha1LabNode runs = Given.Running().Node;
        StateAudit.Look(Snapshot(runs)).ShouldBeEmpty();
        V1Alpha1LabNode fresh = Given.Fresh().Node;
        StateAudit.Look(new StateSnapshot([fresh], [], [], [])).ShouldBeEmpty();
    }

    [Fact]
    public void A_record_whose_claim_is_gone()
    {
        V1Alpha1LabNode runs = Given.Running().Node;
        Finding finding = Single(Snapshot(runs) with { Claims = [Given.ImageClaim()] });
        (finding.Kind, finding.Subject, finding.Key.Name).ShouldBe((Finding.ClaimLost, "LabNode", "a"));
        finding.Message.ShouldContain("labnode-a");
    }

    [Fact]
    public void A_disk_whose_base_is_gone() =>
        Single(Snapshot(Given.Running().Node) with { Claims = [Given.Claim(Given.Node())], Images = [] }).Kind.ShouldBe(Finding.BackingClaimMissing);

    [Fact]
    public void A_claim_of_another_disk()
    {
        V1PersistentVolumeClaim claim = Given.Claim(Given.Node());
        claim.Metadata.Annotations[Annotations.DiskId] = "another";
        Finding finding = Single(Snapshot(Given.Running().Node) with { Claims = [claim, Given.ImageClaim()] });
        finding.Kind.ShouldBe(Finding.DiskIdMismatch);
        finding.Message.ShouldContain("another");
    }

    [Fact]
    public void A_record_that_names_a_pod_that_is_gone_or_another_one()
    {
        Single(Snapshot(Given.Running().Node) with { Pods = [] }).Kind.ShouldBe(Finding.StatusNamesGonePod);
        Single(Snapshot(Given.Running().Node) with { Pods = [Given.Pod(Given.Node(), pod => pod.Metadata.Uid = "successor")] }).Kind.ShouldBe(Finding.StatusNamesGonePod);
    }

    [Fact]
    public void Two_pods_on_one_claim_unless_one_has_ended()
    {
        V1Pod copy = Given.Pod(Given.Node(), pod => pod.Metadata.Name = "copy");
        Finding finding = Single(Snapshot(Given.Running().Node) with { Pods = [Given.Pod(Given.Node()), copy] });
        finding.Kind.ShouldBe(Finding.TwoPodsOneClaim);
        finding.Message.ShouldContain("copy");
        copy.Status.Phase = "Succeeded";
        StateAudit.Look(Snapshot(Given.Running().Node) with { Pods = [Given.Pod(Given.Node()), copy] }).ShouldBeEmpty();
    }

    [Fact]
    public void Claims_and_pods_whose_owner_is_gone()
    {
        V1Alpha1LabNode gone = Given.Node(n => n.Metadata.Name = "gone");
        ImmutableArray<Finding> findings = StateAudit.Look(new StateSnapshot([], [], [Given.Claim(gone), Given.ImageClaim()], [Given.Pod(gone)]));
        findings.Select(f => (f.Kind, f.Key.Name)).ShouldBe([
            (Finding.ClaimWithoutNode, "labnode-gone"), (Finding.ClaimWithoutImage, "labimage-debian-12-aaaaaaaaaaaa"), (Finding.PodWithoutOwner, "labnode-gone"),
        ]);
        findings.Where(f => f.Expected).Select(f => f.Kind).ShouldBe([Finding.ClaimWithoutNode], "Retain does that on purpose");
    }

    [Fact]
    public void A_pod_of_a_former_LabNode_of_the_name_is_not_this_ones()
    {
        V1Alpha1LabNode anew = Given.Node(n => n.Metadata.Uid = "another-uid");
        StateAudit.Look(new StateSnapshot([anew], [Given.Image()], [], [Given.Pod(Given.Node())])).ShouldHaveSingleItem().Kind.ShouldBe(Finding.PodWithoutOwner);
    }

    [Fact]
    public void A_LabNode_that_is_being_deleted_is_left_out()
    {
        V1Alpha1LabNode going = Given.Running().Node;
        going.Metadata.DeletionTimestamp = Given.Now.UtcDateTime;
        StateAudit.Look(new StateSnapshot([going], [Given.Image()], [], [])).ShouldBeEmpty();
    }

    [Fact]
    public void Every_kind_is_of_the_closed_set_and_told_as_a_metric()
    {
        string[] constants = [.. typeof(Finding).GetFields().Where(f => f.IsLiteral).Select(f => (string)f.GetRawConstantValue()!)];
        Finding.Kinds.ShouldBe(constants, ignoreOrder: true);
    }

    private static StateSnapshot Snapshot(V1Alpha1LabNode node) => new([node], [Given.Image()], [Given.Claim(Given.Node()), Given.ImageClaim()], [Given.Pod(Given.Node())]);

    private static Finding Single(StateSnapshot snapshot) => StateAudit.Look(snapshot).ShouldHaveSingleItem();
}
