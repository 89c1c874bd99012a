using System.Collections.Concurrent;
using k8s;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using SandLabX.Operator;
using SandLabX.Runtime;

namespace SandLabX.Integration.WholeOperator;

/// <summary>The whole operator, as its program puts it together, for one namespace.</summary>
internal sealed class LabOperator : IAsyncDisposable
{
    private readonly IHost _host;
    private readonly Journal _journal = new();

    private LabOperator(KubernetesClientConfiguration config, string space)
    {
        HostApplicationBuilder builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Logging.AddProvider(_journal).SetMinimumLevel(LogLevel.Information);
        builder.Services.AddSingleton(config);

        // Many breaks in a short time: waits of half a minute are for servers that stay away.
        builder.Services.AddSingleton(new InformerTimes
        {
            FirstBackoff = TimeSpan.FromMilliseconds(100), LastBackoff = TimeSpan.FromSeconds(1), BetweenWatches = TimeSpan.FromMilliseconds(250),
        });
        builder.Services.AddSandLabX(new OperatorOptions { RunnerImage = "runner", Namespace = space, WatchNamespace = space });
        _host = builder.Build();
    }

    /// <summary>What it logged.</summary>
    public IEnumerable<string> Log => _journal.Lines;

    public OperatorHealth Health => _host.Services.GetRequiredService<OperatorHealth>();

    /// <summary>Whether it was told to end, or ends by itself: a lost lease does that.</summary>
    public bool Ending => _host.Services.GetRequiredService<IHostApplicationLifetime>().ApplicationStopping.IsCancellationRequested;

    public static async Task<LabOperator> StartAsync(KubernetesClientConfiguration config, string space)
    {
        var made = new LabOperator(config, space);
        await made._host.StartAsync();
        return made;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        _journal.Dispose();
    }

    private sealed class Journal : ILoggerProvider, ILogger
    {
        public ConcurrentQueue<string> Lines { get; } = new();

        public ILogger CreateLogger(string categoryName) => this;

        public IDisposable? BeginScope<TState>(TState state)
            where TState : notnull => null;

        public bool IsEnabled(LogLevel logLevel) => true;

        public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
            Lines.Enqueue($"{DateTime.UtcNow:HH:mm:ss.fff} {logLevel}: {formatter(state, exception)} {exception}");

        public void Dispose()
        {
        }
    }
}
