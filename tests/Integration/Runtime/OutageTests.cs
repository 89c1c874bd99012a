using k8s.Models;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

/// <summary>Links that break, and a server that is away, forgets or restarts.</summary>
[Collection(OnApiServer.Name)]
public sealed class OutageTests(ApiServerFixture fixture)
{
    [Fact]
    public async Task What_happened_while_the_link_was_cut_is_known_afterwards()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        string space = await fixture.CreateNamespaceAsync();
        await using var proxy = new FlakyProxy(fixture.Server.Port);
        await using GizmoHost host = await GizmoHost.StartAsync(ApiServer.Via(fixture.Config, proxy.Port), space);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "stays"), default);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "goes"), default);
        await Eventually.BeTrueAsync(() => host.Gizmos.Count == 2 && host.Gizmos.List().All(g => g.Status?.Phase == "Ready"), "both are ready");
        for (int round = 0; round < 3; round++)
        {
            proxy.Refuse(true);
            await fixture.Api.CreateAsync(Make.Gizmo(space, "new" + round), default);
            if (round == 0)
            {
                Gizmo goes = (await fixture.Api.GetAsync<Gizmo>(new ObjectKey(space, "goes"), default))!;
                await fixture.Api.PatchAsync<Gizmo>(ObjectKey.Of(goes), new() { ["metadata"] = new System.Text.Json.Nodes.JsonObject { ["finalizers"] = null } }, default);
                await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(goes), goes.Metadata.Uid, null, default);
            }

            proxy.Refuse(false);
            int n = round;
            await Eventually.BeTrueAsync(() => host.Gizmos.Get(new ObjectKey(space, "new" + n))?.Status?.Phase == "Ready", "the new one is ready");
        }

        host.Gizmos.Get(new ObjectKey(space, "goes")).ShouldBeNull();
        await Eventually.BeTrueAsync(() => host.Log.Gone.Count == 1, "the deletion is told");
        host.Health.Live.ShouldBeTrue();
    }

    [Fact]
    public async Task A_link_that_goes_silent_is_noticed_by_pings_and_replaced()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        string space = await fixture.CreateNamespaceAsync();
        await using var proxy = new FlakyProxy(fixture.Server.Port);
        await using GizmoHost host = await GizmoHost.StartAsync(ApiServer.Via(fixture.Config, proxy.Port), space);
        await Eventually.BeTrueAsync(() => host.Health.Ready, "it is ready");
        proxy.GoSilent();
        await fixture.Api.CreateAsync(Make.Gizmo(space, "unheard"), default);

        // A few seconds without a word, a ping, and no answer: the watch itself would be believed in for minutes.
        await Eventually.BeTrueAsync(() => host.Gizmos.Get(new ObjectKey(space, "unheard")) is not null, "it is heard of");
        await Eventually.BeTrueAsync(() => host.Gizmos.Get(new ObjectKey(space, "unheard"))?.Status?.Phase == "Ready", "and worked on");
    }

    [Fact]
    public async Task A_server_that_forgot_our_version_is_listed_anew_and_one_that_restarts_is_found_again()
    {
        Assert.SkipWhen(ApiServer.Missing is not null, ApiServer.Missing ?? "");

        // Without its cache the server asks etcd for every version, and so shows what etcd has forgotten.
        await using ApiServer server = await ApiServer.StartAsync("--watch-cache=false");
        using KubeApi admin = KubeApi.Connect(server.Admin);
        await ApiServerFixture.InstallAsync(admin, typeof(Gizmo));
        await using var proxy = new FlakyProxy(server.Port);
        await using GizmoHost host = await GizmoHost.StartAsync(ApiServer.Via(server.Admin, proxy.Port), "default");
        await admin.CreateAsync(Make.Gizmo("default", "a"), default);
        await Eventually.BeTrueAsync(() => host.Gizmos.Get(new ObjectKey("default", "a"))?.Status?.Phase == "Ready", "it is ready");

        double gone = RuntimeMetrics.WatchRestarts.WithLabels("Gizmo", "gone").Value;
        proxy.Refuse(true);
        Gizmo a = (await admin.GetAsync<Gizmo>(new ObjectKey("default", "a"), default))!;
        await admin.PatchAsync<Gizmo>(ObjectKey.Of(a), new() { ["metadata"] = new System.Text.Json.Nodes.JsonObject { ["finalizers"] = null } }, default);
        await admin.DeleteAsync<Gizmo>(ObjectKey.Of(a), a.Metadata.Uid, null, default);
        for (int i = 0; i < 5; i++)
        {
            await admin.CreateAsync(new V1ConfigMap { Metadata = new V1ObjectMeta { NamespaceProperty = "default", Name = "noise" + i } }, default);
        }

        await server.CompactAsync();
        proxy.Refuse(false);
        await Eventually.BeTrueAsync(() => host.Gizmos.Count == 0, "the deletion that no watch can tell is found");
        RuntimeMetrics.WatchRestarts.WithLabels("Gizmo", "gone").Value.ShouldBeGreaterThan(gone);

        await server.StopServerAsync();
        await server.StartServerAsync();
        await admin.CreateAsync(Make.Gizmo("default", "after"), default);
        await Eventually.BeTrueAsync(() => host.Gizmos.Get(new ObjectKey("default", "after"))?.Status?.Phase == "Ready", "it works on");
        host.Health.Live.ShouldBeTrue();
    }
}
