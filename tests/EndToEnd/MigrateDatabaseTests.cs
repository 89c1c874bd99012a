using SandLabX.EndToEnd.Support;
using SandLabX.Entities;
using SandLabX.Testing;

namespace SandLabX.EndToEnd;

/// <summary>Moving in from a later version of the Compose platform, whose records are in PostgreSQL.</summary>
public sealed class MigrateDatabaseTests(Space space, ContainerService engine, ITestOutputHelper output) : MovingIn(space, output), IClassFixture<Space>, IClassFixture<ContainerService>
{
    private const string Web = "5a0c9f5e-7d0b-4a3e-9a51-0b1a6b7c8d9e";
    private const string Db = "b8d7b2c4-1111-4222-8333-444455556666";
    private const string Secret = "of the database 'alone'";

    /// <summary>A class that is not the cluster's default: the local cluster's second one.</summary>
    private const string Class = "standard-immediate";

    protected override void Require()
    {
        Lab.RequireLocal();
        base.Require();
        engine.Require();
    }

    [Fact]
    public async Task Every_VM_of_a_database_boots_here_on_claims_of_the_class_that_was_asked_for()
    {
        await using var database = new OldDatabase(engine, Secret);
        await database.InitializeAsync();
        using var old = new OldInstallation();
        foreach (string name in (string[])["debian-13.qcow2", "custom/lab.qcow2"])
        {
            Directory.CreateDirectory(Path.GetDirectoryName(old.Image(name))!);
            File.Copy(Lab.TinyPath, old.Image(name));
        }

        await old.MakeOverlayAsync(Web, "custom/lab.qcow2");
        await old.MakeOverlayAsync(Db, "debian-13.qcow2");
        await Task.WhenAll(old.BootAsync(Web, "written by web"), old.BootAsync(Db, "written by db"));
        await database.ExecuteAsync($$"""
            {{OldDatabase.First}}
            {{OldDatabase.Later}}
            INSERT INTO sandlabx_nodes (id, name, os_type, status, overlay_path, ram_mb, cpu_cores, image_metadata, created_at, started_at, stopped_at) VALUES
              ('{{Web}}', 'Web 1', 'custom', 'running', '/overlays/node_{{Web}}.qcow2', 128, 1, '{"type": "custom", "id": "lab", "path": "/images/custom/lab.qcow2"}',
               '2025-11-20T13:00:00Z', '2025-11-20T14:00:00Z', NULL),
              ('{{Db}}', 'db', 'debian', 'stopped', '/overlays/node_{{Db}}.qcow2', 160, 1, NULL, '2025-11-21T13:00:00Z', '2025-11-21T14:00:00Z', '2025-11-21T15:00:00Z');
            """);
        IReadOnlyList<string> before = old.Everything();

        string[] words = ["migrate", old.Folder, "-n", Space.Name, "--database", database.AddressWithoutPassword, "--storage-class", Class, "-o", "json"];
        Outcome moved = await Shell.RunAsync(["env", $"PGPASSWORD={Secret}", .. Plugin.Words(words)], Plugin.Patience);
        moved.Code.ShouldBe(0, moved.ToString());
        moved.ToString().ShouldNotContain(Secret);
        Names(moved, "moved").ShouldBe(["web-1", "db"]);

        old.Everything().ShouldBe(before);
        V1Alpha1LabNode web = (await Space.NodeNowAsync("web-1"))!;
        web.Metadata.Annotations[Annotations.MigratedId].ShouldBe(Web);
        web.Metadata.Annotations[Annotations.MigratedName].ShouldBe("Web 1");
        web.Status!.StartedAt.ShouldBe(new DateTime(2025, 11, 20, 14, 0, 0, DateTimeKind.Utc));
        (await Space.NodeNowAsync("db"))!.Spec.Memory.ShouldBe("160Mi");
        string classes = await Lab.KubectlOkAsync("-n", Space.Name, "get", "pvc", "-o", "jsonpath={.items[*].spec.storageClassName}");
        classes.Split(' ').Distinct().ShouldHaveSingleItem().ShouldBe(Class);
        await ShowsAsync("web-1", Web, "written by web");
        await ShowsAsync("db", Db, "written by db");
    }
}
