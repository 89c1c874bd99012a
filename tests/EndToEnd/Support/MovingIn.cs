using System.Text.Json;
using SandLabX.Entities;

namespace SandLabX.EndToEnd.Support;

/// <summary>What scenarios of moving in have in common: an old installation, the plugin's reports, and VMs that must have what they wrote there.</summary>
public abstract class MovingIn(Space space, ITestOutputHelper output) : Scenario(space, output)
{
    protected override bool WantsImage => false;

    protected override void Require()
    {
        base.Require();
        Assert.SkipUnless(Environment.UserName == "root", "An old installation is built in a mount namespace, which root alone may make.");
    }

    /// <summary>What a report of migrate lists: of each entry one member.</summary>
    internal static string[] Names(Outcome outcome, string list, string member = "name")
    {
        outcome.Output.ShouldStartWith("{", customMessage: outcome.ToString());
        using JsonDocument document = JsonDocument.Parse(outcome.Output);
        return [.. document.RootElement.GetProperty(list).EnumerateArray().Select(e => e.GetProperty(member).GetString()!)];
    }

    /// <summary>Starts a VM that was booted once where it comes from: it has its disk, and on it what it wrote.</summary>
    internal async Task ShowsAsync(string name, string id, string marker)
    {
        await Space.PowerAsync(name, PowerStates.Running);
        Guest guest = await Space.RunningGuestAsync(name);
        (await guest.OkAsync("read marker")).ShouldBe(marker);
        (await Space.NodeNowAsync(name))!.Status!.OverlayPath.ShouldBe($"/overlays/node_{id}.qcow2");
        (await guest.OkAsync("info")).ShouldContain("boot=2");
    }
}
