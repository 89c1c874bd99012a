using k8s.Models;
using SandLabX.Cli.Migration;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Runtime;
using static SandLabX.Unit.Cli.MigrationGiven;

namespace SandLabX.Unit.Cli;

/// <summary>A claim that holds the old installation's folder as well: which file is where, and how pods come by it.</summary>
public sealed class SourceClaimTests : IDisposable
{
    private readonly string _home = Directory.CreateTempSubdirectory("sandlabx-source-").FullName;

    public SourceClaimTests()
    {
        Make("old/overlays/node_" + Id + ".qcow2");
        Make("old/images/debian-13.qcow2");
        Make("else/debian-13.qcow2");
    }

    public void Dispose() => Directory.Delete(_home, recursive: true);

    [Theory]
    [InlineData("old", "old", "")]
    [InlineData("old/", "old", "")]
    [InlineData("old/srv/sandlabx", "old", "srv/sandlabx")]
    [InlineData("old-1.example/a b/ü/", "old-1.example", "a b/ü")]
    public void A_claim_and_a_folder_in_it_are_read(string text, string claim, string path) => SourceClaim.Parse(text).ShouldBe(new SourceClaim(claim, path));

    [Theory]
    [InlineData("")]
    [InlineData("/")]
    [InlineData("/srv/sandlabx")]
    [InlineData("..")]
    [InlineData("old/..")]
    [InlineData("old/../etc")]
    [InlineData("old/srv/./x")]
    [InlineData("old//srv")]
    [InlineData("old/a\nb")]
    [InlineData("Old")]
    [InlineData("old_1")]
    [InlineData("-old")]
    [InlineData("old..x")]
    public void What_can_not_be_meant_is_refused(string text)
    {
        SourceClaim.Parse(text).ShouldBeNull();
        Entry.Root().Parse(["migrate", "/old", "--source-claim", text]).Errors.ShouldContain(e => e.Message.StartsWith($"--source-claim is {text}: give the name of a claim"));
    }

    [Fact]
    public void It_is_for_an_installation_that_lies_in_a_folder()
    {
        Entry.Root().Parse("migrate --state s --overlays o --images i --source-claim old").Errors.ShouldContain(e => e.Message.Contains("needs FOLDER"));
        Entry.Root().Parse("migrate /old --source-claim old/srv").Errors.ShouldBeEmpty();
    }

    [Theory]
    [InlineData("", "")]
    [InlineData("srv/sandlabx", "srv/sandlabx/")]
    public void All_that_is_moved_has_its_place_on_the_claim(string path, string prefix)
    {
        MigrationPlan plan = new SourceClaim("old", path).Place(PlanHere(), At("old"));
        plan.Nodes[0].Source.ShouldBe(new FileOnClaim("old", $"{prefix}overlays/node_{Id}.qcow2"));
        plan.Images[0].Source.ShouldBe(new FileOnClaim("old", $"{prefix}images/debian-13.qcow2"));
        V1Alpha1LabImage image = Manifests.Image(plan.Images[0], "labs", null);
        (image.Spec.Source.Claim!.Name, image.Spec.Source.Claim.Path, image.Spec.Source.Upload).ShouldBe(("old", $"{prefix}images/debian-13.qcow2", null));
        PlanReport.Objects(plan, "labs", new MigrationWishes()).OfType<V1Alpha1LabImage>().ShouldHaveSingleItem().Spec.Source.Claim!.Name.ShouldBe("old");
    }

    [Fact]
    public void Without_a_claim_the_image_is_uploaded() => Manifests.Image(PlanHere().Images[0], "labs", null).Spec.Source.ShouldSatisfyAllConditions(
        s => s.Upload.ShouldNotBeNull(), s => s.Claim.ShouldBeNull());

