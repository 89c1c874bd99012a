using System.Diagnostics;

namespace SandLabX.Integration.Runner;

/// <summary>Programs of the machine that the runner's tests need.</summary>
internal static class Machine
{
    /// <summary>Skips the test where QEMU is missing: a guest that can't run has not passed.</summary>
    public static void NeedsQemu()
    {
        foreach (string program in (string[])["qemu-system-x86_64", "qemu-img", "setpriv", "prlimit"])
        {
            Assert.SkipUnless(IsOnPath(program), $"{program} is not on PATH; Debian has it in qemu-system-x86, qemu-utils and util-linux.");
        }
    }

    public static void NeedsRoot(string what) => Assert.SkipUnless(Environment.UserName == "root", $"Only root may {what}.");

    public static bool IsOnPath(string program) =>
        (Environment.GetEnvironmentVariable("PATH") ?? "").Split(':').Any(folder => folder.Length > 0 && File.Exists(Path.Combine(folder, program)));

    /// <summary>Puts a script in a program's place, for faults that the real one can't show; the script itself finds the real one. Gives the PATH for who is to meet it.</summary>
    /// <param name="folder">Where it is made.</param>
    /// <param name="program">The program's name.</param>
    /// <param name="script">Lines of sh.</param>
    public static async Task<(string Name, string Value)> StandInAsync(string folder, string program, string script)
    {
        string path = Environment.GetEnvironmentVariable("PATH")!, bin = Directory.CreateDirectory(Path.Combine(folder, "bin")).FullName, file = Path.Combine(bin, program);
        await File.WriteAllTextAsync(file, $"#!/bin/sh\nPATH={path}\n{script}\n");
        File.SetUnixFileMode(file, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        return ("PATH", $"{bin}:{path}");
    }

    /// <summary>Runs a program to its end; its output.</summary>
    public static async Task<string> RunAsync(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardOutput = true, RedirectStandardError = true })!;
        Task<string> errors = process.StandardError.ReadToEndAsync();
        string output = await process.StandardOutput.ReadToEndAsync();
        await process.WaitForExitAsync();
        return process.ExitCode == 0 ? output : throw new InvalidOperationException($"{program} {string.Join(' ', arguments)}: {await errors}");
    }
}
