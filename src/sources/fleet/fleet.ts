// SPDX-License-Identifier: Apache-2.0
// This gate as a member of a fleet: joins the shared table, follows it, announces what it does itself, and gives a
// sign of life. Nothing here is waited for by a client or by a verdict. While the engine is away every ban stays as
// it is, and what changed is announced when it is back.
import { randomBytes } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import type { FleetAddress } from "../../config/fleet_address.ts";
import { formatDuration } from "../../core/duration.ts";
import { EngineClock } from "../../core/fleet/engine_clock.ts";
import type { FleetTable } from "../../core/fleet/fleet_table.ts";
import type { Log } from "../../log.ts";
import { pause } from "../pause.ts";
import { inTurns } from "../turns.ts";
import { Announcer } from "./announcer.ts";
import type { EngineSecrets } from "./engine.ts";
import { Losses } from "./losses.ts";
import { members } from "./members.ts";
import { Reader } from "./reader.ts";
import { timeMs } from "./replies.ts";
import { beatCommand, FleetKeys } from "./script.ts";
import { Session } from "./session.ts";
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

const beatMs = 2000;
/** Of one gate beyond the bans of it that may be held: one that was written full by somebody is not read to its end. */
const readAtMost = 300_000;
/** The others have noticed by then that the engine's clock was set; and by then they have announced all anew. */
const clockNoticedMs = 5000;
const clockFollowedMs = 15_000;
/** A stop waits for the engine no longer. */
const closeMs = 1000;
/** One that throws out again and again does so in the status too, and once in the log. */
const forgotToldMs = 60_000;
const retryLeastMs = 200;
const retryMostMs = 2000;

export class Fleet {
  readonly keys: FleetKeys;
  readonly clock = new EngineClock();
  readonly #options: FleetOptions;
  readonly #troubles: FleetTroubles;
  readonly #losses: Losses;
  readonly #reader: Reader;
  readonly #announcer: Announcer;
  readonly #id = randomBytes(8).toString("hex");
  #ending = new AbortController();
  #session: Session | undefined;
  #state: FleetView["state"] = "joining";
  #running: Promise<void> | undefined;
  #answeredMs: number | undefined;
  /** When the engine had lost what was announced. */
  #forgotMs = Number.NEGATIVE_INFINITY;
  /** When the engine's clock was set, until what this gate said is announced anew. */
  #clockSetMs: number | undefined;
  /** Rejects when what came could not be taken. */
  #hearing = Promise.withResolvers<never>();
  #hasBeaten = false;

