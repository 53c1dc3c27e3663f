// SPDX-License-Identifier: Apache-2.0
// What people and scripts type, as data. A friend's packet may begin with a clear header of up to 16
// bytes, and its magic may be ASCII: "tapetrack" and then a random 0a (1 of 256) is no line of text.
// So a line is foreign at once only when it is a known word, or too long for a header; any other
// short line is foreign when the client has nothing more to say, but to a profile that expects ciphertext: a
// friend that was cut off could have sent it.
import type { Recogniser } from "../signature/signature.ts";

/** First words that are typed into netcat. With what follows 5 bytes and more: 33 bits and more in either case. */
const words = ["hello", "help", "test", "quit", "exit", "status", "login", "admin", "root"];

export const text: Recogniser = {
  name: "text",
  description: "Lines of text",
  rules: [
    {
      kind: "all",
      rules: [
        { kind: "text", text: words, ignoreCase: true },
        { kind: "bytes", hex: ["0a", "0d", "20"], after: true },
      ],
    },
    // 16 bytes may be a header in ASCII; 17 more are random: (98/256)^17 = 8.3e-8, 0.8 of 10,000,000
    // if every friend had such a header, and none where the header is shorter.
    { kind: "run", class: "text", min: 33 },
    // Blank lines: 32 bits. PROXY protocol version 2 begins with 0d 0a 0d 0a 00, so two of them need silence.
    { kind: "bytes", hex: ["0a 0a 0a 0a", "0d 0a 0d 0a 0d"] },
    {
      kind: "all",
      rules: [
        { kind: "bytes", hex: "0d 0a 0d 0a" },
        { kind: "length", max: 4 },
      ],
    },
    {
      // One line, and silence. What a friend has sent by then ends in the middle of its first packet,
      // and that there is a line end, with only text before it, takes a very strange cut.
      kind: "all",
      rules: [
        { kind: "run", class: "text", min: 0, max: 32, until: "end" },
        { kind: "run", class: "printable", also: "09", min: 0, max: 32, until: "0a 0d" },
      ],
    },
    // Text without a line end, and silence. At least 16 of a friend's bytes are random: 2.1e-7, and
    // only for a packet of 16 bytes.
    { kind: "run", class: "text", min: 16, max: 32, until: "end" },
  ],
};

export const shell: Recogniser = {
  name: "shell",
  description: "Shell commands, as worms send them to ports that they hope are shells",
  // 4 bytes and more: 32 bits each.
  rules: [
    {
      kind: "text",
      text: [
        "#!/bin",
        "#!/usr",
        "/bin/",
        "bash ",
        "busybox",
        "cat /",
        "cd /",
        "chmod ",
        "cmd.exe",
        "curl ",
        "echo ",
        "enable\n",
        "enable\r",
        "export ",
        "ls -",
        "ls /",
        "nc -",
        "nohup ",
        "perl -",
        "ping -",
        "powershell",
        "python",
        "rm -",
        "sh -c",
        "shell\n",
        "shell\r",
        "sudo ",
        "system\n",
        "system\r",
        "uname",
        "wget ",
        "whoami",
      ],
    },
  ],
};

export const xml: Recogniser = {
  name: "xml",
  description: "XML: XMPP streams, XML-RPC, Flash policy requests",
  // 48 bits and more.
  rules: [{ kind: "text", text: ["<?xml ", "<stream:", "<policy-file-request", "<soap", "<SOAP"] }],
};

export const jsonRpc: Recogniser = {
  name: "json-rpc",
  description: "JSON-RPC without HTTP, as miners speak it (Stratum)",
  // 40 bits and more.
  rules: [
    {
      kind: "text",
      text: [
        '{"id"',
        '{"jsonrpc"',
        '{"method"',
        '{"params"',
        '{"worker"',
        "{\"id'",
        '{ "id"',
        '{ "jsonrpc"',
        '{ "method"',
      ],
    },
  ],
};

export const zeros: Recogniser = {
  name: "zeros",
  description: "Nothing but zero bytes",
  rules: [
    // 16 bytes may be a header of zeros; 4 more are random: 32 bits.
    { kind: "run", class: "zero", min: 20 },
    // And silence: at least 16 of a friend's bytes are random, 128 bits.
    { kind: "run", class: "zero", min: 16, max: 20, until: "end" },
  ],
};
