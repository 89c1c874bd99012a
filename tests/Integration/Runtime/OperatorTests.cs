using System.Text.Json.Nodes;
using k8s.Models;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

/// <summary>A whole operator on a real API server.</summary>
[Collection(OnApiServer.Name)]
public sealed class OperatorTests(ApiServerFixture fixture)
{
    [Fact]
    public async Task An_object_gets_its_finalizer_its_child_and_its_status_and_then_nothing_is_written_any_more()
    {
        string space = await PrepareAsync();
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Config, space);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        Gizmo ready = await ReadyAsync(space, "a");
        ready.Metadata.Finalizers.ShouldBe([GizmoController.Finalizer]);
        ready.Status!.ObservedGeneration.ShouldBe(1);
        V1ConfigMap map = (await fixture.Api.GetAsync<V1ConfigMap>(new ObjectKey(space, "a"), default))!;
        map.Data["color"].ShouldBe("Red");
        IReadOnlyList<Corev1Event> events = await fixture.Api.ListAsync<Corev1Event>(space, null, default);
        events.ShouldContain(e => e.Reason == "Made" && e.InvolvedObject.Uid == ready.Metadata.Uid);

        // Every object is looked at again; nothing is to be done.
        double writes = Writes();
        int runs = host.Log.Runs.Count;
        await fixture.Api.PatchAsync<Gizmo>(ObjectKey.Of(ready), new JsonObject { ["metadata"] = new JsonObject { ["labels"] = new JsonObject { ["touched"] = "yes" } } }, default);
        await Eventually.BeTrueAsync(() => host.Log.Runs.Count > runs, "the change of a label is looked at");
        await Task.Delay(500);
        (Writes() - writes).ShouldBe(1, "the test's own write and no other");
    }

    [Fact]
    public async Task A_change_of_the_spec_and_a_lost_child_are_put_right()
    {
        string space = await PrepareAsync();
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Config, space);
        var key = new ObjectKey(space, "a");
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        await ReadyAsync(space, "a");
        await fixture.Api.PatchAsync<Gizmo>(key, new JsonObject { ["spec"] = new JsonObject { ["color"] = "Blue" } }, default);
        await Eventually.BeTrueAsync(
            async () => (await fixture.Api.GetAsync<V1ConfigMap>(key, default))?.Data["color"] == "Blue", "the child follows");
        V1ConfigMap map = (await fixture.Api.GetAsync<V1ConfigMap>(key, default))!;
        await fixture.Api.DeleteAsync<V1ConfigMap>(key, map.Metadata.Uid, null, default);
        await Eventually.BeTrueAsync(
            async () => await fixture.Api.GetAsync<V1ConfigMap>(key, default) is { } now && now.Metadata.Uid != map.Metadata.Uid, "the child is made anew");
        await Eventually.BeTrueAsync(
            async () => (await fixture.Api.GetAsync<Gizmo>(key, default))!.Status!.ObservedGeneration == 2, "the status answers the new spec");
    }

    [Fact]
    public async Task A_deletion_waits_for_the_finalizer_and_the_controller_is_told()
    {
        string space = await PrepareAsync();
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Config, space);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        Gizmo gizmo = await ReadyAsync(space, "a");
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(gizmo), gizmo.Metadata.Uid, null, default);
        await Eventually.BeTrueAsync(async () => await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(gizmo), default) is null, "it goes");
        (await fixture.Api.GetAsync<V1ConfigMap>(ObjectKey.Of(gizmo), default)).ShouldBeNull();
        await Eventually.BeTrueAsync(() => host.Log.Gone.Count == 1, "the controller is told");
        host.Log.Gone.Single().Metadata.Uid.ShouldBe(gizmo.Metadata.Uid);
    }

    [Fact]
    public async Task What_was_deleted_or_made_while_no_operator_ran_is_found_at_the_start()
    {
        string space = await PrepareAsync();
        await using (GizmoHost first = await GizmoHost.StartAsync(fixture.Config, space))
        {
            await fixture.Api.CreateAsync(Make.Gizmo(space, "old"), default);
            await ReadyAsync(space, "old");
        }

        Gizmo old = (await fixture.Api.GetAsync<Gizmo>(new ObjectKey(space, "old"), default))!;
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(old), old.Metadata.Uid, null, default);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "new"), default);
        await using GizmoHost second = await GizmoHost.StartAsync(fixture.Config, space);
        await ReadyAsync(space, "new");
        await Eventually.BeTrueAsync(async () => await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(old), default) is null, "the deletion is finished");
    }

    [Fact]
    public async Task Forty_objects_at_once_all_become_ready_and_see_their_own_writes()
    {
        string space = await PrepareAsync();
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Config, space);
        await Task.WhenAll(Enumerable.Range(0, 40).Select(i => fixture.Api.CreateAsync(Make.Gizmo(space, "g" + i), default)));
        await Eventually.BeTrueAsync(
            async () => (await fixture.Api.ListAsync<Gizmo>(space, null, default)).Count(g => g.Status?.Phase == "Ready") == 40, "all are ready");

        // A stale cache would show as a second try to make the child: AlreadyExists, and so an error.
        RuntimeMetrics.Reconciles.WithLabels("gizmo", "error").Value.ShouldBe(_errorsBefore);
    }

    [Fact]
    public async Task The_rights_that_the_attributes_name_are_enough()
    {
        string space = await PrepareAsync();
        string name = "gizmo-" + space;
        await fixture.GrantAsync(name, k8s.KubernetesYaml.Serialize(RbacGenerator.ClusterRole([typeof(GizmoController)], name)));
        await fixture.GrantAsync(name + "-lease", RbacGenerator.LeaseRoleYaml(name + "-lease"), space);
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Server.Limited, space, election: true);
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        Gizmo gizmo = await ReadyAsync(space, "a");
        await Eventually.BeTrueAsync(async () => (await fixture.Api.ListAsync<Corev1Event>(space, null, default)).Any(), "the event is written");
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(gizmo), gizmo.Metadata.Uid, null, default);
        await Eventually.BeTrueAsync(async () => await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(gizmo), default) is null, "it goes");
    }

    [Fact]
    public async Task The_probes_tell_ready_only_when_every_cache_is_filled()
    {
        string space = await PrepareAsync();
        await using GizmoHost host = await GizmoHost.StartAsync(fixture.Config, space, more: op => op.AddCache<Unserved>());
        await Eventually.BeTrueAsync(() => host.Gizmos.HasSynced, "one cache is filled");
        await Task.Delay(200);
        (host.Health.Live, host.Health.Ready).ShouldBe((true, false));
        host.Health.Problems.Single().ShouldContain("Unserved");
        await fixture.InstallAsync(typeof(Unserved));
        await Eventually.BeTrueAsync(() => host.Health.Ready, "the definition came later");
    }

    private readonly double _errorsBefore = RuntimeMetrics.Reconciles.WithLabels("gizmo", "error").Value;

    private async Task<string> PrepareAsync()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        return await fixture.CreateNamespaceAsync();
    }

    private async Task<Gizmo> ReadyAsync(string space, string name)
    {
        Gizmo? gizmo = null;
        await Eventually.BeTrueAsync(
            async () => (gizmo = await fixture.Api.GetAsync<Gizmo>(new ObjectKey(space, name), default))?.Status?.Phase == "Ready", $"{name} is ready");
        return gizmo!;
    }

    /// <summary>Writes by this process that the server took.</summary>
    private static double Writes() => new[] { "POST", "PATCH", "PUT", "DELETE" }.Sum(
        method => new[] { "200", "201", "409", "422" }.Sum(code => RuntimeMetrics.Requests.WithLabels(code, method).Value));

    [KubernetesEntity(Group = "late.sandlabx.io", ApiVersion = "v1", Kind = "Unserved", PluralName = "unserveds")]
    private sealed class Unserved : CustomKubernetesEntity<GizmoInner>;
}
