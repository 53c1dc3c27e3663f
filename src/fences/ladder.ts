// SPDX-License-Identifier: Apache-2.0
// The fences of a daemon as one, from the best to the last resort: XDP (or tc) where an interface takes it, nftables
// where it does not, user space where neither holds. Each fence gets every ban; the first is the one whose room is
// managed and whose entries are read back.
import { setImmediate } from "node:timers/promises";
import type { Prefix } from "../core/address.ts";
import {
  type EntryTest,
  type Fence,
  type FenceEntry,
  type FenceOutcome,
  type FencePlace,
  type FenceRecord,
  type FenceStatus,
  nowhere,
} from "../core/bans/fence.ts";
import { OneAtATime } from "../core/one_at_a_time.ts";
import { messageOf } from "../failure.ts";
import type { Log } from "../log.ts";
import type { NftFence } from "./nftables/nft_fence.ts";
import { interfaceMissing } from "./xdp/attach/attachment.ts";
import type { InlineGate, InlineJudge } from "./xdp/inline/inline_judge.ts";
import type { XdpFence } from "./xdp/xdp_fence.ts";

/** How often it is tried again to have nftables where XDP is refused. */
const retryMs = 60_000;

/** From the strongest to the weakest. */
const strengths: readonly string[] = ["native", "generic", "tc", "nftables", "none"];

export interface LadderParts {
  /** One of the two at least. */
  readonly xdp?: XdpFence | undefined;
  readonly nft?: NftFence | undefined;
  /** Opens the second fence for interfaces that the first cannot guard; undefined: there is to be none. */
  readonly openNft?: ((guarding: NftGuarding) => Promise<NftFence>) | undefined;
  readonly ports: readonly number[];
  readonly scope: "port" | "host";
  readonly log: Log;
}

export interface NftGuarding {
  readonly interfaces: readonly string[];
  readonly ports: readonly number[];
  readonly scope: "port" | "host";
}

export class Ladder implements Fence {
  readonly #xdp: XdpFence | undefined;
  #nft: NftFence | undefined;
  readonly #openNft: LadderParts["openNft"];
  readonly #log: Log;
  #guarded: { readonly ports: readonly number[]; readonly scope: "port" | "host" };
  #triedMs = Number.NEGATIVE_INFINITY;
  readonly #stepping = new OneAtATime((nowMs: number) => this.#step(nowMs));
  #isClosed = false;
  /** Why there is no second fence, when last tried. */
  #noNft: string | undefined;
  /** By interface: what was said of it last. */
  readonly #said = new Map<string, string>();

  constructor({ xdp, nft, openNft, ports, scope, log }: LadderParts) {
    this.#xdp = xdp;
    this.#nft = nft;
    this.#openNft = openNft;
    this.#guarded = { ports, scope };
    this.#log = log;
  }

