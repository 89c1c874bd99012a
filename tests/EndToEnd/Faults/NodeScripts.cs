using SandLabX.Contract;
using SandLabX.EndToEnd.Support;

namespace SandLabX.EndToEnd.Faults;

/// <summary>What is done in the local cluster's node itself, past Kubernetes: to processes that are found by whose they are.</summary>
internal static class NodeScripts
{
    /// <summary>Kills it without a word.</summary>
    public const string Kill = "kill -KILL $pid";

    /// <summary>Lets the container have little more memory than it takes now, of what can't be written back. The kernel refuses while more than that is being written.</summary>
    public const string Starve = """
        group=/sys/fs/cgroup/memory$(awk -F: '$2 == "memory" {print $3}' /proc/$pid/cgroup)
        for _ in {1..50}; do
          echo $(($(awk '/^total_rss |^total_mapped_file / {n += $2} END {print n}' $group/memory.stat) + (12 << 20))) > $group/memory.limit_in_bytes && break
          read -rt 0.1 <> <(:)   # fails, and the loop with it if it was the last
        done
        """;

    /// <summary>Takes all room of the claim.</summary>
    public const string FillClaim = "nsenter -t $pid -m -p dd if=/dev/zero of=/overlays/ballast bs=1M 2> /dev/null || :";

    /// <summary>Gives it back.</summary>
    public const string FreeClaim = "nsenter -t $pid -m -p rm /overlays/ballast";

    /// <summary>Overwrites the reference counts of the qcow2 file $1 with zeros: each cluster in use counts as free. No guest's byte is touched.</summary>
    public const string LoseRefcounts = """
        set -eu
        number() { od -An -t "u$2" --endian=big -j "$1" -N "$2" "$file"; }
        file=$1 cluster=$((1 << $(number 20 4)))
        table=$(($(number 48 8)))
        dd if=/dev/zero of="$file" bs=$cluster seek=$(($(number $table 8) / cluster)) count=1 conv=notrunc,fsync
        """;

    /// <summary>
    /// Looks at all processes of the node about ten times a second: which disk's overlay (of the ids given) is on whose command line. Prints a line a look,
    /// and one that begins with DOUBLE for a disk with two.
    /// </summary>
    public const string Sampler = """
        while :; do
          for id; do declare "n_${id//-/_}=0"; done
          for p in /proc/[0-9]*; do
            read -r comm < $p/comm || continue
            [[ $comm == qemu-system-x86* ]] || continue
            line=$(tr '\0' ' ' < $p/cmdline) || continue
            for id; do [[ $line != *node_$id.qcow2* ]] || { v=n_${id//-/_}; declare "$v=$((${!v} + 1))"; ((${!v} < 2)) || echo "DOUBLE $id: $line"; }; done
          done 2> /dev/null
          echo sample
          read -rt 0.1 <> <(:) || :
        done
        """;

    // For each process whose command begins with $1, which has $2 in its command line or environment, and $3 in its command line: does $4.
    private const string Finder = """
        for p in /proc/[0-9]*; do
          read -r comm < $p/comm || continue
          [[ $comm == "$1"* ]] || continue
          [[ -z $3 || $(tr '\0' ' ' < $p/cmdline) == *$3* ]] || continue
          grep -qz -- "$2" $p/cmdline $p/environ || continue
          pid=${p#/proc/}
          eval "$4" && echo "struck $pid $comm"
        done 2> /dev/null
        """;

    /// <summary>Says a line to the guest's console, as the runner's own program does, and waits for its OK; in vain after so many seconds.</summary>
    public static string Tell(string command, int seconds = 40) => $"nsenter -t $pid -m -p /proc/1/exe console --send '{command}' --expect OK --timeout {seconds} > /dev/null";

    /// <summary>Says a line that ends the guest. Its OK can be lost with the container that waits for it: how the guest ended is in the LabNode's status.</summary>
    public static string TellItsEnd(string command) => Tell(command) + " || :";

    /// <summary>Has QEMU carry out commands, one after another, on its second monitor.</summary>
    public static string Monitor(params string[] commands) => $$"""
        coproc qmp { socat - UNIX-CONNECT:/proc/$pid/root{{ContractNames.RunDirectory}}/qmp.sock; }
        qmp_pid=$! last=
        answer() { local line; while read -rt 60 -u ${qmp[0]} line; do [[ $line != *'"error"'* ]] || return 1; [[ $line != *'"return"'* ]] || return 0; done; return 1; }
        for command in '{"execute": "qmp_capabilities"}' {{string.Join(' ', commands.Select(c => $"'{c}'"))}}; do
          printf '%s\n' "$command" >&${qmp[1]}
          answer || break
          last=$command
        done
        kill $qmp_pid
        [[ $last == '{{commands[^1]}}' ]]
        """;

    /// <summary>Does something to the runner that holds this disk; false when there is none.</summary>
    public static Task<bool> ToRunnerAsync(string diskId, string what) => DoAsync("sandlabx-runner", diskId, " run", what);

    /// <summary>Does something to the QEMU on this disk; false when there is none.</summary>
    public static Task<bool> ToQemuAsync(string diskId, string what) => DoAsync("qemu-system-x86", diskId, "", what);

    /// <summary>Does something to the operators of these pods; of all, where none is named.</summary>
    public static Task<bool> ToOperatorAsync(string what, string pod = "sandlabx-operator") => DoAsync("SandLabX.Operat", "POD_NAME=" + pod, "", what);

    private static async Task<bool> DoAsync(string command, string mark, string line, string what)
    {
        Outcome outcome = await Shell.RunAsync(Lab.InNode("bash", "-c", Finder, "finder", command, mark, line, what));
        return outcome.Output.Contains("struck", StringComparison.Ordinal);
    }
}
