// SPDX-License-Identifier: Apache-2.0
// A packet of somebody banned, turned round by XDP into the RST that a kernel would send for it: byte by
// byte, by BPF_PROG_TEST_RUN.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { loadSignatureTable } from "../../src/config/profile.ts";
import { requirePrefix } from "../../src/core/address.ts";
import { embeddedObject, type GatePrograms, loadGate } from "../../src/fences/xdp/gate_program.ts";
import { Guarded } from "../../src/fences/xdp/guarded.ts";
import { type InlineGate, InlineJudge } from "../../src/fences/xdp/inline/inline_judge.ts";
import { structBytes } from "../../src/fences/xdp/maps/layout.ts";
import { type Libraries, openLibraries } from "../../src/kernel/libraries.ts";
import { nativeBytes } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import { describeWith } from "../harness/needs.ts";
import {
  ack,
  type Ends,
  fin,
  readTcp,
  rst,
  syn,
  type TcpFields,
  tcpFrame,
  type Wrapping,
} from "../harness/tcp_frame.ts";
import { runProgram } from "./test_run.ts";

const xdpDrop = 1;
const xdpPass = 2;
const xdpTx = 3;

const ports = { sourcePort: 40_123, destinationPort: 5000 };
const macs = { sourceMac: Uint8Array.of(2, 0, 0, 0, 0, 2), destinationMac: Uint8Array.of(2, 0, 0, 0, 0, 1) };
const ipv4: Ends = { ...macs, ...ports, source: "203.0.113.9", destination: "198.51.100.1" };
const ipv6: Ends = { ...macs, ...ports, source: "2001:db8::7", destination: "2001:db8:ffff::1" };

describeWith("root")("bounced packets", () => {
  let libraries: Libraries;
  let programs: GatePrograms;

  const judge = (bounce: boolean, judging: InlineGate["judging"] = "enforce") => {
    const table = loadSignatureTable("tapetrack");
    new InlineJudge(libraries, programs, new Guarded([5000], "port"), {
      gates: [{ port: 5000, table, bounce, judging, passes: [], banMs: 60_000 }],
      ipv6PrefixBits: 64,
    }).begin();
  };
  const ban = (address: string) => {
    const key = nativeBytes(16);
    key.set(requirePrefix(address).bytes);
    libraries.bpf.bpf_map_update_elem(programs.mapFd("ttgate_bans"), key, nativeBytes(structBytes.ban), 0n);
  };

  beforeAll(async () => {
    libraries = await openLibraries(native);
    programs = loadGate(libraries, await embeddedObject("inline"), {
      ...{ flavour: { kind: "own" }, ipv4Fd: undefined, own: {} },
    });
    const settings = nativeBytes(structBytes.settings);
    const view = new DataView(settings.buffer);
    // Magic, layout, scope, IPv6 prefix, CIDR entries, how many ports, the first of them.
    for (const [index, word] of [0x74746774, 1, 0, 64, 0, 1, 5000].entries()) view.setUint32(index * 4, word, true);
    libraries.bpf.bpf_map_update_elem(programs.mapFd("ttgate_settings"), nativeBytes(4), settings, 0n);
    ban("203.0.113.9");
    ban("2001:db8::");
    judge(true);
  });
  afterAll(() => programs?.[Symbol.dispose]());

  const send = (ends: Ends, fields: Partial<TcpFields>, wrapping?: Wrapping) => {
    const frame = tcpFrame(ends, { seq: 0xffff_fff5, ack: 0x8123_4567, flags: ack, ...fields }, wrapping);
    return runProgram(libraries, programs.xdpFd("ethernet"), frame);
  };

  const bytes = new TextEncoder().encode("GET / HTTP/1.1\r\n\r\n");
  const wrappings: readonly (readonly [string, Wrapping, number])[] = [
    ["", {}, 0],
    [" behind a tag", { vlans: [5] }, 4],
    [" behind two tags", { vlans: [5, 6] }, 8],
    [" with padding", { padding: new Uint8Array(7).fill(0xee) }, 0],
  ];
  const segments: Readonly<Record<string, Partial<TcpFields>>> = {
    data: { bytes, flags: ack },
    "a bare ACK": {},
    "a FIN": { flags: fin | ack },
    "a kilobyte": { bytes: new Uint8Array(1399).fill(0x41) },
    "TCP options": { bytes, options: Uint8Array.of(1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2) },
    "a sum of which nothing is left": { ack: 0, seq: 0, window: 0 },
  };

  for (const [family, ends, headers] of [
    ["IPv4", ipv4, 40],
    ["IPv6", ipv6, 60],
  ] as const) {
    for (const [around, wrapping, tagBytes] of wrappings) {
      for (const [what, fields] of Object.entries(segments)) {
        test(`${family}${around}: ${what} is answered with a RST`, () => {
          const { verdict, frame } = send(ends, fields, wrapping);
          expect(verdict).toBe(xdpTx);
          expect(frame).toHaveLength(14 + tagBytes + headers);
          expect(frame.slice(0, 6)).toEqual(macs.sourceMac);
          expect(frame.slice(6, 12)).toEqual(macs.destinationMac);
          expect(readTcp(frame)).toEqual({
            ...{ source: ends.destination, destination: ends.source, sourcePort: 5000, destinationPort: 40_123 },
            // RFC 9293 3.10.7.1: an ACK's number, and no ACK of its own.
            ...{ seq: fields.ack ?? 0x8123_4567, ack: 0, flags: rst },
            ...{ options: new Uint8Array(), bytes: new Uint8Array(), rightChecksums: true },
          });
          // The tags, and what says IPv4 or IPv6, stay.
          const sent = tcpFrame(ends, { seq: 0, flags: ack }, wrapping);
          expect(frame.slice(12, 14 + tagBytes + 1)).toEqual(sent.slice(12, 14 + tagBytes + 1));
        });
      }
    }

    test(`${family}: what starts or ends connections is not answered`, () => {
      for (const flags of [syn, syn | ack, rst, rst | ack, 0]) {
        expect(send(ends, { bytes, flags }).verdict).toBe(xdpDrop);
      }
    });

    test(`${family}: nor is a header with options`, () => {
      expect(send(ends, { bytes }, { ipv4OptionBytes: 8, ipv6Extensions: 1 }).verdict).toBe(xdpDrop);
    });

    test(`${family}: others pass as they are`, () => {
      const source = family === "IPv4" ? "203.0.113.10" : "2001:db8:0:1::7";
      const frame = tcpFrame({ ...ends, source }, { seq: 1, ack: 2, flags: ack, bytes });
      const result = runProgram(libraries, programs.xdpFd("ethernet"), frame);
      expect(result.verdict).toBe(xdpPass);
      expect(result.frame).toEqual(frame);
    });

    test(`${family}: without the setting they are dropped, in a dry run they pass, in a trial they do not`, () => {
      judge(false);
      expect(send(ends, { bytes }).verdict).toBe(xdpDrop);
      judge(true, "dry run");
      expect(send(ends, { bytes }).verdict).toBe(xdpPass);
      judge(true, "trial");
      expect(send(ends, { bytes }).verdict).toBe(xdpTx);
      judge(true);
      expect(send(ends, { bytes }).verdict).toBe(xdpTx);
    });
  }
});
