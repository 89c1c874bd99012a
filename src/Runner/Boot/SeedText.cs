using System.Buffers;
using System.IO.Hashing;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Runner.Boot;

/// <summary>What was read from the Secrets that the seed is made of; null where none was named.</summary>
/// <param name="UserData">User data.</param>
/// <param name="Password">The user's password.</param>
/// <param name="SshKeys">Lines as in authorized_keys.</param>
internal sealed record SeedSecrets(string? UserData, string? Password, IReadOnlyList<string> SshKeys)
{
    internal static readonly SeedSecrets None = new(null, null, []);
}

/// <summary>The files of a NoCloud seed. Pure; JSON is what is written, as YAML has it for a subset: no value can become syntax.</summary>
/// <param name="MetaData">The file meta-data: who the guest is.</param>
/// <param name="UserData">The file user-data: what is done in it.</param>
/// <param name="NetworkConfig">The file network-config; null for none.</param>
internal sealed record SeedText(string MetaData, string UserData, string? NetworkConfig)
{
    /// <summary>
    /// Without a Secret the user's password is this, so that a cloud image has a login at once. It counts at the consoles, which are for those whom
    /// the API server lets in; SSH takes no passwords.
    /// </summary>
    private const string DefaultPassword = "lab";

    /// <summary>Composes them.</summary>
    /// <param name="seed">What is wished.</param>
    /// <param name="diskId">The disk's id: another disk is another instance to cloud-init.</param>
    /// <param name="secrets">What the Secrets hold.</param>
    internal static SeedText Compose(SeedConfig seed, string diskId, SeedSecrets secrets)
    {
        string user = secrets.UserData ?? seed.UserData ?? Made(seed, secrets);
        string identity = Meta(seed, diskId, secrets);
        // cloud-init applies data once an instance: a changed id is what makes it look again.
        string version = Convert.ToHexStringLower(XxHash64.Hash(Encoding.UTF8.GetBytes($"{identity}\n{user}\n{seed.NetworkData}")))[..12];
        return new SeedText(Meta(seed, $"{diskId}-{version}", secrets), user, seed.NetworkData);
    }

    private static string Meta(SeedConfig seed, string instance, SeedSecrets secrets) => Json(json =>
    {
        json.WriteString("instance-id", instance);
        json.WriteString("local-hostname", seed.HostName);
        Keys(json, "public-keys", secrets.SshKeys);
    });

    private static string Made(SeedConfig seed, SeedSecrets secrets)
    {
        string password = secrets.Password ?? DefaultPassword;
        return "#cloud-config\n" + Json(json =>
        {
            json.WriteBoolean("manage_etc_hosts", true);
            json.WriteBoolean("ssh_pwauth", false);
            json.WriteStartObject("chpasswd");
            json.WriteBoolean("expire", false);
            json.WriteEndObject();
            if (seed.User is { } name)
            {
                // In the place of the image's own user, so with the shell, the groups and the sudo that its makers chose.
                json.WriteString("user", name);
            }

            json.WriteString("password", password);
        });
    }

    private static void Keys(Utf8JsonWriter json, string name, IReadOnlyList<string> keys)
    {
        if (keys.Count > 0)
        {
            json.WriteStartArray(name);
            foreach (string key in keys)
            {
                json.WriteStringValue(key);
            }

            json.WriteEndArray();
        }
    }

    private static string Json(Action<Utf8JsonWriter> write)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, new JsonWriterOptions { Indented = true }))
        {
            json.WriteStartObject();
            write(json);
            json.WriteEndObject();
        }

        return Encoding.UTF8.GetString(buffer.WrittenSpan) + "\n";
    }
}
