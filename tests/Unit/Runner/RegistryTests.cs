using System.Text;
using SandLabX.Contract;
using SandLabX.Runner;
using SandLabX.Runner.Import;

namespace SandLabX.Unit.Runner;

public class RegistryTests
{
    private const string Digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    [Theory]
    [InlineData("registry.example.org/lab/debian:12", "registry.example.org", "lab/debian", "12")]
    [InlineData("registry.example.org:5000/lab/debian", "registry.example.org:5000", "lab/debian", "latest")]
    [InlineData("localhost:5000/debian:12", "localhost:5000", "debian", "12")]
    [InlineData("registry:5000/debian:12", "registry:5000", "debian", "12")]
    [InlineData("127.0.0.1:5000/debian@" + Digest, "127.0.0.1:5000", "debian", Digest)]
    [InlineData("r.example.org/debian:12@" + Digest, "r.example.org", "debian", Digest)]
    [InlineData("debian:12", "registry-1.docker.io", "library/debian", "12")]
    [InlineData("docker.io/lab/debian:12", "registry-1.docker.io", "lab/debian", "12")]
    public void A_reference_is_read_as_everywhere(string text, string host, string repository, string version) =>
        OciReference.Parse(text).ShouldBe(new OciReference(host, repository, version));

    [Theory]
    [InlineData("")]
    [InlineData("https://registry.example.org/debian")]
    [InlineData("registry.example.org/../debian")]
    [InlineData("registry.example.org/debian:12?x=1")]
    [InlineData("registry.example.org/debian@sha256:12")]
    [InlineData("user:password@registry.example.org/debian")]
    [InlineData("registry.example.org/debian\n")]
    public void What_is_no_reference_is_none(string text) => OciReference.Parse(text).ShouldBeNull();

    [Theory]
    [InlineData("realm=\"https://auth.example.org/token\",service=\"r\",scope=\"repository:a:pull\"", "https://auth.example.org/token?scope=repository%3Aa%3Apull&service=r")]
    [InlineData("service=\"a,b\", realm=\"https://auth.example.org/token?x=1\"", "https://auth.example.org/token?x=1&scope=usual&service=a%2Cb")]
    [InlineData("realm=https://auth.example.org/token", "https://auth.example.org/token?scope=usual")]
    [InlineData("realm=\"file:///etc/passwd\"", null)]
    [InlineData("service=\"r\"", null)]
    [InlineData("realm=\"https://auth.example.org", "https://auth.example.org/?scope=usual")]
    public void A_challenge_says_where_tokens_are_had(string parameter, string? address) =>
        (BearerChallenge.Parse(parameter).Address("usual")?.AbsoluteUri).ShouldBe(address);

    [Theory]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("nonsense")]
    [InlineData("{\"layers\":[]}")]
    [InlineData("{\"layers\":[{\"digest\":\"sha256:../../etc/passwd\",\"size\":1}]}")]
    [InlineData("{\"layers\":[{\"digest\":\"" + Digest + "\",\"size\":-1}]}")]
    [InlineData("{\"layers\":[{\"digest\":7,\"size\":1}]}")]
    [InlineData("{\"layers\":7}")]
    [InlineData("{\"manifests\":[]}")]
    [InlineData("{\"manifests\":[{\"digest\":\"" + Digest + "\",\"platform\":{\"os\":\"windows\",\"architecture\":\"amd64\"}}]}")]
    public void A_manifest_that_makes_no_sense_is_refused(string json) =>
        Should.Throw<RunnerEndException>(() => OciManifest.Read(Encoding.UTF8.GetBytes(json), null)).Reason.ShouldBe(TerminationReasons.ArtifactUnusable);

    [Fact]
    public void The_top_layer_is_looked_into_first()
    {
        string other = Digest.Replace('0', 'f');
        string json = $$"""{"layers":[{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{{Digest}}","size":1},{"mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","digest":"{{other}}","size":2}]}""";
        OciManifest.Read(Encoding.UTF8.GetBytes(json), null).Blobs.Select(b => "sha256:" + b.Digest).ShouldBe([other, Digest]);
    }
}
