// SPDX-License-Identifier: Apache-2.0
// What is of a built-in profile's family and not what its clients send: refused, and no ban.
import { bytesOf } from "./vectors.ts";

export interface NearMiss {
  readonly profile: string;
  readonly name: string;
  readonly bytes: Uint8Array;
}

const text: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  ssh: { "version 1": "SSH-1.5-client\r\n", "lower case": "ssh-2.0-client\r\n" },
  http: {
    "no version": "GET /index.html FTP/1.1\r\n\r\n",
    "an unknown method without a version": "FETCH / now\r\n",
    "a response": "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
  },
  amqp: { "an unknown version": "AMQP\u0007\u0007\u0007\u0007" },
  redis: { "an unknown command": "FROBNICATE x y\r\n", "a string in place of an array": "$4\r\nPING\r\n" },
  sip: { "a target of another scheme": "INVITE mailto:somebody@example.org SIP/2.0\r\n" },
  smtp: { "an unknown verb": "FROB x\r\n", "one with a long argument": `FROB ${"x".repeat(60)}\r\n` },
  imap: { "an unknown command": "a1 FROBNICATE\r\n" },
  pop3: { "an unknown command": "FROB x\r\n" },
  ftp: { "an unknown command": "FROB x\r\n" },
  vnc: { "no version": "RFB 3.x\r\n0000" },
};

const hex: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  tls: {
    "an alert": "15 03 01 00 02 02 28",
    "a hello with a wrong version": "16 07 07 00 2f 01 00 00 2b 07 07 00 00",
    "a handshake that is no hello": "16 03 01 00 04 0e 00 00 00",
    "a hello of SSL 2": "80 2e 01 03 01 00 15 00 00 00 10 01 00 80 02 00 80 03 00 80",
  },
  grpc: { "SETTINGS without a preface": "00 00 06 04 00 00 00 00 00 00 05 00 00 40 00" },
  rdp: { "a request of another class": "03 00 00 0b 06 e0 00 00 00 00 02" },
  mqtt: {
    "another name of the protocol": "10 10 00 04 4d 51 58 58 04 02 00 3c 00 04 74 65 73 74",
    "a ping before it is connected": "c0 00",
  },
  kafka: { "an unknown version": "00 00 00 20 00 12 00 63 00 00 00 01 00 07 72 64 6b 61 66 6b 61" },
  mongodb: { "an unknown operation": "10 00 00 00 01 00 00 00 00 00 00 00 d0 07 00 00" },
  ldap: { "an operation of another class": "30 0c 02 01 01 a0 07 02 01 03 04 00 80 00" },
  dns: { "an answer": "00 1d 12 34 81 80 00 01 00 00 00 00 00 00 07 65 78 61 6d 70 6c 65 03 6f 72 67 00 00 01 00 01" },
  socks: { "no method": "05 00", "an unknown command of SOCKS 4": "04 07 00 50 c0 00 02 01 00" },
  openvpn: { "a packet of data": "00 2a 30 01 02 03 04 05 06 07 08 09 0a 0b 0c 0d" },
  minecraft: { "a list ping with other bytes": "fe 02 fa 00 0b" },
  modbus: { "an unknown function": "00 01 00 00 00 06 01 63 00 00 00 01" },
  postgres: { "a start-up without an end": "00 00 00 08 00 03 00 00 00 00 00 00" },
  mysql: { "a query before the login": "0a 00 00 01 03 53 45 4c 45 43 54 20 31 3b" },
};

export function loadNearMisses(): NearMiss[] {
  const entries = (source: typeof text, bytes: (content: string) => Uint8Array) =>
    Object.entries(source).flatMap(([profile, misses]) =>
      Object.entries(misses).map(([name, content]) => ({ profile, name, bytes: bytes(content) })),
    );
  return [
    ...entries(text, (content) => bytesOf(content, undefined)),
    ...entries(hex, (content) => bytesOf(undefined, content.replaceAll(" ", ""))),
  ];
}
