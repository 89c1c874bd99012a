using SandLabX.Contract;
using SandLabX.Runner.Qemu;

namespace SandLabX.Runner.Adopt;

/// <summary>The SHA-256 that a disk is announced by. The kubelet shows it as a file once its sender knows it, which may be after the last byte came.</summary>
/// <param name="directory">The folder (<see cref="ContractNames.WishDirectory"/>).</param>
/// <param name="clock">Measures waits.</param>
internal sealed class AnnouncedDigest(string directory, TimeProvider clock)
{
    private static readonly TimeSpan s_look = TimeSpan.FromMilliseconds(100);

    /// <summary>Whether a digest is the announced one, as far as that is known by now.</summary>
    internal bool IsKnownAs(string sha256) => Is(Wishes.Read(directory, ContractNames.DigestFile) ?? "", sha256);

    /// <summary>Waits until it is known.</summary>
    /// <param name="sha256">The digest of what came.</param>
    /// <param name="stop">Ends the wait.</param>
    /// <returns>Null when that is the announced one; else the announced one, in lower case.</returns>
    /// <exception cref="RunnerEndException">What is announced is no digest.</exception>
    internal async Task<string?> OtherThanAsync(string sha256, CancellationToken stop)
    {
        while (true)
        {
            string announced = Wishes.Read(directory, ContractNames.DigestFile) ?? "";
            if (Configuration.IsDigest(announced))
            {
                return Is(announced, sha256) ? null : announced.ToLowerInvariant();
            }

            if (announced.Length > 0)
            {
                throw new RunnerEndException(TerminationReasons.InvalidConfiguration, "What the disk was announced by is no SHA-256, which has 64 hexadecimal digits; nothing was made of it.");
            }

            await Task.Delay(s_look, clock, stop).ConfigureAwait(false);
        }
    }

    private static bool Is(string announced, string sha256) => string.Equals(announced, sha256, StringComparison.OrdinalIgnoreCase);
}
