using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using System.Text;
using System.Text.Json.Nodes;
using SandLabX.EndToEnd.Support;
using SandLabX.Entities;

namespace SandLabX.EndToEnd;

/// <summary>kubectl-sandlabx on real guests.</summary>
public sealed class CliTests(Space space, ITestOutputHelper output) : Scenario(space, output), IClassFixture<Space>
{
    [Fact]
    public async Task Power_verbs_end_when_the_guest_is_there()
    {
        await Space.NodeAsync("power", "powerState: Stopped");
        await OkAsync("start", "power");
        await new Guest(Space, "power").ReadyAsync(boot: 1);
        (await OkAsync("suspend", "power")).ShouldStartWith("labnode/power Suspended");
        await Space.GoneAsync("pod", "labnode-power");
        await OkAsync("start", "power");
        (await new Guest(Space, "power").OkAsync("ping again")).ShouldBe("pong again");
        (await OkAsync("pause", "power")).ShouldStartWith("labnode/power Paused");
        await OkAsync("start", "power");
        (await OkAsync("restart", "power")).ShouldStartWith("labnode/power Running");
        await new Guest(Space, "power").ReadyAsync(boot: 2);
        (await OkAsync("stop", "power")).ShouldStartWith("labnode/power Stopped");
        JsonNode status = JsonNode.Parse(await OkAsync("status", "power", "-o", "json"))!;
        status["items"]![0]!["status"]!["phase"]!.GetValue<string>().ShouldBe(NodePhases.Stopped);
    }

    [Fact]
    public async Task A_disk_is_wiped_and_brought_back_by_its_name()
    {
        await Space.NodeAsync("wipe");
        Guest guest = await Space.RunningGuestAsync("wipe");
        await guest.OkAsync("count start mine 1");
        await guest.OkAsync("count stop");
        long written = await guest.CheckAsync("mine");
        Outcome wiped = await RunAsync("wipe", "wipe", "--yes");
        wiped.Code.ShouldBe(0, wiped.ToString());
        wiped.Errors.ShouldContain("'kubectl sandlabx wipe wipe --to initial' brings it back");
        await guest.ReadyAsync(boot: 1);
        await OkAsync("wipe", "wipe", "--to", "initial", "--yes");
        await guest.ReadyAsync(boot: 2);
        (await guest.CheckAsync("mine")).ShouldBe(written);
    }

    [Fact]
    public async Task A_console_in_a_terminal_types_to_the_guest_and_gives_the_terminal_back()
    {
        await Space.NodeAsync("console");

        // At once: the console waits for a guest that is on its way. `script` gives it a terminal of its own, whose state is shown before and after.
        string command = $"stty -a > \"$1/before\"; {string.Join(' ', Plugin.Words(["-n", Space.Name, "console", "console"]))}; echo \"code $?\"; stty -a > \"$1/after\"";
        string folder = Directory.CreateTempSubdirectory("sandlabx-console-").FullName;
        var start = new ProcessStartInfo("script", ["-qefc", $"sh -c '{command}' console {folder}", "/dev/null"]) { RedirectStandardInput = true, RedirectStandardOutput = true };
        using Process terminal = Process.Start(start)!;
        var seen = new Screen(terminal.StandardOutput.BaseStream);
        await seen.ShowsAsync("SANDLABX-TINY READY boot=1 ");
        await TypeAsync(terminal, "ping typed\r");
        await seen.ShowsAsync("OK pong typed");

        // Ctrl-C is the guest's, Ctrl-] ours.
        await TypeAsync(terminal, "\u0003\rping again\r");
        await seen.ShowsAsync("OK pong again");
        await TypeAsync(terminal, "\u001d");
        await seen.ShowsAsync("code 0");
        await terminal.WaitForExitAsync().WaitAsync(TimeSpan.FromSeconds(Eventually.Patience));
        (await File.ReadAllTextAsync(Path.Combine(folder, "after"))).ShouldBe(await File.ReadAllTextAsync(Path.Combine(folder, "before")));
        Directory.Delete(folder, recursive: true);

        // Nobody is left at the console: as many could come and go as there are places.
        await Eventually.SucceedsAsync("no console is left in the pod", async () =>
        {
            Outcome left = await Lab.KubectlAsync("-n", Space.Name, "exec", "labnode-console", "--", "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' ' | grep -c 'console --until-[e]of' || true");
            return left with { Code = left.Output.Trim() == "0" ? 0 : 1 };
        });
    }

    [Fact]
    public async Task A_console_without_a_terminal_takes_its_input_and_scripts()
    {
        await Space.NodeAsync("pipe");
        await Space.RunningGuestAsync("pipe");
        Outcome script = await RunAsync("console", "pipe", "--", "--send", "ping scripted", "--expect", "OK pong scripted");
        script.Code.ShouldBe(0, script.ToString());
        (await RunAsync("console", "pipe", "--", "--send", "ping x", "--expect", "NOT THERE", "--timeout", "1")).Code.ShouldBe(1);

        using Process piped = Process.Start(new ProcessStartInfo("dotnet", [.. Plugin.Words(["-n", Space.Name, "console", "pipe"]).Skip(1)]) { RedirectStandardInput = true, RedirectStandardOutput = true })!;
        var seen = new Screen(piped.StandardOutput.BaseStream);
        await seen.ShowsAsync("SANDLABX-TINY READY");
        await TypeAsync(piped, "ping piped\r");
        await seen.ShowsAsync("OK pong piped");
        piped.Kill();
    }

