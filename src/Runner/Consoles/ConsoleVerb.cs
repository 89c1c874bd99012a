namespace SandLabX.Runner.Consoles;
internal static class ConsoleVerb
{
    internal static Task<int> RunAsync(string[] rest, string d) => throw new NotImplementedException(rest.Length + d);
}
