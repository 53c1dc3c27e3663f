// SPDX-License-Identifier: Apache-2.0
// Built-in profiles of protocols whose servers speak first. A client is judged by the first line or packet
// with which it answers the greeting. None asks for more than a client may leave out.

import type { Rule } from "../signature/signature.ts";
import { nearStrikes } from "./near_strikes.ts";
import type { ProfileSource } from "./profile.ts";

/** One of these words in any case, and a blank or the end of the line. */
const command = (words: string): Rule => ({
  kind: "all",
  rules: [
    { kind: "text", text: words.split(" "), ignoreCase: true },
    { kind: "run", class: "blank", min: 1, after: true },
  ],
});

export const smtp: ProfileSource = {
  name: "smtp",
  description: "SMTP and LMTP, with or without STARTTLS: any command",
  speaksFirst: "server",
  // RFC 5321 section 4.1 and RFC 821 section 4.1; LMTP, RFC 2033; RFC 1985, 2645, 3030, 3207, 4954; Postfix' XCLIENT.
  expect: command(
    "EHLO HELO LHLO MAIL RCPT DATA BDAT RSET VRFY EXPN HELP NOOP QUIT STARTTLS AUTH ETRN ATRN TURN SEND SOML SAML XCLIENT XFORWARD",
  ),
  // A command that there is not.
  near: {
    family: ["smtp"],
    overrules: ["text"],
    rules: [{ kind: "run", class: "letter", min: 3, max: 16, until: "20 0d 0a" }],
  },
  strikes: nearStrikes,
};

