// SPDX-License-Identifier: Apache-2.0
// HTTP, as data.
import type { Recogniser } from "../signature.ts";

/**
 * The methods of the IANA registry (RFC 9110 section 16.1.1) and those of UPnP, Icecast and caches.
 * The shortest with its space has 4 bytes, 29 to 32 bits of evidence (letters of either case cost a
 * bit each): 0.02 of 10,000,000 random packets for one method, 0.2 for all of them. OPTIONS,
 * DESCRIBE and the like belong to RTSP and SIP too and are told apart by what follows.
 */
const methods = [
  "ACL",
  "BASELINE-CONTROL",
  "BIND",
  "CHECKIN",
  "CHECKOUT",
  "CONNECT",
  "COPY",
  "DELETE",
  "GET",
  "HEAD",
  "LABEL",
  "LINK",
  "LOCK",
  "M-SEARCH",
  "MERGE",
  "MKACTIVITY",
  "MKCALENDAR",
  "MKCOL",
  "MKREDIRECTREF",
  "MKWORKSPACE",
  "MOVE",
  "NOTIFY",
  "ORDERPATCH",
  "PATCH",
  "POST",
  "PROPFIND",
  "PROPPATCH",
  "PURGE",
  "PUT",
  "QUERY",
  "REBIND",
  "REPORT",
  "SEARCH",
  "SOURCE",
  "SUBSCRIBE",
  "TRACE",
  "UNBIND",
  "UNCHECKOUT",
  "UNLINK",
  "UNLOCK",
  "UNSUBSCRIBE",
  "UPDATE",
  "UPDATEREDIRECTREF",
  "VERSION-CONTROL",
];

export const http: Recogniser = {
  name: "http",
  description: "HTTP/1 requests, with paths, absolute and authority forms",
  rules: [
    { kind: "text", text: methods.map((method) => `${method} `), ignoreCase: true },
    { kind: "text", text: ["OPTIONS http", "OPTIONS * HTTP/", "OPTIONS / HTTP/"], ignoreCase: true },
    {
      // A longer path: RTSP writes rtsp:// and SIP sip:, so a path of two bytes is HTTP's. 75 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "OPTIONS /", ignoreCase: true },
        { kind: "run", class: "visible", min: 1, after: true },
      ],
    },
    {
      // Any other method: 3 upper-case letters, a space, a target and the version: 10 + 8 + 48 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "upper", also: "2d 5f", min: 3, max: 24, until: "20" },
        { kind: "run", class: "visible", min: 1, max: 255, until: "20", after: true },
        { kind: "text", text: "HTTP/", after: true },
      ],
    },
    // A response, which scanners and confused proxies send to servers too. 40 bits.
    { kind: "text", text: ["HTTP/0", "HTTP/1", "HTTP/2", "HTTP/3"] },
  ],
};

export const http2: Recogniser = {
  name: "http2",
  description: "HTTP/2 with prior knowledge: the connection preface of RFC 9113 section 3.4",
  // "PRI " alone has 32 bits.
  rules: [{ kind: "text", text: "PRI " }],
};
