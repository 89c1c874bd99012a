using System.Diagnostics;
using k8s.Models;
using SandLabX.Entities;
using SandLabX.Integration.Cluster;
using SandLabX.Runtime;

namespace SandLabX.Integration.Cli;

/// <summary>The verbs, as a process, on a real API server; the tests play the operator.</summary>
[Collection(OnApiServer.Name)]
public sealed class VerbTests(ApiServerFixture fixture)
{
    [Fact]
    public async Task A_stop_is_patched_in_its_own_name_and_ends_when_the_status_says_so()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web");
        using var cli = new CliProcess(fixture.Config, space);
        Task<CliOutcome> stopping = CliProcess.EndAsync(cli.Start("stop", "web"));
        V1Alpha1LabNode asked = await SeesAsync(space, "web", n => n.Spec.PowerState == PowerStates.Stopped);
        asked.Metadata.ManagedFields.ShouldContain(f => f.Manager == "sandlabx-cli");
        await StatusAsync(asked, NodePhases.Stopping, "False", "StoppingGuest", "The guest was asked to power off.");
        await StatusAsync((await GetAsync(space, "web"))!, NodePhases.Stopped, "True", "Stopped");
        CliOutcome outcome = await stopping;
        outcome.Code.ShouldBe(0, outcome.ToString());
        outcome.Output.ShouldStartWith("labnode/web Stopped after ");
    }

    [Fact]
    public async Task A_start_that_fails_ends_with_the_conditions_reason_and_message()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web", n => n.Spec.PowerState = PowerStates.Stopped);
        using var cli = new CliProcess(fixture.Config, space);
        Task<CliOutcome> starting = CliProcess.EndAsync(cli.Start("start", "web"));
        V1Alpha1LabNode asked = await SeesAsync(space, "web", n => n.Spec.PowerState == PowerStates.Running);
        await StatusAsync(asked, NodePhases.Failed, "False", "OverlayMissing", "The overlay is gone.");
        CliOutcome outcome = await starting;
        (outcome.Code, outcome.Errors).ShouldSatisfyAllConditions(o => o.Code.ShouldBe(1), o => o.Errors.ShouldContain("error: web: Failed (OverlayMissing): The overlay is gone."));
    }

    [Fact]
    public async Task A_wait_ends_with_its_time_and_says_what_was_seen_last()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web");
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome outcome = await cli.RunAsync("pause", "web", "--timeout", "500ms");
        outcome.Code.ShouldBe(1);
        outcome.Errors.ShouldContain("the operator has not seen it yet");
        (await GetAsync(space, "web"))!.Spec.PowerState.ShouldBe(PowerStates.Paused);
    }

    [Fact]
    public async Task All_and_labels_choose_nodes_and_one_that_is_refused_does_not_keep_the_others()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "a", n => n.Metadata.Labels = new Dictionary<string, string> { ["app"] = "x" });
        await NodeAsync(space, "b", n => n.Spec.PowerState = PowerStates.Stopped);
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome outcome = await cli.RunAsync("restart", "--all", "--no-wait");
        (outcome.Code, outcome.Output).ShouldBe((4, "labnode/a asked\n"), outcome.ToString());
        outcome.Errors.ShouldContain("kubectl sandlabx start b");
        (await GetAsync(space, "a"))!.Spec.RestartRevision.ShouldStartWith("cli-");
        (await GetAsync(space, "b"))!.Spec.RestartRevision.ShouldBeNull();

        outcome = await cli.RunAsync("suspend", "-l", "app=x", "--no-wait", "-o", "json");
        outcome.Json["items"]![0]!["spec"]!["powerState"]!.GetValue<string>().ShouldBe("Suspended");
        (await cli.RunAsync("suspend", "-l", "app=y", "--no-wait")).Code.ShouldBe(3);
    }

    [Theory]
    [InlineData("--help", "stop <NODE>")]
    [InlineData("status --help", "status [<NODE>...]")]
    [InlineData("console --help", "<NODE>    The LabNode.")]
    [InlineData("image --help", "upload <FILE> <NAME>")]
    public async Task Help_is_the_same_on_every_cluster_and_without_one(string words, string told)
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web");
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome here = await cli.RunAsync(words.Split(' '));
        here.Output.ShouldContain(told);
        cli.Environment["KUBECONFIG"] = "/nowhere";
        (await cli.RunAsync(words.Split(' '))).ShouldBe(here with { Errors = "" });
    }

    [Fact]
    public async Task Exit_codes_tell_usage_absence_and_refusal_apart()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web");
        using var cli = new CliProcess(fixture.Config, space);
        (await cli.RunAsync("start")).Code.ShouldBe(2);
        (await cli.RunAsync("start", "--wrong")).Code.ShouldBe(2);
        (await cli.RunAsync("--kubeconfig", "/nowhere", "status")).Code.ShouldBe(2);
        (await cli.RunAsync("--context", "none", "status")).Code.ShouldBe(2);
        CliOutcome missing = await cli.RunAsync("stop", "wbe", "web");
        missing.Code.ShouldBe(3);
        missing.Errors.ShouldContain("has no LabNode wbe. It has web.");
        (await GetAsync(space, "web"))!.Spec.PowerState.ShouldBe(PowerStates.Running, "one missing name stops nothing half-way");
        using var limited = new CliProcess(fixture.Server.Nobody, space);
        CliOutcome refused = await limited.RunAsync("status");
        refused.Code.ShouldBe(4, refused.ToString());
        refused.Errors.ShouldContain("doctor");
    }

    [Fact]
    public async Task A_wipe_needs_a_yes_and_names_the_disk_that_is_kept()
    {
        string space = await PrepareAsync();
        V1Alpha1LabNode node = await NodeAsync(space, "web");
        node.Status = new LabNodeStatus { Disk = new LabNodeDiskStatus { Claim = "labnode-web", CreatedAt = DateTime.UtcNow, Revision = "initial" } };
        await StatusAsync(node, NodePhases.Running, "True", "Running");
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome asked = await cli.RunAsync("wipe", "web", "--no-wait");
        asked.Code.ShouldBe(4);
        asked.Errors.ShouldContain("'kubectl sandlabx wipe web --to initial' brings it back");
        (await GetAsync(space, "web"))!.Spec.Disk.Revision.ShouldBeNull();
        CliOutcome done = await cli.RunAsync("wipe", "web", "--no-wait", "--yes");
        done.Code.ShouldBe(0, done.ToString());
        (await GetAsync(space, "web"))!.Spec.Disk.Revision.ShouldStartWith("cli-");
        (await cli.RunAsync("wipe", "web", "--to", "never", "--yes")).Code.ShouldBe(3);
    }

    [Fact]
    public async Task Status_is_a_plain_table_or_data_and_a_watch_gives_a_line_a_change()
    {
        string space = await PrepareAsync();
        V1Alpha1LabNode node = await NodeAsync(space, "web");
        await StatusAsync(node, NodePhases.Running, "True", "Running");
        using var cli = new CliProcess(fixture.Config, space);
        string[] lines = (await cli.RunAsync("status")).Output.Trim().Split('\n');
        lines[0].ShouldStartWith("NAME   IMAGE");
        lines[1].ShouldMatch("^web +debian-12 +Running +Running +- +- +0 +- +");
        (await cli.RunAsync("status", "web", "-o", "json")).Json["items"]![0]!["status"]!["phase"]!.GetValue<string>().ShouldBe("Running");
        (await cli.RunAsync("status", "web", "-o", "yaml")).Output.ShouldContain("phase: Running");
        (await cli.RunAsync("status", "web")).Output.ShouldContain("Phase:      Running (asked: Running)");
        (await cli.RunAsync("status", "-A")).Output.ShouldContain(space);

        using Process watch = cli.Start("status", "-w");
        (await watch.StandardOutput.ReadLineAsync())!.ShouldStartWith("NAME\tIMAGE");
        (await watch.StandardOutput.ReadLineAsync())!.ShouldStartWith("web\tdebian-12\tRunning");
        await StatusAsync((await GetAsync(space, "web"))!, NodePhases.Stopping, "False", "StoppingGuest");
        (await watch.StandardOutput.ReadLineAsync())!.ShouldStartWith("web\tdebian-12\tStopping");
        await Process.Start("kill", ["-INT", $"{watch.Id}"]).WaitForExitAsync();
        (await CliProcess.EndAsync(watch)).Code.ShouldBe(130);
    }

    [Fact]
    public async Task Doctor_says_what_is_missing_and_fails_with_it()
    {
        string space = await PrepareAsync();
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome outcome = await cli.RunAsync("doctor", "-o", "json");
        outcome.Code.ShouldBe(1, outcome.ToString());
        Dictionary<string, string> verdicts = outcome.Json["findings"]!.AsArray().DistinctBy(f => f!["check"]!.GetValue<string>())
            .ToDictionary(f => f!["check"]!.GetValue<string>(), f => f!["verdict"]!.GetValue<string>());
        (verdicts["API server"], verdicts["Definition LabNode"], verdicts["Your rights"]).ShouldBe(("ok", "ok", "ok"));

        // What is the whole cluster's (its storage classes, its nodes) other tests change as they run.
        verdicts["Operator"].ShouldBe("fail");

        using var limited = new CliProcess(fixture.Server.Nobody, space);
        outcome = await limited.RunAsync("doctor");
        outcome.Code.ShouldBe(1);
        outcome.Output.ShouldContain($"fail  Your rights: you may not list labnodes.sandlabx.io in namespace {space}: all");
        outcome.Output.ShouldContain("warn  Operator: not looked at: you may not list it");
    }

    [Fact]
    public async Task Prune_lists_what_is_left_over_and_deletes_what_is_named_and_nothing_else()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web");
        await ClaimAsync(space, "web");
        V1PersistentVolumeClaim gone = await ClaimAsync(space, "gone");
        await ClaimAsync(space, "other");
        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome listed = await cli.RunAsync("prune", "-o", "json");
        listed.Json["leftovers"]!.AsArray().Select(l => l!["claim"]!.GetValue<string>()).ShouldBe(["labnode-gone", "labnode-other"]);

        CliOutcome refused = await cli.RunAsync("prune", "labnode-gone", "labnode-web", "--yes");
        refused.Code.ShouldBe(4);
        refused.Errors.ShouldContain("labnode-web stays: it is the disk of LabNode web");
        (await cli.RunAsync("prune", "labnode-gone")).Code.ShouldBe(4, "nobody confirmed it");
        (await fixture.Api.GetAsync<V1PersistentVolumeClaim>(ObjectKey.Of(gone), default)).ShouldNotBeNull().Metadata.DeletionTimestamp.ShouldBeNull();

        CliOutcome done = await cli.RunAsync("prune", "labnode-gone", "--yes");
        done.Code.ShouldBe(0, done.ToString());

        // Whether its finalizer is still there is the controller manager's business, and there is none here.
        (await fixture.Api.GetAsync<V1PersistentVolumeClaim>(ObjectKey.Of(gone), default) is not { Metadata.DeletionTimestamp: null }).ShouldBeTrue();
        (await fixture.Api.ListAsync<V1PersistentVolumeClaim>(space, null, default)).Where(c => c.Metadata.DeletionTimestamp is null)
            .Select(c => c.Metadata.Name).ShouldBe(["labnode-other", "labnode-web"], ignoreOrder: true);
        (await cli.RunAsync("prune", "labnode-none", "--yes")).Code.ShouldBe(3);
    }

    [Fact]
    public async Task A_shell_completes_names_from_the_cluster()
    {
        string space = await PrepareAsync();
        await NodeAsync(space, "web-1");
        await NodeAsync(space, "web-2");
        await NodeAsync(space, "db");
        using var cli = new CliProcess(fixture.Config, space);
        // A completion that is not quick is silent: on a busy machine it is asked again.
        CliOutcome completed = new(-1, "", "");
        await Eventually.BeTrueAsync(async () => (completed = await cli.RunAsync("__complete", "stop", "we")).Output.Length > 0, "names are completed");
        completed.Output.ShouldBe("web-1\nweb-2\n", completed.ToString());
        await Eventually.BeTrueAsync(async () => (await cli.RunAsync("__complete", "console", "d")).Output == "db\n", "a name is completed");
    }

    [Fact]
    public async Task An_upload_makes_its_LabImage_only_when_it_is_asked_to_and_with_the_files_digest()
    {
        string space = await PrepareAsync();
        string file = Path.GetTempFileName();
        await File.WriteAllTextAsync(file, "not really a disk");
        string digest = Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("not really a disk"u8));
        using var cli = new CliProcess(fixture.Config, space);
        (await cli.RunAsync("image", "upload", file, "mine")).Code.ShouldBe(3);
        (await cli.RunAsync("image", "upload", file + ".none", "mine")).Code.ShouldBe(2);
        (await cli.RunAsync("image", "upload", file, "mine", "--create", "--timeout", "300ms")).Code.ShouldBe(1, "there is no operator");
        V1Alpha1LabImage made = (await fixture.Api.GetAsync<V1Alpha1LabImage>(new ObjectKey(space, "mine"), default))!;
        (made.Spec.Sha256, made.Spec.Source.Upload is not null, made.Spec.Storage.Size).ShouldBe((digest, true, "129Mi"));
        await File.WriteAllTextAsync(file, "another");
        (await cli.RunAsync("image", "upload", file, "mine", "--create")).Code.ShouldBe(4);
        File.Delete(file);
    }

    [Fact]
    public async Task A_migration_from_a_claim_needs_the_claim_and_plans_images_on_it()
    {
        string space = await PrepareAsync();
        string folder = Directory.CreateTempSubdirectory("sandlabx-old-").FullName, elsewhere = Directory.CreateTempSubdirectory("sandlabx-else-").FullName;
        Directory.CreateDirectory(Path.Combine(folder, "images"));
        Directory.CreateDirectory(Path.Combine(folder, "overlays"));
        await File.WriteAllTextAsync(Path.Combine(folder, "nodes-state.json"), """{"version": "1.0.0", "nodes": [{"id": "n1", "name": "web", "osType": "debian"}]}""");
        foreach (string images in (string[])[Path.Combine(folder, "images"), elsewhere])
        {
            await Runner.Machine.RunAsync("qemu-img", "create", "-q", "-f", "qcow2", Path.Combine(images, "debian-13.qcow2"), "64M");
        }

        using var cli = new CliProcess(fixture.Config, space);
        CliOutcome missing = await cli.RunAsync("migrate", folder, "--source-claim", "old/srv", "--runner-image", "x");
        missing.Code.ShouldBe(3, missing.ToString());
        missing.Errors.ShouldContain($"Namespace {space} has no claim old");
        (await fixture.Api.ListAsync<V1Alpha1LabImage>(space, null, default)).ShouldBeEmpty();

        await ClaimAsync(space, "old");
        CliOutcome plan = await cli.RunAsync("migrate", folder, "--source-claim", "labnode-old/srv", "--dry-run", "-o", "yaml");
        plan.Code.ShouldBe(0, plan.ToString());
        plan.Output.ShouldContain("name: labnode-old");
        plan.Output.ShouldContain("path: srv/images/debian-13.qcow2");
        plan.Output.ShouldNotContain("upload");

        CliOutcome outside = await cli.RunAsync("migrate", folder, "--images", elsewhere, "--source-claim", "labnode-old/srv", "--runner-image", "x");
        outside.Code.ShouldBe(2, outside.ToString());
        outside.Errors.ShouldContain(Path.Combine(elsewhere, "debian-13.qcow2"));
        (await fixture.Api.ListAsync<V1Alpha1LabImage>(space, null, default)).ShouldBeEmpty();
        Directory.Delete(folder, recursive: true);
        Directory.Delete(elsewhere, recursive: true);
    }

    private async Task<string> PrepareAsync()
    {
        await fixture.InstallAsync(typeof(V1Alpha1LabNode), typeof(V1Alpha1LabImage));
        return await fixture.CreateNamespaceAsync();
    }

    private async Task<V1Alpha1LabNode> NodeAsync(string space, string name, Action<V1Alpha1LabNode>? change = null)
    {
        var node = new V1Alpha1LabNode { Metadata = new V1ObjectMeta { Name = name, NamespaceProperty = space }, Spec = new LabNodeSpec { Image = "debian-12" } };
        change?.Invoke(node);
        return await fixture.Api.CreateAsync(node, default);
    }

    private async Task<V1PersistentVolumeClaim> ClaimAsync(string space, string node) => await fixture.Api.CreateAsync(
        new V1PersistentVolumeClaim
        {
            Metadata = new V1ObjectMeta
            {
                Name = "labnode-" + node,
                NamespaceProperty = space,
                Labels = new Dictionary<string, string> { [Labels.ManagedBy] = Labels.ManagedByValue, [Labels.Node] = node },
            },
            Spec = new V1PersistentVolumeClaimSpec
            {
                AccessModes = ["ReadWriteOnce"],
                Resources = new V1VolumeResourceRequirements { Requests = new Dictionary<string, ResourceQuantity> { ["storage"] = new("1Gi") } },
            },
        },
        default);

    private Task<V1Alpha1LabNode?> GetAsync(string space, string name) => fixture.Api.GetAsync<V1Alpha1LabNode>(new ObjectKey(space, name), default);

    private async Task<V1Alpha1LabNode> SeesAsync(string space, string name, Func<V1Alpha1LabNode, bool> holds)
    {
        await Eventually.BeTrueAsync(async () => await GetAsync(space, name) is { } node && holds(node), $"LabNode {name} is as wished");
        return (await GetAsync(space, name))!;
    }

    /// <summary>What the operator would write.</summary>
    private async Task StatusAsync(V1Alpha1LabNode node, string phase, string ready, string reason, string message = "So it is.")
    {
        V1Alpha1LabNode now = (await GetAsync(node.Metadata.NamespaceProperty, node.Metadata.Name))!;
        LabNodeStatus status = node.Status ?? new LabNodeStatus();
        status.Phase = phase;
        status.ObservedGeneration = now.Metadata.Generation;
        status.Conditions ??= [];
        SandLabX.Runtime.Conditions.Set(status.Conditions, ConditionTypes.Ready, ready, reason, message, now.Metadata.Generation, DateTimeOffset.UtcNow);
        await fixture.Api.PatchStatusAsync(now, status, default);
    }
}
