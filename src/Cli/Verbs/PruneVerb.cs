using System.CommandLine;
using System.Text.Json.Nodes;
using k8s.Models;
using SandLabX.Cli.Prune;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Verbs;

/// <summary><c>prune</c>.</summary>
internal static class PruneVerb
{
    internal static Command Create()
    {
        Argument<string[]> names = Globals.Names("CLAIM", "The claims to delete, with all that is on them; none: only lists.");
        var everywhere = new Option<bool>("--all-namespaces", "-A") { Description = "Lists those of all namespaces." };
        Option<bool> yes = Globals.Yes();
        Option<Format> output = Globals.Output();
        var command = new Command("prune", "Lists claims and disks that nothing uses any more; deletes claims that are named, and nothing else.") { names, everywhere, yes, output };
        command.Validators.Add(result =>
        {
            if (result.GetValue(everywhere) && result.GetValue(names) is { Length: > 0 })
            {
                result.AddError("Claims are deleted in one namespace: leave out -A, or the names.");
            }
        });
        command.Runs(async call =>
        {
            string[] wanted = [.. (call.Get(names) ?? []).Distinct(StringComparer.Ordinal)];
            string space = call.Get(everywhere) ? "" : call.Cluster.Namespace;
            Seen seen = await LookAsync(call, space).ConfigureAwait(false);
            if (wanted.Length == 0)
            {
                List(call, call.Get(output), LeftoverFinder.Find(seen.Claims, seen.Nodes, seen.Images, seen.Pods), space.Length == 0);
                return;
            }

            V1PersistentVolumeClaim[] claims = Chosen(wanted, seen, space);
            foreach (V1PersistentVolumeClaim claim in claims)
            {
                call.Out.Note($"{claim.Metadata.Name} and all that is on it is DELETED for good.");
            }

            if (!call.Get(yes) && !call.Out.Confirm("Go on?"))
            {
                throw new CliException(ExitCodes.Refused, "Nothing was done: it was not confirmed. --yes does it without asking.");
            }

            // What may have begun to use one while the question stood.
            claims = Chosen(wanted, await LookAsync(call, space).ConfigureAwait(false), space, [.. claims.Select(c => c.Metadata.Uid)]);
            foreach (V1PersistentVolumeClaim claim in claims)
            {
                await call.Cluster.Api.DeleteAsync<V1PersistentVolumeClaim>(ObjectKey.Of(claim), claim.Metadata.Uid, null, call.Stop).ConfigureAwait(false);
            }

            var document = new JsonObject { ["deleted"] = new JsonArray([.. claims.Select(c => new JsonObject { ["namespace"] = space, ["claim"] = c.Metadata.Name, ["uid"] = c.Metadata.Uid })]) };
            call.Out.Result(call.Get(output), document, () =>
            {
                foreach (V1PersistentVolumeClaim claim in claims)
                {
                    call.Out.Line($"persistentvolumeclaim/{claim.Metadata.Name} deleted");
                }
            });
        });
        return command;
    }

    /// <summary>The claims of these names, if every one may go.</summary>
    private static V1PersistentVolumeClaim[] Chosen(string[] names, Seen seen, string space, string[]? uids = null)
    {
        string[] missing = [.. names.Where(n => seen.Claims.All(c => c.Metadata.Name != n))];
        if (missing.Length > 0)
        {
            throw new CliException(ExitCodes.NotFound, $"Namespace {space} has no claim {string.Join(", ", missing)} of SandLabX's. Nothing was deleted; 'kubectl sandlabx prune' lists what can be.");
        }

        V1PersistentVolumeClaim[] claims = [.. names.Select(n => seen.Claims.First(c => c.Metadata.Name == n))];
        string[] why =
        [
            .. claims.Select(c => (c.Metadata.Name, Why: uids is not null && !uids.Contains(c.Metadata.Uid)
                ? "it was made anew meanwhile"
                : LeftoverFinder.WhyNot(c, seen.Claims, seen.Nodes, seen.Images, seen.Pods))).Where(c => c.Why is not null).Select(c => $"{c.Name} stays: {c.Why}."),
        ];
        return why.Length == 0 ? claims : throw new CliException(ExitCodes.Refused, string.Join('\n', why) + "\nNothing was deleted.");
    }

    private static void List(Call call, Format format, IReadOnlyList<Leftover> found, bool everywhere)
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        var document = new JsonObject
        {
            ["leftovers"] = new JsonArray(
            [
                .. found.Select(l => new JsonObject
                {
                    ["kind"] = l.Kind.ToString(), ["namespace"] = l.Space, ["claim"] = l.Claim, ["bytes"] = l.Bytes, ["createdAt"] = l.Since, ["what"] = l.What,
                }),
            ]),
        };
        call.Out.Result(format, document, () =>
        {
            if (found.Count == 0)
            {
                call.Out.Note("Nothing is left over.");
                return;
            }

            call.Out.Table(
                [.. everywhere ? (string[])["NAMESPACE"] : [], "CLAIM", "KIND", "SIZE", "AGE", "WHAT"],
                found.Select(l => (IReadOnlyList<string>)
                [
                    .. everywhere ? (string[])[l.Space] : [], l.Claim, l.Kind.ToString(), Sizes.Write(l.Bytes), l.Since is { } since ? KubectlDurations.Write(now - since) : "-", l.What,
                ]));
        });
    }

    private static async Task<Seen> LookAsync(Call call, string space)
    {
        const string ours = Labels.ManagedBy + "=" + Labels.ManagedByValue;

        // Claims first: what is made while we look is then not taken for left over.
        IReadOnlyList<V1PersistentVolumeClaim> claims = await call.Cluster.Api.ListAsync<V1PersistentVolumeClaim>(space, ours, call.Stop).ConfigureAwait(false);
        return new Seen(
            claims,
            await call.Cluster.Api.ListAsync<V1Alpha1LabNode>(space, null, call.Stop).ConfigureAwait(false),
            await call.Cluster.Api.ListAsync<V1Alpha1LabImage>(space, null, call.Stop).ConfigureAwait(false),
            await call.Cluster.Api.ListAsync<V1Pod>(space, null, call.Stop).ConfigureAwait(false));
    }

    private sealed record Seen(
        IReadOnlyList<V1PersistentVolumeClaim> Claims, IReadOnlyList<V1Alpha1LabNode> Nodes, IReadOnlyList<V1Alpha1LabImage> Images, IReadOnlyList<V1Pod> Pods);
}
