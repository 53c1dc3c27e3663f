// SPDX-License-Identifier: Apache-2.0
// tc on packets that do not lie together: a real pair of interfaces, and a sender whose packets have
// nothing but the Ethernet header in their first piece.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { rmSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { check } from "../../src/kernel/errno.ts";
import { openLibraries } from "../../src/kernel/libraries.ts";
import { cString } from "../../src/kernel/native_bytes.ts";
import { native } from "../../src/runtime/bun_ffi.ts";
import type { NativeBuffer } from "../../src/runtime/types.ts";
import { inNamespace } from "../harness/child.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Undo } from "../harness/undo.ts";
import { type Gate, guardedPort, openGate, otherPort } from "./gate.ts";
import {
  ethernet,
  etherServiceVlan,
  extension,
  hopByHop,
  ipv4,
  ipv6,
  ipv6Fragment,
  type Layer,
  packet,
  payload,
  tcp,
  vlan,
} from "./packet.ts";

const wrappings: Readonly<Record<string, (inner: Layer) => NativeBuffer>> = {
  IPv4: (inner) => packet(ethernet(), ipv4({ source: "203.0.113.9" }), inner),
  "IPv4 with options": (inner) => packet(ethernet(), ipv4({ source: "203.0.113.9", optionBytes: 40 }), inner),
  IPv6: (inner) => packet(ethernet(), ipv6({ source: "2001:db8::7" }), inner, payload(500)),
  "IPv6 with long extension headers": (inner) =>
    packet(ethernet(), ipv6({ source: "2001:db8::7" }), extension(hopByHop, 150), ipv6Fragment(0), inner),
  "two tags": (inner) =>
    packet(ethernet(), vlan(5, etherServiceVlan), vlan(6), ipv4({ source: "203.0.113.9" }), inner, payload(700)),
};

function shell(argv: readonly string[], input: Uint8Array = new Uint8Array()): void {
  const [program = "", ...args] = argv;
  const result = spawnSync(program, args, { input, encoding: "utf8" });
  if (result.status !== 0) throw new Error(`Cannot run "${argv.join(" ")}": ${result.stderr || result.error}`);
}

describeWith("namespaces")("tc packets in pieces", () => {
  const undo = new Undo();
  let network: Network;
  let gate: Gate;
  let sender: string;

  beforeAll(async () => {
    const directory = new TempDir();
    undo.push(() => directory[Symbol.dispose]());
    sender = directory.file("pieces");
    shell(["gcc", "-O2", "-Wall", "-o", sender, join(import.meta.dirname, "pieces.c")]);
    network = new Network({ clients: 1 });
    undo.push(() => network[Symbol.dispose]());
    gate = await openGate({ way: "tc", live: true });
    undo.push(() => gate[Symbol.dispose]());
    const pin = `/sys/fs/bpf/ttgate_pieces_${process.pid}`;
    const { bpf } = await openLibraries(native);
    check("Pin the program", bpf.bpf_obj_pin(gate.programFd, cString(pin)));
    undo.push(() => rmSync(pin, { force: true }));
    const device = ["dev", network.device];
    shell(inNamespace(network.gate, ["tc", "qdisc", "add", ...device, "clsact"]));
    const filter = ["filter", "add", ...device, "ingress", "bpf", "direct-action", "object-pinned", pin];
    shell(inNamespace(network.gate, ["tc", ...filter]));
  });
  afterAll(() => undo[Symbol.dispose]());

  const send = (frame: Uint8Array) => shell(inNamespace(network.client, [sender, network.clientDevice]), frame);

  for (const [name, wrap] of Object.entries(wrappings)) {
    test(`${name}: judged as if it lay together`, () => {
      gate.ban("203.0.113.9");
      gate.ban("2001:db8::");
      const before = gate.counters();
      const hostile = wrap(tcp({ destinationPort: guardedPort }));
      for (let packets = 0; packets < 3; packets++) send(hostile);
      send(wrap(tcp({ destinationPort: otherPort })));
      const after = gate.counters();
      // The kernel has taken the outer tag off before tc is asked.
      const bytes = hostile.length - (name === "two tags" ? 4 : 0);
      expect(after.drop_ban).toEqual({
        packets: before.drop_ban.packets + 3,
        bytes: before.drop_ban.bytes + 3 * bytes,
      });
      expect(after.pass.packets).toBeGreaterThan(before.pass.packets);
      expect(after.pass_unparsed).toEqual(before.pass_unparsed);
    });
  }

  test("a cut header is counted as such, however little of it there is", () => {
    const before = gate.counters().pass_unparsed.packets;
    const whole = wrappings["IPv4"]?.(tcp({ destinationPort: guardedPort })) ?? new Uint8Array();
    for (const length of [15, 20, 33, 37]) send(whole.subarray(0, length));
    expect(gate.counters().pass_unparsed.packets).toBe(before + 4);
  });
});
