using System.Diagnostics;
using System.Text;

namespace SandLabX.Integration.Runner;

/// <summary>The runner's verbs that a person's program joins by exec: they end with their input, so that who is cut off leaves nothing behind.</summary>
public sealed class ScreenTests
{
    [Fact]
    public async Task A_viewer_is_joined_to_the_guests_screen_until_it_goes()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        using Process viewer = Start(runner, "vnc");
        byte[] banner = new byte[12];
        await viewer.StandardOutput.BaseStream.ReadExactlyAsync(banner).AsTask().WaitAsync(RunnerProcess.Patience);
        Encoding.ASCII.GetString(banner).ShouldBe("RFB 003.008\n");

        // The version and "no authentication" are taken: then the guest's screen has a size and a name.
        await viewer.StandardInput.BaseStream.WriteAsync("RFB 003.008\n"u8.ToArray());
        byte[] security = new byte[2];
        await viewer.StandardOutput.BaseStream.ReadExactlyAsync(security).AsTask().WaitAsync(RunnerProcess.Patience);
        security.ShouldBe([1, 1]);
        await EndsAsync(viewer);
        (await runner.ReadyAsync()).ShouldBe(System.Net.HttpStatusCode.OK);
    }

    [Fact]
    public async Task A_console_until_the_end_of_its_input_ends_with_it()
    {
        using Lab lab = await Lab.MakeAsync();
        await using RunnerProcess runner = lab.Run();
        await runner.SeesAsync(BootSector.Greeting);
        using Process console = Start(runner, "console", "--until-eof");
        await console.StandardInput.WriteAsync("HELLO");
        await console.StandardInput.FlushAsync();
        await runner.SeesAsync("HELLO");
        await EndsAsync(console);
    }

    [Fact]
    public async Task Without_a_guest_there_is_no_screen()
    {
        ProcessStartInfo start = RunnerProcess.Command("vnc");
        start.Environment["SANDLABX_RUN_DIR"] = Path.GetTempPath();
        using Process viewer = Process.Start(start)!;
        (await viewer.StandardError.ReadToEndAsync()).ShouldContain("no guest runs here");
        await viewer.WaitForExitAsync();
        viewer.ExitCode.ShouldBe(1);
    }

    private static Process Start(RunnerProcess runner, params string[] words)
    {
        ProcessStartInfo start = RunnerProcess.Command(words);
        start.RedirectStandardInput = true;
        start.Environment["SANDLABX_RUN_DIR"] = runner.RunDirectory;
        return Process.Start(start)!;
    }

    private static async Task EndsAsync(Process process)
    {
        process.StandardInput.Close();
        await process.WaitForExitAsync().WaitAsync(RunnerProcess.Patience);
        process.ExitCode.ShouldBe(0);
    }
}
