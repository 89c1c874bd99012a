using System.Data;
using System.Globalization;
using System.Text.Json;
using System.Text.Json.Nodes;
using Npgsql;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Migration;

/// <summary>Reads the nodes of the versions that kept them in PostgreSQL: table <c>sandlabx_nodes</c>, in any of its shapes. Nothing is written.</summary>
internal static class DatabaseReader
{
    private const string Table = "sandlabx_nodes";

    /// <summary>What is read of it; what a version lacks is left out.</summary>
    private static readonly string[] s_columns =
    [
        "id", "name", "os_type", "status", "overlay_path", "ram_mb", "cpu_cores", "image_metadata", "created_at", "started_at", "stopped_at", "wiped_at",
    ];

    /// <summary>Reads all nodes.</summary>
    /// <param name="database">A <c>postgres://</c> address, or Npgsql's <c>Key=Value;…</c>. The password comes from PGPASSWORD, where it does not stand there.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="CliException">It can't be reached, or has no such table.</exception>
    internal static async Task<OldState> ReadAsync(string database, CancellationToken stop)
    {
        NpgsqlConnectionStringBuilder settings = Settings(database);
        try
        {
            await using var connection = new NpgsqlConnection(settings.ConnectionString);
            await connection.OpenAsync(stop).ConfigureAwait(false);
            await using NpgsqlTransaction transaction = await connection.BeginTransactionAsync(IsolationLevel.RepeatableRead, stop).ConfigureAwait(false);
            await using (var command = new NpgsqlCommand("SET TRANSACTION READ ONLY", connection, transaction))
            {
                await command.ExecuteNonQueryAsync(stop).ConfigureAwait(false);
            }

            string[] columns = await ColumnsAsync(connection, transaction, stop).ConfigureAwait(false);
            return columns.Contains("id")
                ? await NodesAsync(connection, transaction, columns, stop).ConfigureAwait(false)
                : throw new CliException(ExitCodes.NotFound, $"Database {Where(settings)} has no table {Table} with a column id: it is not the platform's, or of a version that kept its nodes in {"nodes-state.json"}.");
        }
        catch (Exception e) when (e is NpgsqlException or System.Net.Sockets.SocketException or TimeoutException)
        {
            // Npgsql's messages carry no password, but this is the place to be sure.
            string said = settings.Password is { Length: > 0 } secret ? e.Message.Replace(secret, "…", StringComparison.Ordinal) : e.Message;
            throw new CliException(ExitCodes.Failed, $"Database {Where(settings)} can't be read: {said}. Is it up, and does PGPASSWORD have its password?");
        }
    }

    /// <summary>The settings of a connection, from an address or a list of keys and values.</summary>
    /// <exception cref="CliException">It is neither; what was given is not repeated, as a password may stand in it.</exception>
    internal static NpgsqlConnectionStringBuilder Settings(string database)
    {
        try
        {
            NpgsqlConnectionStringBuilder settings = database.StartsWith("postgres://", StringComparison.Ordinal) || database.StartsWith("postgresql://", StringComparison.Ordinal)
                ? OfAddress(new Uri(database))
                : new NpgsqlConnectionStringBuilder(database);
            settings.ApplicationName = "kubectl-sandlabx migrate";
            settings.Pooling = false;
            settings.Options = "-c default_transaction_read_only=on";
            return settings;
        }
        catch (Exception e) when (e is ArgumentException or FormatException or KeyNotFoundException)
        {
            throw new CliException(ExitCodes.Usage, "--database is neither postgres://user@host:5432/database nor Host=…;Username=…;Database=…");
        }
    }

    private static NpgsqlConnectionStringBuilder OfAddress(Uri address)
    {
        string[] user = address.UserInfo.Split(':', 2);
        var settings = new NpgsqlConnectionStringBuilder
        {
            Host = address.Host,
            Port = address.Port > 0 ? address.Port : 5432,
            Database = Uri.UnescapeDataString(address.AbsolutePath.TrimStart('/')),
        };
        if (user[0].Length > 0)
        {
            settings.Username = Uri.UnescapeDataString(user[0]);
        }

        if (user.Length > 1)
        {
            settings.Password = Uri.UnescapeDataString(user[1]);
        }

        return settings;
    }

    private static async Task<string[]> ColumnsAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, CancellationToken stop)
    {
        await using var command = new NpgsqlCommand("SELECT column_name FROM information_schema.columns WHERE table_name = $1 AND table_schema = ANY (current_schemas(false))", connection, transaction);
        command.Parameters.AddWithValue(Table);
        var found = new List<string>();
        await using NpgsqlDataReader rows = await command.ExecuteReaderAsync(stop).ConfigureAwait(false);
        while (await rows.ReadAsync(stop).ConfigureAwait(false))
        {
            found.Add(rows.GetString(0));
        }

        return [.. s_columns.Intersect(found)];
    }

    /// <summary>Each row becomes the record that the state file would have had, and is read as such: one reader, one set of rules.</summary>
    private static async Task<OldState> NodesAsync(NpgsqlConnection connection, NpgsqlTransaction transaction, string[] columns, CancellationToken stop)
    {
        string order = columns.Contains("created_at") ? "created_at, id" : "id";
#pragma warning disable CA2100 // The columns' names are constants of this file.
        await using var command = new NpgsqlCommand($"SELECT {string.Join(", ", columns)} FROM {Table} ORDER BY {order}", connection, transaction);
#pragma warning restore CA2100
        var nodes = new List<OldNode>();
        var losses = new List<Loss>();
        await using NpgsqlDataReader rows = await command.ExecuteReaderAsync(stop).ConfigureAwait(false);
        while (await rows.ReadAsync(stop).ConfigureAwait(false))
        {
            var record = new JsonObject();
            for (int i = 0; i < columns.Length; i++)
            {
                record[columns[i]] = rows.IsDBNull(i) ? null : Value(rows.GetValue(i), columns[i]);
            }

            using JsonDocument document = JsonDocument.Parse(record.ToJsonString());
            if (new NodeFields(document.RootElement).Read() is { } node)
            {
                nodes.Add(node);
            }
            else
            {
                losses.Add(new Loss($"Row {nodes.Count + losses.Count + 1} of {Table} has no id.", []));
            }
        }

        return new OldState(nodes, losses, []);
    }

    private static JsonNode? Value(object value, string column) => value switch
    {
        string json when column == "image_metadata" => JsonNode.Parse(json),
        DateTime time => DateTime.SpecifyKind(time, DateTimeKind.Utc).ToString("O", CultureInfo.InvariantCulture),
        int number => number,
        long number => number,
        _ => Convert.ToString(value, CultureInfo.InvariantCulture),
    };

    private static string Where(NpgsqlConnectionStringBuilder settings) => $"{settings.Database} at {settings.Host}:{settings.Port}";
}
