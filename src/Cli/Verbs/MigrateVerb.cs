using System.CommandLine;
using k8s;
using SandLabX.Cli.Migration;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Transfer;
using SandLabX.Runtime;

namespace SandLabX.Cli.Verbs;

/// <summary><c>migrate</c>.</summary>
internal static class MigrateVerb
{
    internal static Command Create()
    {
        var folder = new Argument<string?>("FOLDER") { Description = "The old installation's folder, with its overlays, images and state file.", Arity = ArgumentArity.ZeroOrOne };
        var state = new Option<string?>("--state") { Description = "The state file, nodes-state.json, where it is not in the folder.", HelpName = "FILE" };
        var database = new Option<string?>("--database")
        {
            Description = "The database of the versions with PostgreSQL: postgres://user@host:5432/guacamole_db, or Host=…;Username=…;Database=…. The password comes from PGPASSWORD.",
            HelpName = "ADDRESS",
        };
        var overlays = new Option<string?>("--overlays") { Description = "The overlays' folder; otherwise overlays in the folder.", HelpName = "FOLDER" };
        var images = new Option<string?>("--images") { Description = "The base images' folder; otherwise images in the folder. The very files that the disks were made on.", HelpName = "FOLDER" };
        var sourceClaim = new Option<SourceClaim?>("--source-claim")
        {
            Description = "Sends nothing: the cluster copies by itself from this claim of the namespace, which holds the FOLDER as well, at PATH, otherwise at its root. It is mounted read-only.",
            HelpName = "CLAIM[/PATH]",
            CustomParser = given =>
            {
                string text = given.Tokens[0].Value;
                if (SourceClaim.Parse(text) is { } claim)
                {
                    return claim;
                }

                given.AddError($"--source-claim is {text}: give the name of a claim, or name/path without parts that are empty, . or ...");
                return null;
            },
        };
        var only = new Option<string[]>("--only") { Description = "Moves just this node: its old name, its id or its new name. Can be given more than once.", HelpName = "NAME" };
        var accept = new Option<string[]>("--accept-base") { Description = "Takes this base image although there are signs that it is not what the disks were made on. Can be given more than once.", HelpName = "FILE" };
        var dryRun = new Option<bool>("--dry-run") { Description = "Says what would be done. With -o yaml: the manifests." };
        var storageClass = new Option<string?>("--storage-class") { Description = "Storage class of all claims; otherwise the cluster's default.", HelpName = "NAME" };
        var parallel = new Option<int>("--parallel") { Description = "How many are moved at a time, 1 to 16.", HelpName = "N", DefaultValueFactory = _ => 2 };
        var runnerImage = new Option<string?>("--runner-image") { Description = "The runner's image; otherwise the one that the operator uses.", HelpName = "IMAGE" };
        var operatorSpace = new Option<string>("--operator-namespace") { Description = "The operator's namespace.", HelpName = "NAME", DefaultValueFactory = _ => "sandlabx-system" };
        TimeoutOption timeout = Globals.Timeout(600);
        timeout.Description = "How long a pod may take to start, such as 90s or 10m. Default: 10m.";
        Option<Format> output = Globals.Output();
        parallel.Validators.Add(given =>
        {
            if (given.GetValueOrDefault<int>() is < 1 or > 16)
            {
                given.AddError("--parallel is a number from 1 to 16.");
            }
        });
        var command = new Command("migrate", "Brings the VMs of the Compose platform over, disks and records. Only reads the old installation; a second run moves what is missing.")
        {
            folder, state, database, overlays, images, sourceClaim, only, accept, dryRun, storageClass, parallel, runnerImage, operatorSpace, timeout, output,
        };
        command.Validators.Add(given =>
        {
            if (given.GetResult(sourceClaim) is not null && given.GetResult(folder) is not { Tokens.Count: > 0 })
            {
                given.AddError("--source-claim needs FOLDER: the claim holds it as well.");
            }
        });
        command.Runs(async call =>
        {
            if (call.Get(database) is not null && call.Get(state) is not null)
            {
                throw new CliException(ExitCodes.Usage, "The nodes come from --state or from --database; name one.");
            }

            var installation = Installation.Find(call.Get(folder), call.Get(state), call.Get(overlays), call.Get(images), call.Get(database) is not null);
            OldState old = call.Get(database) is { } address ? await DatabaseReader.ReadAsync(address, call.Stop).ConfigureAwait(false) : Installation.Read(installation.StateFile!);
            ClusterFacts facts = await FactsAsync(call, call.Get(dryRun)).ConfigureAwait(false);
            if (call.Get(sourceClaim) is { Claim: var named } && !ReferenceEquals(facts, ClusterFacts.Empty) && facts.Claims.All(c => c.Name != named))
            {
                throw new CliException(ExitCodes.NotFound, $"Namespace {call.Cluster.Namespace} has no claim {named}, which --source-claim names. docs/MIGRATION.md shows how to make one for a folder.");
            }

            Survey survey = await Survey.TakeAsync(
                old, installation.Overlays, installation.Images, (file, bytes) => call.Out.Note($"reading {file}, {Sizes.Write(bytes)}"), call.Stop).ConfigureAwait(false);
            var wishes = new MigrationWishes { Only = call.Get(only) ?? [], AcceptedBases = call.Get(accept) ?? [], StorageClass = call.Get(storageClass) };
            MigrationPlan plan = MigrationPlanner.Plan(old, survey, facts, wishes);
            plan = call.Get(sourceClaim)?.Place(plan, call.Get(folder)!) ?? plan;
            if (call.Get(dryRun))
            {
                PrintPlan(call, call.Get(output), plan, wishes, ReferenceEquals(facts, ClusterFacts.Empty) ? call.Get(Globals.Namespace) ?? "default" : call.Cluster.Namespace);
                return ExitCodes.Ok;
            }

            RunnerSettings settings = await RunnerSettings.FindAsync(call.Cluster.Api, call.Get(operatorSpace)!, call.Get(runnerImage), call.Stop).ConfigureAwait(false);
            IReadOnlyList<NodeOutcome> outcomes = [];
            var run = new MigrationRun(call.Cluster, wishes, settings, call.Get(timeout), TimeProvider.System);
            await MoveProgress.RunAsync(
                call.Out, TimeProvider.System, async progress => outcomes = await run.MoveAsync(plan, call.Get(parallel), progress, call.Stop).ConfigureAwait(false)).ConfigureAwait(false);
            call.Out.Result(call.Get(output), PlanReport.Data(plan, outcomes), () => PlanReport.Print(call.Out, plan, outcomes));
            foreach (string line in PlanReport.Next(plan, outcomes))
            {
                call.Out.Note(line);
            }

            bool all = outcomes.All(o => o.Fault is null) && plan.Losses.Count == 0 && plan.Skipped.All(s => s.Reason == SkipReasons.NotSelected);
            return all ? ExitCodes.Ok : ExitCodes.Failed;
        });
        return command;
    }

    /// <summary>What the target has; a plan alone can be made without it, and says so.</summary>
    private static async Task<ClusterFacts> FactsAsync(Call call, bool planOnly)
    {
        try
        {
            return await MigrationRun.LookAsync(call.Cluster, call.Stop).ConfigureAwait(false);
        }
        catch (Exception e) when (planOnly && e is (CliException or KubeException))
        {
            call.Out.Warning($"The cluster was not asked, so this is the plan for an empty namespace: {Failures.Tell(e).Message}");
            return ClusterFacts.Empty;
        }
    }

    private static void PrintPlan(Call call, Format format, MigrationPlan plan, MigrationWishes wishes, string space)
    {
        if (format == Format.Yaml)
        {
            call.Out.Line(string.Join("\n---\n", PlanReport.Objects(plan, space, wishes).Select(o => KubernetesYaml.Serialize(o).TrimEnd())));
            foreach (string left in plan.Skipped.Select(s => $"{s.Node.Name}: {s.Reason}: {s.Message}").Concat(plan.Losses.Select(l => l.What)))
            {
                call.Out.Warning(left);
            }

            return;
        }

        call.Out.Result(format, PlanReport.Data(plan, null), () => PlanReport.Print(call.Out, plan, null));
    }
}
