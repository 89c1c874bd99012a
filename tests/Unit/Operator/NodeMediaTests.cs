using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Operator.LabNodes;

namespace SandLabX.Unit.Operator;

public sealed class NodeMediaTests
{
    private static Plan<LabNodeStatus> Plan(NodeObservation seen) => NodePlanner.Plan(seen, Given.Options, Given.Now);

    private static V1Pod PodOf(NodeObservation seen) => Plan(seen).Intents.OfType<Intent.CreatePod>().Single().Pod;

    private static RunnerConfig ConfigOf(V1Pod pod) =>
        JsonSerializer.Deserialize(pod.Spec.Containers[0].Env.Single(e => e.Name == ContractNames.ConfigVariable).Value, ContractJson.Default.RunnerConfig)!;

    private static NodeObservation Seen(Action<LabNodeSpec> wish, Action<LabImageSpec>? image = null)
    {
        NodeObservation seen = Given.Fresh();
        wish(seen.Node.Spec);
        image?.Invoke(seen.Image!.Spec);
        return seen;
    }

    [Fact]
    public void A_guest_of_an_image_with_cloud_init_gets_a_seed_that_nobody_asked_for_and_any_other_none()
    {
        V1Pod pod = PodOf(Seen(_ => { }, image => image.Guest.CloudInit = true));
        ConfigOf(pod).Seed!.HostName.ShouldBe("a");
        pod.Spec.Volumes.Single(v => v.Name == "seed").EmptyDir.Medium.ShouldBe("Memory");

        V1Pod plain = PodOf(Seen(_ => { }));
        ConfigOf(plain).Seed.ShouldBeNull();
        plain.Spec.Volumes.ShouldNotContain(v => v.Name == "seed");
    }

    [Fact]
    public void Secrets_are_shown_as_files_and_their_names_alone_are_in_the_pod()
    {
        V1Pod pod = PodOf(Seen(spec => spec.CloudInit = new LabNodeCloudInit
        {
            User = "alice",
            PasswordSecretRef = new LabNodeSecretKey { Name = "pw" },
            SshKeysSecretRef = new LabNodeSecretKey { Name = "keys", Key = "id.pub" },
        }));

        SeedConfig seed = ConfigOf(pod).Seed!;
        seed.PasswordSecret.ShouldBe(new SeedSecret("pw", "/secrets/password", "password"));
        seed.SshKeysSecret.ShouldBe(new SeedSecret("keys", "/secrets/ssh-keys", "id.pub"));
        V1Volume volume = pod.Spec.Volumes.Single(v => v.Name == "ssh-keys");
        (volume.Secret.SecretName, volume.Secret.Optional).ShouldBe(("keys", true));
        pod.Spec.Containers[0].VolumeMounts.Where(m => m.MountPath.StartsWith("/secrets/", StringComparison.Ordinal)).ShouldAllBe(m => m.ReadOnlyProperty == true);
    }

    [Fact]
    public void The_disks_claim_notes_firmware_and_cloud_init_so_that_they_stay_when_the_image_changes()
    {
        NodeObservation seen = Seen(_ => { }, image => (image.Guest.Firmware, image.Guest.CloudInit) = (Firmwares.Uefi, true));
        Plan<LabNodeStatus> plan = Plan(seen);
        V1PersistentVolumeClaim claim = plan.Intents.OfType<Intent.CreateClaim>().Single().Claim;
        claim.Metadata.Annotations[Annotations.Firmware].ShouldBe("UEFI");

        NodeMedia.Seed(seen.Node, DiskBases.Present(claim)!).ShouldNotBeNull();
        ConfigOf(plan.Intents.OfType<Intent.CreatePod>().Single().Pod).Uefi.ShouldBeTrue();
    }

    [Theory]
    [InlineData("both", "give one of them")]
    [InlineData("user", "so user has no place to go")]
    [InlineData("password", "so passwordSecretRef has no place to go")]
    [InlineData("large", "userDataSecretRef")]
    public void What_contradicts_itself_or_is_too_large_is_refused_with_the_way_out(string wrong, string words)
    {
        NodeObservation seen = Seen(spec => spec.CloudInit = wrong switch
        {
            "both" => new LabNodeCloudInit { UserData = "x", UserDataSecretRef = new LabNodeSecretKey { Name = "s" } },
            "user" => new LabNodeCloudInit { UserData = "x", User = "alice" },
            "password" => new LabNodeCloudInit { UserDataSecretRef = new LabNodeSecretKey { Name = "s" }, PasswordSecretRef = new LabNodeSecretKey { Name = "p" } },
            _ => new LabNodeCloudInit { UserData = new string('"', 65536) },
        });

        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();
        V1Condition ready = plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready);
        ready.Reason.ShouldBe("InvalidSpec");
        ready.Message.ShouldContain(words);
    }

    [Fact]
    public void A_disc_is_waited_for_and_then_mounted_read_only()
    {
        NodeObservation seen = Seen(spec => spec.Cdrom = new LabNodeCdrom { Image = "installer" });
        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Phase.ShouldBe(NodePhases.WaitingForImage);
        plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready).Reason.ShouldBe("CdromNotFound");
        plan.Intents.OfType<Intent.CreatePod>().ShouldBeEmpty();

        seen = seen with { CdromImage = Given.Image(image => image.Status!.Phase = ImagePhases.Importing) };
        Plan(seen).Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready).Reason.ShouldBe("CdromNotReady");

        seen = seen with { CdromImage = Given.Image(image => image.Status!.Claim = "labimage-installer-bbbb") };
        V1Pod pod = PodOf(seen);
        pod.Spec.Volumes.Single(v => v.Name == "cdrom").PersistentVolumeClaim.ClaimName.ShouldBe("labimage-installer-bbbb");
        pod.Spec.Containers[0].VolumeMounts.Single(m => m.Name == "cdrom").ReadOnlyProperty.ShouldBe(true);
        ConfigOf(pod).CdromPath.ShouldBe("/cdrom/disk.qcow2");
    }

    [Fact]
    public void A_new_disk_is_not_made_for_less_memory_than_the_image_needs()
    {
        Plan<LabNodeStatus> plan = Plan(Seen(spec => spec.Memory = "256Mi", image => image.Guest.MinMemory = "512Mi"));

        plan.Intents.OfType<Intent.CreateClaim>().ShouldBeEmpty();
        V1Condition ready = plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.Ready);
        (ready.Reason, plan.Status.Phase).ShouldBe(("MemoryBelowImage", NodePhases.Failed));
        ready.Message.ShouldContain("512Mi");
    }

    [Fact]
    public void Changed_data_waits_for_the_next_start_and_a_node_that_never_had_any_is_not_told_to_restart()
    {
        NodeObservation seen = Given.Running();
        string before = NodeObjects.StartHash(seen.Node, Given.Options);
        seen.Node.Spec.CloudInit = new LabNodeCloudInit { User = "alice" };
        NodeObjects.StartHash(seen.Node, Given.Options).ShouldNotBe(before);
        seen.Node.Metadata.Generation = 2;

        Plan<LabNodeStatus> plan = Plan(seen);
        plan.Status.Conditions!.Single(c => c.Type == ConditionTypes.RestartRequired).Status.ShouldBe("True");
        plan.Intents.OfType<Intent.DeletePod>().ShouldBeEmpty();
        NodeMedia.Fingerprint(Given.Node().Spec).ShouldBeEmpty();
    }
}
