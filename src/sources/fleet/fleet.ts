// SPDX-License-Identifier: Apache-2.0
// This gate as a member of a fleet: joins the shared table, follows it, announces what it does itself, and gives a
// sign of life. Nothing here is waited for by a client or by a verdict. While the engine is away every ban stays as
// it is, and what changed is announced when it is back.
import { randomBytes } from "node:crypto";
import { setImmediate, setTimeout as sleep } from "node:timers/promises";
import type { FleetAddress } from "../../config/fleet_address.ts";
import { formatDuration } from "../../core/duration.ts";
import { EngineClock } from "../../core/fleet/engine_clock.ts";
import type { FleetTable } from "../../core/fleet/fleet_table.ts";
import { type FleetRecord, fleetNamePattern } from "../../core/fleet/record.ts";
import { codeOf, messageOf } from "../../failure.ts";
import type { Log } from "../../log.ts";
import { pause } from "../pause.ts";
import { inTurns } from "../turns.ts";
import type { Engine, EngineSecrets } from "./engine.ts";
import { Follower } from "./follower.ts";
import { members } from "./members.ts";
import { type Hint, hintsOf, page, readHints, recordsOf, shortHints, texts, timeMs } from "./replies.ts";
import { beatCommand, FleetKeys, hintsCommand, readCommand, StrangeKey, strangeKeyOr, writeCommand } from "./script.ts";
import { FleetTroubles } from "./troubles.ts";
import type { FleetAnswer, FleetPeerView, FleetView } from "./view.ts";

export interface FleetOptions {
  readonly address: FleetAddress;
  /** Asked for with each connection: a password or a certificate is replaced while the gate runs. */
  readonly secrets: () => EngineSecrets;
  readonly name: string;
  readonly gate: string;
  readonly version: string;
  readonly table: FleetTable;
  readonly trusts: (gate: string) => boolean;
  /** Who is trusted by name; empty: all are. */
  readonly named: () => readonly string[];
  readonly rate: () => number;
  /** Bans of another gate that may be held. */
  readonly most: () => number;
  /** For tests. */
  readonly readAtMost?: number;
  /** Bans in the gate's own table. */
  readonly bans: () => number;
  readonly nowMs: () => number;
  readonly log: Log;
}

const blockMs = 1500;
const beatMs = 2000;
const announcedAtOnce = 200;
/** A list is not held up by the way to the engine and back. */
const writesAtOnce = 4;
const hintsAtOnce = 500;
const pageSize = 500;
/** Of one gate beyond the bans of it that may be held: one that was written full by somebody is not read to its end. */
const readAtMost = 300_000;
/** One ban comes at once; of many several come together, and following takes half of the time at most. */
const breathLeastMs = 4;
const breathMostMs = 20;
/** What was heard needs no question: the log is looked at for what was not. */
const logEveryMs = 1000;
/** Names of gates that are looked at; anybody may add to them. */
const gatesAtMost = 2000;
/** Everything is read anew so often: what a failover lost comes back that way. */
const fullEveryMs = 600_000;
/** The others have noticed by then that the engine's clock was set; and by then they have announced all anew. */
const clockNoticedMs = 5000;
const clockFollowedMs = 15_000;
/** One gate is read anew no more often. */
const rereadMs = 5000;
/** An engine that is full is tried again so often. */
const fullRetryMs = 1000;
/** A stop waits for the engine no longer. */
const closeMs = 1000;
/** A connection that is lost, and nothing more is known: told where it happens more often, or so many times in a row. */
const seldomMs = 60_000;
const toldFailures = 3;
const retryLeastMs = 200;
const retryMostMs = 2000;

