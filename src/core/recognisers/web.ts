// SPDX-License-Identifier: Apache-2.0
// HTTP and what is written like it, as data. IPP, UPnP, the Docker and Kubernetes APIs are HTTP.
import type { Recogniser } from "../signature/signature.ts";

/**
 * The methods of the IANA registry (RFC 9110 section 16.1.1) and those of caches. The
 * shortest with its space has 4 bytes, 32 bits of evidence; all together 0.01 of 10,000,000 random
 * packets. Those that RTSP, SIP and ICAP have too are below.
 */
const methods = [
  "ACL",
  "BASELINE-CONTROL",
  "BIND",
  "CHECKIN",
  "CHECKOUT",
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
  "TRACE",
  "UNBIND",
  "UNCHECKOUT",
  "UNLINK",
  "UNLOCK",
  "UNSUBSCRIBE",
  "UPDATEREDIRECTREF",
  "VERSION-CONTROL",
];

const sharedMethods = ["NOTIFY", "OPTIONS", "SUBSCRIBE", "UPDATE"];

export const http: Recogniser = {
  name: "http",
  description: "HTTP/1 requests, with paths, absolute and authority forms",
  rules: [
    { kind: "text", text: methods.map((method) => `${method} `) },
    // In any case: a slash, and 37 bits and more.
    { kind: "text", text: ["GET /", "HEAD /", "POST /", "PUT /", "SOURCE /"], ignoreCase: true },
    {
      // A host or an address; NATS has "CONNECT {" instead. 57 bits and more.
      kind: "all",
      rules: [
        { kind: "text", text: "CONNECT ", ignoreCase: true },
        { kind: "run", at: 8, class: "alnum", also: "2f 5b 5f", min: 1 },
      ],
    },
    {
      // RTSP writes rtsp://, SIP sip:, ICAP icap://; a path of two bytes is HTTP's. 60 bits and more.
      kind: "any",
      rules: [
        {
          kind: "text",
          text: sharedMethods.flatMap((method) => [`${method} http`, `${method} * HTTP/`, `${method} / HTTP/`]),
        },
        {
          kind: "all",
          rules: [
            { kind: "text", text: sharedMethods.map((method) => `${method} /`) },
            { kind: "run", class: "visible", min: 1, after: true },
          ],
        },
      ],
    },
    {
      // Any other method: 3 upper-case letters, a space, a target and the version: 10 + 8 + 1 + 8 + 40 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "upper", also: "2d 5f", min: 3, max: 24, until: "20" },
        { kind: "run", class: "visible", min: 1, max: 255, until: "20", after: true },
        { kind: "text", text: "HTTP/", after: true },
      ],
    },
    // A response, which confused proxies and scanners send to servers too. 48 bits.
    { kind: "text", text: ["HTTP/0", "HTTP/1", "HTTP/2", "HTTP/3"] },
  ],
};

export const http2: Recogniser = {
  name: "http2",
  description: "HTTP/2 with prior knowledge: the connection preface of RFC 9113 section 3.4",
  // "PRI " alone has 32 bits.
  rules: [{ kind: "text", text: "PRI " }],
};

export const icap: Recogniser = {
  name: "icap",
  description: "ICAP requests, RFC 3507 section 4.3.2",
  // 8 bytes: 64 bits.
  rules: [{ kind: "text", text: ["REQMOD ", "RESPMOD ", "OPTIONS icap"] }],
};

export const sip: Recogniser = {
  name: "sip",
  description: "SIP requests, RFC 3261 section 7.1 and its extensions",
  // 56 bits and more.
  rules: [
    { kind: "text", text: ["INVITE ", "REGISTER ", "SIP/2.0 "] },
    {
      kind: "text",
      text: [
        "ACK",
        "BYE",
        "CANCEL",
        "INFO",
        "MESSAGE",
        "NOTIFY",
        "OPTIONS",
        "PRACK",
        "PUBLISH",
        "REFER",
        "SUBSCRIBE",
        "UPDATE",
      ].map((method) => `${method} sip`),
    },
  ],
};

export const rtsp: Recogniser = {
  name: "rtsp",
  description: "RTSP requests, RFC 7826 section 7.1",
  // 40 bits and more.
  rules: [
    {
      kind: "text",
      text: [
        "ANNOUNCE ",
        "DESCRIBE ",
        "GET_PARAMETER ",
        "PAUSE ",
        "PLAY ",
        "RECORD ",
        "SETUP ",
        "SET_PARAMETER ",
        "TEARDOWN ",
      ],
    },
    { kind: "text", text: ["OPTIONS rtsp", "OPTIONS * RTSP/", "OPTIONS / RTSP/", "REDIRECT rtsp"] },
  ],
};

export const ntrip: Recogniser = {
  name: "ntrip",
  description: "NTRIP 1: a source that uploads corrections, RTCM 10410.0 section 3.2.2",
  rules: [
    {
      // A password, a blank, a mount point that may begin with a slash, the end of the line or the next
      // field: 56 + 1 + 8 + 1 bits.
      kind: "all",
      rules: [
        { kind: "text", text: "SOURCE " },
        { kind: "not", rule: { kind: "text", at: 7, text: "/" } },
        { kind: "run", at: 7, class: "visible", min: 1, max: 64, until: "20" },
        { kind: "run", class: "visible", min: 1, after: true },
      ],
    },
  ],
};
