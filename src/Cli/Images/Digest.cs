using System.Buffers;
using System.Security.Cryptography;

namespace SandLabX.Cli.Images;

/// <summary>SHA-256 of a file, streaming.</summary>
internal static class Digest
{
    /// <summary>Computes it: 64 lower-case hexadecimal digits.</summary>
    /// <param name="file">The file, from its beginning.</param>
    /// <param name="progress">Told how many bytes were read.</param>
    /// <param name="stop">Ends it.</param>
    internal static async Task<string> Sha256Async(FileStream file, Action<long> progress, CancellationToken stop)
    {
        using var hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        byte[] buffer = ArrayPool<byte>.Shared.Rent(1 << 20);
        try
        {
            long read = 0;
            while (await RandomAccess.ReadAsync(file.SafeFileHandle, buffer, read, stop).ConfigureAwait(false) is > 0 and int count)
            {
                hash.AppendData(buffer, 0, count);
                read += count;
                progress(read);
            }

            return Convert.ToHexStringLower(hash.GetHashAndReset());
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(buffer);
        }
    }
}