export class Fleet {
  readonly keys: FleetKeys;
  readonly clock = new EngineClock();
  readonly #options: FleetOptions;
  readonly #troubles: FleetTroubles;
  readonly #session = randomBytes(8).toString("hex");
  #ending = new AbortController();
  #engine: Engine | undefined;
  #state: FleetView["state"] = "joining";
  #running: Promise<void> | undefined;
  #position = "0-0";
  /** Of this gate with the engine, as of the last answer; undefined: not known. */
  #records: number | undefined;
  #hasForgotten = false;
  #announced = 0;
  #answeredMs: number | undefined;
  #fullMs = Number.NEGATIVE_INFINITY;
  /** When the engine's clock was set, until what this gate said is announced anew. */
  #clockSetMs: number | undefined;
  #isCaughtUp = false;
  /** What other gates say comes by itself. */
  #isHearing = false;
  /** Rejects when what came could not be taken. */
  #hearing = Promise.withResolvers<never>();
  #hasBeaten = false;
  #wake: () => void = () => {};
  readonly #follower: Follower;

  constructor(options: FleetOptions) {
    this.#options = options;
    this.keys = new FleetKeys(options.name);
    this.#troubles = new FleetTroubles(options.log);
    this.#follower = new Follower({ ...options, keys: this.keys, gatesAtMost });
    options.table.own.onChange = () => this.#wake();
  }

  /** Goes on until `close`, also after one. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#ending = new AbortController();
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    // What was lifted a moment ago is to be known before this gate is gone.
    const last = this.#engine !== undefined && this.#state === "joined" ? this.#announceAll(this.#engine) : undefined;
    await Promise.race([last?.catch(() => {}), sleep(closeMs)]);
    this.#ending.abort();
    this.#engine?.close();
    await Promise.race([this.#running, sleep(closeMs)]);
    this.#running = undefined;
    this.#state = "joining";
  }

  get #readAtMost(): number {
    return this.#options.readAtMost ?? readAtMost;
  }

  get troubles(): readonly string[] {
    return this.#troubles.told();
  }

  /** What is trusted, or how much, is another now. */
  reconfigure(): void {
    this.#fullMs = Number.NEGATIVE_INFINITY;
  }

