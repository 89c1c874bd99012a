using System.Net.Sockets;
using System.Text;
using Microsoft.Extensions.Time.Testing;
using SandLabX.Contract;
using SandLabX.Runner.Http;
using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public sealed class UseWatchTests
{
    private readonly FakeTimeProvider _clock = new(new DateTimeOffset(2026, 11, 24, 12, 0, 0, TimeSpan.Zero));
    private readonly StateHub _states;
    private readonly UseWatch _watch;

    public UseWatchTests()
    {
        _states = new StateHub(_clock, "test");
        _watch = new UseWatch(new QmpConnection(new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified)), _states, _clock);
    }

    private DateTimeOffset? LastUsed => _states.Current.State.LastUsedAt;

    private void Begin() => _states.Change(state => state with { Phase = RunnerPhases.Running, LastUsedAt = _clock.GetUtcNow() });

    private void Hear(string line) => _watch.Hear(QmpMessage.Parse(Encoding.UTF8.GetBytes(line)).ShouldBeOfType<QmpMessage.Answer>());

    [Fact]
    public void Use_is_told_at_most_every_ten_seconds_and_not_before_a_guest_runs()
    {
        _watch.Touch();
        LastUsed.ShouldBeNull();
        Begin();
        DateTimeOffset start = _clock.GetUtcNow();
        _clock.Advance(TimeSpan.FromSeconds(9));
        _watch.Touch();
        LastUsed.ShouldBe(start);
        _clock.Advance(TimeSpan.FromSeconds(1));
        int before = _states.Current.Number;
        _watch.Touch();
        _watch.Touch();
        (LastUsed, _states.Current.Number).ShouldBe((start.AddSeconds(10), before + 1));
    }

    [Theory]
    [InlineData("""{"return": {"enabled": true, "clients": [{"family": "unix"}]}, "id": "use.viewers"}""", true)]
    [InlineData("""{"return": {"enabled": true, "clients": []}, "id": "use.viewers"}""", false)]
    public void An_open_screen_is_use(string line, bool used)
    {
        Begin();
        _clock.Advance(TimeSpan.FromSeconds(10));
        Hear(line);
        (LastUsed == _clock.GetUtcNow()).ShouldBe(used);
    }

    [Fact]
    public void Frames_are_use()
    {
        Begin();
        _clock.Advance(TimeSpan.FromSeconds(10));
        DateTimeOffset start = LastUsed!.Value;
        Hear("""{"return": [{"name": "virtio-blk", "path": "/a"}, {"name": "virtio-net", "path": "/b"}], "id": "use.devices"}""");
        Hear("""{"return": {"name": "virtio-net", "used-idx": 7}, "id": "use.frames:/b"}""");
        LastUsed.ShouldBe(start);
        Hear("""{"return": {"name": "virtio-net", "used-idx": 27}, "id": "use.frames:/b"}""");
        LastUsed.ShouldBe(_clock.GetUtcNow());
    }

    [Theory]
    [InlineData("""{"return": {}, "id": "use.viewers"}""")]
    [InlineData("""{"return": {"used-idx": "many"}, "id": "use.frames:/b"}""")]
    [InlineData("""{"return": 5, "id": "use.devices"}""")]
    public void What_is_not_understood_leaves_unknown_whether_the_guest_is_used(string line)
    {
        Begin();
        Hear(line);
        LastUsed.ShouldBeNull();
        _clock.Advance(TimeSpan.FromMinutes(1));
        _watch.Touch();
        LastUsed.ShouldBeNull();
    }
}
