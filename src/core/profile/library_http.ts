// SPDX-License-Identifier: Apache-2.0
// The built-in profile http. A request is known by its method and by how the target begins, never by its
// length: servers take targets of 8 KiB and more.

import type { Rule } from "../signature/signature.ts";
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

/** As far as the version is looked for. A longer target is HTTP without it; the kernel sees 256 bytes. */
const targetLookBytes = 190;

/** 80 to ff: browsers write UTF-8 in a target as percent signs, scripts often as it is. */
const high = Array.from({ length: 128 }, (_, index) => (0x80 + index).toString(16)).join(" ");

/** RFC 9112 section 3, from the method on; sources of Icecast write ICE for the version. */
const requestLine = (after: boolean): Rule[] => [
  {
    kind: "all",
    rules: [
      { kind: "run", class: "token", min: 1, max: 32, until: "20", after },
      { kind: "run", class: "visible", also: high, min: 1, max: targetLookBytes, until: "20", after: true },
      { kind: "text", text: ["HTTP/0.", "HTTP/1.", "HTTP/2.", "ICE/1."], after: true },
    ],
  },
  {
    // RTSP and SIP begin otherwise, but for "OPTIONS /" and a very long path.
    kind: "all",
    rules: [
      { kind: "run", class: "token", min: 1, max: 32, until: "20", after },
      { kind: "bytes", hex: ["2f", "68 74 74 70 3a 2f 2f", "68 74 74 70 73 3a 2f 2f"], after: true },
      { kind: "run", class: "visible", also: high, min: targetLookBytes, after: true },
    ],
  },
  {
    // HTTP/0.9, RFC 1945 section 5.1.
    kind: "all",
    rules: [
      { kind: "text", text: "GET ", after },
      { kind: "run", class: "visible", also: high, min: 1, max: targetLookBytes, until: "0d 0a", after: true },
    ],
  },
];

export const http: ProfileSource = {
  name: "http",
  description: "HTTP/1 requests and HTTP/2 with prior knowledge",
  expect: {
    kind: "any",
    rules: [
      { kind: "protocol", name: "http2" },
      ...requestLine(false),
      // RFC 9112 section 2.2: a server ignores an empty line before the request; two are not unheard of.
      ...requestLine(true).map(
        (line): Rule => ({
          kind: "all",
          rules: [{ kind: "bytes", hex: ["0d 0a", "0a", "0d 0a 0d 0a", "0a 0a"] }, line],
        }),
      ),
    ],
  },
  // A request line that goes on otherwise.
  near: {
    family: ["http"],
    overrules: ["text"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "run", class: "token", min: 1, max: 32, until: "20" },
          { kind: "bytes", hex: "2f", after: true },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};
