using System.CommandLine;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Consoles;
using SandLabX.Cli.Shell;

namespace SandLabX.Cli.Verbs;

/// <summary><c>vnc</c>.</summary>
internal static class VncVerb
{
    internal static Command Create()
    {
        var name = new Argument<string>("NODE") { Description = "The LabNode.", CompletionSources = { NodeNames.Complete } };
        var port = new Option<int>("--port", "-p") { Description = "The port on 127.0.0.1; 0, the default, takes a free one.", HelpName = "PORT" };
        port.Validators.Add(result =>
        {
            if (result.GetValueOrDefault<int>() is < 0 or > 65535)
            {
                result.AddError("--port is a number from 0 to 65535.");
            }
        });
        TimeoutOption timeout = Globals.Timeout(180);
        timeout.Description = "How long a guest that is on its way is waited for. Default: 3m.";
        var command = new Command("vnc", "A guest's screen at a port of this machine, for a VNC viewer, until Ctrl-C.") { name, port, timeout };
        command.Runs(async call =>
        {
            string node = call.Get(name)!;
            await GuestPod.WaitAsync(call, node, call.Get(timeout)).ConfigureAwait(false);
            await VncRelay.ServeAsync(
                call,
                call.Get(port),
                at => call.Out.Line($"127.0.0.1:{at}"),
                () => GuestPod.WaitAsync(call, node, call.Get(timeout))).ConfigureAwait(false);
        });
        return command;
    }
}
