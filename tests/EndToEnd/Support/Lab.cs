using System.Globalization;
using k8s;
using SandLabX.Runtime;

namespace SandLabX.EndToEnd.Support;

/// <summary>The cluster that KUBECONFIG names, with the operator in it, and what eng/test says about it.</summary>
internal static class Lab
{
    public const string OperatorNamespace = "sandlabx-system";
    public const string OperatorDeployment = "deployment/sandlabx-operator";
    public const string ImageServer = "sandlabx-images";

    private static readonly string[] s_askForLeader = ["-n", OperatorNamespace, "get", "lease", "sandlabx-leader", "-o", "jsonpath={.spec.holderIdentity}"];

    private static readonly Lazy<KubeApi> s_api = new(() => KubeApi.Connect(KubernetesClientConfiguration.BuildConfigFromConfigFile(Variable("KUBECONFIG"))));

    /// <summary>The typed edge to the API server.</summary>
    public static KubeApi Api => s_api.Value;

    public static string TinyUrl => Variable("SANDLABX_TINY_URL")!;

    public static string TinySha256 => Variable("SANDLABX_TINY_SHA256")!;

    /// <summary>The tiny guest's file on this machine.</summary>
    public static string TinyPath => Variable("SANDLABX_TINY_PATH")!;

    /// <summary>Where the Debian guest with cloud-init is served.</summary>
    public static string CloudUrl => Variable("SANDLABX_CLOUD_URL")!;

    /// <summary>Its digest.</summary>
    public static string CloudSha256 => Variable("SANDLABX_CLOUD_SHA256")!;

    /// <summary>A path of the repository, from where the tests' program is.</summary>
    public static string Repository(string path)
    {
        string folder = AppContext.BaseDirectory;
        while (!File.Exists(Path.Combine(folder, "SandLabX.slnx")))
        {
            folder = Path.GetDirectoryName(folder) ?? throw new InvalidOperationException("The tests' program is not in a checkout.");
        }

        return Path.Combine(folder, path);
    }

    /// <summary>Skips the test where there is no cluster to run it on.</summary>
    public static void Require()
    {
        Assert.SkipWhen(Variable("KUBECONFIG") is null, "KUBECONFIG names no cluster; eng/test e2e makes one.");
        Assert.SkipWhen(
            Variable("SANDLABX_TINY_URL") is null || Variable("SANDLABX_TINY_SHA256") is null || Variable("SANDLABX_TINY_PATH") is null,
            "SANDLABX_TINY_URL, SANDLABX_TINY_SHA256 and SANDLABX_TINY_PATH name no published tiny guest; eng/test e2e publishes it.");
    }

    /// <summary>Skips the test where the cluster's parts can't be killed or restarted.</summary>
    public static void RequireLocal()
    {
        Require();
        Assert.SkipUnless(
            Variable("CLUSTER") == "local" && File.Exists(Variable("SANDLABX_CLUSTER_TOOL")),
            "It restarts the cluster or kills its parts, which is done to the local cluster alone (CLUSTER=local, SANDLABX_CLUSTER_TOOL).");
    }

    /// <summary>The local cluster's tool; the command's exit code is asserted to be 0.</summary>
    public static async Task<string> ClusterAsync(params string[] words)
    {
        Outcome outcome = await Shell.RunAsync([Variable("SANDLABX_CLUSTER_TOOL")!, .. words]);
        outcome.Code.ShouldBe(0, $"cluster {string.Join(' ', words)}: {outcome}");
        return outcome.Output;
    }

    /// <summary>The words that begin a command inside the local cluster's node.</summary>
    public static string[] InNode(params string[] words) => [Variable("SANDLABX_CLUSTER_TOOL")!, "exec", .. words];

    public static Task<Outcome> KubectlAsync(params string[] words) => Shell.RunAsync(["kubectl", .. words]);

    /// <summary>kubectl that must end well; gives its output.</summary>
    public static async Task<string> KubectlOkAsync(params string[] words)
    {
        Outcome outcome = await KubectlAsync(words);
        outcome.Code.ShouldBe(0, $"kubectl {string.Join(' ', words)}: {outcome}");
        return outcome.Output.Trim();
    }

    public static async Task ApplyAsync(string yaml)
    {
        Outcome outcome = await Shell.RunAsync(["kubectl", "apply", "-f", "-"], input: yaml);
        outcome.Code.ShouldBe(0, $"kubectl apply: {outcome}\n{yaml}");
    }

