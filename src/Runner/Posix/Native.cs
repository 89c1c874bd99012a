using System.Runtime.InteropServices;

namespace SandLabX.Runner.Posix;

/// <summary>The C library's calls that .NET has no words for. Linux with glibc only.</summary>
internal static unsafe partial class Native
{
    // The file's full name: AOT binds to it at link time (DirectPInvoke), the JIT of the tests finds it without guessing.
    private const string Libc = "libc.so.6";

    // Numbers of Linux, the same on x86-64 and arm64: <fcntl.h>, <sys/file.h>, <sys/stat.h>, <sys/socket.h>, <spawn.h>, <signal.h>, <errno.h>.
    internal const int LockExclusiveNonBlocking = 2 | 4;
    internal const int DuplicateCloseOnExec = 1030;
    internal const int UnixDomain = 1;
    internal const int StreamCloseOnExec = 1 | 0x80000;
    internal const int ReadWrite = 2;
    internal const int Create = 0x40;
    internal const int CloseOnExec = 0x80000;
    internal const int NonBlocking = 0x800;
    internal const int Kill = 9;
    internal const int Terminate = 15;
    internal const int NoSuchEntry = 2;
    internal const int NoChild = 10;
    internal const int WouldBlock = 11;
    internal const int AccessDenied = 13;
    internal const int NoSpace = 28;
    internal const int QuotaExceeded = 122;
    internal const int EmptyPath = 0x1000;
    internal const uint StatType = 1;
    internal const int TypeMask = 0xF000;
    internal const int RegularFile = 0x8000;
    internal const uint BeginWriting = 2;
    internal const short SpawnSetProcessGroup = 0x02;
    internal const short SpawnDefaultSignals = 0x04;
    internal const short SpawnSignalMask = 0x08;

    [LibraryImport(Libc, EntryPoint = "flock", SetLastError = true)]
    internal static partial int Lock(int descriptor, int operation);

    [LibraryImport(Libc, EntryPoint = "fsync", SetLastError = true)]
    internal static partial int Sync(int descriptor);

    [LibraryImport(Libc, EntryPoint = "sync_file_range")]
    internal static partial int SyncRange(SafeHandle file, long offset, long count, uint flags);

    [LibraryImport(Libc, EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Open(string path, int flags, int mode);

    [LibraryImport(Libc, EntryPoint = "close")]
    internal static partial int Close(int descriptor);

    [LibraryImport(Libc, EntryPoint = "fcntl", SetLastError = true)]
    internal static partial int Control(int descriptor, int command, int argument);

    /// <summary><c>stat</c> into a buffer of 256 bytes, more than any layout takes.</summary>
    [LibraryImport(Libc, EntryPoint = "stat", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int Stat(string path, byte* buffer);

    /// <summary><c>statx</c> into a buffer of 256 bytes, which is its size.</summary>
    [LibraryImport(Libc, EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    internal static partial int StatExtended(SafeHandle folder, string path, int flags, uint mask, byte* buffer);

    [LibraryImport(Libc, EntryPoint = "socketpair", SetLastError = true)]
    internal static partial int SocketPair(int domain, int type, int protocol, int* pair);

    /// <summary>EINTR.</summary>
    internal const int Interrupted = 4;

    [LibraryImport(Libc, EntryPoint = "kill", SetLastError = true)]
    internal static partial int Signal(int process, int signal);

    [LibraryImport(Libc, EntryPoint = "waitpid", SetLastError = true)]
    internal static partial int Wait(int process, int* status, int options);

    [LibraryImport(Libc, EntryPoint = "posix_spawnp")]
    internal static partial int Spawn(int* process, byte* file, byte* actions, byte* attributes, byte** arguments, byte** environment);

    [LibraryImport(Libc, EntryPoint = "posix_spawn_file_actions_init")]
    internal static partial int ActionsInit(byte* actions);

    [LibraryImport(Libc, EntryPoint = "posix_spawn_file_actions_destroy")]
    internal static partial int ActionsDestroy(byte* actions);

    [LibraryImport(Libc, EntryPoint = "posix_spawn_file_actions_adddup2")]
    internal static partial int ActionsDuplicate(byte* actions, int from, int to);

    [LibraryImport(Libc, EntryPoint = "posix_spawn_file_actions_addopen")]
    internal static partial int ActionsOpen(byte* actions, int descriptor, byte* path, int flags, int mode);

    [LibraryImport(Libc, EntryPoint = "posix_spawnattr_init")]
    internal static partial int AttributesInit(byte* attributes);

    [LibraryImport(Libc, EntryPoint = "posix_spawnattr_destroy")]
    internal static partial int AttributesDestroy(byte* attributes);

    [LibraryImport(Libc, EntryPoint = "posix_spawnattr_setflags")]
    internal static partial int AttributesFlags(byte* attributes, short flags);

    [LibraryImport(Libc, EntryPoint = "posix_spawnattr_setsigdefault")]
    internal static partial int AttributesDefaultSignals(byte* attributes, byte* set);

    [LibraryImport(Libc, EntryPoint = "posix_spawnattr_setsigmask")]
    internal static partial int AttributesSignalMask(byte* attributes, byte* set);

    [LibraryImport(Libc, EntryPoint = "sigfillset")]
    internal static partial int FillSignals(byte* set);

    [LibraryImport(Libc, EntryPoint = "sigemptyset")]
    internal static partial int EmptySignals(byte* set);

    [LibraryImport(Libc, EntryPoint = "tcgetattr", SetLastError = true)]
    internal static partial int TerminalGet(int descriptor, byte* settings);

    [LibraryImport(Libc, EntryPoint = "tcsetattr", SetLastError = true)]
    internal static partial int TerminalSet(int descriptor, int when, byte* settings);

    [LibraryImport(Libc, EntryPoint = "cfmakeraw")]
    internal static partial void TerminalMakeRaw(byte* settings);
}
