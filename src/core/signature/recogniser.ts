// SPDX-License-Identifier: Apache-2.0
// The library of recognisers, in the order that settles a tie: where two know the same bytes at the
// same byte, the first gives the name. To add one, write its data in recognisers/ and its vectors in
// tests/vectors/, and list it here.
import { cvs, git, rsync, svn } from "../recognisers/archive.ts";
import { amqp, kafka, mqtt } from "../recognisers/broker.ts";
import { cassandra, memcached, mongodb, postgres, redis, tds, tns } from "../recognisers/database.ts";
import { diameter, dns, kerberos, ldap, ntp, radius } from "../recognisers/directory.ts";
import { bacnet, dnp3, enip, iec104, modbus, opcua, s7comm } from "../recognisers/industrial.ts";
import { ajp, giop, javaObjects, javaRmi } from "../recognisers/java.ts";
import { ftp, imap, irc, pop3, smtp } from "../recognisers/mail.ts";
import { bitcoin, bittorrent, minecraft } from "../recognisers/peer.ts";
import { lpd, pjl } from "../recognisers/printer.ts";
import { proxy, socks } from "../recognisers/relay.ts";
import { adb, arucer, dcerpc, rdp, rpc, smb, telnet, vnc, x11 } from "../recognisers/remote.ts";
import { dtls, openvpn, ssh, stun, tls, tor, wireguard } from "../recognisers/secure.ts";
import { iscsi, nbd, ndmp } from "../recognisers/storage.ts";
import { jsonRpc, shell, text, xml, zeros } from "../recognisers/text.ts";
import { http, http2, icap, rtsp, sip } from "../recognisers/web.ts";
import type { Recogniser } from "./signature.ts";

export const recognisers: readonly Recogniser[] = [
  http,
  http2,
  icap,
  sip,
  rtsp,
  tls,
  dtls,
  ssh,
  openvpn,
  wireguard,
  tor,
  stun,
  rdp,
  vnc,
  x11,
  adb,
  telnet,
  smb,
  rpc,
  dcerpc,
  arucer,
  smtp,
  ftp,
  pop3,
  imap,
  irc,
  ldap,
  kerberos,
  dns,
  diameter,
  radius,
  ntp,
  socks,
  proxy,
  mqtt,
  amqp,
  kafka,
  redis,
  memcached,
  postgres,
  tds,
  tns,
  mongodb,
  cassandra,
  javaRmi,
  javaObjects,
  ajp,
  giop,
  modbus,
  iec104,
  s7comm,
  enip,
  dnp3,
  bacnet,
  opcua,
  lpd,
  pjl,
  git,
  svn,
  cvs,
  rsync,
  iscsi,
  nbd,
  ndmp,
  bittorrent,
  bitcoin,
  minecraft,
  shell,
  xml,
  jsonRpc,
  zeros,
  text,
];
