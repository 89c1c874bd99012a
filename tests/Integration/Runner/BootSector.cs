namespace SandLabX.Integration.Runner;

/// <summary>
/// The smallest guest: a boot sector that says <see cref="Greeting"/> on the serial port and echoes what is typed, but for four letters:
/// <c>p</c> powers off (ACPI's S5 through PM1a of q35), <c>r</c> resets, <c>w</c> writes the disk from its second sector on, 127 sectors at a
/// time, a dot on the serial port for each, <c>f</c> floods the serial port with 192 Ki letters and a bar. It knows no power button.
/// </summary>
internal static class BootSector
{
    public const string Greeting = "SANDLABX BOOTED";

    private static readonly byte[] s_code =
    [
        0x31, 0xC0, 0x8E, 0xD8, 0x8E, 0xC0, 0x8E, 0xD0,        // 00: xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax
        0xBC, 0x00, 0x70, 0xFC,                                // 08: mov sp,7000; cld
        0xBE, 0x8D, 0x7C,                                      // 0C: mov si,7C8D     the greeting
        0xAC, 0x84, 0xC0, 0x74, 0x05,                          // 0F: lodsb; test al,al; jz 19
        0xE8, 0x65, 0x00, 0xEB, 0xF6,                          // 14: call 7C; jmp 0F
        0xFB, 0xF4,                                            // 19: sti; hlt        until the next tick
        0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x01, 0x74, 0xF6,        // 1B: mov dx,3FD; in al,dx; test al,1; jz 19
        0xBA, 0xF8, 0x03, 0xEC,                                // 23: mov dx,3F8; in al,dx
        0x3C, (byte)'p', 0x74, 0x11,                           // 27: cmp al,'p'; je 3C
        0x3C, (byte)'r', 0x74, 0x16,                           // 2B: cmp al,'r'; je 45
        0x3C, (byte)'w', 0x74, 0x18,                           // 2F: cmp al,'w'; je 4B
        0x3C, (byte)'f', 0x74, 0x2F,                           // 33: cmp al,'f'; je 66
        0xE8, 0x42, 0x00, 0xEB, 0xDF,                          // 37: call 7C; jmp 1B
        0xBA, 0x04, 0x06, 0xB8, 0x00, 0x20, 0xEF, 0xEB, 0xD4,  // 3C: mov dx,604; mov ax,2000; out dx,ax; jmp 19
        0xB0, 0xFE, 0xE6, 0x64, 0xEB, 0xCE,                    // 45: mov al,FE; out 64,al; jmp 19
        0xBE, 0xA0, 0x7C, 0xB8, 0x00, 0x43, 0xB2, 0x80,        // 4B: mov si,7CA0; mov ax,4300; mov dl,80
        0xCD, 0x13, 0xB0, 0x2E, 0x73, 0x02, 0xB0, 0x45,        // 53: int 13; mov al,'.'; jnc 5B; mov al,'E'
        0xE8, 0x1E, 0x00,                                      // 5B: call 7C
        0x66, 0x83, 0x06, 0xA8, 0x7C, 0x7F, 0xEB, 0xE5,        // 5E: add dword [7CA8],7F; jmp 4B
        0xBB, 0x03, 0x00, 0x31, 0xC9,                          // 66: mov bx,3; xor cx,cx
        0xB0, 0x78, 0xE8, 0x0C, 0x00, 0xE2, 0xF9,              // 6B: mov al,'x'; call 7C; loop 6B
        0x4B, 0x75, 0xF6,                                      // 72: dec bx; jnz 6B
        0xB0, 0x7C, 0xE8, 0x02, 0x00, 0xEB, 0x9D,              // 75: mov al,'|'; call 7C; jmp 19
        0x88, 0xC4, 0xBA, 0xFD, 0x03, 0xEC, 0xA8, 0x20,        // 7C: mov ah,al; mov dx,3FD; in al,dx; test al,20
        0x74, 0xFB, 0x88, 0xE0, 0xBA, 0xF8, 0x03, 0xEE, 0xC3,  // 84: jz 81; mov al,ah; mov dx,3F8; out dx,al; ret
        .. "SANDLABX BOOTED\r\n\0"u8,                          // 8D
        0x90,                                                  // 9F: padding
        0x10, 0x00, 0x7F, 0x00, 0x00, 0x7C, 0x00, 0x00,        // A0: what int 13 is told: 127 sectors from 0000:7C00
        0x01, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00,        // A8: to sector 1 and on
    ];

    /// <summary>A disk that boots it.</summary>
    /// <param name="bytes">The disk's size.</param>
    public static byte[] Disk(int bytes = 1024 * 1024)
    {
        byte[] disk = new byte[bytes];
        s_code.CopyTo(disk, 0);
        disk[510] = 0x55;
        disk[511] = 0xAA;
        return disk;
    }
}
