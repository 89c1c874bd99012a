using System.Globalization;
using System.Text.Json.Nodes;
using k8s;
using k8s.Models;
using SandLabX.Runtime;

// Tests of the runner share nothing and wait for guests and servers: they run beside those on the API server.
[assembly: Xunit.v3.Parallelization(MaxThreads = 4)]

namespace SandLabX.Integration.Cluster;

/// <summary>Tests on the API server run one after another: they read process-wide metrics, and one of them restarts it.</summary>
[CollectionDefinition(Name)]
public sealed class OnApiServer : ICollectionFixture<ApiServerFixture>
{
    /// <summary>The collection's name.</summary>
    public const string Name = "API server";
}

/// <summary>The API server that all its tests share; each test takes a namespace of its own. Without binaries every test is skipped and says so.</summary>
public sealed class ApiServerFixture : IAsyncLifetime
{
    private ApiServer? _server;
    private KubeApi? _api;
    private int _namespaces;

    /// <summary>The server. Skips the test when there is none.</summary>
    public ApiServer Server
    {
        get
        {
            Assert.SkipWhen(ApiServer.Missing is not null, ApiServer.Missing ?? "");
            return _server!;
        }
    }

    /// <summary>Configuration of somebody who may do everything; a new object each time.</summary>
    public KubernetesClientConfiguration Config => Server.Admin;

    /// <summary>The API, for somebody who may do everything, past all caches.</summary>
    public KubeApi Api => _api ??= KubeApi.Connect(Config);

    /// <inheritdoc/>
    public async ValueTask InitializeAsync()
    {
        if (ApiServer.Missing is null)
        {
            _server = await ApiServer.StartAsync();
        }
    }

    /// <summary>Makes a namespace of a new name.</summary>
    public async Task<string> CreateNamespaceAsync()
    {
        string name = "test-" + Interlocked.Increment(ref _namespaces).ToString(CultureInfo.InvariantCulture);
        await Api.CreateAsync(new V1Namespace { Metadata = new V1ObjectMeta { Name = name } }, default);
        return name;
    }

    /// <summary>Installs the definitions of kinds and waits until the server serves them; installed ones are left alone.</summary>
    public Task InstallAsync(params Type[] kinds) => InstallAsync(Api, kinds);

    /// <summary>The same, on another server.</summary>
    public static async Task InstallAsync(KubeApi api, params Type[] kinds)
    {
        foreach (Type kind in kinds)
        {
            V1CustomResourceDefinition crd = KubernetesYaml.Deserialize<V1CustomResourceDefinition>(CrdGenerator.Yaml(kind));
            try
            {
                await api.CreateAsync(crd, default);
            }
            catch (KubeException e) when (e.Kind == KubeError.AlreadyExists)
            {
                continue;
            }

            await Eventually.BeTrueAsync(
                async () => (await api.GetAsync<V1CustomResourceDefinition>(new ObjectKey("", crd.Metadata.Name), default))?.Status?.Conditions?
                    .Any(c => c.Type == "Established" && c.Status == "True") == true,
                $"{crd.Metadata.Name} is served");
        }
    }

    /// <summary>Gives the user <c>limited</c> a role's rules.</summary>
    /// <param name="name">Name of the role.</param>
    /// <param name="yaml">A ClusterRole, or a Role that is made in <paramref name="space"/>.</param>
    /// <param name="space">Namespace of a Role.</param>
    public async Task GrantAsync(string name, string yaml, string? space = null)
    {
        JsonArray subjects = [new JsonObject { ["kind"] = "User", ["name"] = "limited", ["apiGroup"] = "rbac.authorization.k8s.io" }];
        var meta = new V1ObjectMeta { Name = name, NamespaceProperty = space };
        var user = KubernetesJson.Deserialize<IList<Rbacv1Subject>>(subjects.ToJsonString());
        if (space is null)
        {
            await Api.CreateAsync(KubernetesYaml.Deserialize<V1ClusterRole>(yaml), default);
            await Api.CreateAsync(
                new V1ClusterRoleBinding { Metadata = meta, Subjects = user, RoleRef = new V1RoleRef { ApiGroup = "rbac.authorization.k8s.io", Kind = "ClusterRole", Name = name } }, default);
        }
        else
        {
            V1Role role = KubernetesYaml.Deserialize<V1Role>(yaml);
            role.Metadata.NamespaceProperty = space;
            await Api.CreateAsync(role, default);
            await Api.CreateAsync(
                new V1RoleBinding { Metadata = meta, Subjects = user, RoleRef = new V1RoleRef { ApiGroup = "rbac.authorization.k8s.io", Kind = "Role", Name = name } }, default);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        _api?.Dispose();
        if (_server is not null)
        {
            await _server.DisposeAsync();
        }
    }
}
