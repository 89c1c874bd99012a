using System.Globalization;

namespace SandLabX.EndToEnd.Faults;

/// <summary>What came of the faults: a row each.</summary>
internal sealed class FaultTable
{
    private readonly SortedDictionary<string, Row> _rows = [];

    /// <summary>Records that were promised and are not there.</summary>
    public long Lost => _rows.Values.Sum(r => r.Lost);

    /// <summary>Recoveries that took longer than their bound.</summary>
    public IEnumerable<string> TooSlow => _rows.Where(r => r.Value.Slowest > r.Value.Bound).Select(r => $"{r.Key}: {r.Value.Slowest:0.0} s, and at most {r.Value.Bound} s are stated");

    public void Add(string fault, double bound, long promised, long lost, double seconds)
    {
        if (!_rows.TryGetValue(fault, out Row? row))
        {
            _rows[fault] = row = new Row { Bound = bound };
        }

        row.Runs++;
        row.Promised += promised;
        row.Lost += lost;
        row.Slowest = Math.Max(row.Slowest, seconds);
    }

    public override string ToString() => string.Join('\n', (string[])
    [
        "| fault | runs | synced records held against the disk | lost | slowest recovery, s | bound, s |", "|---|---|---|---|---|---|",
        .. _rows.Select(r => string.Create(
            CultureInfo.InvariantCulture, $"| {r.Key} | {r.Value.Runs} | {r.Value.Promised} | {r.Value.Lost} | {r.Value.Slowest:0.0} | {r.Value.Bound} |")),
    ]);

    private sealed class Row
    {
        public required double Bound { get; init; }

        public int Runs { get; set; }

        public long Promised { get; set; }

        public long Lost { get; set; }

        public double Slowest { get; set; }
    }
}
