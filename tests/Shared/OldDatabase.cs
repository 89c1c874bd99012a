using DotNet.Testcontainers.Builders;
using DotNet.Testcontainers.Containers;
using Npgsql;

namespace SandLabX.Testing;

/// <summary>The database of the Compose platform's later versions: a real PostgreSQL in a container, reached through a socket in a folder.</summary>
/// <param name="engine">What runs the container.</param>
/// <param name="password">The user's password.</param>
internal sealed class OldDatabase(ContainerService engine, string password) : IAsyncLifetime
{
    /// <summary>As migration 1 of the version that began with it made its table.</summary>
    public const string First = """
        CREATE TABLE sandlabx_nodes (
          id uuid PRIMARY KEY, name varchar(255) NOT NULL, os_type varchar(50) NOT NULL,
          status varchar(20) NOT NULL DEFAULT 'stopped' CHECK (status IN ('stopped', 'starting', 'running', 'stopping', 'error')),
          overlay_path text, vnc_port int, guac_connection_id int, guac_url text, pid int, ram_mb int NOT NULL DEFAULT 2048, cpu_cores int NOT NULL DEFAULT 2,
          image_metadata jsonb, created_at timestamptz NOT NULL DEFAULT now(), updated_at timestamptz NOT NULL DEFAULT now(),
          started_at timestamptz, stopped_at timestamptz, wiped_at timestamptz);

        """;

    /// <summary>What later versions added.</summary>
    public const string Later = """
        CREATE TABLE sandlabx_users (id uuid PRIMARY KEY, email text);
        CREATE TABLE sandlabx_labs (id uuid PRIMARY KEY, name text);
        ALTER TABLE sandlabx_nodes ADD user_id uuid REFERENCES sandlabx_users ON DELETE SET NULL, ADD lab_id uuid REFERENCES sandlabx_labs ON DELETE CASCADE;
        """;

    private const string User = "guacamole_user", Name = "guacamole_db";

    private readonly string _sockets = Directory.CreateTempSubdirectory("sandlabx-sockets-").FullName;
    private IContainer? _postgres;

    public string Address => $"Host={_sockets};Username={User};Password=\"{password}\";Database={Name}";

    public string AddressWithoutPassword => $"Host={_sockets};Username={User};Database={Name}";

    public async ValueTask InitializeAsync()
    {
        await engine.RequirePostgresAsync();
        File.SetUnixFileMode(_sockets, (UnixFileMode)0x1FF);
        _postgres = engine.Postgres(_sockets, User, password, Name)
            .WithWaitStrategy(Wait.ForUnixContainer().UntilMessageIsLogged("database system is ready to accept connections"))
            .Build();
        await _postgres.StartAsync();
    }

    public async ValueTask DisposeAsync()
    {
        if (_postgres is not null)
        {
            await _postgres.DisposeAsync();
        }

        Directory.Delete(_sockets, recursive: true);
    }

    public async Task ExecuteAsync(string sql)
    {
        await using var connection = new NpgsqlConnection(Address + ";Pooling=false");
        await connection.OpenAsync();
        await using var command = new NpgsqlCommand(sql, connection);
        await command.ExecuteNonQueryAsync();
    }
}
