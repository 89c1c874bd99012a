namespace SandLabX.EndToEnd.Support;

/// <summary>kubectl-sandlabx, as it was built with these tests.</summary>
internal static class Plugin
{
    /// <summary>How long a command may take, in seconds: some move disks and wait for pods one after the other.</summary>
    public const double Patience = 4 * Eventually.Patience;

    /// <summary>The words that start it.</summary>
    public static string[] Words(IEnumerable<string> arguments) => ["dotnet", Path.Combine(AppContext.BaseDirectory, "kubectl-sandlabx.dll"), .. arguments];

    /// <summary>Runs it in a terminal of its own: standard output and error are one there, and no word may have a blank.</summary>
    public static Task<Outcome> RunInTerminalAsync(IEnumerable<string> arguments) =>
        Shell.RunAsync(["script", "-qefc", $"stty cols 160; {string.Join(' ', Words(arguments))}", "/dev/null"], Patience);

    public static Task<Outcome> RunAsync(IEnumerable<string> arguments) => Shell.RunAsync(Words(arguments), Patience);
}
