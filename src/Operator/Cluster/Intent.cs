using k8s.Models;
using SandLabX.Runtime;

namespace SandLabX.Operator.Cluster;

/// <summary>The closed set of what the operator does in the cluster.</summary>
public abstract record Intent
{
    private Intent()
    {
    }

    /// <summary>Make a claim. One that has the name already is left alone.</summary>
    public sealed record CreateClaim(V1PersistentVolumeClaim Claim) : Intent;

    /// <summary>Make a pod. The API server admits one of a name: that is the first wall of law 1.</summary>
    public sealed record CreatePod(V1Pod Pod) : Intent;

    /// <summary>Delete this very pod, with the grace it was made with.</summary>
    public sealed record DeletePod(ObjectKey Key, string Uid) : Intent;

    /// <summary>Write what is wished of a guest on this very pod, as annotations.</summary>
    public sealed record WishOfPod(ObjectKey Key, string Uid, IReadOnlyDictionary<string, string> Annotations) : Intent;

    /// <summary>Write annotations on this very claim, if nothing about it changed; null takes one away.</summary>
    public sealed record NoteOnClaim(ObjectKey Key, string Uid, string ResourceVersion, IReadOnlyDictionary<string, string?> Annotations) : Intent;

    /// <summary>Ask for more room on this very claim, in bytes.</summary>
    public sealed record GrowClaim(ObjectKey Key, string Uid, long Bytes) : Intent;

    /// <summary>Delete this very claim.</summary>
    /// <param name="Key">Its key.</param>
    /// <param name="Uid">Its UID.</param>
    /// <param name="ResourceVersion">When given, only while nothing about it changed: for a claim that goes because it holds nothing. It might be bound by now.</param>
    public sealed record DeleteClaim(ObjectKey Key, string Uid, string? ResourceVersion = null) : Intent;

    /// <summary>Have evictions of this very pod refused, and note on it what came of that. No trouble with it stops anything else.</summary>
    public sealed record GuardPod(V1Pod Pod) : Intent;

    /// <summary>Let evictions of this very pod through again.</summary>
    public sealed record UnguardPod(V1Pod Pod) : Intent;

    /// <summary>Delete the very LabNode that this is about, while it is as the decision saw it: whoever changes it meanwhile keeps it.</summary>
    public sealed record DeleteNode(ObjectKey Key, string Uid) : Intent;

    /// <summary>Tell people, by an event.</summary>
    public sealed record Announce(bool Warning, string Reason, string Message) : Intent;
}

/// <summary>An intent that the API server refused.</summary>
/// <param name="What">What was asked, such as "create pod labnode-a".</param>
/// <param name="Kind">The kind of error.</param>
/// <param name="Message">The server's words.</param>
/// <param name="OfGrowth">True when it was about more room on a claim: that stops nothing else.</param>
public sealed record Refusal(string What, KubeError Kind, string Message, bool OfGrowth = false);
