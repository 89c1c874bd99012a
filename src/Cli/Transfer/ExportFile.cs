using System.Formats.Tar;
using System.IO.Compression;
using System.Security.Cryptography;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Transfer;

/// <summary>An export's file: a compressed tar of the manifest, the overlay and, if asked for, the base image; in this order and nothing else.</summary>
internal static class ExportFile
{
    private const int Buffer = 1024 * 1024;

    /// <summary>Writes it under another name, and gives it its own once it is whole.</summary>
    /// <param name="path">The file.</param>
    /// <param name="manifest">What it holds.</param>
    /// <param name="open">Gives the bytes of an entry.</param>
    /// <param name="progress">Told of an entry's bytes that are written.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="CliException">The bytes are not the ones that the manifest tells of.</exception>
    internal static async Task WriteAsync(string path, ExportManifest manifest, Func<string, Stream> open, Action<string, long> progress, CancellationToken stop)
    {
        string part = path + ".part";
        try
        {
            await using (var file = new FileStream(part, FileMode.Create, FileAccess.Write, FileShare.None, Buffer))
            {
                await using (var packed = new GZipStream(file, CompressionLevel.Fastest, leaveOpen: true))
                await using (var tar = new TarWriter(packed, TarEntryFormat.Pax, leaveOpen: true))
                {
                    using var head = new MemoryStream(manifest.Write());
                    await EntryAsync(tar, ExportManifest.Entry, head, stop).ConfigureAwait(false);
                    foreach ((string name, ExportedFile wish) in Files(manifest))
                    {
                        await using Stream bytes = open(name);
                        await using var checkedBytes = new CheckedStream(bytes, wish.Bytes, read => progress(name, read));
                        await EntryAsync(tar, name, checkedBytes, stop).ConfigureAwait(false);
                        Require(checkedBytes, name, wish);
                    }
                }

                file.Flush(flushToDisk: true);
            }

            File.Move(part, path, overwrite: true);
        }
        catch
        {
            File.Delete(part);
            throw;
        }
    }

    /// <summary>Reads the manifest alone.</summary>
    /// <exception cref="CliException">It is no export.</exception>
    internal static async Task<ExportManifest> ReadManifestAsync(string path, CancellationToken stop)
    {
        await using var reading = new Reading(path);
        return await reading.ManifestAsync(stop).ConfigureAwait(false);
    }

    /// <summary>Unpacks overlay and base into a folder, under names of ours; nothing of the file decides where anything is written.</summary>
    /// <param name="path">The file.</param>
    /// <param name="folder">An empty folder.</param>
    /// <param name="withBase">Whether the base is wanted.</param>
    /// <param name="progress">Told of an entry's bytes that are read.</param>
    /// <param name="stop">Ends it early.</param>
    /// <exception cref="CliException">What is in it is not what its manifest says.</exception>
    internal static async Task UnpackAsync(string path, string folder, bool withBase, Action<string, long> progress, CancellationToken stop)
    {
        await using var reading = new Reading(path);
        ExportManifest manifest = await reading.ManifestAsync(stop).ConfigureAwait(false);
        foreach ((string name, ExportedFile wish) in Files(manifest))
        {
            if (name == ExportManifest.BaseEntry && !withBase)
            {
                return;
            }

            Stream bytes = await reading.EntryAsync(name, wish.Bytes, stop).ConfigureAwait(false);
            await using var checkedBytes = new CheckedStream(bytes, wish.Bytes, read => progress(name, read));
            await using (var target = new FileStream(Path.Combine(folder, name), FileMode.CreateNew, FileAccess.Write, FileShare.None, bufferSize: 0))
            {
                await Reading.CopyAsync(checkedBytes, target, stop).ConfigureAwait(false);
            }

            Require(checkedBytes, name, wish);
        }
    }

    private static IEnumerable<(string Name, ExportedFile File)> Files(ExportManifest manifest)
    {
        yield return (ExportManifest.OverlayEntry, manifest.Overlay);
        if (manifest.Base is { } there)
        {
            yield return (ExportManifest.BaseEntry, there);
        }
    }

    private static Task EntryAsync(TarWriter tar, string name, Stream bytes, CancellationToken stop) =>
        tar.WriteEntryAsync(new PaxTarEntry(TarEntryType.RegularFile, name) { DataStream = bytes, Mode = UnixFileMode.UserRead | UnixFileMode.UserWrite }, stop);

    private static void Require(CheckedStream read, string name, ExportedFile wish)
    {
        string sha256 = read.Digest();
        if (sha256 != wish.Sha256)
        {
            throw new CliException(ExitCodes.Failed, $"{name} has {read.Length} bytes with sha256 {sha256}, not {wish.Bytes} with {wish.Sha256}: it was damaged on the way, or changed. Nothing was made of it.");
        }
    }

