using System.Text.Json;
using System.Text.Json.Nodes;
using SandLabX.Contract;
using SandLabX.Runner;

namespace SandLabX.Unit.Runner;

public class ConfigurationTests
{
    [Fact]
    public void A_sound_configuration_is_taken()
    {
        Configuration.ReadRun(Json(RunnerGiven.Config())).ShouldBe(RunnerGiven.Config());
        Configuration.ReadRun(Json(RunnerGiven.Config() with { DiskSizeBytes = 1000 })).DiskSizeBytes.ShouldBe(1024);
    }

    public static TheoryData<string, RunnerConfig> Unsound => new()
    {
        { "diskId", RunnerGiven.Config() with { DiskId = "../x" } },
        { "overlayPath", RunnerGiven.Config() with { OverlayPath = "overlays/node_k3v9x2.qcow2" } },
        { "overlayPath", RunnerGiven.Config() with { OverlayPath = "/overlays/node_other.qcow2" } },
        { "overlayPath", RunnerGiven.Config() with { OverlayPath = "/overlays/../etc/node_k3v9x2.qcow2" } },
        { "backingPath", RunnerGiven.Config() with { BackingPath = "/images/a\n/disk.qcow2" } },
        { "backingSha256", RunnerGiven.Config() with { BackingSha256 = "abc" } },
        { "cpus", RunnerGiven.Config() with { Cpus = 0 } },
        { "memoryBytes", RunnerGiven.Config() with { MemoryBytes = (512L << 20) + 1 } },
        { "accelerator", RunnerGiven.Config() with { Accelerator = "Hvf" } },
        { "gracePeriodSeconds", RunnerGiven.Config() with { GracePeriodSeconds = -1 } },
    };

    [Theory]
    [MemberData(nameof(Unsound))]
    public void An_unsound_one_names_the_field(string field, RunnerConfig config)
    {
        RunnerEndException end = Should.Throw<RunnerEndException>(() => Configuration.ReadRun(Json(config)));

        end.Reason.ShouldBe(TerminationReasons.InvalidConfiguration);
        end.Message.ShouldStartWith(field + " is ");
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("null")]
    [InlineData("{}")]
    [InlineData("{\"cpus\": \"many\"}")]
    public void No_configuration_is_said_to_be_none(string? json) =>
        Should.Throw<RunnerEndException>(() => Configuration.ReadRun(json)).Reason.ShouldBe(TerminationReasons.InvalidConfiguration);

    [Theory]
    [InlineData("file:///etc/passwd")]
    [InlineData("ftp://host/x")]
    [InlineData("disk.qcow2")]
    public void An_import_is_from_http_alone_and_a_bad_address_is_not_repeated(string url)
    {
        var config = new ImportConfig { Image = "a/b", Url = url, Sha256 = RunnerGiven.Digest, TargetPath = "/image/disk.qcow2", MaxVirtualSizeBytes = 1 };

        RunnerEndException end = Should.Throw<RunnerEndException>(() => Configuration.ReadImport(JsonSerializer.Serialize(config, ContractJson.Default.ImportConfig)));

        end.Message.ShouldContain("http");
        end.Message.ShouldNotContain(url);
    }

    [Fact]
    public void What_is_not_said_has_its_default()
    {
        RunnerConfig run = Configuration.ReadRun(Without(Json(RunnerGiven.Config()), "diskRevision", "resetRevision", "keepWiped", "keepDamaged"));
        (run.DiskRevision, run.ResetRevision, run.KeepWiped, run.KeepDamaged).ShouldBe(("", "", 1, 1));

        var adopt = new AdoptConfig
        {
            Node = "labs/r1", DiskId = "k3v9x2", OverlayPath = "/overlays/node_k3v9x2.qcow2", BackingPath = "/image/disk.qcow2", BackingSha256 = RunnerGiven.Digest,
            SourceBacking = "/images/old.qcow2", VirtualSizeBytes = 512,
        };
        Configuration.ReadAdopt(Without(JsonSerializer.Serialize(adopt, ContractJson.Default.AdoptConfig), "diskRevision")).DiskRevision.ShouldBe("");
    }

    private static string Without(string json, params string[] members)
    {
        JsonObject config = JsonNode.Parse(json)!.AsObject();
        foreach (string member in members)
        {
            config.Remove(member);
        }

        return config.ToJsonString();
    }

    private static string Json(RunnerConfig config) => JsonSerializer.Serialize(config, ContractJson.Default.RunnerConfig);
}
