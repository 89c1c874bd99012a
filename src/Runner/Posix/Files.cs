using System.ComponentModel;
using System.Runtime.InteropServices;
using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.Win32.SafeHandles;

namespace SandLabX.Runner.Posix;

/// <summary>Files that are either whole or not there, whenever the power fails.</summary>
internal static class Files
{
    /// <summary>True for the errors that say "no room": a full file system, or a quota.</summary>
    internal static bool IsNoSpace(IOException error) => (error.HResult & 0xFFFF) is Native.NoSpace or Native.QuotaExceeded;

    /// <summary>Brings a file's bytes to the disk.</summary>
    internal static void Sync(string path)
    {
        using SafeFileHandle handle = File.OpenHandle(path, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite | FileShare.Delete);
        RandomAccess.FlushToDisk(handle);
    }

    /// <summary>Has the kernel begin to bring a range of a file to the disk, and waits for nothing: a sync at the end finds less left to do. A file system that can't is no fault.</summary>
    internal static void BeginSync(SafeFileHandle file, long offset, long count) => _ = Native.SyncRange(file, offset, count, Native.BeginWriting);

    /// <summary>Brings a folder's names to the disk: a rename is safe only after this.</summary>
    internal static void SyncFolder(string path)
    {
        // .NET refuses to open a folder.
        int folder = Native.Open(path, Native.CloseOnExec, 0);
        int failed = folder < 0 ? -1 : Native.Sync(folder);
        int error = Marshal.GetLastPInvokeError();
        if (folder >= 0)
        {
            _ = Native.Close(folder);
        }

        if (failed != 0)
        {
            throw new IOException($"can't sync {path}: {new Win32Exception(error).Message}", error);
        }
    }

    /// <summary>Writes JSON and syncs it; the name is the caller's to make final.</summary>
    internal static void WriteJson<T>(string path, T value, JsonTypeInfo<T> type)
    {
        using var file = new FileStream(path, FileMode.Create, FileAccess.Write);
        JsonSerializer.Serialize(file, value, type);
        file.Flush(flushToDisk: true);
    }

    /// <summary>Reads JSON; null when the file isn't there or is not such JSON.</summary>
    internal static T? ReadJson<T>(string path, JsonTypeInfo<T> type) where T : class
    {
        // A file of ours is below 1 KiB; a larger one is not ours and must not cost memory.
        const int limit = 64 * 1024;
        try
        {
            var file = new FileInfo(path);
            return !file.Exists || file.Length > limit ? null : JsonSerializer.Deserialize(File.ReadAllBytes(path), type);
        }
        catch (Exception e) when (e is JsonException or FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
    }

    /// <summary>Whether what was opened is an ordinary file: no folder, pipe, socket or device.</summary>
    internal static unsafe bool IsRegular(SafeFileHandle file)
    {
        const int modeOffset = 28;   // stx_mode in struct statx, of all architectures alike
        byte* facts = stackalloc byte[256];
        return Native.StatExtended(file, "", Native.EmptyPath, Native.StatType, facts) == 0
            ? (*(ushort*)(facts + modeOffset) & Native.TypeMask) == Native.RegularFile
            : throw new IOException($"can't look at an open file: {new Win32Exception(Marshal.GetLastPInvokeError()).Message}");
    }

    /// <summary>The bytes a file takes on its file system, holes not counted.</summary>
    internal static unsafe long AllocatedBytes(string path)
    {
        const int blocksOffset = 64;   // st_blocks in struct stat, of x86-64 and arm64 alike, in units of 512 bytes
        byte* buffer = stackalloc byte[256];
        return Native.Stat(path, buffer) == 0 ? *(long*)(buffer + blocksOffset) * 512 : 0;
    }
}
