using k8s.Models;
using SandLabX.Cli.Shell;
using SandLabX.Entities;
using SandLabX.Runtime;

namespace SandLabX.Cli.Connection;

/// <summary>The pod of a LabNode whose guest is there to be looked at.</summary>
internal static class GuestPod
{
    /// <summary>Waits for a node that is on its way, and gives its pod.</summary>
    /// <param name="call">The run of the verb.</param>
    /// <param name="name">The LabNode.</param>
    /// <param name="patience">How long to wait.</param>
    /// <exception cref="CliException">It is not there, is not to run, or does not come in time.</exception>
    internal static async Task<ObjectKey> WaitAsync(Call call, string name, TimeSpan patience)
    {
        V1Alpha1LabNode node = await LabNodes.GetAsync(call.Cluster, name, call.Stop).ConfigureAwait(false);
        string? last = null;
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(call.Stop);
        limit.CancelAfter(patience);
        try
        {
            await foreach (IReadOnlyList<V1Alpha1LabNode> seen in call.Cluster.Api
                .FollowAsync<V1Alpha1LabNode>(call.Cluster.Namespace, null, call.Out.Warning, limit.Token).ConfigureAwait(false))
            {
                node = seen.FirstOrDefault(n => n.Metadata.Name == name) ?? throw new CliException(ExitCodes.NotFound, $"{name} was deleted meanwhile.");
                if (Judge(node, out string words))
                {
                    return new ObjectKey(call.Cluster.Namespace, node.Status!.Pod!.Name!);
                }

                if (words != last)
                {
                    call.Out.Note($"{name}: {words}");
                    last = words;
                }
            }
        }
        catch (OperationCanceledException) when (!call.Stop.IsCancellationRequested)
        {
            throw new CliException(ExitCodes.Failed, $"{name} has no guest yet after {KubectlDurations.Write(patience)}: {last}. --timeout waits longer.");
        }

        throw new OperationCanceledException(call.Stop);
    }

    /// <summary>Whether its guest is there; when not, why, in words. Pure.</summary>
    /// <exception cref="CliException">It does not come by waiting.</exception>
    internal static bool Judge(V1Alpha1LabNode node, out string words)
    {
        string name = node.Metadata.Name;
        LabNodeStatus? status = node.Status;
        V1Condition? ready = Conditions.Find(status?.Conditions, ConditionTypes.Ready);
        words = status?.Phase is null ? "the operator has not seen it yet" : ready is { Status: "False" } ? $"{status.Phase} ({ready.Reason}): {ready.Message}" : status.Phase;
        if (node.Metadata.DeletionTimestamp is not null)
        {
            throw new CliException(ExitCodes.Refused, $"{name} is being deleted.");
        }

        if (status?.Phase is NodePhases.Running or NodePhases.Paused or NodePhases.Suspending && status.Pod?.Name is not null)
        {
            return true;
        }

        if (node.Spec.PowerState is PowerStates.Stopped or PowerStates.Suspended && status?.Phase is not NodePhases.Stopping)
        {
            throw new CliException(ExitCodes.Refused, $"{name} is {status?.Phase ?? node.Spec.PowerState}: it has no guest. 'kubectl sandlabx start {name}' starts it.");
        }

        if (status is { Halted: not null } && status.Halted.Generation == node.Metadata.Generation)
        {
            throw new CliException(ExitCodes.Refused, $"{name} stays off: {words}. 'kubectl sandlabx start {name}' starts it again.");
        }

        if (status?.Phase == NodePhases.Failed && status.ObservedGeneration == node.Metadata.Generation)
        {
            throw new CliException(ExitCodes.Failed, $"{name} has no guest: {words}");
        }

        return false;
    }
}
