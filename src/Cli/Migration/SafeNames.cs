using System.Security.Cryptography;
using System.Text;
using SandLabX.Entities;

namespace SandLabX.Cli.Migration;

/// <summary>Gives out names that the cluster takes: lower-case letters, digits and hyphens, each once.</summary>
/// <param name="taken">Names that are not to be given.</param>
internal sealed class SafeNames(IEnumerable<string> taken)
{
    private const int MaxDiskId = 63;

    private readonly HashSet<string> _taken = new(taken, StringComparer.Ordinal);

    // Where the search for a free number goes on: thousands may share a name.
    private readonly Dictionary<string, int> _next = new(StringComparer.Ordinal);

    /// <summary>A free name, as like the wished one as can be; the same wishes in the same order give the same names.</summary>
    /// <param name="wish">What it was called; any characters.</param>
    /// <param name="otherwise">A name for what has no letter or digit that a name can have.</param>
    internal string Give(string wish, string otherwise)
    {
        string name = Plain(wish) is { Length: > 0 } plain ? plain : Plain(otherwise);
        string free = name;
        while (!_taken.Add(free))
        {
            int number = _next[name] = _next.GetValueOrDefault(name, 1) + 1;
            string suffix = $"-{number}";
            free = name[..Math.Min(name.Length, Api.MaxNameLength - suffix.Length)].TrimEnd('-') + suffix;
        }

        return free;
    }

    /// <summary>Whether it is such a name: lower-case letters, digits and hyphens, and no hyphen at either end. How long it may be is the caller's to know.</summary>
    internal static bool IsName(string text) =>
        text.Length > 0 && text.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-') && text[0] != '-' && text[^1] != '-';

    /// <summary>The id of a node's disk: the node's own where it can be part of a file's name, else one that is made from it and always the same.</summary>
    internal static string DiskId(string id) => id.Length is > 0 and <= MaxDiskId && id.All(c => c is (>= 'a' and <= 'z') or (>= '0' and <= '9') or '-')
        ? id
        : "migrated-" + Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(id)))[..16];

    private static string Plain(string wish)
    {
        var name = new StringBuilder();
        foreach (char c in wish)
        {
            char lower = char.ToLowerInvariant(c);
            if (lower is (>= 'a' and <= 'z') or (>= '0' and <= '9'))
            {
                name.Append(lower);
            }
            else if (name.Length > 0 && name[^1] != '-')
            {
                name.Append('-');
            }
        }

        return name.ToString()[..Math.Min(name.Length, Api.MaxNameLength)].Trim('-');
    }
}
