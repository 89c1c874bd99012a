using System.Threading.Channels;
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
    private const int PieceBytes = 16 * Unit;

    // What goes to the disk together while the rest is on its way: enough for a file system to lay it out in one place.
    private const long Batch = 16 * PieceBytes;

    // How far reading may be ahead of writing: a moment that the file system takes for itself keeps nothing else waiting.
    private const int PiecesAhead = 8;

    /// <summary>Copies all of it. While a piece is written, the next ones are read and seen.</summary>
    /// <param name="source">Where the bytes come from.</param>
    /// <param name="path">The file; one that is there is overwritten.</param>
    /// <param name="limits">What it may take.</param>
    /// <param name="seen">Sees each piece on its way, one after the other; null when nobody wants to.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.DecompressedTooLarge"/> or <see cref="TerminationReasons.NoSpace"/>.</exception>
    internal static async Task WriteAsync(Stream source, string path, UnpackLimits limits, Action<ReadOnlyMemory<byte>>? seen, CancellationToken stop)
    {
        await using var file = new FileStream(path, FileMode.Create, FileAccess.Write, FileShare.Read, bufferSize: 0);
        using var over = CancellationTokenSource.CreateLinkedTokenSource(stop);
        Channel<byte[]> free = Channel.CreateUnbounded<byte[]>();
        Channel<Piece> toSee = Channel.CreateUnbounded<Piece>(), toWrite = Channel.CreateUnbounded<Piece>();
        for (int i = 0; i < PiecesAhead; i++)
        {
            free.Writer.TryWrite(new byte[PieceBytes]);
        }

        // The source is the caller's again, and may be gone, only when nobody reads it any more.
        await AllAsync(over, Task.Run(ReadAsync, CancellationToken.None), Task.Run(SeeAsync, CancellationToken.None), Task.Run(WriteAsync, CancellationToken.None)).ConfigureAwait(false);

        async Task ReadAsync()
        {
            while (true)
            {
                byte[] buffer = await free.Reader.ReadAsync(over.Token).ConfigureAwait(false);
                int count = await source.ReadAtLeastAsync(buffer, buffer.Length, throwOnEndOfStream: false, over.Token).ConfigureAwait(false);
                if (count == 0)
                {
                    break;
                }

                var piece = new Piece(buffer, count);
                toSee.Writer.TryWrite(piece);
                toWrite.Writer.TryWrite(piece);
            }

            toSee.Writer.Complete();
            toWrite.Writer.Complete();
        }

        async Task SeeAsync()
        {
            await foreach (Piece piece in toSee.Reader.ReadAllAsync(over.Token).ConfigureAwait(false))
            {
                seen?.Invoke(piece.Bytes);
                GiveBack(piece);
            }
        }

        async Task WriteAsync()
        {
            long length = 0, written = 0, begun = 0;
            await foreach (Piece piece in toWrite.Reader.ReadAllAsync(over.Token).ConfigureAwait(false))
            {
                long offset = length;
                length += piece.Bytes.Length;
                if (length > limits.Bytes)
                {
                    throw new RunnerEndException(
                        TerminationReasons.DecompressedTooLarge, $"What is in the file is longer than {limits.Bytes} bytes, the limit of an image. Use a smaller image, or have the operator's limit raised.");
                }

                written = Write(file.SafeFileHandle, piece.Bytes.Span, offset, written, limits.Room);
                GiveBack(piece);
                if (length - begun >= Batch)
                {
                    Files.BeginSync(file.SafeFileHandle, begun, length - begun);
                    begun = length;
                }
            }

            file.SetLength(length);
        }

        void GiveBack(Piece piece)
        {
            if (piece.IsDone())
            {
                free.Writer.TryWrite(piece.Buffer);
            }
        }
    }

    /// <summary>Waits for all; the first that fails ends the others, and what it says is what happened.</summary>
    private static async Task AllAsync(CancellationTokenSource over, params Task[] tasks)
    {
        Task? failed = null;
        await foreach (Task task in Task.WhenEach(tasks).ConfigureAwait(false))
        {
            if (!task.IsCompletedSuccessfully && failed is null)
            {
                failed = task;
                await over.CancelAsync().ConfigureAwait(false);
            }
        }

        await (failed ?? Task.CompletedTask).ConfigureAwait(false);
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

    /// <summary>What was read at a time, until it is both seen and written.</summary>
    private sealed class Piece(byte[] buffer, int count)
    {
        private int _open = 2;

        internal byte[] Buffer => buffer;

        internal ReadOnlyMemory<byte> Bytes => buffer.AsMemory(0, count);

        /// <summary>One more is done with it; true when that was the last.</summary>
        internal bool IsDone() => Interlocked.Decrement(ref _open) == 0;
    }
}

/// <summary>What unpacking may take.</summary>
/// <param name="Bytes">The longest the result may be, holes included.</param>
/// <param name="Room">The most it may take on the claim.</param>
internal sealed record UnpackLimits(long Bytes, long Room);
