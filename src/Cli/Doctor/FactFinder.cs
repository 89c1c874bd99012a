using System.Net;
using k8s;
using k8s.Autorest;
using k8s.Models;
using SandLabX.Cli.Connection;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Doctor;

/// <summary>Fetches the facts, all at once; what can't be had is a fact too.</summary>
internal static class FactFinder
{
    /// <summary>The chart's labels of an operator's deployment.</summary>
    internal const string OperatorSelector = "app.kubernetes.io/name=sandlabx,app.kubernetes.io/component=operator";

    /// <summary>What is said of a namespace that is not there.</summary>
    internal const string MissingNamespace = "it does not exist";

    private const string Ours = Labels.ManagedBy + "=" + Labels.ManagedByValue;

    internal static async Task<Facts> FetchAsync(Cluster cluster, CancellationToken stop)
    {
        string space = cluster.Namespace;
        (Fetched<VersionInfo> server, DateTimeOffset now) = await ServerAsync(cluster, stop).ConfigureAwait(false);
        bool up = server.Value is not null;
        Task<Fetched<IReadOnlyList<T>>> List<T>(string where, string? selector = null)
            where T : class, IKubernetesObject<V1ObjectMeta> => up ? TryAsync(() => cluster.Api.ListAsync<T>(where, selector, stop)) : Task.FromResult(new Fetched<IReadOnlyList<T>>(null, "no API server"));
        Task<Fetched<IReadOnlyList<V1CustomResourceDefinition>>> definitions = List<V1CustomResourceDefinition>("");
        Task<Fetched<IReadOnlyList<V1Deployment>>> operators = List<V1Deployment>("", OperatorSelector);
        Task<Fetched<IReadOnlyList<V1StorageClass>>> classes = List<V1StorageClass>("");
        Task<Fetched<IReadOnlyList<V1Node>>> nodes = List<V1Node>("");
        Task<Fetched<IReadOnlyList<V1Pod>>> allPods = List<V1Pod>("");
        Task<Fetched<IReadOnlyList<V1Pod>>> pods = List<V1Pod>(space, Ours);
        Task<Fetched<IReadOnlyList<V1Alpha1LabNode>>> labNodes = List<V1Alpha1LabNode>(space);
        Task<Fetched<IReadOnlyList<V1Alpha1LabImage>>> labImages = List<V1Alpha1LabImage>(space);
        Task<Fetched<IReadOnlyList<V1PersistentVolumeClaim>>> claims = List<V1PersistentVolumeClaim>(space, Ours);
        Task<Fetched<V1Namespace>> home = up ? TryAsync(async () => await cluster.Api.GetAsync<V1Namespace>(new ObjectKey("", space), stop).ConfigureAwait(false) ?? throw new KubeException(KubeError.NotFound, MissingNamespace)) : Task.FromResult(new Fetched<V1Namespace>(null, "no API server"));
        Task<(Right, bool?)[]> rights = up ? Task.WhenAll(Right.All.Select(r => MayAsync(cluster, r, stop))) : Task.FromResult<(Right, bool?)[]>([]);
        string? place = (await operators.ConfigureAwait(false)).Value is [var first, ..] ? first.Metadata.NamespaceProperty : null;
        return new Facts
        {
            Now = now,
            Space = space,
            Server = server,
            Definitions = await definitions.ConfigureAwait(false),
            Expected = [CrdGenerator.Crd(typeof(V1Alpha1LabNode)), CrdGenerator.Crd(typeof(V1Alpha1LabImage))],
            Operators = await operators.ConfigureAwait(false),
            Leases = place is null ? new Fetched<IReadOnlyList<V1Lease>>([]) : await List<V1Lease>(place).ConfigureAwait(false),
            Classes = await classes.ConfigureAwait(false),
            Namespace = await home.ConfigureAwait(false),
            Nodes = await nodes.ConfigureAwait(false),
            AllPods = await allPods.ConfigureAwait(false),
            Pods = await pods.ConfigureAwait(false),
            LabNodes = await labNodes.ConfigureAwait(false),
            LabImages = await labImages.ConfigureAwait(false),
            Claims = await claims.ConfigureAwait(false),
            Rights = await rights.ConfigureAwait(false),
        };
    }

    private static async Task<(Fetched<VersionInfo> Version, DateTimeOffset Now)> ServerAsync(Cluster cluster, CancellationToken stop)
    {
        DateTimeOffset ours = TimeProvider.System.GetUtcNow();
        try
        {
            using HttpOperationResponse<VersionInfo> answer = await cluster.Client.Version.GetCodeWithHttpMessagesAsync(cancellationToken: stop).ConfigureAwait(false);
            return (new Fetched<VersionInfo>(answer.Body), answer.Response.Headers.Date ?? ours);
        }
        catch (HttpOperationException e)
        {
            return (new Fetched<VersionInfo>(null, $"{(int)e.Response.StatusCode} {e.Response.Content}", e.Response.StatusCode == HttpStatusCode.Forbidden), ours);
        }
        catch (HttpRequestException e)
        {
            return (new Fetched<VersionInfo>(null, e.Message), ours);
        }
    }

    private static async Task<(Right Right, bool? Allowed)> MayAsync(Cluster cluster, Right right, CancellationToken stop)
    {
        string[] resource = right.Resource.Split('/');
        var question = new V1SelfSubjectAccessReview
        {
            Spec = new V1SelfSubjectAccessReviewSpec
            {
                ResourceAttributes = new V1ResourceAttributes
                {
                    NamespaceProperty = cluster.Namespace,
                    Verb = right.Verb,
                    Group = right.Group,
                    Resource = resource[0],
                    Subresource = resource.Length > 1 ? resource[1] : null,
                },
            },
        };
        try
        {
            return (right, (await cluster.Client.AuthorizationV1.CreateSelfSubjectAccessReviewAsync(question, cancellationToken: stop).ConfigureAwait(false)).Status?.Allowed);
        }
        catch (Exception e) when (e is HttpOperationException or HttpRequestException)
        {
            return (right, null);
        }
    }

    private static async Task<Fetched<T>> TryAsync<T>(Func<Task<T>> ask)
        where T : class
    {
        try
        {
            return new Fetched<T>(await ask().ConfigureAwait(false));
        }
        catch (KubeException e)
        {
            return new Fetched<T>(null, e.Message, e.Kind == KubeError.Forbidden);
        }
    }
}
