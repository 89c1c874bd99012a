using k8s.Models;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>Who has the rights of docs/CLI.md, and no other, can do all that the plugin does.</summary>
public sealed class RightsTests(Space space, ITestOutputHelper output) : MovingIn(space, output), IClassFixture<Space>
{
    private const string Id = "66666666-2222-4333-8444-555566667777";

    [Fact]
    public async Task The_documented_rights_are_enough_for_a_VM_to_come_run_and_leave()
    {
        string config = await UserAsync();
        string file = Path.Combine(Directory.CreateTempSubdirectory("sandlabx-rights-").FullName, "vm.tar.gz");
        try
        {
            using var old = new OldInstallation();
            File.Copy(Lab.TinyPath, old.Image("debian-13.qcow2"));
            old.Add(Id, "web", "debian");
            await old.MakeOverlayAsync(Id, "debian-13.qcow2");
            await old.BootAsync(Id, "written there");

            await OkAsync("migrate", old.Folder);
            await OkAsync("start", "web");
            (await (await Space.RunningGuestAsync("web")).OkAsync("read marker")).ShouldBe("written there");
            await OkAsync("console", "web", "--", "--send", "info", "--expect", "boot=2");
            await OkAsync("stop", "web");
            await Space.GoneAsync("pod", "labnode-web");
            await OkAsync("export", "web", file);
            await Space.PatchNodeAsync("web", """{"spec": {"disk": {"reclaimPolicy": "Delete"} } }""");
            await Lab.KubectlOkAsync("-n", Space.Name, "delete", "labnode", "web");
            await Space.GoneAsync("pvc", "labnode-web");
            await OkAsync("import", file);
            await OkAsync("start", "web");
            (await (await Space.RunningGuestAsync("web")).OkAsync("read marker")).ShouldBe("written there");
            Outcome doctor = await RunAsync("doctor");
            doctor.Output.ShouldContain("all that the verbs need", customMessage: doctor.ToString());
        }
        finally
        {
            File.Delete(config);
            Directory.Delete(Path.GetDirectoryName(file)!, recursive: true);
        }

        async Task OkAsync(params string[] words)
        {
            Outcome outcome = await RunAsync(words);
            outcome.Code.ShouldBe(0, outcome.ToString());
        }

        // Options stand before "--", behind which all is the script's.
        Task<Outcome> RunAsync(params string[] words) => Plugin.RunAsync([words[0], "--kubeconfig", config, "-n", Space.Name, .. words[1..]]);
    }

    /// <summary>A kubeconfig of an account that has the documented Roles.</summary>
    private async Task<string> UserAsync()
    {
        string text = await File.ReadAllTextAsync(Lab.Repository("docs/CLI.md"));
        string roles = text[text.IndexOf("## Rights", StringComparison.Ordinal)..].Split("```")[1]["yaml\n".Length..];
        roles.ShouldContain("name: sandlabx-user");
        await Lab.ApplyAsync($$"""
            {{roles.Replace("{name: sandlabx-user}", $"{{name: sandlabx-user, namespace: {Space.Name}}}", StringComparison.Ordinal).Replace("namespace: sandlabx-system", $"namespace: {Lab.OperatorNamespace}", StringComparison.Ordinal)}}
            ---
            {apiVersion: v1, kind: ServiceAccount, metadata: {name: user, namespace: {{Space.Name}} } }
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: RoleBinding
            metadata: {name: user, namespace: {{Space.Name}} }
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sandlabx-user}
            subjects: [{kind: ServiceAccount, name: user, namespace: {{Space.Name}} }]
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: RoleBinding
            metadata: {name: user-{{Space.Name}}, namespace: {{Lab.OperatorNamespace}} }
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: sandlabx-user-runner}
            subjects: [{kind: ServiceAccount, name: user, namespace: {{Space.Name}} }]
            """);
        using k8s.Kubernetes client = Lab.Client();
        string token = (await k8s.CoreV1OperationsExtensions.CreateNamespacedServiceAccountTokenAsync(
            client.CoreV1, new Authenticationv1TokenRequest { Spec = new V1TokenRequestSpec { Audiences = [], ExpirationSeconds = 3600 } }, "user", Space.Name)).Status.Token;
        string config = Path.GetTempFileName();
        await File.WriteAllTextAsync(config, await Lab.KubectlOkAsync("config", "view", "--raw", "--minify", "--flatten"));
        foreach (string[] words in (string[][])[["set-credentials", "limited", $"--token={token}"], ["set-context", "limited", $"--cluster={await ClusterAsync(config)}", "--user=limited"], ["use-context", "limited"]])
        {
            await Lab.KubectlOkAsync(["--kubeconfig", config, "config", .. words]);
        }

        return config;
    }

    private static Task<string> ClusterAsync(string config) => Lab.KubectlOkAsync("--kubeconfig", config, "config", "view", "-o", "jsonpath={.clusters[0].name}");
}
