using System.Text;
using SandLabX.Runner.Disk;

namespace SandLabX.Runner.Import;

/// <summary>Says what a file seems to be that should have been a qcow2 image, so that its sender sees the mistake.</summary>
internal static class FormatGuess
{
    private const int IsoDescriptor = 32769;    // "CD001" of the first volume descriptor, sector 16

    // What formats begin with: the place, the bytes as Latin-1 characters, and what it is.
    private static readonly (int Offset, string Magic, string Name)[] s_magics =
    [
        (0, "KDMV", "a VMDK image"),
        (0, "# Disk DescriptorFile", "a VMDK image"),
        (0, "vhdxfile", "a VHDX image"),
        (0, "conectix", "a VHD image"),
        (0, "QED\0", "a QED image"),
        (0, "QFI\u00FB", "a qcow image of a version other than 2 and 3"),
        (0x40, "\u007F\u0010\u00DA\u00BE", "a VDI image"),
        (0, "\u001F\u008B", "a compressed file"),
        (0, "BZh", "a compressed file"),
        (0, "\u00FD7zXZ", "a compressed file"),
        (0, "\u0028\u00B5\u002F\u00FD", "a compressed file"),
        (0, "PK\u0003\u0004", "an archive"),
        (0, "7z\u00BC\u00AF", "an archive"),
        (257, "ustar", "an archive"),
        (IsoDescriptor, "CD001", "an ISO 9660 image"),
    ];

    /// <summary>A phrase such as "a web page"; null when it is a qcow2 image.</summary>
    /// <param name="start">The file's first <see cref="Qcow2Header.Wanted"/> bytes.</param>
    internal static string? Of(ReadOnlySpan<byte> start)
    {
        if (Qcow2Header.HasMagic(start))
        {
            return null;
        }

        if (start.Length == 0)
        {
            return "an empty file";
        }

        return Known(start) ?? (LooksLikeText(start) ? "text" : HasBootSignature(start) ? "a raw disk image" : "unknown data");
    }

    /// <summary>The way out, for a phrase of <see cref="Of"/>.</summary>
    internal static string WayOut(string guess) => guess switch
    {
        "a web page" or "text" or "a JSON document" or "an empty file" => "Check that the address serves the image itself and not a page about it.",
        _ when guess.Contains("compressed", StringComparison.Ordinal) || guess.Contains("archive", StringComparison.Ordinal) => "Unpack it first, and give the address and sha256 of the qcow2 file.",
        _ => "Convert it with: qemu-img convert -O qcow2 <file> <file>.qcow2, and give the address and sha256 of the result.",
    };

    private static string? Known(ReadOnlySpan<byte> start)
    {
        string text = Encoding.Latin1.GetString(start);
        foreach ((int offset, string magic, string name) in s_magics)
        {
            if (offset <= text.Length && text.AsSpan(offset).StartsWith(magic, StringComparison.Ordinal))
            {
                return name;
            }
        }

        string first = text[..Math.Min(256, text.Length)].TrimStart();
        return first.StartsWith("<!doctype html", StringComparison.OrdinalIgnoreCase) || first.StartsWith("<html", StringComparison.OrdinalIgnoreCase) ? "a web page"
            : LooksLikeText(start) && first.StartsWith('{') ? "a JSON document"
            : null;
    }

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

    private static bool HasBootSignature(ReadOnlySpan<byte> start) => start.Length >= 512 && start[510] == 0x55 && start[511] == 0xAA;
}
