using SandLabX.Contract;

namespace SandLabX.Runner.Qemu;

/// <summary>
/// What is wished of a guest that runs, as the kubelet shows it in files (see <see cref="ContractNames.WishDirectory"/>). A file that is missing or can't
/// be read changes no wish: the kubelet replaces them all at once, and outside of pods there are none.
/// </summary>
/// <param name="directory">The folder.</param>
/// <param name="resetAtStart">The reset that the start itself was: it is done.</param>
internal sealed class Wishes(string directory, string resetAtStart)
{
    private bool _pause;

    /// <summary>The last reset that was told.</summary>
    internal string ResetDone { get; private set; } = resetAtStart;

    /// <summary>Whether the guest should stand, now.</summary>
    internal bool ReadPause()
    {
        _pause = Read(ContractNames.PowerFile) is { } power ? power == PowerWishes.Paused : _pause;
        return _pause;
    }

    /// <summary>The next change; null when there is none. One at a time: what else changed is told the next time.</summary>
    internal GuestEvent? Changed()
    {
        bool before = _pause;
        if (ReadPause() != before)
        {
            Log.Line("wish", ("pause", _pause ? "yes" : "no"));
            return new GuestEvent.PauseWished(_pause);
        }

        if (Read(ContractNames.ResetFile) is { } reset && reset != ResetDone)
        {
            Log.Line("wish", ("reset", reset));
            ResetDone = reset;
            return new GuestEvent.ResetWished();
        }

        return null;
    }

    private string? Read(string file)
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