    [Fact]
    public void Links_count_as_what_they_lead_to()
    {
        File.CreateSymbolicLink(At("link"), "old");
        Directory.CreateDirectory(At("old/data"));
        Directory.Move(At("old/overlays"), At("old/data/disks"));
        File.CreateSymbolicLink(At("old/overlays"), "data/disks");
        MigrationPlan plan = new SourceClaim("old", "").Place(PlanHere("link"), At("link"));
        plan.Nodes[0].Source!.Path.ShouldBe($"data/disks/node_{Id}.qcow2");
        plan.Images[0].Source!.Path.ShouldBe("images/debian-13.qcow2");
    }

    [Theory]
    [InlineData("else/debian-13.qcow2", false)]
    [InlineData("old/images/debian-13.qcow2", true)]
    public void A_file_that_is_not_in_the_folder_is_refused_by_its_name(string file, bool linked)
    {
        if (linked)
        {
            Directory.Delete(At("old/images"), recursive: true);
            File.CreateSymbolicLink(At("old/images"), "../else");
        }

        MigrationPlan plan = PlanHere(baseFile: file);
        CliException refused = Should.Throw<CliException>(() => new SourceClaim("old", "").Place(plan, At("old")));
        refused.ExitCode.ShouldBe(ExitCodes.Usage);
        refused.Message.ShouldContain(At("else/debian-13.qcow2"));
        refused.Message.ShouldContain("--images");

        // A base that the cluster has is not read, wherever it lies.
        MigrationPlan there = plan with { Images = [.. plan.Images.Select(i => i with { Exists = true })] };
        new SourceClaim("old", "").Place(there, At("old")).Images[0].Source.ShouldBeNull();
    }

    [Fact]
    public void The_pod_mounts_the_claim_read_only_as_a_volume_too()
    {
        var backing = new LabNodeBacking { Image = "debian", Claim = "labimage-debian-1", Digest = "sha256:" + new string('d', 64) };
        AdoptConfig config = new()
        {
            Node = "labs/web", DiskId = Id, OverlayPath = $"/overlays/node_{Id}.qcow2", BackingPath = AdoptPods.BackingPath(backing), BackingSha256 = new string('d', 64),
            SourceBacking = "/images/debian-13.qcow2", VirtualSizeBytes = Size,
            File = new FileSource(ContractNames.SourceDirectory, $"overlays/node_{Id}.qcow2"),
        };
        V1Pod pod = Pod(config, "old");
        V1Volume volume = pod.Spec.Volumes.Single(v => v.Name == "source");
        (volume.PersistentVolumeClaim.ClaimName, volume.PersistentVolumeClaim.ReadOnlyProperty).ShouldBe(("old", true));
        V1VolumeMount mount = pod.Spec.Containers[0].VolumeMounts.Single(m => m.Name == "source");
        (mount.MountPath, mount.ReadOnlyProperty).ShouldBe((ContractNames.SourceDirectory, true));
        pod.Spec.SecurityContext.RunAsNonRoot.ShouldBe(true);
        pod.Spec.AutomountServiceAccountToken.ShouldBe(false);

        // A pod of another claim is another pod; one to which the disk is sent has no such volume.
        Pod(config, "other").Metadata.Annotations[Annotations.TransferHash].ShouldNotBe(pod.Metadata.Annotations[Annotations.TransferHash]);
        Pod(config with { File = null }, null).Spec.Volumes.ShouldNotContain(v => v.Name == "source");

        V1Pod Pod(AdoptConfig told, string? source) => AdoptPods.Make(new ObjectKey("labs", "adopt-web"), "web", told, backing, new RunnerImage("runner", "IfNotPresent", ""), source);
    }

    private MigrationPlan PlanHere(string folder = "old", string? baseFile = null) => PlanOne(
        overlay: o => o with { Path = At($"{folder}/overlays/{o.File}") },
        @base: b => b with { Path = At(baseFile ?? $"{folder}/images/{b.File}") });

    private string At(string path) => Path.Combine(_home, path);

    private void Make(string path)
    {
        Directory.CreateDirectory(Path.GetDirectoryName(At(path))!);
        File.WriteAllText(At(path), path);
    }
}
