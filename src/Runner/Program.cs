using System.Net.Sockets;
using System.Reflection;
using SandLabX.Contract;
using SandLabX.Runner.Adopt;
using SandLabX.Runner.Consoles;
using SandLabX.Runner.Http;
using SandLabX.Runner.Import;
using SandLabX.Runner.Posix;

namespace SandLabX.Runner;

/// <summary>The runner's verbs.</summary>
internal static class Program
{
    private const string Usage = """
        usage: sandlabx-runner run       runs the guest that SANDLABX_CONFIG describes
               sandlabx-runner import    imports the image that SANDLABX_CONFIG describes
               sandlabx-runner adopt     receives the disk that SANDLABX_CONFIG describes
               sandlabx-runner console   attaches to the guest's serial console (--help tells more)
               sandlabx-runner vnc       joins standard input and output to the guest's screen (RFB), until either ends
               sandlabx-runner version
        """;

    // Until its end is known to all who listen; they are few and near.
    private static readonly TimeSpan s_lastState = TimeSpan.FromSeconds(1);

    private static string Version =>
        typeof(Program).Assembly.GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion.Split('+')[0] ?? "unknown";

    private static async Task<int> Main(string[] arguments)
    {
        switch (arguments)
        {
            case ["run"]:
                return await ServeAsync((surroundings, states, shutdown, clock, json) =>
                    new RunVerb(surroundings, states, shutdown, clock).RunAsync(json)).ConfigureAwait(false);
            case ["import"]:
                return await ServeAsync((surroundings, states, shutdown, clock, json) =>
                    new ImportVerb(surroundings, states, shutdown, clock).RunAsync(json)).ConfigureAwait(false);
            case ["adopt"]:
                return await ServeAsync((surroundings, states, shutdown, clock, json) =>
                    new AdoptVerb(surroundings, states, shutdown, clock).RunAsync(json)).ConfigureAwait(false);
            case ["console", .. string[] rest]:
                return await ConsoleVerb.RunAsync(rest, RunnerSurroundings.Read().RunDirectory).ConfigureAwait(false);
            case ["vnc"]:
                return await VncVerb.RunAsync(RunnerSurroundings.Read().RunDirectory).ConfigureAwait(false);
            case ["version"]:
                Console.WriteLine(Version);
                return 0;
            default:
                Console.Error.WriteLine(Usage);
                return 2;
        }
    }

    /// <summary>What both serving verbs have in common: signals, the HTTP server, and one typed last word whatever happens.</summary>
    private static async Task<int> ServeAsync(Func<RunnerSurroundings, StateHub, Shutdown, TimeProvider, string?, Task<TerminationReport>> work)
    {
        // Never disposed: a signal that comes while the runner ends must not take its exit code away.
        var shutdown = new Shutdown();
        TimeProvider clock = TimeProvider.System;
        DateTimeOffset started = clock.GetUtcNow();
        RunnerSurroundings surroundings = RunnerSurroundings.Read();
        var states = new StateHub(clock, Version, Environment.GetEnvironmentVariable(ContractNames.PodUidVariable));
        HttpServer? server = null;
        TerminationReport report;
        try
        {
            states.Change(state => state with { Timeline = new StartTimeline { RunnerStarted = started } });
            server = new HttpServer(surroundings.Port, states);
            surroundings.TellPort("port", surroundings.Port, server.Port);
            report = await work(surroundings, states, shutdown, clock, Environment.GetEnvironmentVariable(ContractNames.ConfigVariable)).ConfigureAwait(false);
        }
        catch (Exception e)
        {
            report = ReportOf(e, shutdown.Asked.IsCancellationRequested, clock.GetUtcNow());
        }

        RunnerState last = states.Current.State;
        report = report with { Disk = last.Disk, Check = last.Check, Accelerator = last.Accelerator, Timeline = last.Timeline };
        Log.Line("end", ("reason", report.Reason), ("message", report.Message));
        Termination.Write(surroundings.TerminationPath, report);
        states.Change(state => state with { Phase = RunnerPhases.Ended, End = Termination.Shortened(report) });
        server?.Drain(s_lastState);
        server?.Dispose();
        Log.Close();
        return Termination.ExitCode(report.Reason);
    }

    /// <summary>The last word on an error. The last arm is the one place where an unforeseen fault may end: as an end that says so.</summary>
    private static TerminationReport ReportOf(Exception error, bool stopAsked, DateTimeOffset now)
    {
        (string reason, string message) = error switch
        {
            RunnerEndException end => (end.Reason, end.Message),
            OperationCanceledException when stopAsked => (TerminationReasons.HostShutdown, "The runner was told to end before there was a guest."),
            IOException io when Files.IsNoSpace(io) => (TerminationReasons.NoSpace, "The claim has no room. Make the claim larger, or free room on it."),
            SocketException socket => (TerminationReasons.InternalError, $"A socket of the runner's failed: {socket.Message}"),
            _ => (TerminationReasons.InternalError, $"{error.GetType().Name}: {error.Message}"),
        };
        if (reason == TerminationReasons.InternalError)
        {
            Log.Line("fault", ("trace", error.ToString()));
        }

        return new TerminationReport { Reason = reason, Message = message, At = now };
    }
}
