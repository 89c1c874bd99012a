namespace SandLabX.Runner.Qemu;

/// <summary>
/// A firmware image whose only job is to show that a guest can run: it goes the way every guest goes, from real mode through protected
/// mode to long mode with paging, counts in the latter two as long as a real processor needs some milliseconds and one that is emulated
/// instruction by instruction needs minutes, and leaves through QEMU's debug-exit device. A module that only opens, and
/// even one that runs a few real-mode instructions (there are such, para-virtual ones), does not pass.
/// </summary>
internal static class SelfTestRom
{
    /// <summary>The port of the <c>isa-debug-exit</c> device.</summary>
    internal const int ExitPort = 0xF4;

    /// <summary>QEMU's exit code when the ROM came to its end: <c>(value &lt;&lt; 1) | 1</c>.</summary>
    internal const int PassedExitCode = (ExitValue << 1) | 1;

    private const byte ExitValue = 0x2A;
    private const int Size = 64 * 1024;            // mapped below 4 GiB and, as a BIOS is, at F000:0000
    private const int ResetVector = Size - 16;

    /// <summary>The ROM's bytes.</summary>
    internal static byte[] Build()
    {
        byte[] rom = new byte[Size];
        Array.Fill(rom, (byte)0xF4);               // hlt
        Code.CopyTo(rom);
        ReadOnlySpan<byte> farJump = [0xEA, 0x00, 0x00, 0x00, 0xF0];   // jmp F000:0000
        farJump.CopyTo(rom.AsSpan(ResetVector));
        return rom;
    }

    private static ReadOnlySpan<byte> Code =>
    [
        // Real mode.
        0xFA,                                                        // cli
        0x2E, 0x66, 0x0F, 0x01, 0x16, 0xC8, 0x00,                    // lgdtl cs:[0xC8]
        0x0F, 0x20, 0xC0,                                            // mov eax, cr0
        0x0C, 0x01,                                                  // or al, 1             protection
        0x0F, 0x22, 0xC0,                                            // mov cr0, eax
        0x66, 0xEA, 0x18, 0x00, 0x0F, 0x00, 0x08, 0x00,              // jmp 08:000F0018

        // Protected mode, at 0x18.
        0x66, 0xB8, 0x10, 0x00,                                      // mov ax, 10
        0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0,                          // mov ds, es, ss
        0xB9, 0x00, 0x00, 0x80, 0x00,                                // mov ecx, 8 Mi
        0x49, 0x75, 0xFD,                                            // dec ecx; jnz         counts
        0x31, 0xC0,                                                  // xor eax, eax
        0xBF, 0x00, 0x10, 0x00, 0x00,                                // mov edi, 1000        page tables at 1000, 2000, 3000
        0xB9, 0x00, 0x0C, 0x00, 0x00,                                // mov ecx, C00
        0xFC, 0xF3, 0xAB,                                            // cld; rep stosd       zeroed
        0xC7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x03, 0x20, 0x00, 0x00,  // mov [1000], 2003
        0xC7, 0x05, 0x00, 0x20, 0x00, 0x00, 0x03, 0x30, 0x00, 0x00,  // mov [2000], 3003
        0xC7, 0x05, 0x00, 0x30, 0x00, 0x00, 0x83, 0x00, 0x00, 0x00,  // mov [3000], 83       the first 2 MiB onto themselves
        0x0F, 0x20, 0xE0, 0x0C, 0x20, 0x0F, 0x22, 0xE0,              // cr4 |= PAE
        0xB8, 0x00, 0x10, 0x00, 0x00, 0x0F, 0x22, 0xD8,              // cr3 = 1000
        0xB9, 0x80, 0x00, 0x00, 0xC0, 0x0F, 0x32,                    // rdmsr EFER
        0x80, 0xCC, 0x01, 0x0F, 0x30,                                // EFER |= LME
        0x0F, 0x20, 0xC0, 0x0D, 0x00, 0x00, 0x00, 0x80, 0x0F, 0x22, 0xC0,   // cr0 |= PG
        0xEA, 0x85, 0x00, 0x0F, 0x00, 0x18, 0x00,                    // jmp 18:000F0085

        // Long mode, at 0x85.
        0xB9, 0x00, 0x00, 0x10, 0x00,                                // mov ecx, 1 Mi
        0x48, 0x83, 0x04, 0x25, 0x00, 0x80, 0x00, 0x00, 0x01,        // add qword [8000], 1  counts in memory
        0x48, 0xFF, 0xC9, 0x75, 0xF2,                                // dec rcx; jnz
        0xB0, ExitValue,                                             // mov al, 2A
        0x66, 0xBA, ExitPort, 0x00,                                  // mov dx, F4
        0xEE,                                                        // out dx, al           the end
        0xF4, 0xEB, 0xFD,                                            // hlt; jmp

        // The descriptor table, at 0xA8, after padding.
        0x8D, 0xB6, 0x00, 0x00, 0x00, 0x00,
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,
        0xFF, 0xFF, 0x00, 0x00, 0x00, 0x9B, 0xCF, 0x00,              // 08: code, 32 bits
        0xFF, 0xFF, 0x00, 0x00, 0x00, 0x93, 0xCF, 0x00,              // 10: data
        0xFF, 0xFF, 0x00, 0x00, 0x00, 0x9B, 0xAF, 0x00,              // 18: code, 64 bits
        0x1F, 0x00, 0xA8, 0x00, 0x0F, 0x00,                          // at 0xC8: its limit 31 and address 000F00A8
    ];
}
