using System.Collections.Concurrent;
using SandLabX.EndToEnd.Support;

namespace SandLabX.EndToEnd.Faults;

/// <summary>Looks at all processes of all nodes, time and again, for two QEMUs on one disk.</summary>
internal sealed class QemuSampler : IDisposable
{
    private Following? _looks;
    private int _samples;

    /// <summary>What must never be.</summary>
    public ConcurrentQueue<string> Doubles { get; } = new();

    /// <summary>How often it looked.</summary>
    public int Samples => Volatile.Read(ref _samples);

    /// <summary>Begins to look.</summary>
    /// <param name="disks">The ids of the disks.</param>
    public void Follow(params IEnumerable<string> disks) =>
        _looks = Shell.Follow(Lab.InNode(["bash", "-c", NodeScripts.Sampler, "sampler", .. disks]), line =>
        {
            if (line.StartsWith("DOUBLE", StringComparison.Ordinal))
            {
                Doubles.Enqueue(line);
            }
            else
            {
                Interlocked.Increment(ref _samples);
            }
        });

    public void Dispose() => _looks?.Dispose();
}