export const imap: ProfileSource = {
  name: "imap",
  description: "IMAP 4, with or without STARTTLS: any command",
  speaksFirst: "server",
  expect: {
    // RFC 9051 section 9: a tag of any ASTRING-CHAR but "+", a space, a command. Extensions: RFC 2087, 2177, 2971,
    // 4314, 4978, 5256, 5464, 8437.
    kind: "all",
    rules: [
      {
        kind: "run",
        class: "alnum",
        also: "21 23 24 26 27 2c 2d 2e 2f 3a 3b 3c 3d 3e 3f 40 5b 5d 5e 5f 60 7c 7d 7e",
        min: 1,
        max: 128,
        until: "20",
      },
      {
        kind: "text",
        text: [
          ..."CAPABILITY NOOP LOGOUT STARTTLS AUTHENTICATE LOGIN ID ENABLE SELECT EXAMINE CREATE DELETE RENAME".split(
            " ",
          ),
          ..."SUBSCRIBE UNSUBSCRIBE LIST LSUB XLIST NAMESPACE STATUS APPEND IDLE CHECK CLOSE UNSELECT EXPUNGE SEARCH".split(
            " ",
          ),
          ..."FETCH STORE COPY MOVE UID SORT THREAD COMPRESS UNAUTHENTICATE GETACL GETQUOTA GETQUOTAROOT GETMETADATA".split(
            " ",
          ),
        ],
        ignoreCase: true,
        after: true,
      },
      { kind: "run", class: "blank", min: 1, after: true },
    ],
  },
  // A command that there is not.
  near: {
    family: ["imap"],
    overrules: ["text"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "run", class: "visible", min: 1, max: 32, until: "20" },
          { kind: "run", class: "letter", min: 2, max: 20, until: "20 0d 0a", after: true },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};

export const pop3: ProfileSource = {
  name: "pop3",
  description: "POP3, with or without STLS: any command",
  speaksFirst: "server",
  // RFC 1939, RFC 2449 (CAPA), RFC 2595 (STLS), RFC 5034 (AUTH), RFC 6856 (UTF8, LANG); Postfix' and Dovecot's XCLIENT.
  expect: command("USER PASS APOP AUTH CAPA STLS UTF8 LANG QUIT NOOP STAT LIST RETR DELE RSET TOP UIDL LAST XCLIENT"),
  // A command that there is not.
  near: {
    family: ["pop3"],
    overrules: ["text"],
    rules: [{ kind: "run", class: "letter", min: 3, max: 16, until: "20 0d 0a" }],
  },
  strikes: nearStrikes,
};

export const ftp: ProfileSource = {
  name: "ftp",
  description: "FTP, with or without AUTH TLS: what comes before a login",
  speaksFirst: "server",
  // RFC 959 section 4.1; security, RFC 2228 and 4217; FEAT and OPTS, RFC 2389; EPSV and EPRT, RFC 2428; LANG, RFC 2640;
  // HOST, RFC 7151; CLNT of many clients.
  expect: command(
    "USER PASS ACCT REIN QUIT HELP NOOP SYST STAT SITE ALLO PWD XPWD CWD TYPE MODE STRU PORT PASV EPRT EPSV LIST NLST " +
      "AUTH ADAT PBSZ PROT CCC MIC CONF ENC FEAT OPTS LANG HOST CLNT",
  ),
  // A command that there is not.
  near: {
    family: ["ftp"],
    overrules: ["text"],
    rules: [{ kind: "run", class: "letter", min: 3, max: 16, until: "20 0d 0a" }],
  },
  strikes: nearStrikes,
};

export const mysql: ProfileSource = {
  name: "mysql",
  description: "MySQL and MariaDB: a login, or the request for TLS before it",
  speaksFirst: "server",
  expect: {
    // Client/server protocol, section "Connection Phase": a length of 3 bytes, little-endian, and packet number 1.
    // Attributes may make a login longer than 65,536 bytes.
    kind: "any",
    rules: [
      {
        // HandshakeResponse41, and SSLRequest, which is its first 32 bytes: the flag of protocol 4.1 is set.
        kind: "all",
        rules: [
          { kind: "number", size: 3, endian: "little", min: 32, max: 0x01_ffff },
          { kind: "bytes", at: 3, hex: "01 00 02", mask: "ff 00 02" },
          { kind: "length", min: 36 },
          // PPTP's magic, where the flags are.
          { kind: "not", rule: { kind: "bytes", at: 4, hex: "1a 2b 3c 4d" } },
        ],
      },
      {
        // HandshakeResponse320 of clients and health checkers before 4.1: flags, a size of 3 bytes, a user.
        kind: "all",
        rules: [
          { kind: "number", size: 3, endian: "little", min: 6, max: 255 },
          { kind: "bytes", at: 3, hex: "01 00 00", mask: "ff 00 02" },
          { kind: "run", at: 9, class: "nonzero", min: 0, max: 80, until: "00" },
        ],
      },
      // Its request for TLS.
      { kind: "bytes", hex: "05 00 00 01 00 08", mask: "ff ff ff ff 00 0a" },
    ],
  },
  // A packet of that number that is no login.
  near: {
    family: ["mysql"],
    rules: [
      {
        kind: "all",
        rules: [
          { kind: "number", size: 3, endian: "little", min: 1, max: 0x01_ffff },
          { kind: "bytes", at: 3, hex: "01" },
        ],
      },
    ],
  },
  strikes: nearStrikes,
};

export const vnc: ProfileSource = {
  name: "vnc",
  description: "VNC: a protocol version, of any number",
  speaksFirst: "server",
  expect: {
    // RFC 6143 section 7.1.1. Apple says 3.889, RealVNC 4.1 and 5.0.
    kind: "all",
    rules: [
      { kind: "text", text: "RFB " },
      { kind: "run", at: 4, class: "digit", min: 3, max: 3, until: "2e" },
      { kind: "run", at: 8, class: "digit", min: 3, max: 3, until: "0a" },
    ],
  },
  // A version that is none.
  near: {
    family: ["vnc"],
    overrules: ["text"],
    rules: [{ kind: "text", text: "RFB" }],
  },
  strikes: nearStrikes,
};
