using System.Diagnostics;

namespace SandLabX.Integration.Cluster;

/// <summary>A server that a test starts. It ends with the test's process, however that ends: a shell between them waits for the end of its input and kills it then.</summary>
internal sealed class ChildProcess : IAsyncDisposable
{
    private const string Guard = "log=$1; shift; \"$@\" >\"$log\" 2>&1 & child=$!; (wait $child 2>/dev/null) & cat >/dev/null; kill -9 $child 2>/dev/null; wait $child 2>/dev/null";

    private readonly Process _guard;
    private readonly string _log;

    public ChildProcess(string log, string program, IEnumerable<string> arguments)
    {
        _log = log;
        var start = new ProcessStartInfo("/bin/sh") { RedirectStandardInput = true };
        foreach (string part in (string[])["-c", Guard, "guard", log, program, .. arguments])
        {
            start.ArgumentList.Add(part);
        }

        _guard = Process.Start(start) ?? throw new InvalidOperationException($"{program} could not be started.");
    }

    /// <summary>The last lines it wrote.</summary>
    public string Tail => File.Exists(_log) ? string.Join('\n', File.ReadLines(_log).TakeLast(15)) : "";

    public async ValueTask DisposeAsync()
    {
        _guard.StandardInput.Close();
        await _guard.WaitForExitAsync();
        _guard.Dispose();
    }
}
