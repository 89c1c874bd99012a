using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>An installation brings the operator, and no machine that nobody asked for.</summary>
public sealed class CleanStartTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    protected override bool WantsImage => false;

    [Fact]
    public async Task A_fresh_namespace_has_no_LabNodes_and_gets_none()
    {
        (await Lab.KubectlOkAsync("-n", Space.Name, "get", "labnodes,labimages", "-o", "name")).ShouldBeEmpty();
        (await Lab.KubectlOkAsync("-n", Lab.OperatorNamespace, "get", "labnodes,labimages", "-o", "name")).ShouldBeEmpty();
    }

    [Fact]
    public async Task No_LabNode_and_no_LabImage_of_the_cluster_was_made_by_the_chart()
    {
        IReadOnlyList<V1Alpha1LabNode> nodes = await Lab.Api.ListAsync<V1Alpha1LabNode>("", null, CancellationToken.None);
        nodes.Select(n => n.Metadata.Annotations?.Keys.FirstOrDefault(k => k.StartsWith("meta.helm.sh/", StringComparison.Ordinal))).ShouldAllBe(a => a == null);
        IReadOnlyList<V1Alpha1LabImage> images = await Lab.Api.ListAsync<V1Alpha1LabImage>("", null, CancellationToken.None);
        images.Select(i => i.Metadata.Annotations?.Keys.FirstOrDefault(k => k.StartsWith("meta.helm.sh/", StringComparison.Ordinal))).ShouldAllBe(a => a == null);
    }
}
