using System.Buffers.Binary;
using FsCheck;
using FsCheck.Fluent;
using SandLabX.Contract;

namespace SandLabX.Unit.Runner;

public class Qcow2HeaderTests
{
    [Fact]
    public void A_header_tells_size_backing_file_and_format()
    {
        Qcow2Header header = Qcow2Header.Parse(RunnerGiven.Header(backing: "/images/a/disk.qcow2", format: "qcow2"))!;

        header.VirtualSizeBytes.ShouldBe(RunnerGiven.BaseSize);
        header.BackingName.ShouldBe("/images/a/disk.qcow2");
        header.BackingFormat.ShouldBe("qcow2");
        header.ClusterBytes.ShouldBe(65536);
        header.Level1.ShouldBe(new Qcow2Table(0x30000, 2));
        header.RefcountTable.ShouldBe(new Qcow2Table(0x10000, 8192));
    }

    [Theory]
    [InlineData(1UL, nameof(Qcow2Header.Dirty))]
    [InlineData(2UL, nameof(Qcow2Header.MarkedCorrupt))]
    [InlineData(4UL, nameof(Qcow2Header.HasDataFile))]
    [InlineData(32UL, nameof(Qcow2Header.UnknownFeatures))]
    [InlineData(1UL << 63, nameof(Qcow2Header.UnknownFeatures))]
    public void Each_incompatible_feature_is_seen(ulong bit, string property)
    {
        Qcow2Header header = Qcow2Header.Parse(RunnerGiven.Header(features: bit))!;

        typeof(Qcow2Header).GetProperty(property)!.GetValue(header).ShouldBe(true);
        Qcow2Header plain = RunnerGiven.Base();
        (plain.Dirty || plain.MarkedCorrupt || plain.HasDataFile || plain.UnknownFeatures).ShouldBeFalse();
    }

    [Fact]
    public void Features_of_version_2_are_none_whatever_stands_in_their_place() =>
        Qcow2Header.Parse(RunnerGiven.Header(features: 4UL << 32, version: 2))!.UnknownFeatures.ShouldBeFalse();

    [Theory]
    [InlineData(8, ulong.MaxValue)]          // backing name beyond the file
    [InlineData(24, ulong.MaxValue)]         // size above what a signed number holds
    [InlineData(40, ulong.MaxValue)]         // table beyond any file
    [InlineData(48, ulong.MaxValue)]
    public void Numbers_that_can_not_be_are_no_header(int offset, ulong value)
    {
        byte[] start = RunnerGiven.Header(backing: "/x");
        BinaryPrimitives.WriteUInt64BigEndian(start.AsSpan(offset), value);

        Qcow2Header.Parse(start).ShouldBeNull();
    }

    [Fact]
    public void An_extension_that_runs_past_the_end_is_no_header()
    {
        byte[] start = RunnerGiven.Header(format: "qcow2");
        BinaryPrimitives.WriteUInt32BigEndian(start.AsSpan(108), uint.MaxValue);

        Qcow2Header.Parse(start).ShouldBeNull();
    }

    [Fact]
    public void A_file_that_ends_before_its_backing_files_name_is_no_header()
    {
        byte[] start = RunnerGiven.Header(backing: "/images/a/disk.qcow2", format: "qcow2");
        BinaryPrimitives.WriteUInt32BigEndian(start.AsSpan(16), 500);

        Qcow2Header.Parse(start.AsSpan(0, 300)).ShouldBeNull();
    }

    [Fact]
    public void No_bytes_whatever_make_it_fail()
    {
        // From a sound header with some bytes overwritten: deeper than noise would get.
        Gen<(int, byte)> spot = Gen.Zip(Gen.Choose(0, 200), Gen.Choose(0, 255).Select(b => (byte)b));
        Prop.ForAll(spot.ListOf().ToArbitrary(), spots =>
        {
            byte[] start = RunnerGiven.Header(backing: "/images/a/disk.qcow2", format: "qcow2");
            foreach ((int at, byte value) in spots)
            {
                start[at] = value;
            }

            _ = Qcow2Header.Parse(start);
            _ = Qcow2Header.Parse(start.AsSpan(0, Math.Min(start.Length, spots.Count * 7)));
        }).QuickCheckThrowOnFailure();
    }
}