    [Fact]
    public async Task A_viewer_finds_the_guests_screen_at_a_local_port()
    {
        await Space.NodeAsync("screen");
        using Process relay = Process.Start(new ProcessStartInfo("dotnet", [.. Plugin.Words(["-n", Space.Name, "vnc", "screen"]).Skip(1)]) { RedirectStandardOutput = true })!;
        try
        {
            string address = (await relay.StandardOutput.ReadLineAsync().WaitAsync(TimeSpan.FromSeconds(Eventually.Patience)))!;
            address.ShouldStartWith("127.0.0.1:");

            // Two, one after the other: each viewer has a connection of its own.
            for (int i = 0; i < 2; i++)
            {
                (int width, int height, bool lit) = await Viewer.LookAsync(int.Parse(address.Split(':')[1], CultureInfo.InvariantCulture));
                Output.WriteLine($"screen {width}x{height}, {(lit ? "lit" : "black")}");
                (width * height).ShouldBeGreaterThan(0);
                lit.ShouldBeTrue();
            }
        }
        finally
        {
            relay.Kill();
        }
    }

    [Fact]
    public async Task Doctor_finds_nothing_that_stops_guests_and_prune_takes_the_disk_of_a_deleted_node()
    {
        Outcome sound = await RunAsync("doctor", "-o", "json");
        sound.Code.ShouldBe(0, sound.ToString());
        await Space.NodeAsync("gone");
        await Space.RunningGuestAsync("gone");
        Outcome refused = await RunAsync("prune", "labnode-gone", "--yes");
        refused.Code.ShouldBe(4, refused.ToString());
        await Lab.KubectlOkAsync("-n", Space.Name, "delete", "labnode", "gone");
        await Eventually.SucceedsAsync("its claim is left over", async () =>
        {
            Outcome listed = await RunAsync("prune");
            return listed with { Code = listed.Output.Contains("labnode-gone", StringComparison.Ordinal) ? 0 : 1 };
        });
        await OkAsync("prune", "labnode-gone", "--yes");
        await Space.GoneAsync("pvc", "labnode-gone");
    }

    [Fact]
    public async Task A_file_of_this_machine_becomes_an_image_and_a_wrong_one_is_refused()
    {
        string tiny = Environment.GetEnvironmentVariable("SANDLABX_TINY_PATH") ?? "";
        Assert.SkipUnless(File.Exists(tiny), "SANDLABX_TINY_PATH names no tiny guest; eng/test e2e makes one.");
        Outcome shown = await Plugin.RunInTerminalAsync(["-n", Space.Name, "image", "upload", tiny, "uploaded", "--create"]);
        shown.Code.ShouldBe(0, shown.ToString());
        shown.Output.ShouldContain("100%", customMessage: "in a terminal a bar shows how far it is");
        shown.Output.ShouldContain("labimage/uploaded Ready");
        await OkAsync("image", "upload", tiny, "uploaded");
        await Space.NodeAsync("of-upload", image: "uploaded");
        await Space.RunningGuestAsync("of-upload");
        string text = Path.GetTempFileName();
        await File.WriteAllTextAsync(text, new string('x', 1 << 20));
        Outcome refused = await RunAsync("image", "upload", text, "text", "--create");
        refused.Code.ShouldBe(2, refused.ToString());
        refused.Errors.ShouldContain("UnknownFormat");
        File.Delete(text);
    }

