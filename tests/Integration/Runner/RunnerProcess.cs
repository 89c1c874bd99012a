using System.Diagnostics;
using System.Net;
using System.Runtime.InteropServices;
using System.Text;
using System.Text.Json;
using SandLabX.Contract;

namespace SandLabX.Integration.Runner;

/// <summary>A runner as it is in a pod, but for its folders and its port. Ends with the test, its QEMU with it.</summary>
internal sealed class RunnerProcess : IAsyncDisposable
{
    public static readonly TimeSpan Patience = TimeSpan.FromSeconds(180);

    /// <summary>Runs the runner as process 1 of a PID namespace, as it is in a pod; needs root.</summary>
    public static readonly (string Name, string Value) AsInit = ("SANDLABX_TEST_AS_INIT", "1");

    /// <summary>Leaves the runner's standard output unread, as a log that has come to a standstill does.</summary>
    public static readonly (string Name, string Value) Unread = ("SANDLABX_TEST_UNREAD", "1");

    /// <summary>Takes from root the right to read what its permissions forbid, as a pod's user has none; needs root.</summary>
    public static readonly (string Name, string Value) Bound = ("SANDLABX_TEST_BOUND", "1");

    private static readonly HttpClient s_http = new() { Timeout = Timeout.InfiniteTimeSpan };

    private readonly StringBuilder _output = new();
    private readonly Task _copying;
    private readonly StringBuilder _said = new();
    private readonly Task _saying;
    private readonly string _folder;

    private RunnerProcess(Process process, string folder, bool unread)
    {
        Process = process;
        _folder = folder;
        _copying = unread ? Task.CompletedTask : CopyAsync();
        _saying = ListenAsync();
    }

    public Process Process { get; }

    public string RunDirectory => Path.Combine(_folder, "run");

    public int Port => int.Parse(File.ReadAllText(Path.Combine(RunDirectory, "port")), System.Globalization.CultureInfo.InvariantCulture);

    /// <summary>Everything on standard output so far: the serial console.</summary>
    public string Output
    {
        get
        {
            lock (_output)
            {
                return _output.ToString();
            }
        }
    }

    /// <summary>Starts a runner.</summary>
    /// <param name="folder">A folder of its own.</param>
    /// <param name="verb"><c>run</c> or <c>import</c>.</param>
    /// <param name="config">The JSON that the operator would give.</param>
    /// <param name="environment">What else to set.</param>
    public static RunnerProcess Start(string folder, string verb, string? config, params (string Name, string Value)[] environment)
    {
        Directory.CreateDirectory(Path.Combine(folder, "run"));
        File.Delete(Path.Combine(folder, "run", "port"));
        File.Delete(Path.Combine(folder, "run", "upload-port"));
        File.Delete(Path.Combine(folder, "run", "sealed-port"));
        ProcessStartInfo start = Command(verb);

        // A shell starts what it runs in the background with Ctrl-C ignored, and that is inherited.
        start.ArgumentList.Insert(0, start.FileName);
        start.ArgumentList.Insert(0, "--default-signal=INT");
        start.FileName = "env";
        if (environment.Contains(AsInit))
        {
            // --kill-child: a test that gives up takes the whole of it along.
            string[] words = ["--pid", "--fork", "--mount-proc", "--kill-child", "--", start.FileName, .. start.ArgumentList];
            start.FileName = "unshare";
            start.ArgumentList.Clear();
            words.ToList().ForEach(start.ArgumentList.Add);
        }

        if (environment.Contains(Bound))
        {
            string[] words = ["--bounding-set=-dac_override,-dac_read_search", start.FileName, .. start.ArgumentList];
            start.FileName = "setpriv";
            start.ArgumentList.Clear();
            words.ToList().ForEach(start.ArgumentList.Add);
        }

        start.Environment["SANDLABX_RUN_DIR"] = Path.Combine(folder, "run");
        start.Environment["SANDLABX_TERMINATION_LOG"] = Path.Combine(folder, "termination-log");
        start.Environment["SANDLABX_PORT"] = "0";
        start.Environment["SANDLABX_UPLOAD_PORT"] = "0";
        start.Environment["SANDLABX_SEALED_PORT"] = "0";
        start.Environment["SANDLABX_LOCK_SECONDS"] = "30";
        if (config is not null)
        {
            start.Environment[ContractNames.ConfigVariable] = config;
        }

        foreach ((string name, string value) in environment)
        {
            start.Environment[name] = value;
        }

        return new RunnerProcess(Process.Start(start)!, folder, environment.Contains(Unread));
    }

    /// <summary>The published binary where <c>SANDLABX_RUNNER</c> names one, else the build's.</summary>
    public static ProcessStartInfo Command(params string[] arguments)
    {
        string? published = Environment.GetEnvironmentVariable("SANDLABX_RUNNER");
        ProcessStartInfo start = string.IsNullOrEmpty(published)
            ? new("dotnet", [Path.Combine(AppContext.BaseDirectory, "sandlabx-runner.dll"), .. arguments])
            : new(published, arguments);
        start.RedirectStandardOutput = true;
        start.RedirectStandardError = true;
        return start;
    }

