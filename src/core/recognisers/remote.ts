// SPDX-License-Identifier: Apache-2.0
// Remote desktops, terminals, file shares and procedure calls, as data.
import type { Recogniser } from "../signature/signature.ts";

export const rdp: Recogniser = {
  name: "rdp",
  description: "Remote Desktop: an X.224 connection request, MS-RDPBCGR section 2.2.1.1",
  rules: [
    {
      // TPKT version 3 and a length up to 1,023; connection request, destination 0, class 0; then a
      // cookie or routing token, or a negotiation request, or a correlation. 16 + 6 + 24 + 8 + 24 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "03 00" },
        { kind: "number", at: 2, size: 2, endian: "big", min: 11, max: 1023 },
        { kind: "bytes", at: 5, hex: "e0 00 00" },
        { kind: "bytes", at: 10, hex: "00" },
        {
          kind: "any",
          rules: [
            { kind: "text", at: 11, text: "Cookie:" },
            { kind: "text", at: 11, text: "tsv://" },
            { kind: "bytes", at: 11, hex: "01 00 08 00", mask: "ff 00 ff ff" },
            // A routing token that is a TPKT again, and what a broker told the client to send.
            { kind: "bytes", at: 11, hex: "03 00 00 00 00 e0", mask: "ff ff ff 00 00 ff" },
            { kind: "run", at: 11, class: "printable", min: 4 },
          ],
        },
      ],
    },
    // The bare request of 11 bytes. 72 bits.
    { kind: "bytes", hex: "03 00 00 0b 06 e0 00 00 00 00 00", mask: "ff ff ff ff ff ff ff ff 00 00 ff" },
  ],
};

export const vnc: Recogniser = {
  name: "vnc",
  description: "VNC: the client's protocol version, RFC 6143 section 7.1.1",
  // 56 bits.
  rules: [{ kind: "text", text: "RFB 00" }],
};

export const x11: Recogniser = {
  name: "x11",
  description: "X11 connection setup, X Window System Protocol section 8",
  // Byte order, version 11.0, and no authorisation or a cookie: 96 bits, of which a clear header of numbers
  // would have to be 108 long and of version 11.
  rules: [
    {
      kind: "bytes",
      hex: [
        "6c 00 0b 00 00 00 00 00 00 00 00 00",
        "42 00 00 0b 00 00 00 00 00 00 00 00",
        "6c 00 0b 00 00 00 12 00 10 00 00 00",
        "42 00 00 0b 00 00 00 12 00 10 00 00",
      ],
    },
  ],
};

export const adb: Recogniser = {
  name: "adb",
  description: "Android debug bridge: the device's protocol and its server's",
  rules: [
    {
      // CNXN, a version of 1.0.0 or 1.0.1 and the end of the command's complement. 32 + 24 + 32 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "CNXN" },
        { kind: "bytes", at: 5, hex: "00 00 01" },
        { kind: "bytes", at: 20, hex: "bc b1 a7 b1" },
      ],
    },
    {
      // Four hexadecimal digits of length: 14 + 40 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "hex", min: 4 },
        { kind: "text", at: 4, text: "host:" },
      ],
    },
  ],
};

export const telnet: Recogniser = {
  name: "telnet",
  description: "Telnet option negotiation, RFC 854",
  rules: [
    {
      // IAC, will to don't, an option up to 50; and again, or a subnegotiation: 8 + 6 + 2 + 8 + 6 + 2 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "ff" },
        { kind: "number", at: 1, size: 1, min: 0xfb, max: 0xfe },
        { kind: "number", at: 2, size: 1, max: 50 },
        { kind: "bytes", at: 3, hex: "ff" },
        { kind: "number", at: 4, size: 1, min: 0xfa, max: 0xfe },
        { kind: "number", at: 5, size: 1, max: 50 },
      ],
    },
    {
      // One negotiation, and silence: 3 bytes cannot be a friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "ff" },
        { kind: "number", at: 1, size: 1, min: 0xfb, max: 0xfe },
        { kind: "length", min: 3, max: 3 },
      ],
    },
  ],
};

