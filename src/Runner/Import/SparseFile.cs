using Microsoft.Win32.SafeHandles;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>Writes a stream whose length nobody vouches for: zeros become holes, and it ends where there is no more room.</summary>
internal static class SparseFile
{
    // The unit of what is looked at for zeros.
    private const int Unit = 64 * 1024;

    // What is read and written at a time.
    private const int Piece = 16 * Unit;

    // What goes to the disk together while the rest is on its way: enough for a file system to lay it out in one place.
    private const long Batch = 16 * Piece;

    /// <summary>Copies all of it. A piece is read while the one before it is written and seen.</summary>
    /// <param name="source">Where the bytes come from.</param>
    /// <param name="path">The file; one that is there is overwritten.</param>
    /// <param name="limits">What it may take.</param>
    /// <param name="seen">Sees each piece on its way, one after the other; null when nobody wants to.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.DecompressedTooLarge"/> or <see cref="TerminationReasons.NoSpace"/>.</exception>
    internal static async Task WriteAsync(Stream source, string path, UnpackLimits limits, Action<ReadOnlyMemory<byte>>? seen, CancellationToken stop)
    {
        await using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        byte[] piece = new byte[Piece], other = new byte[Piece];
        long length = 0, written = 0, begun = 0;
        int count = await ReadAsync(piece).ConfigureAwait(false);
        while (count > 0)
        {
            length += count;
            if (length > limits.Bytes)
            {
                throw new RunnerEndException(
                    TerminationReasons.DecompressedTooLarge, $"What is in the file is longer than {limits.Bytes} bytes, the limit of an image. Use a smaller image, or have the operator's limit raised.");
            }

            ReadOnlyMemory<byte> present = piece.AsMemory(0, count);
            Task seeing = seen is null ? Task.CompletedTask : Task.Run(() => seen(present), CancellationToken.None);
            Task<int> reading = ReadAsync(other);
            try
            {
                written = Write(file.SafeFileHandle, present.Span, length - count, written, limits.Room);
            }
            finally
            {
                // The source is the caller's again, and may be gone, only when nobody reads it any more.
                await Task.WhenAll(seeing, reading).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }

            if (length - begun >= Batch)
            {
                Files.BeginSync(file.SafeFileHandle, begun, length - begun);
                begun = length;
            }

            await seeing.ConfigureAwait(false);
            count = await reading.ConfigureAwait(false);
            (piece, other) = (other, piece);
        }

        file.SetLength(length);

        Task<int> ReadAsync(byte[] buffer) => source.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, stop).AsTask();
    }

    internal static RunnerEndException NoRoom(long bytes) => new(
        TerminationReasons.NoSpace, $"The claim has no room: {bytes} bytes were written, and more come. Make the claim larger.");

    /// <summary>Writes what is not zero of a piece.</summary>
    /// <returns>How many bytes were written in all.</returns>
    private static long Write(SafeFileHandle file, ReadOnlySpan<byte> piece, long offset, long written, long room)
    {
        int from = 0;
        while (from < piece.Length)
        {
            int to = from;
            while (to < piece.Length && piece[to..Math.Min(to + Unit, piece.Length)].ContainsAnyExcept((byte)0))
            {
                to = Math.Min(to + Unit, piece.Length);
            }

            if (to > from)
            {
                written += to - from;
                WriteAt(file, piece[from..to], offset + from, written, room);
            }

            // What stopped it is a hole, or the end.
            from = to + Unit;
        }

        return written;
    }

    private static void WriteAt(SafeFileHandle file, ReadOnlySpan<byte> bytes, long offset, long written, long room)
    {
        if (written > room)
        {
            throw NoRoom(written);
        }

        try
        {
            RandomAccess.Write(file, bytes, offset);
        }
        catch (IOException e) when (Files.IsNoSpace(e))
        {
            throw NoRoom(written);
        }
    }
}

/// <summary>What unpacking may take.</summary>
/// <param name="Bytes">The longest the result may be, holes included.</param>
/// <param name="Room">The most it may take on the claim.</param>
internal sealed record UnpackLimits(long Bytes, long Room);
