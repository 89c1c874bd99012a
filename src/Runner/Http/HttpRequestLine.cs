using System.Text;

namespace SandLabX.Runner.Http;

/// <summary>What the server understands of a request: its first line. Everything else in it is of no meaning here.</summary>
internal static class HttpRequestLine
{
    /// <summary>The longest request head accepted, in bytes; a probe's is below 200.</summary>
    internal const int MaxHead = 4096;

    /// <summary>Judges a request's head, line end of its last header included.</summary>
    /// <returns>The path without query; or a status code that refuses it.</returns>
    internal static (string? Path, int Refusal) Parse(ReadOnlySpan<byte> head)
    {
        int end = head.IndexOf("\r\n"u8);
        string line = Encoding.Latin1.GetString(end < 0 ? head : head[..end]);
        string[] parts = line.Split(' ');
        if (parts.Length != 3 || !parts[2].StartsWith("HTTP/1.", StringComparison.Ordinal) || !parts[1].StartsWith('/'))
        {
            return (null, 400);
        }

        return parts[0] == "GET" ? (parts[1].Split('?')[0], 0) : (null, 405);
    }
}
