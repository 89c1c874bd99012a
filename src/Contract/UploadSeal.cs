using System.Buffers.Binary;
using System.Security.Cryptography;

namespace SandLabX.Contract;

/// <summary>What a piece of an upload is sealed with.</summary>
/// <param name="Id">Names it, and is sent with the piece; worth nothing by itself.</param>
/// <param name="Key">32 bytes, which never go the way that the piece goes.</param>
public sealed record UploadTicket(string Id, byte[] Key);

/// <summary>
/// Seals a piece of an upload for a way that anybody may watch or meddle with: in chunks, each encrypted and authenticated by AES-256-GCM, with its number as
/// nonce. A key serves for one piece, so that no nonce is used twice and chunks can be neither exchanged nor played again.
/// </summary>
public sealed class UploadSeal : IDisposable
{
    /// <summary>Bytes of a chunk; the last one of a piece may have fewer.</summary>
    public const int Chunk = 256 * 1024;

    /// <summary>Bytes that a chunk has more when it is sealed.</summary>
    public const int Overhead = 16;

    private const int KeyBytes = 32;

    private readonly AesGcm _cipher;
    private readonly byte[] _nonce = new byte[12];
    private long _next;

    /// <summary>For one piece, by who sends it or who receives it.</summary>
    /// <param name="ticket">Its ticket.</param>
    /// <exception cref="CryptographicException">The key is none.</exception>
    public UploadSeal(UploadTicket ticket)
    {
        ArgumentNullException.ThrowIfNull(ticket);
        _cipher = ticket.Key is { Length: KeyBytes } key ? new AesGcm(key, Overhead) : throw new CryptographicException("A ticket's key has 32 bytes.");
    }

    /// <summary>A ticket that nobody can guess.</summary>
    public static UploadTicket NewTicket() => new(Convert.ToHexStringLower(RandomNumberGenerator.GetBytes(16)), RandomNumberGenerator.GetBytes(KeyBytes));

    /// <summary>How many bytes a piece has once it is sealed.</summary>
    public static long SealedLength(long plain) => plain + (Overhead * ((plain + Chunk - 1) / Chunk));

    /// <summary>How many bytes are in a sealed piece; null when no piece has such a length.</summary>
    public static long? PlainLength(long length)
    {
        long chunks = (length + Chunk + Overhead - 1) / (Chunk + Overhead);
        long plain = length - (Overhead * chunks);
        return plain > 0 && SealedLength(plain) == length ? plain : null;
    }

    /// <summary>Seals the next chunk.</summary>
    /// <param name="plain">Its bytes.</param>
    /// <param name="target">Where to; <see cref="Overhead"/> longer.</param>
    public void Seal(ReadOnlySpan<byte> plain, Span<byte> target) => _cipher.Encrypt(Nonce(), plain, target[..plain.Length], target[plain.Length..]);

    /// <summary>Opens the next chunk.</summary>
    /// <param name="chunk">As it came.</param>
    /// <param name="target">Where to; <see cref="Overhead"/> shorter.</param>
    /// <exception cref="CryptographicException">It is not the chunk that was sealed as the next one.</exception>
    public void Open(ReadOnlySpan<byte> chunk, Span<byte> target) => _cipher.Decrypt(Nonce(), chunk[..target.Length], chunk[target.Length..], target);

    /// <inheritdoc/>
    public void Dispose() => _cipher.Dispose();

    private byte[] Nonce()
    {
        BinaryPrimitives.WriteInt64LittleEndian(_nonce, _next++);
        return _nonce;
    }
}
