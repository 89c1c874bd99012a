namespace SandLabX.Runtime;

/// <summary>A label selector as <c>kubectl -l</c> takes it, matched on this side: <c>a=b</c>, <c>a!=b</c>, <c>a in (b,c)</c>, <c>a notin (b,c)</c>, <c>a</c>, <c>!a</c>, joined by commas.</summary>
internal static class LabelSelector
{
    public static bool Matches(string? selector, IDictionary<string, string>? labels) =>
        string.IsNullOrWhiteSpace(selector) || Terms(selector).All(term => Holds(term, labels ?? new Dictionary<string, string>()));

    private static bool Holds(string term, IDictionary<string, string> labels)
    {
        if (term.EndsWith(')'))
        {
            int open = term.IndexOf('(', StringComparison.Ordinal);
            string[] head = term[..open].Split(' ', StringSplitOptions.RemoveEmptyEntries);
            string[] values = term[(open + 1)..^1].Split(',', StringSplitOptions.TrimEntries);
            bool isIn = labels.TryGetValue(head[0], out string? value) && values.Contains(value);
            return head[1] == "in" ? isIn : !isIn;
        }

        int not = term.IndexOf("!=", StringComparison.Ordinal);
        if (not >= 0)
        {
            return !(labels.TryGetValue(term[..not].Trim(), out string? value) && value == term[(not + 2)..].Trim());
        }

        int equals = term.IndexOf('=', StringComparison.Ordinal);
        if (equals >= 0)
        {
            return labels.TryGetValue(term[..equals].Trim(), out string? value) && value == term[equals..].TrimStart('=').Trim();
        }

        return term.StartsWith('!') ? !labels.ContainsKey(term[1..].Trim()) : labels.ContainsKey(term);
    }

    private static IEnumerable<string> Terms(string selector)
    {
        int start = 0;
        int depth = 0;
        for (int i = 0; i <= selector.Length; i++)
        {
            if (i == selector.Length || (selector[i] == ',' && depth == 0))
            {
                string term = selector[start..i].Trim();
                start = i + 1;
                if (term.Length > 0)
                {
                    yield return term;
                }
            }
            else
            {
                depth += selector[i] switch { '(' => 1, ')' => -1, _ => 0 };
            }
        }
    }
}
