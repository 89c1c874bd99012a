namespace SandLabX.Runner.Qemu;

/// <summary>Tells use of a guest's network from the noise that any system makes (time, names, leases): by how many frames it receives. Pure.</summary>
internal sealed class UseMeter
{
    /// <summary>So many frames within <see cref="s_period"/> are use: a login or a page has more, an hour of keep-alives, NTP and ARP at rest has fewer in each minute.</summary>
    internal const int FramesOfUse = 20;

    private static readonly TimeSpan s_period = TimeSpan.FromMinutes(1);

    private readonly Dictionary<string, int> _counts = [];
    private DateTimeOffset _began;
    private int _frames;

    /// <summary>Takes in what a network device has counted; true when that is use.</summary>
    /// <param name="device">The device.</param>
    /// <param name="count">Frames it has received, modulo 65,536; from 0 again after a reset.</param>
    /// <param name="now">The present time.</param>
    internal bool Counted(string device, int count, DateTimeOffset now)
    {
        if (now - _began >= s_period)
        {
            (_began, _frames) = (now, 0);
        }

        if (_counts.TryGetValue(device, out int before))
        {
            int more = (count - before) & 0xFFFF;

            // So many at once are from a device that began anew, or from one so busy that its count alone is use.
            _frames += more < 0x1000 ? more : count;
        }

        _counts[device] = count;
        if (_frames < FramesOfUse)
        {
            return false;
        }

        (_began, _frames) = (now, 0);
        return true;
    }
}
