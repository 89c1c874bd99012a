using System.Diagnostics;
using System.Text.Json.Nodes;
using k8s;

namespace SandLabX.Integration.Cli;

/// <summary>How a run of the program ended.</summary>
internal sealed record CliOutcome(int Code, string Output, string Errors)
{
    public JsonNode Json => JsonNode.Parse(Output)!;

    public override string ToString() => $"exit code {Code}\n{Output}\n{Errors}";
}

/// <summary>kubectl-sandlabx as a process, with a kubeconfig of its own: the build's, or the file that <c>SANDLABX_CLI</c> names.</summary>
internal sealed class CliProcess : IDisposable
{
    private static readonly TimeSpan s_patience = TimeSpan.FromSeconds(120);

    // Its own output: what it needs beside the runtime is there, and not all of it here.
    private static readonly string s_program = System.Environment.GetEnvironmentVariable("SANDLABX_CLI") is { Length: > 0 } named
        ? named
        : Path.GetFullPath(Path.Combine(AppContext.BaseDirectory, "..", "..", "Cli", new DirectoryInfo(AppContext.BaseDirectory).Name + "_linux-x64", "kubectl-sandlabx"));

    private readonly string _kubeConfig = Path.GetTempFileName();
    private readonly string _space;

    public CliProcess(KubernetesClientConfiguration server, string space)
    {
        _space = space;
        File.WriteAllText(_kubeConfig, $$"""
            apiVersion: v1
            kind: Config
            current-context: test
            clusters: [{name: test, cluster: {server: "{{server.Host}}", insecure-skip-tls-verify: true} }]
            users: [{name: test, user: {token: "{{server.AccessToken}}"} }]
            contexts: [{name: test, context: {cluster: test, user: test, namespace: "{{space}}"} }]
            """);
    }

    /// <summary>What its environment has more.</summary>
    public Dictionary<string, string> Environment { get; } = [];

    public Task<CliOutcome> RunAsync(params string[] words) => EndAsync(Start(words));

    /// <summary>Begins a run whose lines are taken as they come.</summary>
    public Process Start(params string[] words)
    {
        // A shell starts what it runs in the background with Ctrl-C ignored, and that is inherited.
        var start = new ProcessStartInfo("env", ["--default-signal=INT", s_program, .. words])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        start.Environment["KUBECONFIG"] = _kubeConfig;
        start.Environment["NO_COLOR"] = "1";
        foreach ((string name, string value) in Environment)
        {
            start.Environment[name] = value;
        }

        Process process = Process.Start(start)!;
        process.StandardInput.Close();
        return process;
    }

    /// <summary>Waits for a run's end.</summary>
    public static async Task<CliOutcome> EndAsync(Process process)
    {
        using Process held = process;
        Task<string> output = process.StandardOutput.ReadToEndAsync();
        Task<string> errors = process.StandardError.ReadToEndAsync();
        using var limit = new CancellationTokenSource(s_patience);
        try
        {
            await process.WaitForExitAsync(limit.Token);
        }
        catch (OperationCanceledException)
        {
            process.Kill();
            throw new TimeoutException($"It did not end: {await output}\n{await errors}");
        }

        return new CliOutcome(process.ExitCode, await output, await errors);
    }

    public void Dispose() => File.Delete(_kubeConfig);

    public override string ToString() => _space;
}
