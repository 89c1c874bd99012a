using k8s;
using k8s.Exceptions;
using k8s.KubeConfigModels;
using SandLabX.Cli.Shell;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>The cluster that a verb works on: whom to talk to, as whom, and in which namespace.</summary>
internal sealed class Cluster : IDisposable
{
    /// <summary>Who writes, in <c>metadata.managedFields</c> and in the audit log.</summary>
    internal const string FieldManager = "sandlabx-cli";

    private readonly Lazy<KubeApi> _api;
    private readonly Lazy<Kubernetes> _client;

    private Cluster(Func<KubernetesClientConfiguration> config, string space)
    {
        Namespace = space;

        // Each its own: both prepare their configuration for themselves.
        _api = new Lazy<KubeApi>(() => KubeApi.Connect(config(), FieldManager));
        _client = new Lazy<Kubernetes>(() =>
        {
            var client = new Kubernetes(config());
            client.HttpClient.Timeout = Timeout.InfiniteTimeSpan;
            return client;
        });
    }

    /// <summary>The namespace that the user chose.</summary>
    internal string Namespace { get; }

    /// <summary>The typed edge to the API server.</summary>
    internal KubeApi Api => _api.Value;

    /// <summary>The client's own calls: WebSockets, and what is no object.</summary>
    internal Kubernetes Client => _client.Value;

    /// <summary>Finds the cluster as kubectl does: the option, KUBECONFIG (several files, joined by <c>:</c>, are merged), ~/.kube/config, or the pod's own account.</summary>
    /// <exception cref="CliException">There is none, or it can't be read.</exception>
    internal static Cluster Connect(string? kubeConfig, string? context, string? space)
    {
        FileInfo[] files = Files(kubeConfig);
        if (files.Length == 0 && context is null && KubernetesClientConfiguration.IsInCluster())
        {
            return new Cluster(KubernetesClientConfiguration.InClusterConfig, space ?? KubernetesClientConfiguration.InClusterConfig().Namespace ?? "default");
        }

        if (files.Length == 0)
        {
            throw new CliException(ExitCodes.Usage, "There is no kubeconfig: name one by --kubeconfig or KUBECONFIG, or put one at ~/.kube/config.");
        }

        try
        {
            K8SConfiguration merged = Merged([.. files.Select(f => KubernetesClientConfiguration.LoadKubeConfig(f))]);
            KubernetesClientConfiguration Build() => KubernetesClientConfiguration.BuildConfigFromConfigObject(merged, context);
            return new Cluster(Build, space ?? Build().Namespace ?? "default");
        }
        catch (Exception e) when (e is KubeConfigException or YamlDotNet.Core.YamlException or IOException or FormatException or UnauthorizedAccessException)
        {
            throw new CliException(ExitCodes.Usage, $"The kubeconfig {string.Join(':', files.Select(f => f.FullName))} can't be used: {e.Message}", e);
        }
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        if (_api.IsValueCreated)
        {
            _api.Value.Dispose();
        }

        if (_client.IsValueCreated)
        {
            _client.Value.Dispose();
        }
    }

    /// <summary>As kubectl merges: of two entries of a name the first counts.</summary>
    private static K8SConfiguration Merged(IReadOnlyList<K8SConfiguration> parts)
    {
        K8SConfiguration merged = parts[0];
        foreach (K8SConfiguration part in parts.Skip(1))
        {
            merged.CurrentContext = merged.CurrentContext is { Length: > 0 } named ? named : part.CurrentContext;
            merged.Contexts = [.. (merged.Contexts ?? []).Concat(part.Contexts ?? []).DistinctBy(c => c.Name)];
            merged.Clusters = [.. (merged.Clusters ?? []).Concat(part.Clusters ?? []).DistinctBy(c => c.Name)];
            merged.Users = [.. (merged.Users ?? []).Concat(part.Users ?? []).DistinctBy(u => u.Name)];
        }

        return merged;
    }

    private static FileInfo[] Files(string? named)
    {
        if (named is not null)
        {
            return File.Exists(named)
                ? [new FileInfo(named)]
                : throw new CliException(ExitCodes.Usage, $"--kubeconfig is {named}: there is no such file.");
        }

        if (Environment.GetEnvironmentVariable("KUBECONFIG") is { Length: > 0 } list)
        {
            // Like kubectl: those that are missing are passed over.
            return [.. list.Split(Path.PathSeparator, StringSplitOptions.RemoveEmptyEntries).Where(File.Exists).Select(f => new FileInfo(f))];
        }

        string home = Path.Combine(Environment.GetFolderPath(Environment.SpecialFolder.UserProfile), ".kube", "config");
        return File.Exists(home) ? [new FileInfo(home)] : [];
    }
}
