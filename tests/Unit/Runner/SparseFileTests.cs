using SandLabX.Contract;
using SandLabX.Runner;
using SandLabX.Runner.Import;

namespace SandLabX.Unit.Runner;

public sealed class SparseFileTests : IDisposable
{
    private const int Unit = 64 * 1024;

    private readonly string _path = Path.GetTempFileName();

    public void Dispose() => File.Delete(_path);

    /// <summary>A letter is a unit of it, a point one of zeros, and the last may be short.</summary>
    [Theory]
    [InlineData("", 0)]
    [InlineData("a", 1)]
    [InlineData(".", 1)]
    [InlineData("a.b", 1000)]
    [InlineData("..ab..", Unit)]
    [InlineData("abcdefghijklmnop", Unit)]
    [InlineData("abcdefghijklmno.q", 77)]
    [InlineData("................................a................", Unit)]
    [InlineData(".bcd...hij..mn.p.bcd...hij..mn.pq", 4097)]
    public async Task What_is_written_is_what_was_read_and_every_piece_is_seen_in_its_order(string units, int last)
    {
        byte[] bytes = Bytes(units, last);
        await File.WriteAllTextAsync(_path, "what was there before");
        using var seen = new MemoryStream();
        await SparseFile.WriteAsync(new Trickle(bytes), _path, new UnpackLimits(bytes.Length, bytes.Length), piece => seen.Write(piece.Span), CancellationToken.None);
        (await File.ReadAllBytesAsync(_path)).SequenceEqual(bytes).ShouldBeTrue();
        seen.ToArray().SequenceEqual(bytes).ShouldBeTrue();
    }

    [Fact]
    public async Task Holes_take_no_room_and_bytes_no_more_than_there_is()
    {
        byte[] bytes = Bytes("a....................b.................c", Unit);
        await SparseFile.WriteAsync(new MemoryStream(bytes), _path, new UnpackLimits(bytes.Length, 3 * Unit), null, CancellationToken.None);
        (await Should.ThrowAsync<RunnerEndException>(() => SparseFile.WriteAsync(new MemoryStream(bytes), _path, new UnpackLimits(bytes.Length, (3 * Unit) - 1), null, CancellationToken.None)))
            .Reason.ShouldBe(TerminationReasons.NoSpace);
        (await Should.ThrowAsync<RunnerEndException>(() => SparseFile.WriteAsync(new MemoryStream(bytes), _path, new UnpackLimits(bytes.Length - 1, long.MaxValue), null, CancellationToken.None)))
            .Reason.ShouldBe(TerminationReasons.DecompressedTooLarge);
    }

    [Fact]
    public async Task What_goes_wrong_while_reading_or_looking_is_not_lost()
    {
        byte[] bytes = Bytes(new string('a', 40), Unit);
        await Should.ThrowAsync<InvalidDataException>(() => SparseFile.WriteAsync(
            new MemoryStream(bytes), _path, new UnpackLimits(long.MaxValue, long.MaxValue), _ => throw new InvalidDataException(), CancellationToken.None));
        await Should.ThrowAsync<EndOfStreamException>(() => SparseFile.WriteAsync(
            new Trickle(bytes, failAt: 20 * Unit), _path, new UnpackLimits(long.MaxValue, long.MaxValue), null, CancellationToken.None));
    }

    private static byte[] Bytes(string units, int last)
    {
        byte[] bytes = new byte[units.Length == 0 ? 0 : ((units.Length - 1) * Unit) + last];
        for (int i = 0; i < units.Length; i++)
        {
            if (units[i] != '.')
            {
                // One byte in a unit is enough, wherever it is.
                int length = i == units.Length - 1 ? last : Unit;
                bytes[(i * Unit) + (units[i] % length)] = (byte)units[i];
                bytes[(i * Unit) + length - 1] = (byte)units[i];
            }
        }

        return bytes;
    }

    /// <summary>A stream that gives a little at a time, as a pipe does, and may fail.</summary>
    private sealed class Trickle(byte[] bytes, int failAt = int.MaxValue) : MemoryStream(bytes)
    {
        public override async ValueTask<int> ReadAsync(Memory<byte> buffer, CancellationToken cancellationToken = default)
        {
            await Task.Yield();
            return Position >= failAt ? throw new EndOfStreamException() : await base.ReadAsync(buffer[..Math.Min(buffer.Length, 50_000)], cancellationToken);
        }
    }
}
