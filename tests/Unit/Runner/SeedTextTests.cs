using System.Text.Json;
using SandLabX.Contract;
using SandLabX.Runner.Boot;

namespace SandLabX.Unit.Runner;

public class SeedTextTests
{
    private static readonly SeedConfig s_seed = new() { HostName = "web-1" };

    [Fact]
    public void Without_a_wish_the_images_own_user_can_log_in_at_the_console_and_nobody_by_a_password_over_ssh()
    {
        SeedText text = SeedText.Compose(s_seed, "d1", SeedSecrets.None);

        text.UserData.ShouldStartWith("#cloud-config\n");
        JsonElement user = UserData(text);
        user.GetProperty("password").GetString().ShouldBe("lab");
        user.GetProperty("ssh_pwauth").GetBoolean().ShouldBeFalse();
        user.GetProperty("chpasswd").GetProperty("expire").GetBoolean().ShouldBeFalse();
        user.TryGetProperty("user", out _).ShouldBeFalse();
        Meta(text).GetProperty("local-hostname").GetString().ShouldBe("web-1");
        text.NetworkConfig.ShouldBeNull();
    }

    [Fact]
    public void A_user_of_ones_own_takes_the_place_of_the_images_with_password_and_keys()
    {
        SeedText text = SeedText.Compose(s_seed with { User = "alice" }, "d1", new SeedSecrets(null, "se\"cret: {", ["ssh-ed25519 AAAA alice"]));

        UserData(text).GetProperty("user").GetString().ShouldBe("alice");
        UserData(text).GetProperty("password").GetString().ShouldBe("se\"cret: {");
        Meta(text).GetProperty("public-keys")[0].GetString().ShouldBe("ssh-ed25519 AAAA alice");
    }

    [Theory]
    [InlineData(null, "#!/bin/sh\necho hi\n")]
    [InlineData("#cloud-config\n{}\n", "ignored")]
    public void User_data_of_ones_own_is_passed_on_to_the_letter_and_a_secret_one_wins(string? secret, string inline)
    {
        SeedText text = SeedText.Compose(s_seed with { UserData = inline }, "d1", new SeedSecrets(secret, null, ["key"]));

        text.UserData.ShouldBe(secret ?? inline);
        Meta(text).GetProperty("public-keys")[0].GetString().ShouldBe("key");
    }

    [Fact]
    public void The_instance_is_another_when_the_data_or_the_disk_is_and_else_the_same()
    {
        string id = Instance(s_seed, "d1", SeedSecrets.None);

        Instance(s_seed, "d1", SeedSecrets.None).ShouldBe(id);
        id.ShouldStartWith("d1-");
        string[] others =
        [
            Instance(s_seed, "d2", SeedSecrets.None),
            Instance(s_seed with { HostName = "web-2" }, "d1", SeedSecrets.None),
            Instance(s_seed with { NetworkData = "version: 2" }, "d1", SeedSecrets.None),
            Instance(s_seed, "d1", new SeedSecrets(null, "other", [])),
            Instance(s_seed, "d1", new SeedSecrets(null, null, ["key"])),
        ];
        others.Append(id).Distinct().Count().ShouldBe(6);
    }

    private static string Instance(SeedConfig seed, string disk, SeedSecrets secrets) => Meta(SeedText.Compose(seed, disk, secrets)).GetProperty("instance-id").GetString()!;

    private static JsonElement Meta(SeedText text) => JsonDocument.Parse(text.MetaData).RootElement;

    private static JsonElement UserData(SeedText text) => JsonDocument.Parse(text.UserData["#cloud-config\n".Length..]).RootElement;
}
