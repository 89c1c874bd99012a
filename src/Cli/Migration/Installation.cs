using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Migration;

/// <summary>Where the parts of an old installation are.</summary>
/// <param name="StateFile">Its state file; null when its nodes are in a database.</param>
/// <param name="Overlays">The overlays' folder.</param>
/// <param name="Images">The images' folder.</param>
internal sealed record Installation(string? StateFile, string Overlays, string Images)
{
    private const string FileName = "nodes-state.json";

    // A record takes some 600 bytes: a file of this size is no state, or one of hundreds of thousands of nodes.
    private const long MaxStateBytes = 256L * 1024 * 1024;

    /// <summary>Where the platform's versions had the file: in the state's volume, in the backend's folder (run on the host), in the data's volume, and beside all else.</summary>
    private static readonly string[] s_places = ["state", "backend/state", "backend", "data", "backend/data", "app/state", "app/data", "app", "."];

    /// <summary>Finds them: what is named counts, and the rest is looked for in the installation's folder.</summary>
    /// <exception cref="CliException">Something is not there, or there is more than one.</exception>
    internal static Installation Find(string? folder, string? state, string? overlays, string? images, bool fromDatabase)
    {
        if (folder is not null && !Directory.Exists(folder))
        {
            throw Missing($"{folder} is no folder.");
        }

        string? file = fromDatabase ? null : StateOf(folder, state);
        return new Installation(file, FolderOf(folder, overlays, "overlays"), FolderOf(folder, images, "images"));
    }

    /// <summary>Reads the state file, and looks whether there are older ones beside one that is damaged.</summary>
    internal static OldState Read(string stateFile)
    {
        long bytes = new FileInfo(stateFile).Length;
        if (bytes > MaxStateBytes)
        {
            throw new CliException(ExitCodes.Usage, $"{stateFile} has {Sizes.Write(bytes)}; no state of the platform has more than {Sizes.Write(MaxStateBytes)}.");
        }

        OldState state = StateReader.Read(ReadAll(stateFile));
        return state.Losses.Count == 0 ? state : state with { Notes = [.. state.Notes, .. Backups(stateFile)] };
    }

    private static string StateOf(string? folder, string? named)
    {
        if (named is not null)
        {
            return File.Exists(named) ? named : throw Missing($"--state is {named}: there is no such file.");
        }

        if (folder is null)
        {
            throw Missing("Say where the old installation is: its folder, or --state, --overlays and --images; or --database for the versions with PostgreSQL.");
        }

        string[] found = [.. s_places.Select(place => Path.GetFullPath(Path.Combine(folder, place, FileName))).Where(File.Exists).Distinct(StringComparer.Ordinal)];
        return found.Length switch
        {
            1 => found[0],
            0 => throw Missing($"There is no {FileName} in {folder} ({string.Join(", ", s_places.Take(5))}). Docker kept it in a volume: 'docker volume inspect sandlabx-backend-state' shows its folder; name the file with --state."),
            _ => throw new CliException(ExitCodes.Usage, $"There is more than one state file: {string.Join(", ", found.Select(f => $"{f} (written {File.GetLastWriteTimeUtc(f):u})"))}. Name the one that counts with --state."),
        };
    }

    private static string FolderOf(string? folder, string? named, string what)
    {
        string path = named ?? (folder is null ? throw Missing($"--{what} is missing: name the folder.") : Path.Combine(folder, what));
        return Directory.Exists(path)
            ? Path.GetFullPath(path)
            : throw Missing(named is null ? $"There is no folder {path}; name the {what}' with --{what}." : $"--{what} is {named}: there is no such folder.");
    }

    /// <summary>Older copies of a damaged file. They are named and not used: which of them is right is for a person to say.</summary>
    private static IEnumerable<string> Backups(string stateFile)
    {
        string folder = Path.GetDirectoryName(Path.GetFullPath(stateFile))!;
        FileInfo[] beside = [.. new DirectoryInfo(folder).EnumerateFiles("*" + Path.GetFileNameWithoutExtension(FileName) + "*")
            .Where(f => f.FullName != Path.GetFullPath(stateFile) && f.Length <= MaxStateBytes).OrderByDescending(f => f.LastWriteTimeUtc).Take(10)];
        foreach (FileInfo file in beside)
        {
            OldState state = StateReader.Read(ReadAll(file.FullName));
            yield return $"{file.FullName} (written {file.LastWriteTimeUtc:u}) has {state.Nodes.Count} whole records{(state.Losses.Count > 0 ? ", and is damaged itself" : "")}; --state takes it instead.";
        }
    }

    private static byte[] ReadAll(string path)
    {
        using FileStream file = SourceFile.Open(path);
        byte[] bytes = new byte[file.Length];
        file.ReadExactly(bytes);
        return bytes;
    }

    private static CliException Missing(string message) => new(ExitCodes.Usage, message);
}
