using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>A real cloud image: Debian with cloud-init, booted by UEFI.</summary>
public sealed class FirstBootTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    // Python under emulation, on a machine that does other things as well.
    private const int BootSeconds = 1500;

    [Fact]
    public async Task A_cloud_image_has_a_login_at_once_and_another_user_at_the_next_boot()
    {
        await Lab.ApplyAsync($$"""
            apiVersion: sandlabx.io/v1alpha1
            kind: LabImage
            metadata: {name: cloud, namespace: {{Space.Name}}}
            spec:
              source: {url: "{{Lab.CloudUrl}}"}
              sha256: "{{Lab.CloudSha256}}"
              storage: {size: 512Mi}
              guest: {firmware: UEFI, cloudInit: true, defaultUser: debian, minMemory: 512Mi}
            """);
        await ApplyAsync("");
        await Space.AwaitPhaseAsync("cloudy", NodePhases.Running, BootSeconds);
        await LogInAsync("debian", "lab");
        (await Space.ClaimNowAsync("cloudy"))!.Metadata.Annotations[Annotations.Firmware].ShouldBe("UEFI");

        // Another user, whose Secret comes late.
        await ApplyAsync("restartRevision: alice, cloudInit: {user: alice, passwordSecretRef: {name: alice} }");
        V1Alpha1LabNode node = await Space.AwaitNodeAsync("cloudy", n => n.Status?.Terminations?.FirstOrDefault()?.Reason == "SecretUnusable", "the Secret is missed");
        node.Status!.Terminations![0].Message!.ShouldContain("names Secret alice: it is not there");
        await Lab.ApplyAsync($$"""
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "alice", "namespace": "{{Space.Name}}"}, "stringData": {"password": "s3cret-of-alice"} }
            """);
        await Space.AwaitPhaseAsync("cloudy", NodePhases.Running);
        await LogInAsync("alice", "s3cret-of-alice");

        string told = string.Concat(
            await Lab.KubectlOkAsync("-n", Space.Name, "get", "labnodes,pods,events", "-o", "yaml"),
            await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "logs", Lab.OperatorDeployment, "--tail=-1"));
        told.ShouldNotContain("s3cret-of-alice");
    }

    [Fact]
    public async Task The_catalogue_is_what_the_api_server_admits() =>
        await Lab.KubectlOkAsync("-n", Space.Name, "apply", "--dry-run=server", "-f", Lab.Repository("config/images"));

    private Task ApplyAsync(string spec) => Lab.ApplyAsync($$"""
        apiVersion: sandlabx.io/v1alpha1
        kind: LabNode
        metadata: {name: cloudy, namespace: {{Space.Name}}}
        spec: {image: cloud, memory: 640Mi, disk: {reclaimPolicy: Delete}{{(spec.Length > 0 ? ", " + spec : "")}} }
        """);

    private async Task LogInAsync(string user, string password)
    {
        // The prompt comes before passwords are set; what cloud-init says last comes after.
        Outcome finished = await ConsoleAsync(BootSeconds, "--expect", "Datasource DataSourceNoCloud");
        finished.Code.ShouldBe(0, $"{finished}");
        Outcome session = await ConsoleAsync(
            600, "--send", "", "--expect", "cloudy login:", "--send", user, "--expect", "Password:", "--send", password, "--expect", $"{user}@cloudy", "--send", "echo uid=$(sudo id -u)", "--expect", "uid=0", "--send", "exit", "--expect", "login:");
        session.Code.ShouldBe(0, $"{session}");
    }

    private Task<Outcome> ConsoleAsync(int seconds, params string[] words) => Shell.RunAsync(
        ["kubectl", "-n", Space.Name, "exec", "labnode-cloudy", "--", "sandlabx-runner", "console", .. words, "--timeout", $"{seconds}"], seconds + 30);
}
