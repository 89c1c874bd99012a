using System.Text;
using SandLabX.Contract;

namespace SandLabX.Runner.Import;

/// <summary>What a delivered file is, as far as an import cares.</summary>
internal enum ImageKind
{
    /// <summary>Nothing that an image can be made of.</summary>
    Unknown,

    /// <summary>A qcow2 image.</summary>
    Qcow2,

    /// <summary>The disk's bytes as they are: a partition table, a boot sector, a file system or an ISO 9660 image says so.</summary>
    Raw,

    /// <summary>A VMDK image in one file.</summary>
    Vmdk,

    /// <summary>A VDI image.</summary>
    Vdi,

    /// <summary>A VHDX image.</summary>
    Vhdx,

    /// <summary>Compressed by gzip.</summary>
    Gzip,

    /// <summary>Compressed by xz.</summary>
    Xz,

    /// <summary>Compressed by zstd.</summary>
    Zstd,
}

/// <summary>Recognises files by what they begin with, never by a name.</summary>
internal static class ImageKinds
{
    // What formats begin with: the place, the bytes as Latin-1 characters, and what it is. The first that fits counts.
    private static readonly (int Offset, string Magic, ImageKind Kind, string Name)[] s_magics =
    [
        (0, "KDMV", ImageKind.Vmdk, "a VMDK image"),
        (0, "# Disk DescriptorFile", ImageKind.Vmdk, "a VMDK descriptor"),
        (0, "COWD", ImageKind.Unknown, "a VMDK image of ESX"),
        (0, "vhdxfile", ImageKind.Vhdx, "a VHDX image"),
        (0, "conectix", ImageKind.Unknown, "a VHD image"),
        (0, "QED\0", ImageKind.Unknown, "a QED image"),
        (0, "QFI\u00FB", ImageKind.Unknown, "a qcow image of a version other than 2 and 3"),
        (0x40, "\u007F\u0010\u00DA\u00BE", ImageKind.Vdi, "a VDI image"),
        (0, "LUKS\u00BA\u00BE", ImageKind.Raw, "a LUKS volume"),
        (0, "SKUL\u00BA\u00BE", ImageKind.Raw, "a LUKS volume"),
        (0, "\u001F\u008B", ImageKind.Gzip, "a gzip file"),
        (0, "\u00FD7zXZ\0", ImageKind.Xz, "an xz file"),
        (0, "\u0028\u00B5\u002F\u00FD", ImageKind.Zstd, "a zstd file"),
        (0, "BZh", ImageKind.Unknown, "a bzip2 file"),
        (0, "PK\u0003\u0004", ImageKind.Unknown, "an archive"),
        (0, "7z\u00BC\u00AF", ImageKind.Unknown, "an archive"),
        (257, "ustar", ImageKind.Unknown, "an archive"),
        (512, "EFI PART", ImageKind.Raw, "a raw disk image"),
        (4096, "EFI PART", ImageKind.Raw, "a raw disk image"),
        (510, "\u0055\u00AA", ImageKind.Raw, "a raw disk image"),
        (32769, "CD001", ImageKind.Raw, "an ISO 9660 image"),
        (1080, "\u0053\u00EF", ImageKind.Raw, "a file system"),     // ext2 to ext4
        (0, "XFSB", ImageKind.Raw, "a file system"),
        (0, "hsqs", ImageKind.Raw, "a file system"),
    ];

    /// <summary>What a file is, and a phrase such as "a web page" for its sender to see the mistake.</summary>
    /// <param name="start">The file's first <see cref="Qcow2Header.Wanted"/> bytes.</param>
    internal static (ImageKind Kind, string Name) Of(ReadOnlySpan<byte> start)
    {
        if (Qcow2Header.HasMagic(start))
        {
            return (ImageKind.Qcow2, "a qcow2 image");
        }

        string text = Encoding.Latin1.GetString(start);
        foreach ((int offset, string magic, ImageKind kind, string name) in s_magics)
        {
            if (offset <= text.Length && text.AsSpan(offset).StartsWith(magic, StringComparison.Ordinal))
            {
                return (kind, name);
            }
        }

        string first = text[..Math.Min(256, text.Length)].TrimStart();
        return (ImageKind.Unknown,
            start.Length == 0 ? "an empty file"
            : first.StartsWith("<!doctype html", StringComparison.OrdinalIgnoreCase) || first.StartsWith("<html", StringComparison.OrdinalIgnoreCase) ? "a web page"
            : !LooksLikeText(start) ? "unknown data"
            : first.StartsWith('{') ? "a JSON document" : "text");
    }

    /// <summary>True for what must be decompressed first.</summary>
    internal static bool IsCompressed(ImageKind kind) => kind is ImageKind.Gzip or ImageKind.Xz or ImageKind.Zstd;

    /// <summary>A format's name: QEMU's driver, or the usual ending of a compressed file.</summary>
    internal static string Word(ImageKind kind) => kind switch
    {
        ImageKind.Gzip => "gz",
        ImageKind.Zstd => "zst",
        _ => kind.ToString().ToLowerInvariant(),
    };

    /// <summary>The way out, for the name of something unknown.</summary>
    internal static string WayOut(string name) => name switch
    {
        "a web page" or "text" or "a JSON document" or "an empty file" => "Check that the source gives the image itself and not a page about it.",
        "an archive" or "a bzip2 file" => "Unpack it first, and give the image that is in it.",
        "unknown data" => "A raw disk is known by its partition table, boot sector or file system, all other formats by their header. Convert it with: qemu-img convert -O qcow2 <file> <file>.qcow2.",
        _ => "Convert it with: qemu-img convert -O qcow2 <file> <file>.qcow2.",
    };

    private static bool LooksLikeText(ReadOnlySpan<byte> start)
    {
        foreach (byte b in start[..Math.Min(512, start.Length)])
        {
            if (b is < 0x20 and not ((byte)'\n' or (byte)'\r' or (byte)'\t') or 0x7F)
            {
                return false;
            }
        }

        return true;
    }
}
