using System.Security.Cryptography;
using SandLabX.Contract;

namespace SandLabX.Runner.Import;

/// <summary>Takes a sealed piece chunk by chunk. What has come of a chunk that is not whole is not given away: nobody vouches for it.</summary>
/// <param name="seal">Opens them.</param>
/// <param name="read">Gives some bytes as they come; 0 when no more come.</param>
internal sealed class SealedChunks(UploadSeal seal, Func<Memory<byte>, CancellationToken, ValueTask<int>> read)
{
    private readonly byte[] _chunk = new byte[UploadSeal.Chunk + UploadSeal.Overhead];

    /// <summary>Gives the next chunk.</summary>
    /// <param name="buffer">Where to; as long as a chunk, or as what is left of the piece.</param>
    /// <param name="stop">Ends it early.</param>
    /// <returns>The chunk's length; 0 when no whole one comes.</returns>
    /// <exception cref="CryptographicException">It is not what was sealed.</exception>
    internal async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken stop)
    {
        int length = Math.Min(buffer.Length, UploadSeal.Chunk);
        Memory<byte> chunk = _chunk.AsMemory(0, length + UploadSeal.Overhead);
        for (int got = 0; got < chunk.Length;)
        {
            int count = await read(chunk[got..], stop).ConfigureAwait(false);
            if (count == 0)
            {
                return 0;
            }

            got += count;
        }

        seal.Open(chunk.Span, buffer.Span[..length]);
        return length;
    }
}
