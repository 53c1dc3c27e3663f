// SPDX-License-Identifier: Apache-2.0
// Measuring, and control systems beside those in industrial.ts, as data.
import type { Recogniser } from "../signature/signature.ts";

export const hislip: Recogniser = {
  name: "hislip",
  description: "HiSLIP: initialise and asynchronous initialise, IVI-6.1 section 6.1",
  rules: [
    {
      // HS, initialise, no control code but the overlap flag; version 1 or 2; a payload below 256 bytes.
      // 24 + 7 + 14 + 56 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "48 53 00 00", mask: "ff ff ff fe" },
        { kind: "bytes", at: 4, hex: ["01 00", "02 00"] },
        { kind: "bytes", at: 8, hex: "00 00 00 00 00 00 00" },
      ],
    },
    // Asynchronous initialise, which has no payload: 24 + 64 bits.
    {
      kind: "bytes",
      hex: "48 53 11 00 00 00 00 00 00 00 00 00 00 00 00 00",
      mask: "ff ff ff 00 00 00 00 00 ff ff ff ff ff ff ff ff",
    },
  ],
};

export const ads: Recogniser = {
  name: "beckhoff-ads",
  description: "Beckhoff ADS: a request in AMS/TCP, TwinCAT ADS specification",
  rules: [
    {
      // Reserved, a length below 65,536; a net id that ends in 1.1; commands 1 to 9; a request. 32 + 16 + 12 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00" },
        { kind: "bytes", at: 4, hex: "00 00" },
        { kind: "bytes", at: 10, hex: "01 01" },
        { kind: "number", at: 22, size: 2, endian: "little", min: 1, max: 9 },
        { kind: "bytes", at: 24, hex: "04 00" },
      ],
    },
  ],
};

export const fins: Recogniser = {
  name: "fins",
  description: "Omron FINS over TCP: a header, W421 section 7-4",
  // Magic and a length below 65,536: 48 bits.
  rules: [{ kind: "bytes", hex: "46 49 4e 53 00 00" }],
};

export const hartIp: Recogniser = {
  name: "hart-ip",
  description: "HART-IP: a session initiate request, FieldComm TS20085",
  rules: [
    {
      // Version 1, a request, message 0, status 0; 13 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 00 00 00 00 00 00 0d 00", mask: "ff ff ff ff 00 00 ff ff fe" },
        { kind: "length", max: 13 },
      ],
    },
  ],
};

export const synchrophasor: Recogniser = {
  name: "synchrophasor",
  description: "Synchrophasors: a command frame, IEEE C37.118.2 section 6.6",
  rules: [
    // Synchronisation, command, version 1 to 3, 18 bytes; a command up to 15. 16 - 2 + 16 + 12 bits.
    {
      kind: "bytes",
      hex: "aa 40 00 12 00 00 00 00 00 00 00 00 00 00 00 00",
      mask: "ff fc ff ff 00 00 00 00 00 00 00 00 00 00 ff f0",
    },
  ],
};

export const dlms: Recogniser = {
  name: "dlms",
  description: "DLMS/COSEM: an association request in its wrapper, IEC 62056-47, or an HDLC frame that opens a link",
  rules: [
    // Version 1, a length below 256, AARQ and the application context's object id. 16 + 8 + 8 + 48 bits.
    {
      kind: "bytes",
      hex: "00 01 00 00 00 00 00 00 60 00 a1 09 06 07 60 85",
      mask: "ff ff 00 00 00 00 ff 00 ff 00 ff ff ff ff ff ff",
    },
    {
      // SNRM of at most 15 bytes, and silence: no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "7e a0" },
        { kind: "length", min: 9, max: 15 },
      ],
    },
  ],
};

export const veederRoot: Recogniser = {
  name: "veeder-root",
  description: "Veeder-Root tank gauges: a command of the serial interface manual 576013-635",
  rules: [
    {
      // SOH, inquire or set in either case, five digits: 8 + 6 + 23 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["01 49", "01 53", "01 69", "01 73"] },
        { kind: "run", at: 2, class: "digit", min: 5 },
      ],
    },
  ],
};
