using System.Security.Cryptography;
using SandLabX.Contract;

namespace SandLabX.Unit.Runner;

public class UploadSealTests
{
    [Theory]
    [InlineData(1, 17)]
    [InlineData(UploadSeal.Chunk, UploadSeal.Chunk + 16)]
    [InlineData(UploadSeal.Chunk + 1, UploadSeal.Chunk + 33)]
    [InlineData(10L * UploadSeal.Chunk, 10L * (UploadSeal.Chunk + 16))]
    public void A_sealed_pieces_length_tells_its_own(long plain, long closed)
    {
        UploadSeal.SealedLength(plain).ShouldBe(closed);
        UploadSeal.PlainLength(closed).ShouldBe(plain);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(16)]
    [InlineData(UploadSeal.Chunk + 16 + 1)]
    [InlineData(UploadSeal.Chunk + 16 + 16)]
    public void No_piece_has_such_a_length(long length) => UploadSeal.PlainLength(length).ShouldBeNull();

    [Fact]
    public void Chunks_are_opened_in_their_order_and_by_their_ticket_alone()
    {
        UploadTicket ticket = UploadSeal.NewTicket();
        byte[] first = new byte[116], second = new byte[116], plain = new byte[100];
        using (var sender = new UploadSeal(ticket))
        {
            sender.Seal(new byte[100], first);
            sender.Seal(new byte[100], second);
        }

        first.ShouldNotBe(second, "no nonce is used twice");
        using var receiver = new UploadSeal(ticket);
        receiver.Open(first, plain);
        Should.Throw<CryptographicException>(() => receiver.Open(first, plain), "it was opened already");
        using var late = new UploadSeal(ticket);
        Should.Throw<CryptographicException>(() => late.Open(second, plain), "it is not the first");
        using var stranger = new UploadSeal(UploadSeal.NewTicket());
        Should.Throw<CryptographicException>(() => stranger.Open(first, plain));
        Should.Throw<CryptographicException>(() => new UploadSeal(ticket with { Key = new byte[16] }));
    }
}
