using Microsoft.AspNetCore.Builder;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Http;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Prometheus;
using SandLabX.Operator;
using SandLabX.Operator.Metering;
using SandLabX.Runtime;

WebApplicationBuilder builder = WebApplication.CreateSlimBuilder(args);
builder.Logging.ClearProviders().AddJsonConsole(o =>
{
    o.UseUtcTimestamp = true;
    o.TimestampFormat = "yyyy-MM-ddTHH:mm:ss.fffZ";
});

OperatorOptions options = builder.Configuration.GetSection("SANDLABX").Get<OperatorOptions>() ?? new OperatorOptions();
if (options.RunnerImage.Length == 0)
{
    await Console.Error.WriteLineAsync("SANDLABX__RUNNERIMAGE is not set: name the container image of the runner.").ConfigureAwait(false);
    return 1;
}

if (options.ValidationInterval < TimeSpan.FromSeconds(10))
{
    await Console.Error.WriteLineAsync($"SANDLABX__VALIDATIONINTERVAL is {options.ValidationInterval}: give a time of at least 00:00:10, such as 01:00:00.").ConfigureAwait(false);
    return 1;
}

builder.WebHost.ConfigureKestrel(k => k.ListenAnyIP(options.Port));
builder.Services.AddSandLabX(options);
WebApplication app = builder.Build();
app.Services.GetRequiredService<LabGauges>().Register();
app.MapMetrics();
app.MapGet("/healthz", (OperatorHealth health) => health.Live ? Results.Ok() : Results.StatusCode(StatusCodes.Status503ServiceUnavailable));
app.MapGet("/readyz", (OperatorHealth health) => health.Ready ? Results.Ok() : Results.StatusCode(StatusCodes.Status503ServiceUnavailable));
await app.RunAsync().ConfigureAwait(false);
return Environment.ExitCode;
