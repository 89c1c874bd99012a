using SandLabX.Contract;
using SandLabX.Runner.Http;

namespace SandLabX.Runner.Import;
internal sealed class ImportVerb(StateHub states, Shutdown shutdown, TimeProvider clock)
{
    internal Task<TerminationReport> RunAsync(string? json) { _ = (states, shutdown, clock, json); throw new NotImplementedException(); }
}
