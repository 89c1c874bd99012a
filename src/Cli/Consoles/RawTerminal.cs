using System.Runtime.InteropServices;

namespace SandLabX.Cli.Consoles;

/// <summary>The terminal in raw mode, so that every key is the guest's, Ctrl-C too. Put back as it was at the end, whatever ends us but SIGKILL.</summary>
internal sealed unsafe partial class RawTerminal : IDisposable
{
    private const string Libc = "libc.so.6";
    private const int SettingsSize = 128;             // struct termios of glibc has 60 bytes
    private const int Now = 0;                        // TCSANOW
    private const int Drained = 1;                    // TCSADRAIN
    private const int AskWindow = 0x5413;             // TIOCGWINSZ
    private readonly byte[] _before = new byte[SettingsSize];
    private readonly PosixSignalRegistration[] _signals;
    private int _restored;

    private RawTerminal()
    {
        // A signal's default would end us with the terminal still raw.
        _signals = [.. new[] { PosixSignal.SIGTERM, PosixSignal.SIGHUP, PosixSignal.SIGQUIT }.Select(s => PosixSignalRegistration.Create(s, _ => Restore()))];
        AppDomain.CurrentDomain.ProcessExit += OnExit;
    }

    /// <summary>Makes standard input's terminal raw; null when it is none.</summary>
    internal static RawTerminal? Enter()
    {
        var terminal = new RawTerminal();
        byte[] raw = new byte[SettingsSize];
        fixed (byte* before = terminal._before, after = raw)
        {
            if (Get(0, before) != 0)
            {
                terminal._restored = 1;
                terminal.Dispose();
                return null;
            }

            terminal._before.CopyTo(raw, 0);
            MakeRaw(after);
            _ = Set(0, Now, after);
        }

        return terminal;
    }

    /// <summary>Columns and rows of standard output's terminal; null when it is none.</summary>
    internal static (int Columns, int Rows)? Size()
    {
        ushort* window = stackalloc ushort[4];
        return Control(1, AskWindow, window) == 0 && window[0] > 0 ? (window[1], window[0]) : null;
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        Restore();
        AppDomain.CurrentDomain.ProcessExit -= OnExit;
        foreach (PosixSignalRegistration signal in _signals)
        {
            signal.Dispose();
        }
    }

    private void OnExit(object? sender, EventArgs e) => Restore();

    private void Restore()
    {
        if (Interlocked.Exchange(ref _restored, 1) == 0)
        {
            fixed (byte* before = _before)
            {
                _ = Set(0, Drained, before);
            }
        }
    }

    [LibraryImport(Libc, EntryPoint = "tcgetattr")]
    private static partial int Get(int descriptor, byte* settings);

    [LibraryImport(Libc, EntryPoint = "tcsetattr")]
    private static partial int Set(int descriptor, int when, byte* settings);

    [LibraryImport(Libc, EntryPoint = "cfmakeraw")]
    private static partial void MakeRaw(byte* settings);

    [LibraryImport(Libc, EntryPoint = "ioctl")]
    private static partial int Control(int descriptor, nuint request, ushort* window);
}
