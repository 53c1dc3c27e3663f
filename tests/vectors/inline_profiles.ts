// SPDX-License-Identifier: Apache-2.0
// The built-in profiles that the kernel judges by.

/** Those that a table can hold. */
export const inlineProfiles = [
  "tapetrack",
  "opaque",
  "ssh",
  "tls",
  "http",
  "grpc",
  "rdp",
  "mqtt",
  "amqp",
  "kafka",
  "redis",
  "mongodb",
  "ldap",
  "dns",
  "sip",
  "socks",
  "openvpn",
  "minecraft",
  "modbus",
  "smtp",
  "imap",
  "pop3",
  "ftp",
  "mysql",
  "vnc",
];
