using SandLabX.EndToEnd.Support;

namespace SandLabX.EndToEnd.Faults;

/// <summary>Looks all the time for two QEMUs on one disk, whichever nodes they are on, and for two pods of one LabNode.</summary>
internal sealed class Writers : IAsyncDisposable
{
    private readonly PodAudit _pods;
    private readonly QemuSampler _qemus = new();

    /// <param name="space">The LabNodes' namespace.</param>
    /// <param name="disks">The ids of their disks.</param>
    public Writers(Space space, params string[] disks)
    {
        _pods = new PodAudit(space.Name);
        _qemus.Follow(disks);
    }

    /// <summary>There never were two; says how often that was looked for.</summary>
    public string NeverTwo()
    {
        _qemus.Doubles.ShouldBeEmpty();
        _pods.Doubles.ShouldBeEmpty();
        _qemus.Samples.ShouldBeGreaterThan(20, "somebody looked at the processes all the time");
        return $"{_qemus.Samples} looks at all processes, none saw two QEMUs on a disk; {_pods.Pods} pods, never two of one LabNode";
    }

    public async ValueTask DisposeAsync()
    {
        _qemus.Dispose();
        await _pods.DisposeAsync();
    }
}