    /// <summary>Listens to <c>/v1/events</c> until a state is as wished.</summary>
    public async Task<RunnerState> UntilAsync(Func<RunnerState, bool> wished)
    {
        using var limit = new CancellationTokenSource(Patience);
        RunnerState? last = null;
        try
        {
            while (!File.Exists(Path.Combine(RunDirectory, "port")) || File.ReadAllText(Path.Combine(RunDirectory, "port")).Length == 0)
            {
                await Task.Delay(10, limit.Token);
            }

            using HttpResponseMessage answer = await s_http.GetAsync(
                new Uri($"http://127.0.0.1:{Port}/v1/events"), HttpCompletionOption.ResponseHeadersRead, limit.Token);
            using var lines = new StreamReader(await answer.Content.ReadAsStreamAsync(limit.Token));
            while (await lines.ReadLineAsync(limit.Token) is { } line)
            {
                last = JsonSerializer.Deserialize(line, ContractJson.Default.RunnerState)!;
                if (wished(last))
                {
                    return last;
                }
            }
        }
        catch (Exception e) when (e is OperationCanceledException or IOException or HttpRequestException)
        {
            throw new InvalidOperationException($"The state did not come; the last was {last}. {await DescribeAsync()}", e);
        }

        throw new InvalidOperationException($"The stream ended; the last state was {last}. {await DescribeAsync()}");
    }

    public Task<RunnerState> UntilPhaseAsync(string phase) => UntilAsync(state => state.Phase == phase);

    public async Task<HttpStatusCode> ReadyAsync()
    {
        using HttpResponseMessage answer = await s_http.GetAsync(new Uri($"http://127.0.0.1:{Port}/readyz"));
        return answer.StatusCode;
    }

    /// <summary>Waits until the console shows a text.</summary>
    public async Task SeesAsync(string text, int times = 1)
    {
        long began = Stopwatch.GetTimestamp();
        while (Output.Split(text).Length <= times)
        {
            if (Process.HasExited || Stopwatch.GetElapsedTime(began) > Patience)
            {
                throw new InvalidOperationException($"'{text}' was not seen in: {Output}. {await DescribeAsync()}");
            }

            await Task.Delay(20);
        }
    }

    /// <summary>Waits for the runner's end; its last word and exit code.</summary>
    public async Task<(TerminationReport Report, int ExitCode)> EndAsync()
    {
        using var limit = new CancellationTokenSource(Patience);
        try
        {
            await Process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException e)
        {
            throw new InvalidOperationException($"The runner did not end. {await DescribeAsync()}", e);
        }

        await _copying;
        byte[] report = await File.ReadAllBytesAsync(Path.Combine(_folder, "termination-log"), limit.Token);
        report.Length.ShouldBeLessThanOrEqualTo(ContractNames.TerminationMessageLimit);
        return (JsonSerializer.Deserialize(report, ContractJson.Default.TerminationReport)!, Process.ExitCode);
    }

    public async Task<string> EndsForAsync(string reason)
    {
        (TerminationReport report, int exitCode) = await EndAsync();
        report.Reason.ShouldBe(reason, report.Message);
        exitCode.ShouldBe(reason is TerminationReasons.GuestShutdown or TerminationReasons.HostShutdown or TerminationReasons.HostPowerOff or TerminationReasons.Suspended
            or TerminationReasons.Imported or TerminationReasons.Adopted or TerminationReasons.Checked ? 0 : 1);
        return report.Message;
    }

    public void Signal(int signal) => SignalTo(Process.Id, signal);

    /// <summary>The runner's own QEMU.</summary>
    public int QemuId()
    {
        foreach (string task in Directory.GetDirectories($"/proc/{Process.Id}/task"))
        {
            string children = File.ReadAllText(Path.Combine(task, "children"));
            foreach (string child in children.Split(' ', StringSplitOptions.RemoveEmptyEntries))
            {
                // The name is set by the kernel from the program's, cut to 15 characters.
                if (File.ReadAllText($"/proc/{child}/comm").StartsWith("qemu-system-x86", StringComparison.Ordinal))
                {
                    return int.Parse(child, System.Globalization.CultureInfo.InvariantCulture);
                }
            }
        }

        throw new InvalidOperationException("The runner has no QEMU.");
    }

    /// <summary>Whether a process runs; one that has ended and that nobody has asked about yet does not.</summary>
    public static bool Lives(int process)
    {
        string path = $"/proc/{process}/stat";
        return File.Exists(path) && File.ReadAllText(path).Split(") ")[^1][0] is not ('Z' or 'X');
    }

    public static void SignalTo(int process, int signal) => Kill(process, signal).ShouldBe(0);

    public async ValueTask DisposeAsync()
    {
        if (!Process.HasExited)
        {
            // QEMU goes with it: the runner asked the kernel for that.
            Process.Kill();
            await Process.WaitForExitAsync();
        }

        Process.Dispose();
    }

    private async Task<string> DescribeAsync()
    {
        string fate = "It still runs.";
        if (Process.HasExited)
        {
            fate = "It ended.";
            await _saying;
        }

        lock (_said)
        {
            return $"{fate} Console: {Output}\nErrors: {_said}";
        }
    }

    private async Task ListenAsync()
    {
        while (await Process.StandardError.ReadLineAsync() is { } line)
        {
            lock (_said)
            {
                _said.AppendLine(line);
            }
        }
    }

    private async Task CopyAsync()
    {
        byte[] buffer = new byte[4096];
        Stream source = Process.StandardOutput.BaseStream;
        while (await source.ReadAsync(buffer) is > 0 and int count)
        {
            lock (_output)
            {
                _output.Append(Encoding.UTF8.GetString(buffer, 0, count));
            }
        }
    }

    // Not the generated kind: that would need unsafe code in all of this project.
    [DllImport("libc.so.6", EntryPoint = "kill")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static extern int Kill(int process, int signal);
}
