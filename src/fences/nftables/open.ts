// SPDX-License-Identifier: Apache-2.0
// Opens the nftables fence: over the table that a process before left behind, or a new one.
import process from "node:process";
import { Failure, messageOf } from "../../failure.ts";
import { bootId } from "../../host/boot_id.ts";
import { startTicks } from "../../host/start_ticks.ts";
import { openLibc } from "../../kernel/libc.ts";
import type { FenceOptions } from "../options.ts";
import { Entries } from "./entries.ts";
import { type Listing, ListingReader } from "./listing.ts";
import { look } from "./look.ts";
import { nft, nftMissing } from "./nft.ts";
import { type Guarding, NftFence } from "./nft_fence.ts";
import { family, ownerChain, ownerOf, type Shape, setOf, tableOf } from "./ruleset.ts";
import { Table } from "./table.ts";

export interface NftFenceOptions extends FenceOptions {
  /** The gate that has the table hands over. */
  readonly isInherited: boolean;
  /** Takes up what a table from before holds; otherwise the bans are known from elsewhere, and it is emptied. */
  readonly adopts: boolean;
  /** Told how long each ban took to get into the kernel. */
  readonly onEnforced: (milliseconds: number) => void;
}

/** @throws Failure when nft is not there or refuses, or another gate has the table. */
export async function openNftFence(options: NftFenceOptions): Promise<NftFence> {
  const { native, map, interfaces, ports, scope, ipv6PrefixBits, isInherited, adopts, onEnforced, nowMs, log } =
    options;
  const name = tableOf(map);
  const guarding: Guarding = { places: interfaces, ports: scope === "host" ? "all" : ports };
  const entries = new Entries();
  const before = await lookAt(name);
  const isRestored = before.owners.length > 0 && before.owners.every(isOfAnotherBoot);
  const isEmptied = before.isThere && (!adopts || isRestored);
  if (before.isThere && !isEmptied) await adopt(name, entries, nowMs);
  const living = before.owners.find(isLiving);
  if (living !== undefined && !isInherited) {
    const remedy = "stop it first, or name another map";
    throw new Failure(`The nftables table "${name}": the gate with pid ${ownerOf(living)?.pid} is using it: ${remedy}`);
  }
  const owner = ownerChain({ pid: process.pid, ticks: startTicks(process.pid) ?? "", boot: thisBoot() });
  const single = [setOf({ ipv4: true, bits: 128 }), setOf({ ipv4: false, bits: ipv6PrefixBits })];
  const shape = (): Shape => ({
    table: name,
    ...guarding,
    sets: [...new Set([...single, ...entries.sets])],
    owner,
  });
  const table = new Table(
    { libc: openLibc(native), entries, shape, onEnforced, nowMs, log },
    { owners: before.owners.filter((chain) => chain !== owner), isEmptied },
  );
  try {
    await table.begin();
  } catch (error) {
    throw new Failure(explained(messageOf(error)), { exitCode: 3, cause: error });
  }
  if (isRestored) {
    log(
      "info",
      `The nftables table "${name}" was there from another boot of this host, and is made anew: leave it out of saved rules`,
    );
  }
  if (entries.size > 0) log("info", `The nftables table "${name}" has ${entries.size} bans from before`);
  log("info", `Bans are in the nftables table "${family} ${name}"`);
  return new NftFence({ name, table, entries, guarding, ipv6PrefixBits, stoodBefore: before.isThere, nowMs, log });
}

/** Takes up what it holds. */
async function adopt(name: string, entries: Entries, nowMs: () => number): Promise<void> {
  const reader = new ListingReader(name, (element) => void entries.adopt(element, nowMs()));
  await nft(["--json", "list", "table", family, name], { onText: (text) => reader.push(text) });
  reader.end();
}

function thisBoot(): string {
  return bootId(process.env)?.slice(0, 8) ?? "";
}

/** Rules were saved while a gate was running, and loaded when the host was started: its bans are of then. */
function isOfAnotherBoot(chain: string): boolean {
  const [boot, now] = [ownerOf(chain)?.boot ?? "", thisBoot()];
  return boot !== "" && now !== "" && boot !== now;
}

/** The table but for its elements. @throws Failure when nft is not there, or may not look. */
export async function lookAt(name: string): Promise<Listing> {
  try {
    return await look(name);
  } catch (error) {
    throw new Failure(explained(messageOf(error)), { exitCode: 3, cause: error });
  }
}

/** In another PID namespace it cannot be seen: then the one that came last has the table, and the other one says so. */
export function isLiving(chain: string): boolean {
  const owner = ownerOf(chain);
  return owner !== undefined && owner.ticks !== "" && !isOfAnotherBoot(chain) && startTicks(owner.pid) === owner.ticks;
}

function explained(message: string): string {
  if (message === nftMissing) return `Cannot block by nftables: ${nftMissing}`;
  const remedy = /not permitted/i.test(message)
    ? "run as root, or add CAP_NET_ADMIN to AmbientCapabilities= in the unit"
    : `look at "nft list ruleset ${family}"`;
  return `Cannot block by nftables: ${message}: ${remedy}`;
}
