using k8s;
using Npgsql;
using SandLabX.Cli.Migration;
using SandLabX.Cli.Shell;
using SandLabX.Integration.Cli;
using SandLabX.Integration.Runner;
using SandLabX.Testing;

namespace SandLabX.Integration.Migration;

/// <summary>The Compose platform's tables in a real PostgreSQL, in both shapes that they had.</summary>
public sealed class DatabaseTests(ContainerService engine) : IClassFixture<ContainerService>, IAsyncLifetime
{
    private const string Secret = "g*u;ac'pass 123";

    private const string Rows = """
        INSERT INTO sandlabx_nodes (id, name, os_type, status, overlay_path, ram_mb, cpu_cores, image_metadata, created_at, started_at) VALUES
          ('3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e', 'Web "1"', 'custom', 'running', '/overlays/node_3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e.qcow2', 4096, 3,
           '{"type": "custom", "id": "lab", "path": "/images/custom/lab.qcow2", "sizeBytes": 5}', '2025-11-20T13:00:00Z', '2025-11-20T15:00:00+01:00'),
          ('a7d7b2c4-1111-4222-8333-444455556666', 'db', 'ubuntu', 'stopped', NULL, DEFAULT, DEFAULT, NULL, '2025-11-21T13:00:00Z', NULL);
        """;

    private readonly OldDatabase _database = new(engine, Secret);

    private string Address => _database.Address;

    public ValueTask InitializeAsync() => _database.InitializeAsync();

    public ValueTask DisposeAsync() => _database.DisposeAsync();

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task The_nodes_of_either_shape_are_read_as_the_state_file_would_have_had_them(bool later)
    {
        await _database.ExecuteAsync(OldDatabase.First + Rows);
        if (later)
        {
            await _database.ExecuteAsync(OldDatabase.Later);
        }

        string before = await ContentAsync();
        OldState state = await DatabaseReader.ReadAsync(Address, CancellationToken.None);
        state.Losses.ShouldBeEmpty();
        OldNode web = state.Nodes[0];
        web.ShouldBe(new OldNode
        {
            Id = "3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e",
            Name = "Web \"1\"",
            OsType = "custom",
            Status = "running",
            OverlayPath = "/overlays/node_3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e.qcow2",
            ImagePath = "/images/custom/lab.qcow2",
            MemoryMiB = 4096,
            Cpus = 3,
            CreatedAt = new DateTimeOffset(2025, 11, 20, 13, 0, 0, TimeSpan.Zero),
            StartedAt = new DateTimeOffset(2025, 11, 20, 14, 0, 0, TimeSpan.Zero),
            Notes = web.Notes,
        });
        web.Notes.ShouldBeEmpty();
        (state.Nodes[1].Name, state.Nodes[1].MemoryMiB, state.Nodes[1].Cpus, state.Nodes[1].OverlayPath).ShouldBe(("db", 2048, 2, null));
        (await ContentAsync()).ShouldBe(before);
    }

    [Fact]
    public async Task What_can_not_be_read_says_so_and_never_the_password()
    {
        CliException none = await Should.ThrowAsync<CliException>(() => DatabaseReader.ReadAsync(Address, CancellationToken.None));
        none.Message.ShouldContain("no table sandlabx_nodes");
        CliException wrong = await Should.ThrowAsync<CliException>(() => DatabaseReader.ReadAsync(Address.Replace(Secret, "another secret", StringComparison.Ordinal), CancellationToken.None));
        wrong.Message.ShouldContain("PGPASSWORD");
        wrong.ToString().ShouldNotContain("another secret");
        CliException nonsense = await Should.ThrowAsync<CliException>(() => DatabaseReader.ReadAsync("password=hunter2;nonsense", CancellationToken.None));
        nonsense.ToString().ShouldNotContain("hunter2");
    }

    /// <summary>The whole command, as far as it goes without a cluster: the plan, with the password from the environment alone.</summary>
    [Fact]
    public async Task A_plan_is_made_of_a_database_with_the_class_of_all_claims()
    {
        Machine.NeedsQemu();
        await _database.ExecuteAsync(OldDatabase.First + Rows);
        string folder = Directory.CreateTempSubdirectory("sandlabx-database-").FullName;
        Directory.CreateDirectory(Path.Combine(folder, "overlays"));
        Directory.CreateDirectory(Path.Combine(folder, "images", "custom"));
        string image = Path.Combine(folder, "images", "custom", "lab.qcow2"), overlay = Path.Combine(folder, "overlays", "node_3f0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e.qcow2");
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", image, "64M");
        await Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", "-u", "-b", "/images/custom/lab.qcow2", "-F", "qcow2", overlay, "64M");
        using var cli = new CliProcess(new KubernetesClientConfiguration { Host = "https://127.0.0.1:1", AccessToken = "none" }, "labs");
        cli.Environment["PGPASSWORD"] = Secret;
        string[] words = ["migrate", folder, "--database", _database.AddressWithoutPassword, "--storage-class", "fast", "--dry-run"];

        CliOutcome plan = await cli.RunAsync([.. words, "-o", "json"]);
        plan.Code.ShouldBe(0, plan.ToString());
        plan.Json["move"]!.AsArray().Select(n => n!["name"]!.GetValue<string>()).ShouldBe(["web-1"]);
        plan.Json["skipped"]!.AsArray().Select(n => n!["reason"]!.GetValue<string>()).ShouldBe(["BaseMissing"]);
        plan.Errors.ShouldContain("The cluster was not asked");

        CliOutcome manifests = await cli.RunAsync([.. words, "-o", "yaml"]);
        string[] documents = manifests.Output.Split("\n---\n");
        documents.Single(d => d.Contains("kind: LabImage", StringComparison.Ordinal)).ShouldContain("storageClassName: fast");
        documents.Single(d => d.Contains("kind: PersistentVolumeClaim", StringComparison.Ordinal)).ShouldContain("storageClassName: fast");
        string node = documents.Single(d => d.Contains("kind: LabNode", StringComparison.Ordinal));
        node.ShouldContain("storageClassName: fast", customMessage: "a disk that is made anew is where the others are");
        node.ShouldContain("memory: 4Gi");

        cli.Environment["PGPASSWORD"] = "another secret";
        CliOutcome wrong = await cli.RunAsync(words);
        wrong.Code.ShouldNotBe(0);
        wrong.Errors.ShouldContain("PGPASSWORD");
        foreach (CliOutcome outcome in (CliOutcome[])[plan, manifests, wrong])
        {
            outcome.ToString().ShouldNotContain("secret");
            outcome.ToString().ShouldNotContain(Secret);
        }

        Directory.Delete(folder, recursive: true);
    }

    private async Task<string> ContentAsync()
    {
        await using var connection = new NpgsqlConnection(Address + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand("SELECT string_agg(n::text || xmin::text, ';' ORDER BY id) FROM sandlabx_nodes n", connection);
        return (string)(await command.ExecuteScalarAsync())!;
    }
}
