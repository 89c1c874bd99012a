using System.Security.Cryptography;
using SandLabX.Contract;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner.Import;

/// <summary>
/// Receives a file in pieces, as connections come and break, and hashes it on the way. What is in the file is what was received: a
/// successor, after a crash or in another pod, goes on at its end. Knows nothing of what becomes of the file.
/// </summary>
internal sealed class UploadReceiver : IDisposable
{
    // A sealed piece comes chunk by chunk, and each must fit.
    private const int Chunk = UploadSeal.Chunk;

    private readonly string _path;
    private readonly long _room;
    private readonly PacedProgress _progress;
    private readonly FileStream _file;
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly byte[] _buffer = new byte[Chunk];
    private long _received;

    private UploadReceiver(string path, long room, Action<long, long?> progress, TimeProvider clock)
    {
        _path = path;
        _room = room;
        _progress = new PacedProgress(progress, clock);
        _file = new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.Read, bufferSize: 0);
    }

    /// <summary>Takes up the file, or begins it; what an earlier pod received is hashed first.</summary>
    /// <param name="path">The file that the bytes go to.</param>
    /// <param name="room">How many bytes it may have at most.</param>
    /// <param name="progress">Told now and then: bytes received; bytes in all, as far as the present piece goes.</param>
    /// <param name="clock">Measures how often.</param>
    /// <param name="stop">Ends it early.</param>
    internal static async Task<UploadReceiver> OpenAsync(string path, long room, Action<long, long?> progress, TimeProvider clock, CancellationToken stop)
    {
        var receiver = new UploadReceiver(path, room, progress, clock);
        try
        {
            while (await RandomAccess.ReadAsync(receiver._file.SafeFileHandle, receiver._buffer, receiver._received, stop).ConfigureAwait(false) is > 0 and int count)
            {
                receiver.Count(count);
            }

            return receiver;
        }
        catch
        {
            receiver.Dispose();
            throw;
        }
    }

    /// <summary>How many bytes are there.</summary>
    internal long Received => Interlocked.Read(ref _received);

    /// <summary>The digest of all that was received, in lower-case hexadecimal digits. Not while a piece is being appended.</summary>
    internal string Digest => Convert.ToHexStringLower(_hash.GetCurrentHash());

    /// <summary>Brings to the disk what was received so far.</summary>
    /// <returns>How many bytes are safe.</returns>
    internal long Sync()
    {
        long received = Received;
        RandomAccess.FlushToDisk(_file.SafeFileHandle);
        return received;
    }

    /// <summary>Appends a piece; what came of one that breaks off stays. One at a time.</summary>
    /// <param name="length">The piece's length in bytes.</param>
    /// <param name="read">Gives some bytes of it; 0 when no more come.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="RunnerEndException"><see cref="TerminationReasons.NoSpace"/>.</exception>
    internal async Task AppendAsync(long length, Func<Memory<byte>, CancellationToken, ValueTask<int>> read, CancellationToken stop)
    {
        long end = Received + length;
        if (length > Math.Min(_room - Received, new DriveInfo(Path.GetDirectoryName(_path)!).AvailableFreeSpace))
        {
            throw NoRoom(end);
        }

        _progress.Now(Received, end);
        try
        {
            while (Received < end)
            {
                int count = await read(_buffer.AsMemory(0, (int)Math.Min(_buffer.Length, end - Received)), stop).ConfigureAwait(false);
                if (count == 0)
                {
                    return;
                }

                Write(count, end);
                _progress.Passes(Received, end);
            }
        }
        finally
        {
            Sync();
            _progress.Now(Received, end);
        }
    }

    /// <summary>Forgets what was received.</summary>
    internal void Discard()
    {
        _file.Dispose();
        File.Delete(_path);
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        _file.Dispose();
        _hash.Dispose();
    }

    private void Write(int count, long end)
    {
        try
        {
            RandomAccess.Write(_file.SafeFileHandle, _buffer.AsSpan(0, count), Received);
        }
        catch (IOException e) when (Files.IsNoSpace(e))
        {
            _file.SetLength(Received);
            throw NoRoom(end);
        }

        Count(count);
    }

    private void Count(int count)
    {
        _hash.AppendData(_buffer, 0, count);
        Interlocked.Add(ref _received, count);
    }

    private RunnerEndException NoRoom(long end) => new(
        TerminationReasons.NoSpace, $"The claim has no room for the upload: {Received} of {end} bytes were received. Make the claim larger.");
}