    /// <summary>Reads a file entry by entry; whatever is not the one that must come next is refused.</summary>
    private sealed class Reading : IAsyncDisposable
    {
        private readonly FileStream _file;
        private readonly GZipStream _packed;
        private readonly TarReader _tar;

        internal Reading(string path)
        {
            _file = Migration.SourceFile.Open(path);
            _packed = new GZipStream(_file, CompressionMode.Decompress);
            _tar = new TarReader(_packed);
        }

        internal async Task<ExportManifest> ManifestAsync(CancellationToken stop)
        {
            Stream bytes = await EntryAsync(ExportManifest.Entry, null, stop).ConfigureAwait(false);
            byte[] json = new byte[bytes.Length <= ExportManifest.MaxBytes ? bytes.Length : throw Refused($"its {ExportManifest.Entry} has {bytes.Length} bytes")];
            try
            {
                await bytes.ReadExactlyAsync(json, stop).ConfigureAwait(false);
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
            {
                throw Refused($"it is cut or damaged ({e.Message})");
            }

            return ExportManifest.Read(json);
        }

        internal static async Task CopyAsync(Stream bytes, FileStream target, CancellationToken stop)
        {
            try
            {
                await bytes.CopyToAsync(target, Buffer, stop).ConfigureAwait(false);
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException)
            {
                throw Refused($"it is cut or damaged ({e.Message})");
            }
        }

        internal async Task<Stream> EntryAsync(string name, long? bytes, CancellationToken stop)
        {
            try
            {
                TarEntry? entry = await _tar.GetNextEntryAsync(copyData: false, stop).ConfigureAwait(false);
                return entry is null ? throw Refused($"it ends where {name} should be")
                    : entry.Name != name ? throw Refused($"there is {Migration.Printable.Line(entry.Name, 60)} where {name} should be")
                    : entry.EntryType is not (TarEntryType.RegularFile or TarEntryType.V7RegularFile) || entry.DataStream is null ? throw Refused($"its {name} is no ordinary file")
                    : bytes is { } wish && entry.Length != wish ? throw Refused($"its {name} has {entry.Length} bytes, not {wish} as its manifest says")
                    : entry.DataStream;
            }
            catch (Exception e) when (e is InvalidDataException or EndOfStreamException or FormatException)
            {
                throw Refused($"it is no compressed tar, or cut ({e.Message})");
            }
        }

        public async ValueTask DisposeAsync()
        {
            await _tar.DisposeAsync().ConfigureAwait(false);
            await _packed.DisposeAsync().ConfigureAwait(false);
            await _file.DisposeAsync().ConfigureAwait(false);
        }

        private static CliException Refused(string what) => new(ExitCodes.Usage, $"The file is no export of a LabNode, or was changed: {what}.");
    }

    /// <summary>Bytes of a known length that are hashed as they are read: a stream that ends early, or goes on, fails.</summary>
    private sealed class CheckedStream(Stream source, long length, Action<long> read) : Stream
    {
        private readonly IncrementalHash _hash = IncrementalHash.CreateHash(HashAlgorithmName.SHA256);
        private long _read;

        public override bool CanRead => true;

        // The tar writer asks for the length, and seeks nowhere.
        public override bool CanSeek => true;

        public override bool CanWrite => false;

        public override long Length => length;

        public override long Position { get => _read; set => throw new NotSupportedException(); }

        internal string Digest() => Convert.ToHexStringLower(_hash.GetCurrentHash());

        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            int wanted = (int)Math.Min(buffer.Length, length - _read);
            int count = wanted == 0 ? 0 : await source.ReadAsync(buffer[..wanted], cancellationToken).ConfigureAwait(false);
            if (count == 0 && wanted > 0)
            {
                throw new CliException(ExitCodes.Failed, $"The bytes ended after {_read} of {length}.");
            }

            _hash.AppendData(buffer.Span[..count]);
            read(_read += count);
            return count;
        }

        public override Task<int> ReadAsync(byte[] buffer, int offset, int count, CancellationToken cancellationToken) => ReadAsync(buffer.AsMemory(offset, count), cancellationToken).AsTask();

        public override int Read(byte[] buffer, int offset, int count) => ReadAsync(buffer.AsMemory(offset, count)).AsTask().GetAwaiter().GetResult();

        public override void Flush()
        {
        }

        public override long Seek(long offset, SeekOrigin origin) => throw new NotSupportedException();

        public override void SetLength(long value) => throw new NotSupportedException();

        public override void Write(byte[] buffer, int offset, int count) => throw new NotSupportedException();

        protected override void Dispose(bool disposing)
        {
            _hash.Dispose();
            base.Dispose(disposing);
        }
    }
}