  view(): FleetView {
    const { name, gate, address, table, nowMs } = this.#options;
    const answeredMs = this.#answeredMs;
    return {
      ...{ name, gate, url: address.text, state: this.#state, troubles: this.troubles },
      ...{ waiting: table.own.waiting, announced: this.#announced },
      answeredSecondsAgo: answeredMs === undefined ? null : (nowMs() - answeredMs) / 1000,
      peers: [...table.peers.keys()].filter((peer) => peer !== gate).map((peer) => this.peerView(peer)),
    };
  }

  peerView(gate: string): FleetPeerView {
    const { table, trusts, nowMs } = this.#options;
    const peer = table.peers.get(gate);
    const { held, taken, lifted, refused } =
      peer === undefined
        ? { held: 0, taken: 0, lifted: 0, refused: {} }
        : { held: peer.held(nowMs()), taken: peer.taken, lifted: peer.lifted, refused: { ...peer.refused } };
    return { gate, trusted: gate === this.#options.gate || trusts(gate), held, taken, lifted, refused };
  }

  /** Asks the engine who is there; what is known without it where it does not answer. */
  async answer(): Promise<FleetAnswer> {
    const engine = this.#engine;
    const view = this.view();
    if (engine === undefined || this.#state === "apart") return { ...view, members: null };
    try {
      const self = this.#options.gate;
      return { ...view, members: await members(engine, this.keys, self, (gate) => this.peerView(gate)) };
    } catch {
      return { ...view, members: null };
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    const { address, secrets, table, nowMs } = this.#options;
    await inTurns(table.recount(nowMs));
    let retryMs = retryLeastMs;
    let lostMs: number | undefined;
    let isSeldom = true;
    let failures = 0;
    let wasVague = false;
    while (!signal.aborted) {
      const begunMs = nowMs();
      const used = secrets();
      try {
        const { Engine } = await import("./engine.ts");
        this.#engine = await Engine.open({ address, ...used, key0: this.keys.log });
        await this.#join(this.#engine, lostMs);
        retryMs = retryLeastMs;
        await this.#belong(this.#engine);
      } catch (error) {
        if (signal.aborted) break;
        if (this.#state === "joined") {
          isSeldom = lostMs === undefined || nowMs() - lostMs > seldomMs;
          lostMs = nowMs();
          failures = 0;
        }
        this.#state = "apart";
        // Whether it is there again, or else why it is not, one of the next attempts says.
        const isVague = isLostConnection(error);
        if (!isVague || !isSeldom || ++failures === toldFailures) {
          if (wasVague && !isVague) this.#troubles.clear("engine");
          this.#troubles.set("engine", `The fleet's engine at ${address.text}: ${reasonOf(error)}`);
          wasVague = isVague;
        }
      } finally {
        this.#engine?.close();
        this.#engine = undefined;
      }
      // Not all gates at the same moment; who waited for an answer in vain has waited already.
      const pauseMs = Math.max(retryLeastMs, retryMs - (nowMs() - begunMs));
      await pause(pauseMs * (0.5 + Math.random()), signal, used, secrets);
      retryMs = Math.min(retryMostMs, retryMs * 2);
    }
  }

  /** Reads what was missed; then announces what the engine does not have. */
  async #join(engine: Engine, lostMs: number | undefined): Promise<void> {
    const { table, rate, nowMs } = this.#options;
    this.clock.restart();
    for (let sample = 0; sample < 4; sample++) await this.#askTime(engine);
    this.#hearing = Promise.withResolvers();
    // Told to who goes on with this session.
    this.#hearing.promise.catch(() => {});
    this.#follower.beginHearing(nowMs() + this.clock.offsetMs, this.#hearing.reject);
    this.#isHearing = await engine.listen(this.keys.said("*"), (message, channel) =>
      this.#follower.hear(channel, message),
    );
    if (lostMs !== undefined) {
      for (const peer of table.peers.values()) peer.credit(rate(), nowMs() - lostMs, nowMs());
    }
    if (!(await this.#canGoOn(engine))) await this.#readAll(engine);
    else if (this.#clockSetMs === undefined) await this.#compareOwn(engine);
    // Where it may not write, it has not joined.
    await this.#beat(engine);
    this.#isCaughtUp = true;
    this.#state = "joined";
    this.#troubles.clear("engine", "The fleet's engine answers, and the shared table is read");
  }

  /** True where the engine still has every hint since the last one that was followed. */
  async #canGoOn(engine: Engine): Promise<boolean> {
    if (!this.#isCaughtUp || this.#options.nowMs() - this.#fullMs > fullEveryMs) return false;
    const [before] = hintsOf(await this.#read(engine, ["XRANGE", this.keys.log, this.#position, "+", "COUNT", "1"]));
    return before?.id === this.#position;
  }

  async #readAll(engine: Engine): Promise<void> {
    const { gate: self, trusts, named, table, nowMs } = this.#options;
    const [last] = hintsOf(await this.#read(engine, ["XREVRANGE", this.keys.log, "+", "-", "COUNT", "1"]));
    const found = texts(await this.#read(engine, ["ZRANGE", this.keys.gates, "0", String(gatesAtMost - 1), "REV"]));
    this.#tellNames(found.length);
    // Whoever adds names to the list of gates drives nobody out who is known.
    for (const gate of new Set([...named(), ...table.peers.keys(), ...found])) {
      if (gate !== self && fleetNamePattern.test(gate) && trusts(gate)) await this.#readGate(engine, gate);
    }
    await this.#compareOwn(engine);
    this.#position = last?.id ?? "0-0";
    this.#fullMs = nowMs();
  }

  async #readGate(engine: Engine, gate: string): Promise<void> {
    const { table, most, nowMs } = this.#options;
    const peer = table.peer(gate);
    peer.isDeferred = false;
    peer.isHollow = false;
    if (peer.isOutdated) return;
    peer.readAtMs = nowMs();
    this.#follower.stale.delete(gate);
    const isFirst = !this.#isCaughtUp;
    try {
      for await (const entries of this.#pages(engine, gate, most() + this.#readAtMost)) {
        table.apply(gate, entries, nowMs(), isFirst);
        if (peer.isDeferred) break;
      }
    } catch (error) {
      // What one gate does to its own keys is no trouble of the others.
      if (!(error instanceof StrangeKey)) throw error;
      peer.refused.malformed++;
    }
  }

  #tellNames(count: number): void {
    if (count < gatesAtMost || this.#options.named().length > 0) this.#troubles.clear("names");
    else
      this.#troubles.set(
        "names",
        `The fleet's list has more than ${gatesAtMost} gates, and not all are followed: name those that are with --fleet-trust`,
      );
  }

  /** Announces again what the engine lost, and what it never had. */
  async #compareOwn(engine: Engine): Promise<void> {
    const { table, gate, nowMs } = this.#options;
    const published = new Map<string, FleetRecord>();
    let read = 0;
    for await (const entries of this.#pages(engine, gate, this.#readAtMost)) {
      table.adopt(entries, nowMs(), published);
      read += entries.length;
    }
    await this.#announceMissing(engine, published, read < this.#readAtMost);
  }

  /** @param isAll whether it is all that the engine has; otherwise it is asked about the rest. */
  async #announceMissing(engine: Engine, published: ReadonlyMap<string, FleetRecord>, isAll: boolean): Promise<void> {
    const { table, nowMs } = this.#options;
    this.#records = undefined;
    table.own.isOverflown = false;
    for (const different of table.compare(published, nowMs)) {
      const sources = isAll ? different : await this.#notPublished(engine, different);
      for (const source of sources) table.own.mark(source);
      await setImmediate();
      // So that what waits never overflows while the table is gone through.
      if (table.own.waiting > announcedAtOnce * writesAtOnce) await this.#announceAll(engine);
    }
  }

  /** Of more records than are read, these are asked for. */
  async #notPublished(engine: Engine, sources: readonly string[]): Promise<readonly string[]> {
    if (sources.length === 0) return sources;
    const { table, gate, nowMs } = this.#options;
    const reply = await this.#read(engine, ["HMGET", this.keys.records(gate), ...sources]);
    return recordsOf(reply, sources).flatMap(([source, text]) =>
      table.isDifferent(source, text, nowMs()) ? [source] : [],
    );
  }

  /** Records of a gate, so many at most. */
  async *#pages(engine: Engine, gate: string, most: number): AsyncGenerator<readonly [string, string][]> {
    const key = this.keys.records(gate);
    let cursor = "0";
    let read = 0;
    do {
      const { cursor: next, entries } = page(
        await this.#read(engine, ["HSCAN", key, cursor, "COUNT", String(pageSize)]),
      );
      yield entries;
      read += entries.length;
      cursor = next;
      await setImmediate();
    } while (cursor !== "0" && read < most);
  }

  /** Until something goes wrong or the gate stops. */
  async #belong(engine: Engine): Promise<void> {
    const session = new AbortController();
    const signal = AbortSignal.any([session.signal, this.#ending.signal]);
    signal.addEventListener("abort", () => this.#wake(), { once: true });
    const work = [this.#follow(engine, signal), this.#announce(engine, signal), this.#live(engine, signal)];
    try {
      await Promise.race([...work, engine.lost, this.#hearing.promise]);
    } finally {
      session.abort();
      engine.close();
      await Promise.allSettled(work);
    }
  }

  async #follow(engine: Engine, signal: AbortSignal): Promise<void> {
    const { nowMs } = this.#options;
    while (!signal.aborted) {
      const hints = await this.#hints(engine);
      this.#answeredMs = nowMs();
      const begunMs = nowMs();
      await this.#follower.take(hints, (command) => this.#read(engine, command));
      this.#position = hints.at(-1)?.id ?? this.#position;
      const breathMs = this.#breathMs(hints.length, nowMs() - begunMs);
      if (breathMs > 0) await sleep(breathMs, undefined, { signal }).catch(() => {});
    }
  }

  async #hints(engine: Engine): Promise<Hint[]> {
    const { log } = this.keys;
    if (this.#isHearing) {
      const command = hintsCommand(this.keys, hintsAtOnce, this.#position);
      return shortHints(await this.#askAbout(engine, command));
    }
    const command = ["XREAD", "COUNT", String(hintsAtOnce), "BLOCK", String(blockMs), "STREAMS", log, this.#position];
    return readHints(await engine.wait(command, blockMs));
  }

  /** Until the log is looked at again. */
  #breathMs(hints: number, tookMs: number): number {
    if (this.#isHearing && hints < hintsAtOnce)
      return this.#follower.isMissing(this.#options.nowMs()) ? breathMostMs : logEveryMs;
    return hints === 0 ? 0 : Math.min(breathMostMs, Math.max(breathLeastMs, tookMs));
  }

  async #announce(engine: Engine, signal: AbortSignal): Promise<void> {
    const { own } = this.#options.table;
    while (!signal.aborted) {
      if (this.#troubles.has("full")) await sleep(fullRetryMs, undefined, { signal }).catch(() => {});
      else if (own.waiting === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
      await this.#announceAll(engine);
    }
  }

  async #announceAll(engine: Engine): Promise<void> {
    const { own } = this.#options.table;
    while (own.waiting > 0) {
      const writes: Promise<boolean>[] = [];
      while (own.waiting > 0 && writes.length < writesAtOnce)
        writes.push(this.#announceSome(engine, own.take(announcedAtOnce)));
      // Each marks again what it could not announce, before this goes on.
      await Promise.allSettled(writes);
      if (!(await Promise.all(writes)).every((hasRoom) => hasRoom)) return;
    }
  }

  /** @returns false when the engine has no room. */
  async #announceSome(engine: Engine, sources: readonly string[]): Promise<boolean> {
    const { table, gate, nowMs } = this.#options;
    const madeMs = nowMs();
    const announcements = sources.flatMap((source) => table.announcement(source, madeMs) ?? []);
    if (announcements.length === 0) return true;
    const writing = { announcements, engineMs: madeMs + this.clock.offsetMs, isSaid: this.#isHearing };
    try {
      const reply = await this.#write(engine, writeCommand(this.keys, gate, writing));
      const [, records, over] = Array.isArray(reply) ? reply : [];
      this.#countRecords(Number(records), Number(over));
      this.#announced += announcements.length;
      return true;
    } catch (error) {
      for (const source of sources) table.own.mark(source);
      if (!this.#isFull(error)) throw error;
      return false;
    }
  }

  async #live(engine: Engine, signal: AbortSignal): Promise<void> {
    const { table, nowMs } = this.#options;
    while (!signal.aborted) {
      await this.#beat(engine);
      await this.#askTime(engine);
      table.own.forget(nowMs());
      this.#tellRefusals();
      if (nowMs() - this.#fullMs > fullEveryMs) await this.#readAll(engine);
      else if (table.own.isOverflown) await this.#compareOwn(engine);
      if (this.#isClockNoticed()) await this.#announceMissing(engine, new Map(), true);
      for (const { name, isDeferred, isHollow, readAtMs } of table.peers.values()) {
        const isStale = isDeferred || isHollow || this.#follower.stale.has(name);
        if (isStale && nowMs() - readAtMs > rereadMs) await this.#readGate(engine, name);
      }
      await sleep(beatMs, undefined, { signal }).catch(() => {});
    }
  }

  async #beat(engine: Engine): Promise<void> {
    const { gate, version, bans, nowMs } = this.#options;
    const beat = { gate, session: this.#session, position: this.#position, version, bans: bans() };
    let reply: unknown;
    try {
      reply = await this.#write(engine, beatCommand(this.keys, beat));
    } catch (error) {
      if (!this.#isFull(error)) throw error;
      return;
    }
    const [session, seen, records, now] = Array.isArray(reply) ? reply : [];
    // Before the first beat, it is the process in whose place this one came.
    const isElsewhere = this.#hasBeaten && typeof session === "string" && session !== this.#session;
    this.#hasBeaten = true;
    if (isElsewhere && Number(now) - Number(seen) < 2 * beatMs) {
      this.#troubles.set(
        "name",
        `Another gate calls itself "${gate}" in this fleet: give each a --fleet-gate of its own`,
      );
    } else this.#troubles.clear("name");
    this.#countRecords(Number(records), 0);
    if (this.#hasForgotten) {
      this.#hasForgotten = false;
      this.#troubles.set("lost", "The fleet's engine lost what was announced: it is announced again");
      await this.#readAll(engine);
    } else this.#troubles.clear("lost");
    this.#answeredMs = nowMs();
  }

  /**
   * Of each answer, in their order: a write after a loss must not hide it.
   * @param over taken out with this command.
   */
  #countRecords(records: number, over: number): void {
    // Fewer than there were, although nothing else was taken out since: the engine forgot, or threw out.
    if (this.#records !== undefined && records < this.#records - over) this.#hasForgotten = true;
    this.#records = records;
  }

  async #askTime(engine: Engine): Promise<void> {
    const { nowMs, table } = this.#options;
    const sentMs = nowMs();
    const reply = await this.#ask(engine, ["TIME"]);
    this.clock.sample(sentMs, timeMs(reply), nowMs());
    const byMs = table.setClock(this.clock.offsetMs);
    if (byMs === 0) return;
    const by = `${formatDuration(Math.abs(byMs))} ${byMs > 0 ? "forward" : "back"}`;
    this.#options.log(
      "warn",
      `The clock of the fleet's engine was set ${by}: no end of a ban moves, and all is announced anew`,
    );
    this.#clockSetMs = nowMs();
    this.#fullMs = Math.min(this.#fullMs, nowMs() - fullEveryMs + clockFollowedMs);
  }

  #isClockNoticed(): boolean {
    if (this.#clockSetMs === undefined || this.#options.nowMs() - this.#clockSetMs < clockNoticedMs) return false;
    this.#clockSetMs = undefined;
    return true;
  }

  async #ask(engine: Engine, command: string[]): Promise<unknown> {
    const reply = await engine.send(command);
    this.#answeredMs = this.#options.nowMs();
    return reply;
  }

  #read(engine: Engine, command: string[]): Promise<unknown> {
    return this.#askAbout(engine, readCommand(this.keys, command), command);
  }

  /** @param about the command that a script runs. @throws StrangeKey */
  async #askAbout(engine: Engine, script: string[], about = script): Promise<unknown> {
    try {
      return await this.#ask(engine, script);
    } catch (error) {
      throw strangeKeyOr(error, about);
    }
  }

  async #write(engine: Engine, command: string[]): Promise<unknown> {
    const reply = await this.#askAbout(engine, command);
    this.#troubles.clear("full", "The fleet's engine takes writes again");
    return reply;
  }

  /** The engine has no room, or does not write for another reason of its own: reading goes on. */
  #isFull(error: unknown): boolean {
    const message = messageOf(error);
    if (!/\b(OOM|MISCONF|NOREPLICAS)\b/.test(message)) return false;
    this.#troubles.set("full", `The fleet's engine takes no writes: ${message.split("\n")[0]}; bans are not announced`);
    return true;
  }

  #tellRefusals(): void {
    for (const { name, refused, isDeferred, hollow, isHollow } of this.#options.table.peers.values()) {
      const { rate, most, room, wide, malformed } = refused;
      const told = Object.entries({ rate, most, room, wide, malformed }).filter(([, count]) => count > 0);
      this.#troubles.refusals(`gate ${name}`, told, isDeferred);
      if (hollow > 0) this.#troubles.refusals(`log in the name of ${name}`, [["hollow", hollow]], isHollow);
    }
  }
}

/** Nothing but that: not why. */
function isLostConnection(error: unknown): boolean {
  const isEnd = /^(Socket closed unexpectedly|The client is (closed|offline))/.test(messageOf(error));
  return isEnd || ["ECONNRESET", "EPIPE"].includes(codeOf(error) ?? "");
}

/** What the client library stumbles over is no answer. */
function reasonOf(error: unknown): string {
  const isNoAnswer = error instanceof TypeError || error instanceof RangeError;
  if (isNoAnswer) return `its answers are not those of a Redis or Valkey server (${messageOf(error)})`;
  const isForbidden = /\bNOPERM\b|user executing the script can't/.test(messageOf(error));
  return isForbidden ? `${messageOf(error)}: docs/fleet.md has what its user has to be allowed` : messageOf(error);
}