    /// <summary>Waits until the operator's replicas are ready, and as many as there should be.</summary>
    public static Task OperatorReadyAsync(int replicas = 1) => Eventually.SucceedsAsync(
        "the operator is ready",
        async () =>
        {
            Outcome ready = await KubectlAsync("-n", OperatorNamespace, "get", OperatorDeployment, "-o", "jsonpath={.status.readyReplicas}/{.status.replicas}");
            if (ready.Output != $"{replicas}/{replicas}")
            {
                return ready with { Code = 1 };
            }

            // A deployment does not count a pod that is on its way out; but as long as that holds the lease, it is the operator.
            Outcome staying = await KubectlAsync(
                "-n", OperatorNamespace, "get", "pods", "-l", "app.kubernetes.io/name=sandlabx", "-o",
                "go-template={{range .items}}{{if not .metadata.deletionTimestamp}}{{.metadata.name}}\n{{end}}{{end}}");
            Outcome leader = await KubectlAsync(s_askForLeader);
            bool leads = leader.Output.Length > 0 && staying.Output.Split('\n').Contains(PodOf(leader.Output));
            return leader.Code != 0 || leads ? leader : leader with { Code = 1, Errors = $"'{leader.Output}' holds the lease, and is none of the pods that stay: {staying.Output}" };
        },
        120);

    /// <summary>Gives the operator so many replicas, and waits until they are ready.</summary>
    public static async Task ScaleOperatorAsync(int replicas)
    {
        await KubectlOkAsync("-n", OperatorNamespace, "scale", OperatorDeployment, $"--replicas={replicas}");
        await OperatorReadyAsync(replicas);
    }

    /// <summary>Replaces the operator's pods, and waits until the new ones are ready.</summary>
    public static async Task RenewOperatorAsync(int replicas)
    {
        await KubectlOkAsync("-n", OperatorNamespace, "delete", "pods", "-l", "app.kubernetes.io/name=sandlabx");
        await OperatorReadyAsync(replicas);
    }

    /// <summary>The process that holds the lease, as pod_id; empty when none does.</summary>
    public static Task<string> LeaderAsync() => KubectlOkAsync(s_askForLeader);

    /// <summary>The pod of a process that held the lease.</summary>
    public static string PodOf(string holder) => holder.Split('_')[0];

    /// <summary>What an operator tells in a metric, over all labels; of the pod that is the first to run.</summary>
    /// <param name="metric">Its name.</param>
    /// <param name="label">A label that counts, such as <c>kind="Pod"</c>; empty for all.</param>
    public static async Task<double> OperatorMetricAsync(string metric, string label = "") => (await OperatorMetricsAsync()).Split('\n')
        .Where(line => line.StartsWith(metric, StringComparison.Ordinal) && line[metric.Length] is '{' or ' ' && line.Contains(label, StringComparison.Ordinal))
        .Sum(line => double.Parse(line[(line.LastIndexOf(' ') + 1)..], CultureInfo.InvariantCulture));

    /// <summary>All metrics of the operator's pod that is the first to run.</summary>
    public static async Task<string> OperatorMetricsAsync()
    {
        string pod = await KubectlOkAsync(
            "-n", OperatorNamespace, "get", "pods", "-l", "app.kubernetes.io/name=sandlabx", "--field-selector", "status.phase=Running", "-o", "jsonpath={.items[0].metadata.name}");
        return await KubectlOkAsync("get", "--raw", $"/api/v1/namespaces/{OperatorNamespace}/pods/{pod}:8080/proxy/metrics");
    }

    /// <summary>A client of its own, which watches too; the caller disposes of it.</summary>
    public static Kubernetes Client() => new(KubernetesClientConfiguration.BuildConfigFromConfigFile(Variable("KUBECONFIG")));

    /// <summary>Puts a file into the cluster's image server; gives its address and SHA-256.</summary>
    public static async Task<(string Url, string Sha256)> PublishAsync(string file, string name)
    {
        Outcome copy = await Shell.RunAsync(
            ["kubectl", "-n", ImageServer, "exec", "-i", "deployment/images", "--", "sh", "-euc", $"cat > /srv/.{name}.part; mv /srv/.{name}.part /srv/{name}"], inputFile: file);
        copy.Code.ShouldBe(0, copy.ToString());
        await using FileStream bytes = File.OpenRead(file);
        byte[] sum = await System.Security.Cryptography.SHA256.HashDataAsync(bytes);
        return ($"http://images.{ImageServer}.svc.cluster.local/{name}", Convert.ToHexStringLower(sum));
    }

    private static string? Variable(string name) => Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : null;
}
