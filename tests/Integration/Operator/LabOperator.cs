using k8s;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SandLabX.Entities;
using SandLabX.Integration.Cluster;
using SandLabX.Operator;
using SandLabX.Runtime;

namespace SandLabX.Integration.Operator;

/// <summary>The whole operator in this process, with no more rights than its generated role gives it, on one namespace of the shared API server.</summary>
internal sealed class LabOperator : IAsyncDisposable
{
    private readonly IHost _host;

    private LabOperator(IHost host) => _host = host;

    public static async Task<LabOperator> StartAsync(ApiServerFixture fixture, string space, Action<OperatorOptions>? change = null)
    {
        await fixture.InstallAsync(typeof(V1Alpha1LabNode), typeof(V1Alpha1LabImage));
        string role = $"operator-{Guid.NewGuid():N}";
        await fixture.GrantAsync(role, RbacGenerator.Yaml(typeof(Composition).Assembly, role));
        await fixture.GrantAsync(
            role,
            $$"""
            apiVersion: rbac.authorization.k8s.io/v1
            kind: Role
            metadata: {name: {{role}}}
            rules: [{apiGroups: [coordination.k8s.io], resources: [leases], verbs: [get, create, patch]}]
            """,
            space);
        var options = new OperatorOptions { RunnerImage = "sandlabx.local/runner:test", WatchNamespace = space, Namespace = space };
        change?.Invoke(options);
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddSimpleConsole(o => o.SingleLine = true).SetMinimumLevel(LogLevel.Warning);
        builder.Services.AddSingleton(fixture.Server.Limited);
        builder.Services.AddSandLabX(options);
        var started = new LabOperator(builder.Build());
        await started._host.StartAsync();
        return started;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
    }
}
