using System.Text.Json.Nodes;
using k8s.Models;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

[Collection(OnApiServer.Name)]
public sealed class LeadershipTests(ApiServerFixture fixture)
{
    [Fact]
    public async Task Two_operators_are_ready_one_works_and_the_other_takes_over_at_once_when_it_ends()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        string space = await fixture.CreateNamespaceAsync();
        await using GizmoHost one = await GizmoHost.StartAsync(fixture.Config, space, election: true, identity: "one");
        await Eventually.BeTrueAsync(() => one.Elector.IsLeader, "the first one leads");
        await using GizmoHost two = await GizmoHost.StartAsync(fixture.Config, space, election: true, identity: "two");
        await Eventually.BeTrueAsync(() => two.Health.Ready, "the second one is ready too");
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        await Eventually.BeTrueAsync(() => !one.Log.Runs.IsEmpty && two.Gizmos.Count == 1, "the first one works, the second one's cache is warm");
        two.Log.Runs.ShouldBeEmpty();
        two.Elector.IsLeader.ShouldBeFalse();

        await one.StopAsync();
        V1Lease lease = (await fixture.Api.GetAsync<V1Lease>(new ObjectKey(space, "gizmo-operator-leader"), default))!;
        lease.Spec.HolderIdentity.ShouldNotBe("one", "the lease was given back, not left to run out");
        await Eventually.BeTrueAsync(() => !two.Log.Runs.IsEmpty, "the second one works");
    }

    [Fact]
    public async Task A_stolen_lease_ends_the_process_with_a_failure_and_its_running_work_at_once()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        string space = await fixture.CreateNamespaceAsync();
        await using GizmoHost one = await GizmoHost.StartAsync(fixture.Config, space, election: true, identity: "one");
        await Eventually.BeTrueAsync(() => one.Elector.IsLeader, "it leads");
        one.Log.Gate = new TaskCompletionSource().Task;
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        await Eventually.BeTrueAsync(() => !one.Log.Runs.IsEmpty, "a reconcile runs");
        try
        {
            await fixture.Api.PatchAsync<V1Lease>(
                new ObjectKey(space, "gizmo-operator-leader"), new JsonObject { ["spec"] = new JsonObject { ["holderIdentity"] = "thief" } }, default);
            await Eventually.BeTrueAsync(() => !one.Elector.IsLeader, "it does not lead any more");
            await Eventually.BeTrueAsync(() => Environment.ExitCode == 1, "the process fails");

            // The work hangs and was not waited for.
            await Eventually.BeTrueAsync(() => one.Stopping.IsCancellationRequested, "the host is asked to end");
            await one.StopAsync().WaitAsync(Eventually.Patience);
            (await fixture.Api.GetAsync<V1ConfigMap>(new ObjectKey(space, "a"), default)).ShouldBeNull();
            (await fixture.Api.GetAsync<V1Lease>(new ObjectKey(space, "gizmo-operator-leader"), default))!.Spec.HolderIdentity.ShouldBe("thief");
        }
        finally
        {
            Environment.ExitCode = 0;
        }
    }

    [Fact]
    public async Task The_lease_is_kept_until_running_work_is_through()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        string space = await fixture.CreateNamespaceAsync();
        await using GizmoHost one = await GizmoHost.StartAsync(fixture.Config, space, election: true, identity: "one");
        var gate = new TaskCompletionSource();
        one.Log.Gate = gate.Task;
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        await Eventually.BeTrueAsync(() => !one.Log.Runs.IsEmpty, "a reconcile runs");
        Task stop = one.StopAsync();
        await Task.Delay(300);
        (await HolderAsync()).ShouldBe("one");
        gate.SetResult();
        await stop;
        (await HolderAsync()).ShouldBe("");

        // The reconcile went on to its end: it made the child.
        (await fixture.Api.GetAsync<V1ConfigMap>(new ObjectKey(space, "a"), default)).ShouldNotBeNull();

        async Task<string> HolderAsync() => (await fixture.Api.GetAsync<V1Lease>(new ObjectKey(space, "gizmo-operator-leader"), default))!.Spec.HolderIdentity;
    }
}
