// SPDX-License-Identifier: Apache-2.0
// Files that were sent instead of a protocol, as data. A compressed body looks random, so its magic has to
// tell: 32 bits and more, of which no header of somebody else is likely to have any.
import type { Recogniser } from "../signature/signature.ts";

export const file: Recogniser = {
  name: "file",
  description: "A file: archives, compressed data, images, documents, programs",
  rules: [
    {
      // gzip, RFC 1952 section 2.3, of a file with a name of 3 bytes and more: 32 + 6 + 4 + 4 + 8 bits. Without
      // one it is 10 bytes that may be somebody's header, and then ciphertext for all that can be told.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "1f 8b 08 08" },
        { kind: "bytes", at: 8, hex: "00", mask: "f9" },
        { kind: "number", at: 9, size: 1, max: 13 },
        { kind: "run", at: 10, class: "printable", min: 3, max: 64, until: "00" },
      ],
    },
    {
      kind: "bytes",
      hex: [
        "28 b5 2f fd", // zstd, RFC 8878 section 3.1.1
        "04 22 4d 18", // LZ4 frame format
        "fd 37 7a 58 5a 00", // xz file format section 2.1.1.1
        "37 7a bc af 27 1c", // 7-Zip format
        "52 61 72 21 1a 07", // RAR
        "89 50 4e 47", // PNG section 5.2
        "7f 45 4c 46", // ELF
        "d0 cf 11 e0", // MS-CFB section 2.2
        "d4 c3 b2 a1", // pcap
        "0a 0d 0d 0a", // pcapng
        "00 61 73 6d 01", // WebAssembly
        "4d 5a 90 00 03 00 00 00", // PE, as every linker begins it
      ],
    },
    // zip, APPNOTE section 4.3.7: the upper bytes of the version and of the method are 0. 32 + 16 bits.
    { kind: "bytes", hex: "50 4b 03 04 00 00 00 00 00 00", mask: "ff ff ff ff 00 ff 00 00 00 ff" },
    // bzip2: the magic, a level, and the first block's magic. 24 + 4.8 + 48 bits.
    {
      kind: "all",
      rules: [
        { kind: "text", text: "BZh" },
        { kind: "bytes", at: 4, hex: "31 41 59 26 53 59" },
      ],
    },
    {
      // JPEG, JFIF and Exif: 24 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "ff d8 ff" },
        { kind: "text", at: 6, text: ["JFIF", "Exif"] },
      ],
    },
    // ISO base media, section 4.3: a box of less than 256 bytes. 24 + 32 bits.
    { kind: "bytes", hex: "00 00 00 00 66 74 79 70", mask: "ff ff ff 00 ff ff ff ff" },
    {
      kind: "text",
      text: ["%PDF-", "GIF87a", "GIF89a", "RIFF", "OggS", "fLaC", "!<arch>", "SQLite format", "MSCF\0\0", "{\\rtf1"],
    },
  ],
};