  constructor(options: FleetOptions) {
    this.#options = options;
    const { address, name, log } = options;
    this.keys = new FleetKeys(name);
    this.#troubles = new FleetTroubles(log);
    this.#losses = new Losses(address.text, this.#troubles);
    const parts = {
      ...{ ...options, keys: this.keys, clock: this.clock, troubles: this.#troubles },
      ...{ readAtMost: options.readAtMost ?? readAtMost, onAnswer: () => this.#answered() },
    };
    this.#reader = new Reader(parts);
    this.#announcer = new Announcer(parts);
  }

  /** Goes on until `close`, also after one. */
  start(): void {
    if (this.#running !== undefined) return;
    this.#ending = new AbortController();
    this.#running = this.#run();
  }

  async close(): Promise<void> {
    // What was lifted a moment ago is to be known before this gate is gone.
    const isJoined = this.#session !== undefined && this.#state === "joined";
    const last = isJoined ? this.#announcer.all(this.#session as Session) : undefined;
    await Promise.race([last?.catch(() => {}), sleep(closeMs)]);
    this.#ending.abort();
    this.#session?.engine.close();
    await Promise.race([this.#running, sleep(closeMs)]);
    this.#running = undefined;
    this.#state = "joining";
  }

  get troubles(): readonly string[] {
    return this.#troubles.told();
  }

  /** What is trusted, or how much, is another now. */
  reconfigure(): void {
    this.#reader.dueWithin(0);
  }

  view(): FleetView {
    const { name, gate, address, table, nowMs } = this.#options;
    const answeredMs = this.#answeredMs;
    return {
      ...{ name, gate, url: address.text, state: this.#state, troubles: this.troubles },
      ...{ waiting: table.own.waiting, announced: this.#announcer.announced },
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
    const session = this.#session;
    const view = this.view();
    if (session === undefined || this.#state === "apart") return { ...view, members: null };
    try {
      const self = this.#options.gate;
      return { ...view, members: await members(session.engine, this.keys, self, (gate) => this.peerView(gate)) };
    } catch {
      return { ...view, members: null };
    }
  }

  async #run(): Promise<void> {
    const { signal } = this.#ending;
    const { secrets, table, nowMs } = this.#options;
    await inTurns(table.recount(nowMs));
    let retryMs = retryLeastMs;
    while (!signal.aborted) {
      const begunMs = nowMs();
      const used = secrets();
      try {
        this.#session = await this.#connect(used);
        await this.#join(this.#session);
        retryMs = retryLeastMs;
        await this.#belong(this.#session);
      } catch (error) {
        if (signal.aborted) break;
        this.#losses.failed(error, this.#state === "joined", nowMs());
        this.#state = "apart";
      } finally {
        this.#session?.engine.close();
        this.#session = undefined;
      }
      // Not all gates at the same moment; who waited for an answer in vain has waited already.
      const pauseMs = Math.max(retryLeastMs, retryMs - (nowMs() - begunMs));
      await pause(pauseMs * (0.5 + Math.random()), signal, used, secrets);
      retryMs = Math.min(retryMostMs, retryMs * 2);
    }
  }

  async #connect(secrets: EngineSecrets): Promise<Session> {
    const { Engine } = await import("./engine.ts");
    const engine = await Engine.open({ address: this.#options.address, ...secrets, key0: this.keys.log });
    return new Session({ engine, keys: this.keys, troubles: this.#troubles, onAnswer: () => this.#answered() });
  }

  /** Reads what was missed; then announces what the engine does not have. */
  async #join(session: Session): Promise<void> {
    const { table, rate, nowMs } = this.#options;
    this.clock.restart();
    for (let sample = 0; sample < 4; sample++) await this.#askTime(session);
    await this.#hear(session);
    const { lostMs } = this.#losses;
    if (lostMs !== undefined) {
      for (const peer of table.peers.values()) peer.credit(rate(), nowMs() - lostMs, nowMs());
    }
    if (!(await this.#reader.canGoOn(session))) await this.#readAll(session);
    else if (this.#clockSetMs === undefined) await this.#announcer.compare(session);
    // Where it may not write, it has not joined.
    await this.#beat(session);
    this.#reader.caughtUp();
    this.#state = "joined";
    this.#losses.joined();
  }

  async #hear(session: Session): Promise<void> {
    const { follower } = this.#reader;
    this.#hearing = Promise.withResolvers();
    // Told to who goes on with this session.
    this.#hearing.promise.catch(() => {});
    follower.beginHearing(this.#options.nowMs() + this.clock.offsetMs, this.#hearing.reject);
    session.isHearing = await session.engine.listen(this.keys.said("*"), (message, channel) =>
      follower.hear(channel, message),
    );
  }

  #readAll(session: Session): Promise<void> {
    return this.#reader.all(session, () => this.#announcer.compare(session));
  }

  /** Until something goes wrong or the gate stops. */
  async #belong(session: Session): Promise<void> {
    const over = new AbortController();
    const signal = AbortSignal.any([over.signal, this.#ending.signal]);
    const work = [this.#reader.run(session, signal), this.#announcer.run(session, signal), this.#live(session, signal)];
    try {
      await Promise.race([...work, session.engine.lost, this.#hearing.promise]);
    } finally {
      over.abort();
      session.engine.close();
      await Promise.allSettled(work);
    }
  }

  async #live(session: Session, signal: AbortSignal): Promise<void> {
    const { table, nowMs } = this.#options;
    while (!signal.aborted) {
      await this.#beat(session);
      this.#losses.tick(nowMs());
      table.own.forget(nowMs());
      this.#troubles.tellRefusals(table.peers.values());
      if (this.#reader.isDue) await this.#readAll(session);
      else if (table.own.isOverflown) await this.#announcer.compare(session);
      if (this.#isClockNoticed()) await this.#announcer.anew(session);
      await this.#reader.stale(session);
      await sleep(beatMs, undefined, { signal }).catch(() => {});
    }
  }

  /** A sign of life; the answer has the engine's time. */
  async #beat(session: Session): Promise<void> {
    const { gate, version, bans, nowMs } = this.#options;
    const beat = { gate, session: this.#id, position: this.#reader.position, version, bans: bans() };
    const sentMs = nowMs();
    let reply: unknown;
    try {
      reply = await session.write(beatCommand(this.keys, beat));
    } catch (error) {
      if (!this.#troubles.isFull(error)) throw error;
      await this.#askTime(session);
      return;
    }
    const [id, seen, records, ...time] = Array.isArray(reply) ? reply : [];
    const engineMs = timeMs(time);
    this.#sampleClock(sentMs, engineMs);
    // Before the first beat, it is the process in whose place this one came.
    const isElsewhere = this.#hasBeaten && typeof id === "string" && id !== this.#id;
    this.#hasBeaten = true;
    if (isElsewhere && engineMs - Number(seen) < 2 * beatMs) {
      this.#troubles.set(
        "name",
        `Another gate calls itself "${gate}" in this fleet: give each a --fleet-gate of its own`,
      );
    } else this.#troubles.clear("name");
    this.#announcer.count(Number(records), 0);
    if (this.#announcer.hasForgotten) {
      this.#announcer.hasForgotten = false;
      this.#forgotMs = nowMs();
      this.#troubles.set("lost", "The fleet's engine lost what was announced: it is announced again");
      await this.#readAll(session);
    } else if (nowMs() - this.#forgotMs > forgotToldMs) this.#troubles.clear("lost");
  }

  async #askTime(session: Session): Promise<void> {
    const sentMs = this.#options.nowMs();
    const reply = await session.ask(["TIME"]);
    this.#sampleClock(sentMs, timeMs(reply));
  }

  /** @param sentMs when the engine was asked; it answered now. */
  #sampleClock(sentMs: number, engineMs: number): void {
    const { nowMs, table } = this.#options;
    this.clock.sample(sentMs, engineMs, nowMs());
    const byMs = table.setClock(this.clock.offsetMs);
    if (byMs === 0) return;
    const by = `${formatDuration(Math.abs(byMs))} ${byMs > 0 ? "forward" : "back"}`;
    this.#options.log(
      "warn",
      `The clock of the fleet's engine was set ${by}: no end of a ban moves, and all is announced anew`,
    );
    this.#clockSetMs = nowMs();
    this.#reader.dueWithin(clockFollowedMs);
  }

  #isClockNoticed(): boolean {
    if (this.#clockSetMs === undefined || this.#options.nowMs() - this.#clockSetMs < clockNoticedMs) return false;
    this.#clockSetMs = undefined;
    return true;
  }

  #answered(): void {
    this.#answeredMs = this.#options.nowMs();
  }
}