export const smb: Recogniser = {
  name: "smb",
  description: "SMB 1 to 3 over TCP, MS-SMB2 section 2.1, and NetBIOS session requests, RFC 1002 section 4.3.2",
  rules: [
    {
      // Session message, and the protocol id of SMB 1, SMB 2, or encrypted or compressed SMB 3: 8 + 30 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00" },
        { kind: "bytes", at: 4, hex: ["ff 53 4d 42", "fe 53 4d 42", "fd 53 4d 42", "fc 53 4d 42"] },
      ],
    },
    // Without the four bytes in front: 30 bits.
    { kind: "bytes", hex: ["ff 53 4d 42", "fe 53 4d 42", "fd 53 4d 42", "fc 53 4d 42"] },
    {
      // A called name of 32 letters A to P: 24 + 8 + 128 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "81 00 00" },
        { kind: "bytes", at: 4, hex: "20" },
        { kind: "run", at: 5, class: "upper", min: 8 },
      ],
    },
  ],
};

export const rpc: Recogniser = {
  name: "rpc",
  description: "ONC RPC calls over TCP (portmapper, NFS), RFC 5531 sections 9 and 11",
  rules: [
    {
      // Last fragment below 65,536 bytes; call, RPC version 2, a program of 100,000 to 100,999. 16 + 64 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "80 00" },
        { kind: "bytes", at: 8, hex: "00 00 00 00 00 00 00 02" },
        { kind: "number", at: 16, size: 4, endian: "big", min: 100_000, max: 100_999 },
      ],
    },
  ],
};

export const dcerpc: Recogniser = {
  name: "dcerpc",
  description: "DCE/RPC and MS-RPC bind, C706 section 12.6.4.3",
  // Version 5.0 or 5.1, bind, any flags, little endian: 8 + 7 + 8 + 32 bits.
  rules: [{ kind: "bytes", hex: "05 00 0b 00 10 00 00 00", mask: "ff fe ff 00 ff ff ff ff" }],
};

export const arucer: Recogniser = {
  name: "arucer",
  description: "Commands of the Arucer back door, each byte XOR e5; scanners ask for it (CVE-2010-0103)",
  // The length of a command that is a GUID in braces and its end, and the first brace: 32 + 8 bits.
  rules: [{ kind: "bytes", hex: "c2 e5 e5 e5 9e" }],
};

export const rsh: Recogniser = {
  name: "rsh",
  description: "The remote shell: a port for errors, two users, a command; rcmd(3)",
  rules: [
    {
      // Up to 5 digits, two names and a command of 4 bytes, each with its end. 5 + 8 + 9 + 9 + 6 bits and more.
      kind: "all",
      rules: [
        { kind: "run", class: "digit", min: 1, max: 5, until: "00" },
        { kind: "run", class: "visible", min: 1, max: 32, until: "00", after: true },
        { kind: "run", class: "visible", min: 1, max: 32, until: "00", after: true },
        { kind: "run", class: "printable", min: 4, after: true },
      ],
    },
  ],
};

export const rlogin: Recogniser = {
  name: "rlogin",
  description: "Remote login: two users, a terminal and its speed, RFC 1282",
  rules: [
    {
      // 8 + 9 + 9 + 9 + 5 + 8 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00" },
        { kind: "run", at: 1, class: "visible", min: 1, max: 32, until: "00" },
        { kind: "run", class: "visible", min: 1, max: 32, until: "00", after: true },
        { kind: "run", class: "alnum", also: "2d 2e 5f", min: 1, max: 32, until: "2f", after: true },
        { kind: "run", class: "digit", min: 1, max: 7, until: "00", after: true },
      ],
    },
  ],
};

export const ica: Recogniser = {
  name: "ica",
  description: "Citrix ICA: the greeting",
  // 48 bits.
  rules: [{ kind: "bytes", hex: "7f 7f 49 43 41 00" }],
};

export const radmin: Recogniser = {
  name: "radmin",
  description: "Radmin: a client's first packet",
  rules: [
    {
      // 10 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 00 00 00 01 00 00 00 08 08" },
        { kind: "length", max: 10 },
      ],
    },
  ],
};
