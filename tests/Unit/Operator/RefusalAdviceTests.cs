using SandLabX.Operator.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Unit.Operator;

/// <summary>The words are those of real API servers (1.20).</summary>
public sealed class RefusalAdviceTests
{
    [Theory]
    [InlineData(
        "pods \"labnode-a\" is forbidden: exceeded quota: small, requested: requests.memory=217Mi, used: requests.memory=0, limited: requests.memory=100Mi",
        "Raise ResourceQuota small, free some of it, or lower spec.memory.")]
    [InlineData(
        "persistentvolumeclaims \"labnode-a\" is forbidden: exceeded quota: disks, requested: persistentvolumeclaims=1, used: persistentvolumeclaims=2, limited: persistentvolumeclaims=2",
        "Raise ResourceQuota disks, free some of it.")]
    [InlineData(
        "pods \"labnode-a\" is forbidden: maximum memory usage per Container is 100Mi, but limit is 278134784",
        "Lower spec.memory (which the pod asks for with what QEMU needs beside it), or raise the maximum of memory in the namespace's LimitRange.")]
    [InlineData(
        "pods \"labnode-a\" is forbidden: [minimum cpu usage per Container is 500m, but request is 100m, maximum cpu usage per Pod is 1, but limit is 1500m]",
        "Raise spec.cpus (a pod asks for a tenth of them and is limited to half a CPU more), or lower the minimum of cpu in the namespace's LimitRange. "
        + "Lower spec.cpus (a pod asks for a tenth of them and is limited to half a CPU more), or raise the maximum of cpu in the namespace's LimitRange.")]
    [InlineData(
        "persistentvolumeclaims \"labnode-a\" is forbidden: maximum storage usage per PersistentVolumeClaim is 64Mi, but request is 400Mi",
        "Lower spec.disk.size (which the claim asks for with room for tables and file system), or raise the maximum of storage in the namespace's LimitRange.")]
    [InlineData(
        "pods \"labnode-a\" is forbidden: cpu max limit to request ratio per Container is 2, but provided ratio is 15.000000",
        "Raise maxLimitRequestRatio of cpu in the namespace's LimitRange: a pod's limits are above its requests on purpose.")]
    [InlineData("admission webhook \"policy.example.org\" denied the request: no", "")]
    public void The_servers_words_are_kept_and_the_way_out_follows(string words, string advice) =>
        RefusalAdvice.Tell(new Refusal("create pod labnode-a", KubeError.Forbidden, words), "spec.memory", "spec.cpus", "spec.disk.size")
            .ShouldBe($"The API server refused to create pod labnode-a: {words}. {advice}".TrimEnd());

    [Fact]
    public void The_request_itself_is_no_news() =>
        RefusalAdvice.Words("POST /api/v1/namespaces/lab/pods?fieldManager=sandlabx: 403 pods \"a\" is forbidden: no").ShouldBe("pods \"a\" is forbidden: no");

    [Fact]
    public void Where_no_field_of_the_spec_is_behind_it_only_the_namespace_can_change() =>
        RefusalAdvice.Tell(new Refusal("create pod labimage-a", KubeError.Forbidden, "maximum memory usage per Container is 100Mi, but limit is 512Mi"), null, null, "spec.storage.size")
            .ShouldEndWith("limit is 512Mi. Raise the maximum of memory in the namespace's LimitRange.");
}
