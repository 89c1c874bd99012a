namespace SandLabX.Entities;

/// <summary>The API group and the names that the product puts on objects.</summary>
public static class Api
{
    /// <summary>The API group.</summary>
    public const string Group = "sandlabx.io";

    /// <summary>The version served and stored.</summary>
    public const string Version = "v1alpha1";

    /// <summary>The longest name a LabNode or LabImage can have: its pod's and claim's names and labels are made from it and end at 63 characters.</summary>
    public const int MaxNameLength = 43;

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

    /// <summary>On a LabNode's claim: the container image that holds its base image, where no claim does; a <see cref="LabImageVolume"/> as JSON.</summary>
    public const string BackingVolume = Api.Group + "/backing-volume";

    /// <summary>On a LabNode's claim: SHA-256 of the base image.</summary>
    public const string BackingSha256 = Api.Group + "/backing-sha256";

    /// <summary>On a LabNode's claim: the base image is copied onto this claim, and takes so many bytes there. Once it is, <see cref="BackingClaim"/> names this claim.</summary>
    public const string BackingCopyBytes = Api.Group + "/backing-copy-bytes";

    /// <summary>On a LabNode's claim: the firmware that its disk boots with, one of <see cref="Firmwares"/>; BIOS where it is not noted.</summary>
    public const string Firmware = Api.Group + "/firmware";

    /// <summary>On a LabNode's claim: true when cloud-init is in its disk's base image.</summary>
    public const string CloudInit = Api.Group + "/cloud-init";

    /// <summary>On a LabNode's claim: the bases of its other disks (those that are kept, and one that is to be made), a JSON array. Their claims are kept like that of <see cref="BackingClaim"/>.</summary>
    public const string OtherBases = Api.Group + "/other-bases";

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

    /// <summary>On a LabNode's pod that runs no guest and only checks its disk: what it is for, always <see cref="DiskCheckTask"/>.</summary>
    public const string Task = Api.Group + "/task";

    /// <summary>Value of <see cref="Task"/>.</summary>
    public const string DiskCheckTask = "check-disk";

    /// <summary>On a LabNode's pod: a hash of what it took from the spec, so that a corrected spec replaces a pod that could not start.</summary>
    public const string StartHash = Api.Group + "/start-hash";

    /// <summary>On a LabNode that was moved in: its id where it came from. A second run finds it by this.</summary>
    public const string MigratedId = Api.Group + "/migrated-id";

    /// <summary>On a LabNode that was moved in: its name where it came from, which may have had other characters or not been unique.</summary>
    public const string MigratedName = Api.Group + "/migrated-name";

    /// <summary>On a LabNode that was moved in: what system it was said to run there.</summary>
    public const string MigratedOsType = Api.Group + "/migrated-os-type";

    /// <summary>On a LabNode that was moved in: when it was created where it came from.</summary>
    public const string MigratedCreatedAt = Api.Group + "/migrated-created-at";

    /// <summary>On a pod that brings a disk in or out: a hash of what it was told, so that one that is left from an interrupted run is used again or replaced.</summary>
    public const string TransferHash = Api.Group + "/transfer-hash";

    /// <summary>On a pod that brings a disk in: SHA-256 of the disk's file, 64 hexadecimal digits, once that is known. The kubelet shows it to the runner as a file.</summary>
    public const string TransferDigest = Api.Group + "/transfer-sha256";

    /// <summary>On a LabNode's pod: Block once a PodDisruptionBudget guards it from evictions, or how the API server refused that; nothing else otherwise.</summary>
    public const string EvictionPolicy = Api.Group + "/eviction-policy";
}
