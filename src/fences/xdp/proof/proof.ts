// SPDX-License-Identifier: Apache-2.0
// Whether the live program blocks what it should and nothing else: entries of addresses that nobody has
// are put into the live maps for a moment, frames from them go through the program.
import { type Prefix, requirePrefix } from "../../../core/address.ts";
import type { FenceEntry } from "../../../core/bans/fence.ts";
import type { LinkHeader } from "../../../kernel/link_header.ts";
import type { BanStores } from "../maps/ban_stores.ts";
import { type FrameShape, tcpFrame } from "./frames.ts";

export interface ProofQuestion {
  readonly stores: BanStores;
  readonly scope: "port" | "host";
  readonly ports: readonly number[];
  readonly ipv6PrefixBits: number;
  readonly nowMs: number;
  /** What the interface's frames begin with. */
  readonly header: LinkHeader;
  /** The program judges: it drops first fragments to a guarded port whoever sends them, and counts them. */
  readonly judges: boolean;
  /** The live program's answer. */
  readonly drops: (frame: Uint8Array<ArrayBuffer>) => boolean;
}

type Standing = "banned" | "in a banned range" | "expired" | "not banned";

/** RFC 2544 and RFC 9637: never on a real wire, and apart from one another with every sane ban prefix. */
const families = {
  IPv4: { banned: "198.18.255.1", expired: "198.18.255.2", free: "198.18.255.3", range: "198.19.255.0/24" },
  IPv6: { banned: "3fff:100::1", expired: "3fff:200::1", free: "3fff:300::1", range: "3fff:f00::/30" },
} as const;

const shapes: Readonly<Record<string, Omit<FrameShape, "destinationPort" | "header">>> = {
  plain: {},
  "in a VLAN": { vlanTags: 1 },
  "in two VLANs": { vlanTags: 2 },
  "with options": { extended: true },
  "first fragment": { fragment: "first" },
  "later fragment": { fragment: "later" },
};

/** Long enough for the run; an entry that is left behind by a crash is over by itself. */
const entryMs = 10_000;
/** A wrong answer counts within this: then the entries that it rests on stood. */
export const provenWithinMs = entryMs / 2;

/** @returns the first case that went wrong, in words; undefined when every answer was right. */
export function prove(question: ProofQuestion): string | undefined {
  const port = question.ports[0];
  if (port === undefined) return undefined;
  for (const family of ["IPv4", "IPv6"] as const) {
    const failure = proveFamily(question, family, port);
    if (failure !== undefined) return failure;
  }
  return undefined;
}

function proveFamily(question: ProofQuestion, family: keyof typeof families, port: number): string | undefined {
  const { stores, nowMs, ipv6PrefixBits } = question;
  const addresses = families[family];
  const exact = (address: string): Prefix =>
    requirePrefix(family === "IPv4" ? address : `${address}/${ipv6PrefixBits}`);
  const running = nowMs + entryMs;
  const trials: [Standing, FenceEntry][] = [
    ["banned", { prefix: exact(addresses.banned), expiresMs: running, reason: "proof", origin: "map" }],
    [
      "expired",
      { prefix: exact(addresses.expired), expiresMs: Math.max(2, nowMs - entryMs), reason: "proof", origin: "map" },
    ],
    [
      "in a banned range",
      { prefix: requirePrefix(addresses.range), expiresMs: running, reason: "proof", origin: "map" },
    ],
  ];
  // Somebody may have banned these ranges for good: then there is nothing to try out in them.
  const free = trials.filter(([, { prefix }]) => !stores.covers(prefix));
  const sources: [Standing, Prefix][] = stores.covers(exact(addresses.free))
    ? []
    : [["not banned", requirePrefix(addresses.free)]];
  try {
    const outcomes = stores.putMany(free.map(([, entry]) => entry));
    for (const [index, [standing, { prefix }]] of free.entries()) {
      // A full map has no room for a trial.
      if (outcomes[index]?.kind === "enforced") sources.push([standing, prefix]);
    }
    for (const [standing, source] of sources) {
      const failure = proveSource(question, standing, source, port);
      if (failure !== undefined) return `${family} ${failure}`;
    }
    return undefined;
  } finally {
    stores.dropMany(free.map(([, { prefix }]) => prefix));
  }
}

function proveSource(question: ProofQuestion, standing: Standing, source: Prefix, port: number): string | undefined {
  const { scope, ports, header, drops } = question;
  const banned = standing === "banned" || standing === "in a banned range";
  for (const [wrapping, shape] of Object.entries(shapes)) {
    if (!isTried(shape, question, banned)) continue;
    for (const destinationPort of [port, otherPort(ports)]) {
      // The port of a later fragment is not in it.
      const guarded = scope === "host" || (destinationPort === port && shape.fragment !== "later");
      if (drops(tcpFrame(source, { ...shape, destinationPort, header })) === (banned && guarded)) continue;
      const where = destinationPort === port ? "the guarded port" : "another port";
      return `${wrapping}, to ${where}, source ${standing}: ${banned && guarded ? "passed" : "dropped"}`;
    }
  }
  return undefined;
}

/** Where tags are, and where it is the ban that decides. */
function isTried(shape: (typeof shapes)[string], { header, judges }: ProofQuestion, banned: boolean): boolean {
  if (header === "none" && shape.vlanTags !== undefined) return false;
  return banned || !judges || shape.fragment !== "first";
}

function otherPort(ports: readonly number[]): number {
  let port = 65_535;
  while (ports.includes(port)) port--;
  return port;
}
