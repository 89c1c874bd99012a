using System.Security.Cryptography;

namespace SandLabX.Runner.Import;

/// <summary>The SHA-256 of what passes, and how much that is: told at the beginning, once a second, and at the end.</summary>
internal sealed class PassingDigest : IDisposable
{
    private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
    private readonly PacedProgress _progress;
    private readonly long _length;
    private long _passed;

    /// <summary>Begins.</summary>
    /// <param name="progress">Told: bytes passed; bytes in all.</param>
    /// <param name="clock">Measures how often.</param>
    /// <param name="length">Bytes in all.</param>
    internal PassingDigest(Action<long, long?> progress, TimeProvider clock, long length)
    {
        (_progress, _length) = (new PacedProgress(progress, clock), length);
        _progress.Now(0, _length);
    }

    /// <summary>The next bytes.</summary>
    internal void Append(ReadOnlyMemory<byte> piece)
    {
        _hash.AppendData(piece.Span);
        _passed += piece.Length;
        _progress.Passes(_passed, _length);
    }

    /// <summary>All has passed: its digest, in lower-case hexadecimal digits.</summary>
    internal string End()
    {
        _progress.Now(_passed, _length);
        return Convert.ToHexStringLower(_hash.GetHashAndReset());
    }

    /// <inheritdoc/>
    public void Dispose() => _hash.Dispose();
}