  get #first(): Fence {
    const first = this.#xdp ?? this.#nft;
    if (first === undefined) throw new Error("There is no fence");
    return first;
  }

  /** The fence behind the first; undefined where there is none. */
  get #second(): NftFence | undefined {
    return this.#xdp === undefined ? undefined : this.#nft;
  }

  /** Something of a process before was there. */
  get stoodBefore(): boolean {
    return this.#xdp?.stoodBefore === true || this.#nft?.stoodBefore === true;
  }

  get judge(): InlineJudge | undefined {
    return this.#xdp?.judge;
  }

  /** Paths of everything that is pinned: a user who takes over is to own them. */
  get pins(): readonly string[] {
    return this.#xdp?.pins ?? [];
  }

  mapOf(prefix: Prefix): string {
    return this.#first.mapOf(prefix);
  }

  /** @returns what the first did; what the second could not do is among its faults. */
  put(entry: FenceEntry): FenceOutcome {
    this.#second?.put(entry);
    return this.#first.put(entry);
  }

  putMany(entries: readonly FenceEntry[]): readonly FenceOutcome[] {
    this.#second?.putMany(entries);
    return this.#first.putMany(entries);
  }

  drop(prefix: Prefix): boolean {
    return this.dropMany([prefix]) === 1;
  }

  dropMany(prefixes: readonly Prefix[]): number {
    this.#second?.dropMany(prefixes);
    return this.#first.dropMany(prefixes);
  }

  *records(isWanted?: EntryTest): Generator<readonly FenceRecord[], void, void> {
    // What the second fence has dropped is not known by the first.
    const isAll = this.#second !== undefined;
    for (const slice of this.#first.records(isAll ? undefined : isWanted)) {
      yield isAll ? slice.map((record) => this.#counted(record)) : slice;
    }
  }

  record(prefix: Prefix): FenceRecord | undefined {
    const record = this.#first.record(prefix);
    return record && this.#counted(record);
  }

  /** With what the second fence dropped. */
  #counted(record: FenceRecord): FenceRecord {
    const other = this.#second?.record(record.prefix);
    if (other === undefined || other.packets === 0) return record;
    return {
      ...record,
      packets: record.packets + other.packets,
      bytes: record.bytes + other.bytes,
      lastSeenMs: Math.max(record.lastSeenMs ?? 0, other.lastSeenMs ?? 0),
    };
  }

  status(): FenceStatus {
    const first = this.#first.status();
    const second = this.#second?.status();
    const all = second === undefined ? [first] : [first, second];
    const places = first.places.map((place) => this.#place(place, second));
    const weakest = places.toSorted((a, b) => strengths.indexOf(b.attach) - strengths.indexOf(a.attach))[0];
    const proofs = all.flatMap(({ proof }) => proof ?? []);
    return {
      ...first,
      fence: all.map(({ fence }) => fence).join("+"),
      places,
      weakest,
      droppedPackets: all.reduce((sum, { droppedPackets }) => sum + droppedPackets, 0),
      droppedBytes: all.reduce((sum, { droppedBytes }) => sum + droppedBytes, 0),
      maps: all.flatMap(({ maps }) => maps),
      proof: proofs.find(({ passed }) => !passed) ?? proofs[0],
      faults: [...openFault(first, weakest), ...all.flatMap(({ faults }) => faults)],
    };
  }

  #place(place: FencePlace, second: FenceStatus | undefined): FencePlace {
    if (place.attach !== "none" || place.reason === interfaceMissing) return place;
    const other = second?.places.find(({ name }) => name === place.name);
    if (other !== undefined && other.attach !== "none") return { ...place, attach: other.attach };
    const why = [place.reason, other?.reason ?? this.#noNft].filter((reason) => reason !== undefined);
    return { ...place, reason: why.join("; ") };
  }

  ask(address: Prefix): "drop" | "pass" | undefined {
    return this.#xdp?.ask(address);
  }

  cover(places: readonly string[]): void {
    this.#first.cover(places);
  }

  tick(nowMs: number): void {
    this.#xdp?.tick(nowMs);
    this.#nft?.tick();
    void this.descend(nowMs);
  }

  /** These ports are guarded from now on and no others. @throws Failure when they are too many, KernelError */
  guard(ports: readonly number[], scope: "port" | "host"): void {
    this.#xdp?.guard(ports, scope);
    this.#guarded = { ports, scope };
    this.#nft?.guard(scope === "host" ? "all" : ports);
  }

  /** Replaces maps that no ban can be written into any more. @returns true when it did. */
  renew(nowMs: number, gates: readonly InlineGate[]): boolean {
    return this.#xdp?.renew(nowMs, gates) === true;
  }

  /** A process that was to take over did not. @throws KernelError */
  reclaim(nowMs: number): void {
    this.#nft?.reclaim();
    this.#xdp?.reclaim(nowMs);
  }

  /** Another process has maps, links and table now. */
  handOver(): void {
    this.#isClosed = true;
    this.#xdp?.handOver();
    this.#nft?.handOver();
  }

  async close(keep: boolean): Promise<void> {
    this.#isClosed = true;
    await this.#stepping.idle();
    await this.#nft?.close(keep);
    this.#xdp?.close(keep);
  }

  /** Leaves to nftables what XDP cannot guard, as the interfaces are now. */
  descend(nowMs: number): Promise<void> {
    return this.#stepping.run(nowMs);
  }

  async #step(nowMs: number): Promise<void> {
    if (this.#xdp === undefined || this.#openNft === undefined || this.#isClosed) return;
    const { places, managedBy } = this.#xdp.held();
    const open = places.filter(({ attach, reason }) => attach === "none" && reason !== interfaceMissing);
    const interfaces = managedBy === undefined ? open.map(({ name }) => name) : [];
    if (this.#nft !== undefined) this.#nft.cover(interfaces);
    else if (interfaces.length > 0 && nowMs - this.#triedMs >= retryMs) {
      this.#triedMs = nowMs;
      await this.#openSecond(interfaces, this.#openNft);
    }
    for (const name of this.#said.keys()) if (!interfaces.includes(name)) this.#said.delete(name);
    for (const name of interfaces) this.#say(name);
  }

  async #openSecond(interfaces: readonly string[], openNft: NonNullable<LadderParts["openNft"]>): Promise<void> {
    try {
      const nft = await openNft({ interfaces, ...this.#guarded });
      this.#nft = nft;
      this.#noNft = undefined;
      for (const slice of this.#first.records()) {
        nft.putMany(slice);
        await setImmediate();
      }
    } catch (error) {
      this.#noNft = messageOf(error);
    }
  }

  #say(name: string): void {
    const text = this.#noNft === undefined ? "guarded by nftables" : `blocked in user space only: ${this.#noNft}`;
    if (this.#said.get(name) === text) return;
    this.#said.set(name, text);
    this.#log(this.#noNft === undefined ? "info" : "warn", `Interface "${name}": ${text}`);
  }
}

/** Nothing holds anywhere, or not at one of the places. */
function openFault({ managedBy, faults }: FenceStatus, worst: FencePlace | undefined): readonly string[] {
  if (managedBy !== undefined || (worst !== undefined && worst.attach !== "none")) return [];
  const reason = worst?.reason ?? nowhere;
  return faults.includes(reason) ? [] : [`The kernel does not block: ${reason}`];
}
