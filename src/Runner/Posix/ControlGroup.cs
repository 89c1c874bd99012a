using System.Globalization;

namespace SandLabX.Runner.Posix;

/// <summary>What the kernel says of the container that the runner is in.</summary>
internal static class ControlGroup
{
    // The container's own group, as container engines show it: of version 2, and of version 1.
    private static readonly string[] s_files = ["/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"];

    /// <summary>How many processes the kernel has killed for their memory; 0 where it can't be told.</summary>
    internal static long OutOfMemoryKills()
    {
        foreach (string file in s_files)
        {
            try
            {
                return Count(File.ReadAllText(file));
            }
            catch (Exception e) when (e is IOException or UnauthorizedAccessException)
            {
                // The other version, or none.
            }
        }

        return 0;
    }

    /// <summary>The count in the file's lines.</summary>
    internal static long Count(string events)
    {
        const string key = "oom_kill ";
        foreach (string line in events.Split('\n'))
        {
            if (line.StartsWith(key, StringComparison.Ordinal) && long.TryParse(line.AsSpan(key.Length), NumberStyles.None, CultureInfo.InvariantCulture, out long count))
            {
                return count;
            }
        }

        return 0;
    }
}
