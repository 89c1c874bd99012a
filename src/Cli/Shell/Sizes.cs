using System.Globalization;

namespace SandLabX.Cli.Shell;

/// <summary>Bytes for people.</summary>
internal static class Sizes
{
    private static readonly string[] s_units = ["B", "KiB", "MiB", "GiB", "TiB"];

    /// <summary>Three digits at most and a binary unit, such as 1.2 GiB; a dash for what is not known.</summary>
    internal static string Write(long? bytes)
    {
        if (bytes is not { } known)
        {
            return "-";
        }

        double value = known;
        int unit = 0;
        while (value >= 999.5 && unit < s_units.Length - 1)
        {
            value /= 1024;
            unit++;
        }

        return value.ToString(unit == 0 || value >= 99.95 ? "0" : value >= 9.995 ? "0.#" : "0.##", CultureInfo.InvariantCulture) + " " + s_units[unit];
    }
}
