using k8s.Models;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Logging.Abstractions;
using SandLabX.Entities;
using SandLabX.Operator.Cluster;
using SandLabX.Runtime;
using SandLabX.Unit.Runtime;

namespace SandLabX.Unit.Operator;

public sealed class IntentExecutorTests
{
    [Fact]
    public async Task A_name_taken_by_our_own_object_is_a_late_cache_and_no_refusal()
    {
        KubeException e = await Should.ThrowAsync<KubeException>(() => CreateOverAsync($$"""{"kind": "Pod", "metadata": {"name": "labnode-a", "uid": "u", "labels": {"{{Labels.ManagedBy}}": "{{Labels.ManagedByValue}}"} } }"""));
        e.Kind.ShouldBe(KubeError.Conflict, "tried again, on a fresh observation");
    }

    [Fact]
    public async Task A_name_that_was_taken_and_is_free_again_is_tried_again() =>
        (await Should.ThrowAsync<KubeException>(() => CreateOverAsync(null))).Kind.ShouldBe(KubeError.Conflict);

    [Fact]
    public async Task A_name_taken_by_something_else_is_refused_in_the_servers_words()
    {
        Refusal refusal = (await CreateOverAsync("""{"kind": "Pod", "metadata": {"name": "labnode-a", "uid": "u", "labels": {"app": "other"} } }""")).ShouldNotBeNull();
        (refusal.Kind, refusal.What).ShouldBe((KubeError.AlreadyExists, "create pod labnode-a"));
        refusal.Message.ShouldContain("there is one");
    }

    /// <summary>Creates a pod where the server has this one of its name already; null for one that has just gone.</summary>
    private static async Task<Refusal?> CreateOverAsync(string? there)
    {
        await using FakeApi server = await FakeApi.StartAsync((_, c) =>
            HttpMethods.IsPost(c.Request.Method) ? FakeApi.Status(c, 409, "AlreadyExists", "there is one")
            : there is null ? FakeApi.Status(c, 404, "NotFound", "there is none")
            : FakeApi.Json(c, there));
        using KubeApi api = KubeApi.Connect(server.Config);
        var executor = new IntentExecutor(api, new EvictionGuards(api), NullLogger<IntentExecutor>.Instance);
        var pod = new V1Pod { Metadata = new V1ObjectMeta { Name = "labnode-a", NamespaceProperty = "lab" } };
        return await executor.ApplyAsync(Given.Node(), [new Intent.CreatePod(pod)], CancellationToken.None);
    }
}
