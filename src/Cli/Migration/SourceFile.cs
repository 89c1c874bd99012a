using System.Buffers.Binary;
using System.ComponentModel;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace SandLabX.Cli.Migration;

/// <summary>What a name of the old installation stands for.</summary>
internal enum SourceKind
{
    /// <summary>Nothing is there.</summary>
    Missing,

    /// <summary>A file with bytes.</summary>
    File,

    /// <summary>A symbolic link.</summary>
    Link,

    /// <summary>A folder, a pipe, a device or a socket.</summary>
    Other,
}

/// <summary>What the file system says of a name, without opening it: to open a pipe is to hang.</summary>
/// <param name="Kind">What it is; links are not followed.</param>
/// <param name="Bytes">Its length.</param>
/// <param name="WrittenAt">When its bytes last changed, UTC.</param>
/// <param name="BornAt">When it was made on this file system, UTC; null where that does not say.</param>
internal readonly record struct SourceFacts(SourceKind Kind, long Bytes, DateTimeOffset WrittenAt, DateTimeOffset? BornAt);

/// <summary>The old installation's files, of which none is ever opened but for reading.</summary>
internal static unsafe partial class SourceFile
{
    private const int NoFollow = 0x100;          // AT_SYMLINK_NOFOLLOW
    private const int ThisFolder = -100;         // AT_FDCWD
    private const uint BasicAndBirth = 0xFFF;    // STATX_BASIC_STATS | STATX_BTIME
    private const uint Birth = 0x800;
    private const int NoSuchEntry = 2;
    private const int NotAFolder = 20;
    private const int GetLockOfOpenFile = 36;    // F_OFD_GETLK
    private const short Exclusive = 1;           // F_WRLCK
    private const short Unlocked = 2;            // F_UNLCK

    // Where QEMU locks single bytes of an image that it has open, one a permission (block/file-posix.c).
    private const long QemuLocksFrom = 100;
    private const long QemuLocksLength = 200;

    /// <summary>Looks at a name.</summary>
    internal static SourceFacts Look(string path)
    {
        byte* facts = stackalloc byte[256];
        if (Statx(ThisFolder, path, NoFollow, BasicAndBirth, facts) != 0)
        {
            int error = Marshal.GetLastPInvokeError();
            return error is NoSuchEntry or NotAFolder ? default : throw new IOException($"{path}: {new Win32Exception(error).Message}");
        }

        var seen = new ReadOnlySpan<byte>(facts, 256);
        SourceKind kind = (BinaryPrimitives.ReadUInt16LittleEndian(seen[28..]) & 0xF000) switch { 0x8000 => SourceKind.File, 0xA000 => SourceKind.Link, _ => SourceKind.Other };
        bool born = (BinaryPrimitives.ReadUInt32LittleEndian(seen) & Birth) != 0;
        return new SourceFacts(kind, BinaryPrimitives.ReadInt64LittleEndian(seen[40..]), Time(seen[112..]), born ? Time(seen[80..]) : null);
    }

    /// <summary>The file behind a name of a folder: the name itself, or what it links to within that folder; else why not.</summary>
    internal static (string? Path, string? Trouble) Resolve(string folder, string name)
    {
        string path = System.IO.Path.Combine(folder, name);
        SourceKind kind = Look(path).Kind;
        if (kind == SourceKind.Link)
        {
            string root = RealPath(folder);
            string? target = File.ResolveLinkTarget(path, returnFinalTarget: true) is { Exists: true } final ? RealPath(final.FullName) : null;
            if (target is null)
            {
                return (null, $"{path} is a symbolic link to nothing");
            }

            if (!target.StartsWith(root.TrimEnd('/') + '/', StringComparison.Ordinal))
            {
                return (null, $"{path} is a symbolic link out of its folder, to {target}; put the file itself there if it is the right one");
            }

            (path, kind) = (target, Look(target).Kind);
        }

        return kind switch
        {
            SourceKind.File => (path, null),
            SourceKind.Missing => (null, null),
            _ => (null, $"{path} is no ordinary file"),
        };
    }

    /// <summary>Opens a file for reading. Others may write it meanwhile: that is found out, not prevented.</summary>
    internal static FileStream Open(string path) => new(path, new FileStreamOptions
    {
        Mode = FileMode.Open,
        Access = FileAccess.Read,
        // With anything less .NET takes a lock on the file, which a QEMU that starts would stumble over.
        Share = FileShare.ReadWrite | FileShare.Delete,
        BufferSize = 0,
        Options = FileOptions.SequentialScan,
    });

    /// <summary>Whether a QEMU, or one of its tools, has the image open for writing or wants to keep others from it; asks the kernel and takes no lock.</summary>
    internal static bool IsInUse(SafeFileHandle file)
    {
        byte* question = stackalloc byte[32];
        var asked = new Span<byte>(question, 32);
        asked.Clear();
        BinaryPrimitives.WriteInt16LittleEndian(asked, Exclusive);
        BinaryPrimitives.WriteInt64LittleEndian(asked[8..], QemuLocksFrom);
        BinaryPrimitives.WriteInt64LittleEndian(asked[16..], QemuLocksLength);
        return Control(file, GetLockOfOpenFile, question) == 0 && BinaryPrimitives.ReadInt16LittleEndian(asked) != Unlocked;
    }

    /// <summary>The absolute path with all links followed.</summary>
    internal static string RealPath(string path)
    {
        string real = "/";
        foreach (string part in System.IO.Path.GetFullPath(path).Split('/', StringSplitOptions.RemoveEmptyEntries))
        {
            real = System.IO.Path.Combine(real, part);
            real = File.ResolveLinkTarget(real, returnFinalTarget: true) is { } target ? RealPath(target.FullName) : real;
        }

        return real;
    }

    private static DateTimeOffset Time(ReadOnlySpan<byte> at) =>
        DateTimeOffset.FromUnixTimeSeconds(Math.Clamp(BinaryPrimitives.ReadInt64LittleEndian(at), -62135596800, 253402300799)).AddTicks(BinaryPrimitives.ReadUInt32LittleEndian(at[8..]) / 100);

    [LibraryImport("libc.so.6", EntryPoint = "statx", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Statx(int folder, string path, int flags, uint mask, byte* facts);

    [LibraryImport("libc.so.6", EntryPoint = "fcntl", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Control(SafeHandle file, int command, byte* argument);
}
