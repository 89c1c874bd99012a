using System.Collections.Immutable;
using SandLabX.Runtime;

namespace SandLabX.Operator.Validation;

/// <summary>Something that does not agree with something else. It is told, and nothing is changed.</summary>
/// <param name="Kind">One of <see cref="Kinds"/>; also the reason of condition and event.</param>
/// <param name="Subject">What it is about: LabNode, PersistentVolumeClaim or Pod.</param>
/// <param name="Key">Its key.</param>
/// <param name="Message">For people, with the way out.</param>
public sealed record Finding(string Kind, string Subject, ObjectKey Key, string Message)
{
    /// <summary>A LabNode's disk was made, and its claim is gone.</summary>
    public const string ClaimLost = "ClaimLost";

    /// <summary>A LabNode's claim holds another disk than the one on record.</summary>
    public const string DiskIdMismatch = "DiskIdMismatch";

    /// <summary>The claim that holds the base image of a LabNode's disk is gone.</summary>
    public const string BackingClaimMissing = "BackingClaimMissing";

    /// <summary>A LabNode's record names a pod that is not there.</summary>
    public const string StatusNamesGonePod = "StatusNamesGonePod";

    /// <summary>Another pod mounts a LabNode's claim.</summary>
    public const string TwoPodsOneClaim = "TwoPodsOneClaim";

    /// <summary>A LabNode's claim holds disks that are nobody's.</summary>
    public const string StrayOverlay = "StrayOverlay";

    /// <summary>A disk's claim whose LabNode is gone. Retain does that on purpose.</summary>
    public const string ClaimWithoutNode = "ClaimWithoutNode";

    /// <summary>An image's claim whose LabImage is gone.</summary>
    public const string ClaimWithoutImage = "ClaimWithoutImage";

    /// <summary>A pod of ours whose LabNode or LabImage is gone.</summary>
    public const string PodWithoutOwner = "PodWithoutOwner";

    /// <summary>The closed set.</summary>
    public static readonly ImmutableArray<string> Kinds =
        [ClaimLost, DiskIdMismatch, BackingClaimMissing, StatusNamesGonePod, TwoPodsOneClaim, StrayOverlay, ClaimWithoutNode, ClaimWithoutImage, PodWithoutOwner];

    /// <summary>True when it is as somebody asked for, and only worth knowing.</summary>
    public bool Expected => Kind == ClaimWithoutNode;

    /// <summary>True when both say the same of the same object, whatever their words.</summary>
    public bool Same(Finding other) => (Kind, Subject, Key) == (other.Kind, other.Subject, other.Key);
}
