namespace SandLabX.Entities;

/// <summary>The API group and the names that the product puts on objects.</summary>
public static class Api
{
    /// <summary>The API group.</summary>
    public const string Group = "sandlabx.io";

    /// <summary>The version served and stored.</summary>
    public const string Version = "v1alpha1";

    /// <summary>Finalizer of LabNodes: nothing of a node goes before its guest was stopped and its claim kept or deleted as asked.</summary>
    public const string NodeFinalizer = Group + "/labnode";

    /// <summary>Finalizer of LabImages: an image's claims stay while a disk is based on them.</summary>
    public const string ImageFinalizer = Group + "/labimage";
}

/// <summary>Labels: what selectors use. Values are names of at most 63 characters.</summary>
public static class Labels
{
    /// <summary>The tool that manages the object; always <see cref="ManagedByValue"/>.</summary>
    public const string ManagedBy = "app.kubernetes.io/managed-by";

    /// <summary>Value of <see cref="ManagedBy"/>.</summary>
    public const string ManagedByValue = "sandlabx";

    /// <summary>Name of the LabNode that a pod or claim belongs to.</summary>
    public const string Node = Api.Group + "/labnode";

    /// <summary>Name of the LabImage that a pod or claim belongs to.</summary>
    public const string Image = Api.Group + "/labimage";
}

/// <summary>Annotations: what the operator must find again on an object.</summary>
public static class Annotations
{
    /// <summary>On a LabNode's claim: the disk's id, so that a retained claim's overlay is found again.</summary>
    public const string DiskId = Api.Group + "/disk-id";

    /// <summary>On a LabNode's claim: name of the LabImage its overlay is based on.</summary>
    public const string BackingImage = Api.Group + "/backing-image";

    /// <summary>On a LabNode's claim: name of the claim that holds its base image. That claim is kept as long as a disk names it.</summary>
    public const string BackingClaim = Api.Group + "/backing-claim";

    /// <summary>On a LabNode's claim: SHA-256 of the base image.</summary>
    public const string BackingSha256 = Api.Group + "/backing-sha256";

    /// <summary>On an import's pod: a hash of what it was told, so that a corrected source replaces it.</summary>
    public const string ImportHash = Api.Group + "/import-hash";

    /// <summary>On a LabNode's pod: what is wished of its guest (Running, Paused, Suspended or Off). The kubelet shows it to the runner as a file.</summary>
    public const string PowerWish = Api.Group + "/power";

    /// <summary>On a LabNode's pod: the reset that was asked for last. The kubelet shows it to the runner as a file.</summary>
    public const string ResetWish = Api.Group + "/reset";

    /// <summary>On a LabNode's pod: the size in bytes that its disk is to grow to while the guest runs. The kubelet shows it to the runner as a file.</summary>
    public const string SizeWish = Api.Group + "/disk-size";

    /// <summary>On a LabNode's pod: the restart that its start carried out.</summary>
    public const string RestartRevision = Api.Group + "/restart-revision";

    /// <summary>On a LabNode's pod: the revision of the disk that it runs on.</summary>
    public const string DiskRevision = Api.Group + "/disk-revision";

    /// <summary>On a LabNode's pod: a hash of what it took from the spec, so that a corrected spec replaces a pod that could not start.</summary>
    public const string StartHash = Api.Group + "/start-hash";
}
