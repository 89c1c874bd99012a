using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd;

/// <summary>Images that must be refused: each says the field, the value and the way out, touches nothing else, and is healed by correcting it.</summary>
public sealed class BadImageTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public Task A_wrong_digest() =>
        RefusesAsync("digest", Lab.TinyUrl, new string('0', 64), "DigestMismatch", ["spec.sha256", Lab.TinySha256], withNode: true);

    [Fact]
    public async Task An_address_that_has_nothing()
    {
        string url = Lab.TinyUrl[..(Lab.TinyUrl.LastIndexOf('/') + 1)] + "nothing.qcow2";
        await RefusesAsync("missing", url, Lab.TinySha256, "DownloadFailed", ["404", "spec.source.url"], final: false, withNode: true);
    }

    [Fact]
    public Task An_address_whose_host_does_not_exist() => RefusesAsync(
        "nohost", "http://no-such-host.invalid/disk.qcow2", Lab.TinySha256, "DownloadFailed", ["no-such-host.invalid", "spec.source.url"], final: false);

    [Fact]
    public async Task A_qcow2_with_a_backing_file()
    {
        (string url, string sha256) = await MakeAsync("e2e-backing.qcow2", file => ["qemu-img", "create", "-q", "-u", "-f", "qcow2", "-F", "raw", "-b", "/etc/passwd", file, "64M"]);
        await RefusesAsync("backing", url, sha256, "HasBackingFile", ["/etc/passwd", "qemu-img"]);
    }

    [Fact]
    public async Task A_qcow2_with_a_data_file()
    {
        (string url, string sha256) = await MakeAsync("e2e-data.qcow2", file => ["qemu-img", "create", "-q", "-f", "qcow2", "-o", $"data_file={file}.raw,data_file_raw=on", file, "16M"]);
        await RefusesAsync("datafile", url, sha256, "HasDataFile", ["data in another file", "qemu-img convert"]);
    }

    [Fact]
    public async Task Text_in_place_of_a_disk()
    {
        (string url, string sha256) = await MakeAsync("e2e-text.qcow2", file => ["sh", "-c", $"echo '<!doctype html><html>not found</html>' > {file}"]);
        await RefusesAsync("text", url, sha256, "UnknownFormat", ["web page"]);
    }

    [Fact]
    public async Task A_qcow2_that_was_cut_short()
    {
        (string url, string sha256) = await MakeAsync("e2e-cut.qcow2", file => ["sh", "-c", $"head -c 40 /dev/zero > {file}.z; (printf 'QFI\\373\\0\\0\\0\\003'; cat {file}.z) > {file}"]);
        await RefusesAsync("cut", url, sha256, null, ["qcow2"]);
    }

    [Fact]
    public async Task A_claim_that_is_too_small()
    {
        await Space.ImageAsync("narrow", Lab.TinyUrl, Lab.TinySha256, "8Mi");
        await AwaitRefusalAsync("narrow", "NoSpace", ["spec.storage.size", "8Mi"], final: true);
        await Space.PatchImageAsync("narrow", """{"spec": {"storage": {"size": "64Mi"} } }""");
        await Space.AwaitImageAsync("narrow", i => i.Status?.Phase == ImagePhases.Ready, "healed");
    }

    [Fact]
    public async Task What_the_schema_can_refuse_is_refused_at_once()
    {
        Outcome outcome = await Shell.RunAsync(["kubectl", "apply", "-f", "-"], input: $$"""
            {"apiVersion": "sandlabx.io/v1alpha1", "kind": "LabImage", "metadata": {"name": "schema", "namespace": "{{Space.Name}}"},
             "spec": {"source": {"url": "ftp://example.org/disk"}, "sha256": "abc"} }
            """);
        outcome.Code.ShouldNotBe(0);
        outcome.Errors.ShouldContain("spec.source.url");
        outcome.Errors.ShouldContain("spec.sha256");
    }

    private async Task RefusesAsync(string name, string url, string sha256, string? reason, string[] words, bool final = true, bool withNode = false)
    {
        V1Alpha1LabImage good = (await Space.ImageNowAsync(Space.Tiny))!;
        V1PersistentVolumeClaim goodClaim = (await Lab.Api.GetAsync<V1PersistentVolumeClaim>(new ObjectKey(Space.Name, good.Status!.Claim!), CancellationToken.None))!;
        await Space.ImageAsync(name, url, sha256);
        if (withNode)
        {
            await Space.NodeAsync(name, image: name);
        }

        await AwaitRefusalAsync(name, reason, words, final);

        if (withNode)
        {
            await WaitsForItAsync(name);
        }

        (await Space.ImageNowAsync(Space.Tiny))!.Metadata.ResourceVersion.ShouldBe(good.Metadata.ResourceVersion);
        (await Lab.Api.GetAsync<V1PersistentVolumeClaim>(new ObjectKey(Space.Name, good.Status.Claim!), CancellationToken.None))!
            .Metadata.ResourceVersion.ShouldBe(goodClaim.Metadata.ResourceVersion);

        await Space.PatchImageAsync(name, $$"""{"spec": {"source": {"url": "{{Lab.TinyUrl}}"}, "sha256": "{{Lab.TinySha256}}"} }""");
        V1Alpha1LabImage healed = await Space.AwaitImageAsync(name, i => i.Status?.Phase == ImagePhases.Ready, "healed");
        healed.Status!.LastFailure.ShouldBeNull();
        if (withNode)
        {
            await Space.AwaitPhaseAsync(name, NodePhases.Running);
        }
    }

    private async Task WaitsForItAsync(string name)
    {
        V1Alpha1LabNode node = await Space.AwaitNodeAsync(
            name, n => n.Status?.Phase == NodePhases.WaitingForImage && Space.Condition(n, ConditionTypes.ImageReady)!.Message.Contains("failed", StringComparison.Ordinal), "tells that its image failed");
        Space.Condition(node, ConditionTypes.ImageReady)!.Message.ShouldContain(name);
        (await Space.PodNowAsync(name)).ShouldBeNull();
        (await Space.ClaimNowAsync(name)).ShouldBeNull("no disk is made on an image that is not verified");
    }

    private async Task AwaitRefusalAsync(string name, string? reason, string[] words, bool final)
    {
        string phase = final ? ImagePhases.Failed : ImagePhases.BackOff;
        V1Alpha1LabImage image = await Space.AwaitImageAsync(name, i => i.Status?.Phase == phase, $"phase {phase}");
        V1Condition ready = Space.Condition(image, ConditionTypes.Ready)!;
        Output.WriteLine($"{ready.Reason}: {ready.Message}");
        ready.Status.ShouldBe("False");
        ready.Reason.ShouldBe(reason ?? ready.Reason);
        ready.Reason.ShouldBe(image.Status!.LastFailure!.Reason);
        words.ShouldAllBe(w => ready.Message.Contains(w));
        image.Status.Digest.ShouldBeNull();
        (image.Status.LastFailure.NextAt is null).ShouldBe(final);
        await Space.EventAsync("LabImage", name, "Warning", ready.Reason, words);
    }

    private static async Task<(string Url, string Sha256)> MakeAsync(string name, Func<string, string[]> command)
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("sandlabx-e2e-");
        try
        {
            string file = Path.Combine(folder.FullName, name);
            Outcome made = await Shell.RunAsync(command(file));
            made.Code.ShouldBe(0, made.ToString());
            return await Lab.PublishAsync(file, name);
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }
}
