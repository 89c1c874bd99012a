using System.Text.Json;
using k8s.Models;
using SandLabX.Contract;
using SandLabX.Entities;

namespace SandLabX.Operator.LabNodes;

/// <summary>What a guest finds beside its disk: cloud-init's data, a CD, its firmware. Pure functions of what is known.</summary>
public static class NodeMedia
{
    /// <summary>What the data of cloud-init may take in the pod's environment, where a variable ends at 128 KiB; the rest of the configuration needs little.</summary>
    private const int MaxInlineBytes = 96 * 1024;

    /// <summary>The Secrets' folders, and the volumes they come from.</summary>
    private const string UserDataVolume = "user-data", PasswordVolume = "password", SshKeysVolume = "ssh-keys";

    /// <summary>What is wrong with what the spec says of cloud-init; null when nothing is.</summary>
    public static string? WhatIsWrong(LabNodeSpec spec)
    {
        if (spec.CloudInit is not { } wish)
        {
            return null;
        }

        bool own = wish.UserData is not null || wish.UserDataSecretRef is not null;
        return wish.UserData is not null && wish.UserDataSecretRef is not null
                ? "spec.cloudInit has both userData and userDataSecretRef; give one of them."
            : own && (wish.User is not null || wish.PasswordSecretRef is not null)
                ? $"spec.cloudInit has user data of its own, so {(wish.User is not null ? "user" : "passwordSecretRef")} has no place to go; say it in the user data, or take the one or the other away."
            : JsonEncodedText.Encode(wish.UserData ?? "").EncodedUtf8Bytes.Length + JsonEncodedText.Encode(wish.NetworkData ?? "").EncodedUtf8Bytes.Length > MaxInlineBytes
                ? $"spec.cloudInit.userData and networkData are too large to be passed on ({MaxInlineBytes / 1024} KiB with their special characters escaped). Put the user data into a Secret and name it in userDataSecretRef."
            : null;
    }

    /// <summary>What cloud-init in the guest is told; null when nobody asks for it.</summary>
    /// <param name="node">The LabNode.</param>
    /// <param name="backing">What its disk is based on, and whether cloud-init is in that.</param>
    public static SeedConfig? Seed(V1Alpha1LabNode node, DiskBase backing)
    {
        LabNodeCloudInit? wish = node.Spec.CloudInit;
        if (wish is null && !backing.CloudInit)
        {
            return null;
        }

        return new SeedConfig
        {
            HostName = node.Metadata.Name,
            User = wish?.User,
            UserData = wish?.UserData,
            NetworkData = wish?.NetworkData,
            UserDataSecret = Secret(wish?.UserDataSecretRef, UserDataVolume, "userData"),
            PasswordSecret = Secret(wish?.PasswordSecretRef, PasswordVolume, "password"),
            SshKeysSecret = Secret(wish?.SshKeysSecretRef, SshKeysVolume, null),
        };
    }

    /// <summary>What the spec says of it, in short, for the hash of what a start takes; empty when it says nothing.</summary>
    public static string Fingerprint(LabNodeSpec spec) => spec.CloudInit is null && spec.Cdrom is null
        ? ""
        : "\n" + JsonSerializer.Serialize(new { spec.CloudInit, spec.Cdrom });

    /// <summary>Adds to a pod the volumes that the media come from.</summary>
    /// <param name="pod">The pod, with the runner as its first container.</param>
    /// <param name="spec">What the LabNode says.</param>
    /// <param name="seeded">Whether cloud-init is told something.</param>
    /// <param name="cdrom">The CD's image; null for none.</param>
    public static void Mount(V1Pod pod, LabNodeSpec spec, bool seeded, DiskBase? cdrom)
    {
        if (seeded)
        {
            // In memory, and small: it may hold secrets.
            Add(pod, new V1Volume { Name = "seed", EmptyDir = new V1EmptyDirVolumeSource { Medium = "Memory", SizeLimit = new ResourceQuantity("8Mi") } }, ContractNames.SeedDirectory, readOnly: false);
            AddSecret(pod, UserDataVolume, spec.CloudInit?.UserDataSecretRef);
            AddSecret(pod, PasswordVolume, spec.CloudInit?.PasswordSecretRef);
            AddSecret(pod, SshKeysVolume, spec.CloudInit?.SshKeysSecretRef);
        }

        if (cdrom is not null)
        {
            RunnerPods.MountImage(pod.Spec, "cdrom", ContractNames.CdromDirectory, cdrom.Claim, cdrom.Volume);
        }
    }

    private static SeedSecret? Secret(LabNodeSecretKey? reference, string volume, string? key) =>
        reference is null ? null : new SeedSecret(reference.Name, $"{ContractNames.SecretDirectory}/{volume}", reference.Key ?? key);

    /// <summary>Optional, so that the runner can say which Secret is missing: a pod that waits for a volume says nothing.</summary>
    private static void AddSecret(V1Pod pod, string volume, LabNodeSecretKey? reference)
    {
        if (reference is not null)
        {
            Add(pod, new V1Volume { Name = volume, Secret = new V1SecretVolumeSource { SecretName = reference.Name, Optional = true } }, $"{ContractNames.SecretDirectory}/{volume}", readOnly: true);
        }
    }

    private static void Add(V1Pod pod, V1Volume volume, string path, bool readOnly)
    {
        pod.Spec.Volumes.Add(volume);
        pod.Spec.Containers[0].VolumeMounts.Add(new V1VolumeMount { Name = volume.Name, MountPath = path, ReadOnlyProperty = readOnly ? true : null });
    }
}
