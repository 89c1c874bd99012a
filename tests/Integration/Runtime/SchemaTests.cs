using System.Text.Json.Nodes;
using k8s.Models;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.Runtime;

/// <summary>What a real API server makes of generated definitions and of our writes.</summary>
[Collection(OnApiServer.Name)]
public sealed class SchemaTests(ApiServerFixture fixture)
{
    [Fact]
    public async Task Defaults_are_filled_in_and_what_the_schema_forbids_is_refused()
    {
        string space = await PrepareAsync();
        Gizmo made = await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        (made.Spec.Size, made.Spec.Inner?.Speed).ShouldBe((3, "Slow"));
        await InvalidAsync(Make.Gizmo(space, "b", "Green"), "Unsupported value");
        Gizmo large = Make.Gizmo(space, "b");
        large.Spec.Size = 11;
        await InvalidAsync(large, "less than or equal to 10");
        Gizmo rich = Make.Gizmo(space, "c");
        rich.Spec.Memory = new ResourceQuantity("512Mi");
        rich.Spec.Tolerations = [new V1Toleration { Key = "k", OperatorProperty = "Exists", TolerationSeconds = 5 }];
        Gizmo kept = await fixture.Api.CreateAsync(rich, default);
        kept.Spec.Memory!.ToString().ShouldBe("512Mi");
        kept.Spec.Tolerations!.Single().TolerationSeconds.ShouldBe(5);
    }

    [Fact]
    public async Task Discovery_knows_categories_and_short_names()
    {
        await PrepareAsync();
        V1CustomResourceDefinition crd = (await fixture.Api.GetAsync<V1CustomResourceDefinition>(new ObjectKey("", "gizmos.test.sandlabx.io"), default))!;
        crd.Status.AcceptedNames.Categories.ShouldBe(["sandlabx-test"]);
        crd.Status.AcceptedNames.ShortNames.ShouldBe(["gz"]);
        crd.Status.Conditions.ShouldNotContain(c => c.Type == "NonStructuralSchema" && c.Status == "True");
    }

    [Fact]
    public async Task A_status_patch_keeps_what_the_type_does_not_know_and_fails_on_a_stale_object()
    {
        string space = await PrepareAsync();
        Gizmo made = await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        Gizmo first = await fixture.Api.PatchStatusAsync(made, new GizmoStatus { Phase = "One", ObservedGeneration = 1 }, default);
        KubeException stale = await Should.ThrowAsync<KubeException>(
            () => fixture.Api.PatchStatusAsync(made, new GizmoStatus { Phase = "Stale" }, default));
        stale.Kind.ShouldBe(KubeError.Conflict);

        // A newer version of the program wrote a field that this one does not know.
        using var transport = new KubeTransport(fixture.Config, new OperatorSettings(), TimeProvider.System);
        string path = ResourceType.Of<Gizmo>().Path(space, "a", "status");
        await transport.PatchAsync(path, new JsonObject { ["status"] = new JsonObject { ["fromTheFuture"] = "kept" } }, null, default);
        Gizmo now = (await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(made), default))!;
        Gizmo second = await fixture.Api.PatchStatusAsync(now, new GizmoStatus { Phase = "Two" }, default);
        second.Status!.ObservedGeneration.ShouldBeNull();
        (await transport.GetAsync(path, null, default)).GetProperty("status").GetProperty("fromTheFuture").GetString().ShouldBe("kept");
        (await fixture.Api.PatchStatusAsync(second, new GizmoStatus { Phase = "Two" }, default)).ShouldBeSameAs(second);
        first.Metadata.Generation.ShouldBe(1);
    }

    [Fact]
    public async Task Refusals_of_a_real_server_have_the_right_kinds()
    {
        string space = await PrepareAsync();
        await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        (await Should.ThrowAsync<KubeException>(() => fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default))).Kind.ShouldBe(KubeError.AlreadyExists);
        (await Should.ThrowAsync<KubeException>(() => fixture.Api.CreateAsync(Make.Gizmo("nowhere", "a"), default))).Kind.ShouldBe(KubeError.NotFound);
        (await Should.ThrowAsync<KubeException>(() => fixture.Api.PatchAsync<Gizmo>(new ObjectKey(space, "none"), [], default))).Kind.ShouldBe(KubeError.NotFound);
        (await fixture.Api.GetAsync<Gizmo>(new ObjectKey(space, "none"), default)).ShouldBeNull();
        using KubeApi nobody = KubeApi.Connect(fixture.Server.Limited);
        (await Should.ThrowAsync<KubeException>(() => nobody.CreateAsync(new V1Secret { Metadata = new V1ObjectMeta { Name = "s", NamespaceProperty = space } }, default)))
            .Kind.ShouldBe(KubeError.Forbidden);
        using var transport = new KubeTransport(fixture.Config, new OperatorSettings(), TimeProvider.System);
        KubeException old = await Should.ThrowAsync<KubeException>(
            () => transport.GetAsync(ResourceType.Of<V1ConfigMap>().Path("") + "?limit=1&continue=nonsense", null, default));
        old.Kind.ShouldBe(KubeError.Invalid);
    }

    [Fact]
    public async Task A_deletion_takes_this_very_object_or_none()
    {
        string space = await PrepareAsync();
        Gizmo made = await fixture.Api.CreateAsync(Make.Gizmo(space, "a"), default);
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(made), Guid.NewGuid().ToString(), null, default);
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(made), made.Metadata.Uid, "1", default);
        (await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(made), default)).ShouldNotBeNull();
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(made), made.Metadata.Uid, made.Metadata.ResourceVersion, default);
        (await fixture.Api.GetAsync<Gizmo>(ObjectKey.Of(made), default)).ShouldBeNull();
        await fixture.Api.DeleteAsync<Gizmo>(ObjectKey.Of(made), made.Metadata.Uid, null, default);
    }

    private async Task InvalidAsync(Gizmo gizmo, string words)
    {
        KubeException e = await Should.ThrowAsync<KubeException>(() => fixture.Api.CreateAsync(gizmo, default));
        e.Kind.ShouldBe(KubeError.Invalid);
        e.Message.ShouldContain(words);
    }

    private async Task<string> PrepareAsync()
    {
        await fixture.InstallAsync(typeof(Gizmo));
        return await fixture.CreateNamespaceAsync();
    }
}
