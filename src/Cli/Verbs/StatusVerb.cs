using System.CommandLine;
using SandLabX.Cli.Connection;
using SandLabX.Cli.Power;
using SandLabX.Cli.Shell;
using SandLabX.Cli.Status;
using SandLabX.Entities;
using Spectre.Console;

namespace SandLabX.Cli.Verbs;

/// <summary><c>status</c>.</summary>
internal static class StatusVerb
{
    private static readonly TimeSpan s_redraw = TimeSpan.FromSeconds(1);

    internal static Command Create()
    {
        Argument<string[]> names = Globals.Names("NODE", "LabNodes; one alone is shown in detail; none: all.");
        names.CompletionSources.Add(NodeNames.Complete);
        var watch = new Option<bool>("--watch", "-w") { Description = "Goes on showing until Ctrl-C: a table that changes on a terminal, a line a change elsewhere." };
        var everywhere = new Option<bool>("--all-namespaces", "-A") { Description = "All namespaces." };
        var selector = new Option<string?>("--selector", "-l") { Description = "Those with these labels, as kubectl takes it.", HelpName = "LABELS" };
        Option<Format> output = Globals.Output();
        var command = new Command("status", "How LabNodes are: a table, or one in detail.") { names, watch, everywhere, selector, output };
        command.Validators.Add(result =>
        {
            if (result.GetValue(everywhere) && result.GetValue(names) is { Length: > 0 })
            {
                result.AddError("Names are of one namespace: leave out -A, or the names.");
            }
            else if (result.GetValue(watch) && result.GetValue(output) != Format.Table)
            {
                result.AddError("-w shows a table: leave out -o, or follow with 'kubectl get labnodes -w -o json'.");
            }
        });
        command.Runs(async call =>
        {
            string[] wanted = call.Get(names) ?? [];
            string space = call.Get(everywhere) ? "" : call.Cluster.Namespace;
            IReadOnlyList<V1Alpha1LabNode> nodes = wanted.Length > 0
                ? await LabNodes.ChosenAsync(call.Cluster, wanted, all: false, null, call.Stop).ConfigureAwait(false)
                : await LabNodes.ListAsync(call.Cluster, space, call.Get(selector), call.Stop).ConfigureAwait(false);
            if (call.Get(watch))
            {
                await WatchAsync(call, space, call.Get(selector), wanted).ConfigureAwait(false);
                return;
            }

            call.Out.Result(call.Get(output), PowerRun.List(nodes), () => Show(call.Out, nodes, wanted.Length == 1, space.Length == 0));
        });
        return command;
    }

    private static void Show(Output output, IReadOnlyList<V1Alpha1LabNode> nodes, bool detailed, bool everywhere)
    {
        DateTimeOffset now = TimeProvider.System.GetUtcNow();
        if (detailed)
        {
            foreach (string line in NodeDetail.Lines(nodes[0], now))
            {
                output.Line(line);
            }
        }
        else if (nodes.Count == 0)
        {
            output.Note("No LabNodes here.");
        }
        else
        {
            output.Table(NodeRows.Heads(everywhere), nodes.Select(n => NodeRows.Row(n, everywhere, now)));
        }
    }

    private static async Task WatchAsync(Call call, string space, string? selector, string[] names)
    {
        bool everywhere = space.Length == 0;
        IAsyncEnumerable<IReadOnlyList<V1Alpha1LabNode>> follow = call.Cluster.Api.FollowAsync<V1Alpha1LabNode>(space, selector, call.Out.Warning, call.Stop);
        IReadOnlyList<V1Alpha1LabNode> Chosen(IReadOnlyList<V1Alpha1LabNode> seen) =>
            [.. LabNodes.Ordered(seen.Where(n => names.Length == 0 || names.Contains(n.Metadata.Name, StringComparer.Ordinal)))];
        if (!call.Out.IsTerminal)
        {
            var lines = new StatusLines(everywhere);
            await foreach (IReadOnlyList<V1Alpha1LabNode> seen in follow.ConfigureAwait(false))
            {
                foreach (string line in lines.Changes(Chosen(seen), TimeProvider.System.GetUtcNow()))
                {
                    call.Out.Line(line);
                }
            }

            return;
        }

        IReadOnlyList<V1Alpha1LabNode> now = [];
        Table Draw() => Output.Grid(NodeRows.Heads(everywhere), now.Select(n => NodeRows.Row(n, everywhere, TimeProvider.System.GetUtcNow())));
        await call.Out.Screen.Live(Draw()).StartAsync(async live =>
        {
            // Ages go on between changes.
            using var timer = new PeriodicTimer(s_redraw);
            await using IAsyncEnumerator<IReadOnlyList<V1Alpha1LabNode>> changes = follow.GetAsyncEnumerator(call.Stop);
            Task<bool> change = changes.MoveNextAsync().AsTask();
            Task<bool> tick = timer.WaitForNextTickAsync(call.Stop).AsTask();
            while (true)
            {
                if (await Task.WhenAny(change, tick).ConfigureAwait(false) == change)
                {
                    await change.ConfigureAwait(false);
                    now = Chosen(changes.Current);
                    change = changes.MoveNextAsync().AsTask();
                }
                else
                {
                    await tick.ConfigureAwait(false);
                    tick = timer.WaitForNextTickAsync(call.Stop).AsTask();
                }

                live.UpdateTarget(Draw());
            }
        }).ConfigureAwait(false);
    }
}
