using System.CommandLine;
using System.Text.Json.Nodes;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Entities;

namespace SandLabX.Cli.Verbs;

/// <summary><c>export</c> and <c>import</c>.</summary>
internal static class TransferVerbs
{
    internal static IEnumerable<Command> Create()
    {
        yield return Export();
        yield return Import();
    }

    private static Command Export()
    {
        var node = new Argument<string>("NODE") { Description = "The LabNode; stopped." };
        var file = new Argument<string>("FILE") { Description = "The file that is written, such as web.sandlabx.tar.gz." };
        var includeBase = new Option<bool>("--include-base") { Description = "Puts the base image into the file as well; without it, the target must have that image." };
        var force = new Option<bool>("--force") { Description = "Writes over a file that is there." };
        (Option<string?> runnerImage, Option<string> operatorSpace, TimeoutOption timeout) = Shared();
        Option<Format> output = Globals.Output();
        var command = new Command("export", "Writes a stopped VM into one file, which import makes a VM of again, here or in another cluster.")
        {
            node, file, includeBase, force, runnerImage, operatorSpace, timeout, output,
        };
        command.Runs(async call =>
        {
            string path = call.Get(file)!;
            if (File.Exists(path) && !call.Get(force))
            {
                throw new CliException(ExitCodes.Refused, $"{path} is there already. --force writes over it.");
            }

            V1Alpha1LabNode found = await LabNodes.GetAsync(call.Cluster, call.Get(node)!, call.Stop).ConfigureAwait(false);
            RunnerSettings settings = await RunnerSettings.FindAsync(call.Cluster.Api, call.Get(operatorSpace)!, call.Get(runnerImage), call.Stop).ConfigureAwait(false);
            ExportManifest manifest = await ExportRun.RunAsync(call, found, path, call.Get(includeBase), settings, call.Get(timeout)).ConfigureAwait(false);
            long bytes = new FileInfo(path).Length;
            call.Out.Result(
                call.Get(output),
                new JsonObject { ["node"] = manifest.Node, ["file"] = path, ["bytes"] = bytes, ["overlaySha256"] = manifest.Overlay.Sha256, ["imageSha256"] = manifest.ImageSha256, ["includesBase"] = manifest.Base is not null },
                () => call.Out.Line($"{path}: {manifest.Node}, {Sizes.Write(bytes)}{(manifest.Base is null ? $"; its image, sha256 {manifest.ImageSha256}, is not in it" : ", its image included")}."));
        });
        return command;
    }

    private static Command Import()
    {
        var file = new Argument<string>("FILE") { Description = "A file that export wrote." };
        var name = new Option<string?>("--name") { Description = "Name of the LabNode; otherwise the one that it had.", HelpName = "NAME" };
        var storageClass = new Option<string?>("--storage-class") { Description = "Storage class of its claims; otherwise the cluster's default.", HelpName = "NAME" };
        var scratch = new Option<string?>("--scratch") { Description = "A folder with room for what is in the file; otherwise the file's own.", HelpName = "FOLDER" };
        (Option<string?> runnerImage, Option<string> operatorSpace, TimeoutOption timeout) = Shared();
        var command = new Command("import", "Makes a VM of a file that export wrote; stopped, as it was.") { file, name, storageClass, scratch, runnerImage, operatorSpace, timeout };
        command.Runs(async call =>
        {
            string path = call.Get(file)!;
            if (!File.Exists(path))
            {
                throw new CliException(ExitCodes.NotFound, $"There is no file {path}.");
            }

            RunnerSettings settings = await RunnerSettings.FindAsync(call.Cluster.Api, call.Get(operatorSpace)!, call.Get(runnerImage), call.Stop).ConfigureAwait(false);
            var run = new ImportRun(call, settings, call.Get(storageClass), call.Get(timeout));
            string made = await run.RunAsync(path, call.Get(name), call.Get(scratch) ?? Path.GetDirectoryName(Path.GetFullPath(path))!).ConfigureAwait(false);
            call.Out.Line($"{made} is there, stopped. 'kubectl sandlabx start {made}' starts it.");
        });
        return command;
    }

    private static (Option<string?> RunnerImage, Option<string> OperatorSpace, TimeoutOption Timeout) Shared()
    {
        TimeoutOption timeout = Globals.Timeout(600);
        timeout.Description = "How long a pod may take to start, such as 90s or 10m. Default: 10m.";
        return (
            new Option<string?>("--runner-image") { Description = "The runner's image; otherwise the one that the operator uses.", HelpName = "IMAGE" },
            new Option<string>("--operator-namespace") { Description = "The operator's namespace.", HelpName = "NAME", DefaultValueFactory = _ => "sandlabx-system" },
            timeout);
    }
}
