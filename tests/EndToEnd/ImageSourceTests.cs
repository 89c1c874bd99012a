using System.Net;
using System.Text.Json;
using SandLabX.Contract;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Where images come from, and in which formats: each becomes a base that a guest boots from.</summary>
public sealed class ImageSourceTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    private static readonly HttpClient s_http = new();

    [Fact]
    public async Task An_upload_goes_on_in_another_pod_and_boots_a_guest()
    {
        byte[] file = await File.ReadAllBytesAsync(Lab.TinyPath);
        int half = file.Length / 2;
        await ApplyAsync("uploaded", "upload: {}", Lab.TinySha256);
        V1Alpha1LabImage waiting = await AwaitReasonAsync("uploaded", "AwaitingUpload");
        Space.Condition(waiting, ConditionTypes.Ready)!.Message.ShouldContain("kubectl sandlabx image upload uploaded");
        waiting.Status!.Phase.ShouldBe(ImagePhases.Importing);
        string pod = $"labimage-uploaded-{Lab.TinySha256[..12]}";
        string uid = await PodUidAsync(pod);
        await ThroughAsync(pod, async url => (await PutAsync(url, 0, file.AsMemory(0, half))).Received.ShouldBe(half));

        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "pod", pod);
        await Eventually.SeesAsync("another pod waits", () => PodUidAsync(pod), now => now.Length > 0 && now != uid);
        await AwaitReasonAsync("uploaded", "AwaitingUpload");
        await ThroughAsync(pod, async url =>
        {
            UploadReport report = Read(await s_http.GetStringAsync(url));
            report.Received.ShouldBe(half, "what came is on the claim");
            await PutAsync(url, half, file.AsMemory(half));
            using HttpResponseMessage done = await s_http.PostAsync(new Uri(url, ContractNames.UploadFinishPath), null);
            done.StatusCode.ShouldBe(HttpStatusCode.OK, await done.Content.ReadAsStringAsync());
        });
        await BootsAsync("uploaded");
    }

    [Fact]
    public async Task A_compressed_image_of_another_format_boots_a_guest()
    {
        DirectoryInfo folder = Directory.CreateTempSubdirectory("sandlabx-e2e-");
        try
        {
            string made = Path.Combine(folder.FullName, "tiny.vmdk");
            string command = $"qemu-img convert -f qcow2 -O vmdk -o subformat=streamOptimized {Lab.TinyPath} {made} && xz -0 -k {made} && gzip -1 -k {made} && zstd -q -1 {made}";
            Outcome outcome = await Shell.RunAsync(["sh", "-euc", command]);
            outcome.Code.ShouldBe(0, outcome.ToString());
            foreach (string ending in (string[])["xz", "gz", "zst"])
            {
                (string url, string sha256) = await Lab.PublishAsync($"{made}.{ending}", $"e2e-tiny.vmdk.{ending}");
                await ApplyAsync(ending, $"url: \"{url}\"", sha256, ", compress: true");
            }

            foreach (string ending in (string[])["xz", "gz", "zst"])
            {
                V1Alpha1LabImage image = await Space.AwaitImageAsync(ending, i => i.Status?.Phase == ImagePhases.Ready, "ready");
                image.Status!.SourceFormat.ShouldBe($"vmdk.{ending}");
                image.Status.Format.ShouldBe("qcow2");
            }

            await BootsAsync("xz");
        }
        finally
        {
            folder.Delete(recursive: true);
        }
    }

    [Fact]
    public async Task A_file_on_another_claim_boots_a_guest()
    {
        V1Alpha1LabImage tiny = (await Space.ImageNowAsync(Space.Tiny))!;
        await ApplyAsync("copied", $"claim: {{name: {tiny.Status!.Claim}, path: {ContractNames.ImageFile}}}", Lab.TinySha256);
        await BootsAsync("copied");
    }

    [Fact]
    public async Task An_artifact_of_a_registry_boots_a_guest()
    {
        // All that pulling takes of a registry that lets everybody in is files at the right addresses.
        string size = $"{new FileInfo(Lab.TinyPath).Length}";
        string manifest = Path.GetTempFileName();
        await File.WriteAllTextAsync(manifest, $$"""{"schemaVersion":2,"layers":[{"mediaType":"application/octet-stream","digest":"sha256:{{Lab.TinySha256}}","size":{{size}}}]}""");
        await Lab.KubectlOkAsync("-n", Lab.ImageServer, "exec", "deployment/images", "--", "mkdir", "-p", "/srv/v2/lab/tiny/manifests", "/srv/v2/lab/tiny/blobs");
        await Lab.PublishAsync(manifest, "e2e-manifest");
        await Lab.PublishAsync(Lab.TinyPath, "e2e-blob");
        await Lab.KubectlOkAsync("-n", Lab.ImageServer, "exec", "deployment/images", "--", "sh", "-euc",
            $"mv /srv/e2e-manifest /srv/v2/lab/tiny/manifests/1; mv /srv/e2e-blob /srv/v2/lab/tiny/blobs/sha256:{Lab.TinySha256}");
        File.Delete(manifest);
        await Lab.KubectlOkAsync("-n", Space.Name, "create", "secret", "docker-registry", "pull", "--docker-server=registry.example.org", "--docker-username=u", "--docker-password=s3cret-word");

        await ApplyAsync("pulled", $"oci: {{reference: \"images.{Lab.ImageServer}.svc.cluster.local/lab/tiny:1\", plainHttp: true, pullSecret: pull}}", Lab.TinySha256);
        await BootsAsync("pulled");
    }

    [Fact]
    public async Task Two_sources_or_none_are_refused_at_once()
    {
        foreach (string source in (string[])["upload: {}, url: \"http://images/a\"", ""])
        {
            Outcome outcome = await Shell.RunAsync(["kubectl", "apply", "-f", "-"], input: Image("schema", source, Lab.TinySha256, ""));
            outcome.Code.ShouldNotBe(0);
            outcome.Errors.ShouldContain("spec.source");
        }
    }

    private async Task BootsAsync(string image)
    {
        await Space.AwaitImageAsync(image, i => i.Status?.Phase == ImagePhases.Ready, "ready");
        await Space.NodeAsync("on-" + image, image: image);
        await Space.RunningGuestAsync("on-" + image);
    }

    private Task ApplyAsync(string name, string source, string sha256, string more = "") => Lab.ApplyAsync(Image(name, source, sha256, more));

    private string Image(string name, string source, string sha256, string more) => $$"""
        apiVersion: sandlabx.io/v1alpha1
        kind: LabImage
        metadata: {name: "{{name}}", namespace: {{Space.Name}}}
        spec: {source: { {{source}} }, sha256: "{{sha256}}", storage: {size: 128Mi}{{more}} }
        """;

    private Task<V1Alpha1LabImage> AwaitReasonAsync(string name, string reason) =>
        Space.AwaitImageAsync(name, i => i.Status?.Conditions?.Any(c => c.Reason == reason) == true, reason);

    private async Task<string> PodUidAsync(string pod) =>
        (await Lab.KubectlAsync("-n", Space.Name, "get", "pod", pod, "--ignore-not-found", "-o", "jsonpath={.metadata.uid}")).Output.Trim();

    /// <summary>Does something over a port-forward to the pod's upload; the forward may need the pod to run first.</summary>
    private async Task ThroughAsync(string pod, Func<Uri, Task> use)
    {
        await Eventually.SeesAsync(
            $"pod {pod} runs", async () => (await Lab.KubectlAsync("-n", Space.Name, "get", "pod", pod, "-o", "jsonpath={.status.phase}")).Output.Trim(), phase => phase == "Running");
        var port = new TaskCompletionSource<int>(TaskCreationOptions.RunContinuationsAsynchronously);
        using Following forward = Shell.Follow(["kubectl", "-n", Space.Name, "port-forward", $"pod/{pod}", $":{ContractNames.UploadPort}"], line =>
        {
            if (line.Contains("127.0.0.1:", StringComparison.Ordinal))
            {
                port.TrySetResult(int.Parse(line.Split("127.0.0.1:")[1].Split(' ')[0], System.Globalization.CultureInfo.InvariantCulture));
            }
        });
        var url = new Uri($"http://127.0.0.1:{await port.Task.WaitAsync(TimeSpan.FromSeconds(60))}{ContractNames.UploadPath}");
        await Eventually.SucceedsAsync("the upload's server answers", async () => await AnswersAsync(url), 60);
        await use(url);
    }

    private static async Task<Outcome> AnswersAsync(Uri url)
    {
        try
        {
            return new Outcome(0, await s_http.GetStringAsync(url), "");
        }
        catch (HttpRequestException e)
        {
            return new Outcome(1, "", e.Message);
        }
    }

    private static async Task<UploadReport> PutAsync(Uri url, long offset, ReadOnlyMemory<byte> bytes)
    {
        using HttpResponseMessage answer = await s_http.PutAsync(new Uri(url, $"?offset={offset}"), new ReadOnlyMemoryContent(bytes));
        string text = await answer.Content.ReadAsStringAsync();
        answer.StatusCode.ShouldBe(HttpStatusCode.OK, text);
        return Read(text);
    }

    private static UploadReport Read(string json) => JsonSerializer.Deserialize(json, ContractJson.Default.UploadReport)!;
}
