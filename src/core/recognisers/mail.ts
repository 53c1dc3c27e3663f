// SPDX-License-Identifier: Apache-2.0
// The first commands of protocols whose servers greet first: clients that do not wait, as data.
import type { Recogniser } from "../signature/signature.ts";

export const smtp: Recogniser = {
  name: "smtp",
  description: "SMTP commands, RFC 5321 section 4.1",
  rules: [
    {
      // In either case 28 + 8 bits.
      kind: "all",
      rules: [
        { kind: "text", text: ["EHLO", "HELO", "LHLO"], ignoreCase: true },
        { kind: "bytes", hex: ["20", "0d", "0a"], after: true },
      ],
    },
    { kind: "text", text: ["MAIL FROM:", "RCPT TO:"], ignoreCase: true },
  ],
};

export const ftp: Recogniser = {
  name: "ftp",
  description: "FTP commands, RFC 959 section 4.1",
  // In either case 36 bits and more.
  rules: [
    {
      kind: "text",
      text: ["USER anonymous", "USER ftp", "FEAT\r", "SYST\r", "PASV\r", "EPSV\r", "AUTH TLS", "AUTH SSL"],
      ignoreCase: true,
    },
  ],
};

export const ftpOrPop3: Recogniser = {
  name: "ftp-or-pop3",
  description: "USER with one name, which FTP (RFC 959) and POP3 (RFC 1939) have alike",
  rules: [
    {
      // 36 + 8 bits, and a name.
      kind: "all",
      rules: [
        { kind: "text", text: "USER ", ignoreCase: true },
        { kind: "run", at: 5, class: "visible", min: 1, max: 64, until: "0d 0a" },
      ],
    },
  ],
};

export const pop3: Recogniser = {
  name: "pop3",
  description: "POP3 commands, RFC 1939 and RFC 2449",
  // In either case 36 bits.
  rules: [{ kind: "text", text: ["CAPA\r", "CAPA\n", "APOP ", "UIDL\r"], ignoreCase: true }],
};

export const imap: Recogniser = {
  name: "imap",
  description: "IMAP commands, RFC 9051 section 6",
  rules: [
    {
      // A tag, a space and a command: 2 + 8 + 35 bits.
      kind: "all",
      rules: [
        { kind: "run", class: "alnum", also: "2e", min: 1, max: 12, until: "20" },
        {
          kind: "text",
          after: true,
          text: ["AUTHENTICATE ", "CAPABILITY", "LOGIN ", "LOGOUT\r", "NAMESPACE\r", "STARTTLS\r", "NOOP\r"],
          ignoreCase: true,
        },
      ],
    },
  ],
};

export const irc: Recogniser = {
  name: "irc",
  description: "IRC commands, RFC 2812 section 3",
  rules: [
    // 40 bits and more.
    { kind: "text", text: ["NICK ", "CAP LS", "CAP REQ", "JOIN #", "PRIVMSG "] },
    // An SMTP client has said EHLO before (RFC 3207). 64 bits.
    { kind: "text", text: "STARTTLS", ignoreCase: true },
    {
      // Name, mode or host, and more: 36 + 8 bits, and a name.
      kind: "all",
      rules: [
        { kind: "text", text: "USER ", ignoreCase: true },
        { kind: "run", at: 5, class: "visible", min: 1, max: 64, until: "20" },
        { kind: "run", class: "visible", min: 1, after: true },
      ],
    },
  ],
};
