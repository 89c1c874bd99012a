using System.Globalization;
using SandLabX.Contract;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// What is wished of a guest that runs, as the kubelet shows it in files (see <see cref="ContractNames.WishDirectory"/>). A file that is missing or can't
/// be read changes no wish: the kubelet replaces them all at once, and outside of pods there are none.
/// </summary>
/// <param name="directory">The folder.</param>
/// <param name="resetAtStart">The reset that the start itself was: it is done.</param>
/// <param name="sizeAtStart">The disk's virtual size, in bytes.</param>
internal sealed class Wishes(string directory, string resetAtStart, long sizeAtStart)
{
    private string _power = PowerWishes.Running;

    /// <summary>The largest size that was told, whether QEMU took it or not: it is not asked twice.</summary>
    internal long SizeTold { get; private set; } = sizeAtStart;

    /// <summary>The last reset that was told.</summary>
    internal string ResetDone { get; private set; } = resetAtStart;

    /// <summary>What the guest should do, now: one of <see cref="PowerWishes"/>.</summary>
    internal string ReadPower()
    {
        _power = Read(directory, ContractNames.PowerFile) is { Length: > 0 } power ? power : _power;
        return _power;
    }

    /// <summary>The next change; null when there is none. One at a time: what else changed is told the next time.</summary>
    /// <param name="mayGrow">Whether the disk can grow just now.</param>
    internal GuestEvent? Changed(bool mayGrow)
    {
        string before = _power;
        if (ReadPower() != before)
        {
            Log.Line("wish", ("power", _power));
            return _power == PowerWishes.Off ? new GuestEvent.StopAsked() : new GuestEvent.PowerWished(_power);
        }

        if (Read(directory, ContractNames.ResetFile) is { } reset && reset != ResetDone)
        {
            Log.Line("wish", ("reset", reset));
            ResetDone = reset;
            return new GuestEvent.ResetWished();
        }

        if (mayGrow && long.TryParse(Read(directory, ContractNames.SizeFile), NumberStyles.None, CultureInfo.InvariantCulture, out long size) && size > SizeTold)
        {
            Log.Line("wish", ("size", $"{size}"));
            SizeTold = size;
            return new GuestEvent.GrowWished();
        }

        return null;
    }

    /// <summary>What a file of the folder says; null when it is missing or can't be read.</summary>
    internal static string? Read(string directory, string file)
    {
        try
        {
            return File.ReadAllText(Path.Combine(directory, file)).Trim();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            return null;
        }
    }
}