    /// <summary>The right to port-forward is all that an upload needs; that of the faster way is missing.</summary>
    [Fact]
    public async Task Who_may_port_forward_and_nothing_faster_uploads_all_the_same()
    {
        Assert.SkipUnless(File.Exists(Environment.GetEnvironmentVariable("SANDLABX_TINY_PATH")), "SANDLABX_TINY_PATH names no tiny guest; eng/test e2e makes one.");
        await Lab.ApplyAsync($$"""
            apiVersion: v1
            kind: ServiceAccount
            metadata: {name: uploader, namespace: {{Space.Name}}}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: Role
            metadata: {name: uploader, namespace: {{Space.Name}}}
            rules:
              - {apiGroups: [sandlabx.io], resources: [labimages], verbs: [get, list, watch, create]}
              - {apiGroups: [""], resources: [pods], verbs: [get, list, watch]}
              - {apiGroups: [""], resources: [pods/portforward], verbs: [get, create]}
            ---
            apiVersion: rbac.authorization.k8s.io/v1
            kind: RoleBinding
            metadata: {name: uploader, namespace: {{Space.Name}}}
            roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: uploader}
            subjects: [{kind: ServiceAccount, name: uploader, namespace: {{Space.Name}} }]
            """);
        Outcome asked = await Shell.RunAsync(
            ["kubectl", "create", "--raw", $"/api/v1/namespaces/{Space.Name}/serviceaccounts/uploader/token", "-f", "-"],
            input: """{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 3600} }""");
        asked.Code.ShouldBe(0, asked.ToString());
        string token = JsonNode.Parse(asked.Output)!["status"]!["token"]!.GetValue<string>();
        string config = Path.GetTempFileName();
        await File.WriteAllTextAsync(config, await Lab.KubectlOkAsync("config", "view", "--raw", "--minify", "--flatten"));
        await Lab.KubectlOkAsync("--kubeconfig", config, "config", "set-credentials", "uploader", "--token", token);
        await Lab.KubectlOkAsync("--kubeconfig", config, "config", "set-context", "--current", "--user", "uploader");

        Outcome may = await Lab.KubectlAsync("--kubeconfig", config, "-n", Space.Name, "auth", "can-i", "update", "pods/proxy");
        may.Output.Trim().ShouldBe("no");
        (await OkAsync("--kubeconfig", config, "image", "upload", Lab.TinyPath, "slow", "--create")).ShouldContain("labimage/slow Ready");
        File.Delete(config);
    }

    private Task<Outcome> RunAsync(params string[] words) => Plugin.RunAsync(["-n", Space.Name, .. words]);

    private async Task<string> OkAsync(params string[] words)
    {
        Outcome outcome = await RunAsync(words);
        outcome.Code.ShouldBe(0, outcome.ToString());
        return outcome.Output;
    }

    private static async Task TypeAsync(Process process, string text)
    {
        await process.StandardInput.WriteAsync(text);
        await process.StandardInput.FlushAsync();
    }

    /// <summary>What a program writes, looked at as it comes.</summary>
    private sealed class Screen(Stream stream)
    {
        private readonly StringBuilder _seen = new();

        public async Task ShowsAsync(string text)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(Eventually.Patience));
            byte[] buffer = new byte[4096];
            while (!_seen.ToString().Contains(text, StringComparison.Ordinal))
            {
                int count;
                try
                {
                    count = await stream.ReadAsync(buffer, limit.Token);
                }
                catch (OperationCanceledException)
                {
                    throw new TimeoutException($"Not shown: {text}. Shown: {_seen}");
                }

                count.ShouldBeGreaterThan(0, $"It ended before it showed: {text}. Shown: {_seen}");
                _seen.Append(Encoding.UTF8.GetString(buffer, 0, count));
            }
        }
    }

    /// <summary>A VNC viewer (RFB 3.8, raw pixels) that looks once.</summary>
    private static class Viewer
    {
        public static async Task<(int Width, int Height, bool Lit)> LookAsync(int port)
        {
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(60));
            using var client = new TcpClient();
            await client.ConnectAsync("127.0.0.1", port, limit.Token);
            await using NetworkStream stream = client.GetStream();
            Encoding.ASCII.GetString(await ReadAsync(12)).ShouldBe("RFB 003.008\n");
            await stream.WriteAsync("RFB 003.008\n"u8.ToArray(), limit.Token);
            await ReadAsync((await ReadAsync(1))[0]);
            await stream.WriteAsync(new byte[] { 1 }, limit.Token);
            (await ReadAsync(4)).ShouldBe([0, 0, 0, 0]);
            await stream.WriteAsync(new byte[] { 1 }, limit.Token);
            byte[] about = await ReadAsync(24);
            int width = (about[0] << 8) | about[1];
            int height = (about[2] << 8) | about[3];
            int depth = about[4] / 8;
            await ReadAsync((about[22] << 8) | about[23]);
            await stream.WriteAsync(new byte[] { 2, 0, 0, 1, 0, 0, 0, 0 }, limit.Token);
            bool lit = false;

            // The text comes when the firmware has drawn it: asked until it is there, or the time is over.
            while (!lit)
            {
                await stream.WriteAsync(new byte[] { 3, 0, 0, 0, 0, 0, about[0], about[1], about[2], about[3] }, limit.Token);
                byte[] head = await ReadAsync(4);
                for (int i = (head[2] << 8) | head[3]; head[0] == 0 && i > 0; i--)
                {
                    byte[] rectangle = await ReadAsync(12);
                    byte[] pixels = await ReadAsync(((rectangle[4] << 8) | rectangle[5]) * ((rectangle[6] << 8) | rectangle[7]) * depth);
                    lit |= pixels.Chunk(depth).Any(p => p[0] > 64 || p[1] > 64 || p[2] > 64);
                }
            }

            return (width, height, lit);

            async Task<byte[]> ReadAsync(int count)
            {
                byte[] bytes = new byte[count];
                await stream.ReadExactlyAsync(bytes, limit.Token);
                return bytes;
            }
        }
    }
}
