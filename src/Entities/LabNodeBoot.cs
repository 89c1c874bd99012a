using SandLabX.Runtime;

namespace SandLabX.Entities;

/// <summary>
/// What cloud-init in the guest is told (data source NoCloud): the guest's hostname is the LabNode's name; users, keys and network are given here. Read at
/// each start; what changed since the last one is applied at the next boot. Left out, a guest whose LabImage says <c>guest.cloudInit</c> gets the defaults.
/// </summary>
public sealed class LabNodeCloudInit
{
    /// <summary>Name of the user who may log in, in the place of the image's own default user and with its shell and sudo; left out, that one. Not together with userData.</summary>
    [Pattern("^[a-z_][a-z0-9_-]{0,31}$")]
    public string? User { get; set; }

    /// <summary>The user's password: a Secret of this namespace; its key is password unless named. Left out, the password is lab, and it counts at the consoles alone: never over SSH. Not together with userData.</summary>
    public LabNodeSecretKey? PasswordSecretRef { get; set; }

    /// <summary>SSH keys that may log in as the user: a Secret of this namespace. Without a key all its values count, each with one or more lines as in authorized_keys.</summary>
    public LabNodeSecretKey? SshKeysSecretRef { get; set; }

    /// <summary>User data as cloud-init has it (such as #cloud-config), in place of what user and passwordSecretRef make. Readable by whoever may read the LabNode: what is secret belongs in userDataSecretRef.</summary>
    [Length(1, 65536)]
    public string? UserData { get; set; }

    /// <summary>The same from a Secret of this namespace; its key is userData unless named. At most 512 KiB.</summary>
    public LabNodeSecretKey? UserDataSecretRef { get; set; }

    /// <summary>Network configuration as cloud-init has it, version 1 or 2; left out, the guest takes its first network device by DHCP.</summary>
    [Length(1, 16384)]
    public string? NetworkData { get; set; }
}

/// <summary>A key of a Secret of the same namespace. The operator never reads it: the kubelet shows it to the pod as a file.</summary>
public sealed class LabNodeSecretKey
{
    /// <summary>Name of the Secret.</summary>
    [Required]
    [Length(1, 253)]
    public string Name { get; set; } = "";

    /// <summary>The key in it; left out, the one that the field's own description names.</summary>
    [Pattern("^[-._a-zA-Z0-9]{1,253}$")]
    public string? Key { get; set; }
}

/// <summary>A CD in the guest's drive, such as an installation disc.</summary>
public sealed class LabNodeCdrom
{
    /// <summary>Name of a LabImage of this namespace that holds the disc's ISO file.</summary>
    [Required]
    [Length(1, 43)]
    public string Image { get; set; } = "";

    /// <summary>AfterDisk boots from it while the disk holds nothing that boots, so an installation starts by itself and its result boots by itself; BeforeDisk boots from it at every start.</summary>
    [Default(CdromBoots.AfterDisk)]
    [AllowedValues(CdromBoots.AfterDisk, CdromBoots.BeforeDisk)]
    public string Boot { get; set; } = CdromBoots.AfterDisk;
}

/// <summary>Values of <c>spec.cdrom.boot</c>.</summary>
public static class CdromBoots
{
    /// <summary>Once nothing on the disk boots.</summary>
    public const string AfterDisk = "AfterDisk";

    /// <summary>First, at every start.</summary>
    public const string BeforeDisk = "BeforeDisk";
}

/// <summary>What guests made of an image need.</summary>
public sealed class LabImageGuest
{
    /// <summary>The firmware that the image boots with. Disks keep the one that they were made for.</summary>
    [Default(Firmwares.Bios)]
    [AllowedValues(Firmwares.Bios, Firmwares.Uefi)]
    public string Firmware { get; set; } = Firmwares.Bios;

    /// <summary>Whether cloud-init is in the image: its guests then get their hostname and a user to log in with, also when their LabNode says nothing of it.</summary>
    [Default(false)]
    public bool CloudInit { get; set; }

    /// <summary>Name of the user that cloud-init makes by default, for people to read.</summary>
    [Length(1, 32)]
    public string? DefaultUser { get; set; }

    /// <summary>The least memory that a guest needs, a quantity such as 512Mi; a new disk is not made for a LabNode with less.</summary>
    [Pattern(Quantities.Pattern)]
    public string? MinMemory { get; set; }
}

/// <summary>Values of <c>spec.guest.firmware</c> of a LabImage.</summary>
public static class Firmwares
{
    /// <summary>SeaBIOS.</summary>
    public const string Bios = "BIOS";

    /// <summary>OVMF, without Secure Boot; its variables are in a file beside the disk.</summary>
    public const string Uefi = "UEFI";
}
