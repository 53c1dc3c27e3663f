// SPDX-License-Identifier: Apache-2.0
// Calls of other programs: gateways of web servers and remote procedures, as data.
import type { Recogniser } from "../signature/signature.ts";

export const thrift: Recogniser = {
  name: "thrift",
  description: "Thrift: a call, framed or not, binary and compact protocol specification",
  rules: [
    {
      // Version 1, call or one-way, a name below 256 bytes, of which two. 31 + 24 + 4 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["80 01 00 01 00 00 00", "80 01 00 04 00 00 00"] },
        { kind: "run", at: 8, class: "alnum", also: "2e 3a 5f", min: 2 },
      ],
    },
    {
      // In a frame below 2^24 bytes. 8 + 31 + 24 + 4 bits.
      kind: "all",
      rules: [
        {
          kind: "bytes",
          hex: ["00 00 00 00 80 01 00 01 00 00 00", "00 00 00 00 80 01 00 04 00 00 00"],
          mask: "ff 00 00 00 ff ff ff ff ff ff ff",
        },
        { kind: "run", at: 12, class: "alnum", also: "2e 3a 5f", min: 2 },
      ],
    },
    {
      // Compact: version 1 and a call, a sequence below 128, a name of 8 bytes and more. 16 + 1 + 2 + 16 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "82 21 00", mask: "ff ff 80" },
        { kind: "number", at: 3, size: 1, min: 8, max: 64 },
        { kind: "run", at: 4, class: "alnum", also: "2e 3a 5f", min: 8 },
      ],
    },
  ],
};

export const fastcgi: Recogniser = {
  name: "fastcgi",
  description: "FastCGI: the beginning of a request, FastCGI specification section 5.1, and management records",
  rules: [
    // Version 1, type 1, a request below 256, 8 bytes, no padding; a role, a flag, zeros. 24 + 32 + 14 + 7 + 40 bits.
    {
      kind: "bytes",
      hex: "01 01 00 00 00 08 00 00 00 00 00 00 00 00 00 00",
      mask: "ff ff ff 00 ff ff ff 00 ff fc fe ff ff ff ff ff",
    },
    {
      // Get values: 32 + 32 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "01 09 00 00" },
        { kind: "text", at: 10, text: "FCGI_" },
      ],
    },
  ],
};

export const uwsgi: Recogniser = {
  name: "uwsgi",
  description: "uwsgi: a packet of request variables, uwsgi protocol",
  rules: [
    {
      // Modifiers 0, and the name of a variable with its length's upper byte. 16 + 8 + 40 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00" },
        { kind: "bytes", at: 3, hex: "00" },
        { kind: "bytes", at: 5, hex: "00" },
        {
          kind: "text",
          at: 6,
          text: [
            "QUERY_",
            "REQUEST_",
            "CONTENT_",
            "HTTP_",
            "SERVER_",
            "SCRIPT_",
            "PATH_",
            "DOCUMENT_",
            "REMOTE_",
            "UWSGI_",
          ],
        },
      ],
    },
  ],
};

export const scgi: Recogniser = {
  name: "scgi",
  description: "SCGI: a netstring of headers, of which the length is the first, SCGI specification",
  rules: [
    {
      // 4.7 + 5 + 120 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "digit", min: 1, max: 6, until: "3a" },
        { kind: "text", text: "CONTENT_LENGTH\0", after: true },
      ],
    },
  ],
};

export const dotnetRemoting: Recogniser = {
  name: "dotnet-remoting",
  description: ".NET remoting over TCP, MS-NRTP section 2.2.3.3",
  // 48 bits.
  rules: [{ kind: "bytes", hex: "2e 4e 45 54 01 00" }],
};

export const wcf: Recogniser = {
  name: "wcf",
  description: "Windows Communication Foundation over TCP: version, mode and via records, MC-NMF section 2.2.3",
  // Version 1.0, mode 1 to 4, a via below 128 bytes and its scheme. 32 + 5 + 8 + 1 + 32 bits.
  rules: [{ kind: "bytes", hex: "00 01 00 01 00 02 00 6e 65 74 2e", mask: "ff ff ff ff f8 ff 80 ff ff ff ff" }],
};

export const msmq: Recogniser = {
  name: "msmq",
  description: "Microsoft message queuing: a base header, MS-MQQB section 2.2.19.1",
  // Version 16 and the signature LIOR: 40 bits.
  rules: [{ kind: "bytes", hex: "10 00 00 00 4c 49 4f 52", mask: "ff 00 00 00 ff ff ff ff" }],
};

export const erlang: Recogniser = {
  name: "erlang",
  description: "Erlang distribution: a node's name, distribution protocol section 13.2, and the port mapper",
  rules: [
    {
      // Tag n, version 5 or 6, no flags above 2^24; a name and its host. 8 + 8 + 15 + 8 + 9 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: ["00 00 6e 00 05 00", "00 00 6e 00 06 00"], mask: "ff 00 ff ff ff ff" },
        { kind: "run", at: 9, class: "alnum", also: "2d 2e 5f", min: 1, max: 100, until: "40" },
      ],
    },
    {
      // Tag N, flags below 2^40, a name below 256 bytes. 8 + 8 + 24 + 8 + 9 bits.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 00 4e 00 00 00", mask: "ff 00 ff ff ff ff" },
        { kind: "bytes", at: 15, hex: "00" },
        { kind: "run", at: 17, class: "alnum", also: "2d 2e 5f", min: 1, max: 100, until: "40" },
      ],
    },
    // Registers a node: visible or hidden, TCP, versions 5 and 6. 8 + 8 + 8 + 24 bits.
    { kind: "bytes", hex: "00 00 78 00 00 48 00 00 04 00 04", mask: "ff 00 ff 00 00 fa ff ff fc ff fc" },
    {
      // Asks for all names: 3 bytes and silence, no friend's packet.
      kind: "all",
      rules: [
        { kind: "bytes", hex: "00 01 6e" },
        { kind: "length", max: 3 },
      ],
    },
  ],
};
