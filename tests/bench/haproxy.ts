// SPDX-License-Identifier: Apache-2.0
// HAProxy doing the gate's job as well as it can: inspect the first bytes, keep foreign sources in a
// stick table for ten minutes and turn them away at once. One thread, as the gate has one.

/** Recognisers of the same protocols; a fixed length says how many bytes each needs to decide. */
const recognisers = [
  'http req.payload(0,8) -m beg "GET " "HEAD " "POST " "PUT " "DELETE " "CONNECT " "OPTIONS " "TRACE " "PATCH " "PRI "',
  "tls req.payload(0,2) -m bin 1403 1503 1603 1703",
  "sslv2 req.payload(0,3),hex -m reg ^80..01",
  "ssh req.payload(0,4) -m beg SSH-",
  "text req.payload(0,16) -m reg ^[[:print:][:space:]]{16}",
];

export interface HaproxyOptions {
  readonly host?: string;
  readonly port: number;
  readonly upstreamPort: number;
}

export function haproxyConfig({ host = "127.0.0.1", port, upstreamPort }: HaproxyOptions): string {
  const foreign = recognisers.map((recogniser) => recogniser.split(" ")[0]).join(" or ");
  return `global
  nbthread 1
  maxconn 9000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1h
  timeout server 1h
backend timeouts
  stick-table type ip size 1m expire 10m
frontend gate
  bind ${host}:${port} backlog 4096
  tcp-request connection reject if { src,in_table(timeouts) }
  tcp-request inspect-delay 5s
${recognisers.map((recogniser) => `  acl ${recogniser}\n`).join("")}\
  tcp-request content track-sc0 src table timeouts if ${foreign}
  tcp-request content reject if ${foreign}
  tcp-request content accept if { req.len ge 16 }
  default_backend server
backend server
  server tapetrack 127.0.0.1:${upstreamPort}
`;
}
