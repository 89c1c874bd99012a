using System.Text;
using SandLabX.Runner.Qemu;

namespace SandLabX.Unit.Runner;

public class QmpMessageTests
{
    // As QEMU 7.2 said them.
    [Fact]
    public void The_greeting_tells_the_version() =>
        Parse("""{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian"}, "capabilities": ["oob"]}}""")
            .ShouldBe(new QmpMessage.Greeting("7.2.22"));

    [Fact]
    public void The_status_is_its_name() =>
        Parse("""{"return": {"status": "running", "singlestep": false, "running": true}}""").ShouldBe(new QmpMessage.Status("running"));

    [Fact]
    public void A_refusal_is_an_error() =>
        Parse("""{"id": "which", "error": {"class": "GenericError", "desc": "no"}}""").ShouldBe(new QmpMessage.Error("which", "no"));

    [Fact]
    public void A_migration_tells_how_far_it_is() =>
        Parse("""{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "MIGRATION", "data": {"status": "completed"}}""").ShouldBe(new QmpMessage.Migration("completed"));

    [Fact]
    public void Events_become_what_happened()
    {
        Event("""{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "SHUTDOWN", "data": {"guest": true, "reason": "guest-shutdown"}}""")
            .ShouldBe(new GuestEvent.Shutdown(true, "guest-shutdown"));
        Event("""{"event": "STOP"}""").ShouldBe(new GuestEvent.Stopped());
        Event("""{"timestamp": {"seconds": 1795906787, "microseconds": 254189}, "event": "RESET", "data": {"guest": true, "reason": "guest-reset"}}""")
            .ShouldBe(new GuestEvent.Reset(ByGuest: true, DateTimeOffset.FromUnixTimeSeconds(1795906787).AddMicroseconds(254189)));
        Event("""{"timestamp": {"seconds": -1, "microseconds": -1}, "event": "RESET", "data": {"guest": false}}""").ShouldBe(new GuestEvent.Reset(ByGuest: false, DateTimeOffset.UnixEpoch));
        Event("""{"timestamp": 7, "event": "RESET"}""").ShouldBe(new GuestEvent.Reset(ByGuest: false, DateTimeOffset.UnixEpoch));
        Event("""{"event": "GUEST_PANICKED", "data": {"action": "pause"}}""").ShouldBe(new GuestEvent.Panicked());
        Event("""{"event": "BLOCK_IMAGE_CORRUPTED", "data": {"device": "", "node-name": "disk", "msg": "Preventing invalid write", "fatal": true}}""")
            .ShouldBe(new GuestEvent.DiskCorrupted(true, "Preventing invalid write"));
        Event("""{"event": "BLOCK_IO_ERROR", "data": {"device": "", "nospace": true, "node-name": "disk", "reason": "No space left on device", "operation": "write", "action": "stop"}}""")
            .ShouldBe(new GuestEvent.DiskError(true, true, "write of disk: No space left on device"));
    }

    [Theory]
    [InlineData("""{"return": {}}""")]
    [InlineData("""{"event": "RTC_CHANGE", "data": {"offset": 0}}""")]
    [InlineData("""{"event": "VNC_CONNECTED"}""")]
    [InlineData("{}")]
    public void The_rest_is_of_no_interest(string line) => Parse(line).ShouldBeNull();

    private static QmpMessage? Parse(string line) => QmpMessage.Parse(Encoding.UTF8.GetBytes(line));

    private static GuestEvent Event(string line) => Parse(line).ShouldBeOfType<QmpMessage.Happened>().Event;
}
