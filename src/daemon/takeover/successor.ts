// SPDX-License-Identifier: Apache-2.0
// The side of the process that takes over (--takeover): asks the gate that runs for its listeners, its table and its
// kernel objects, and says when it serves. Whatever fails here before that ends this process alone.

import { setTimeout } from "node:timers/promises";
import { formatStatus, type HostPort, type StatusAddress } from "../../config/endpoints.ts";
import type { Config } from "../../config/options.ts";
import { formatEndpoint, isWildcard, type Prefix } from "../../core/address.ts";
import type { BanChange, BanFollower } from "../../core/bans/change.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import { codeOf, Failure, messageOf } from "../../failure.ts";
import type { HandedMap, Inherited } from "../../fences/xdp/inherited.ts";
import { type Libc, openLibc } from "../../kernel/libc.ts";
import { connectPackets } from "../../kernel/packet_socket.ts";
import type { Log } from "../../log.ts";
import { type Runtime, silentEvents } from "../../runtime/types.ts";
import { type Instance, runningInstances, takeoverPath } from "../instance.ts";
import { type Moment, parseJournalLine } from "../state/journal.ts";
import { lineOfSource } from "../state/lines.ts";
import { takeUp } from "../state/state.ts";
import { Channel, type Delivered, fitting, takeoverForm } from "./channel.ts";
import { type TableGoal, takeChanges } from "./table.ts";

/** The table is written first: a million bans take seconds. */
const offerMs = 60_000;
/** The old one may be in the middle of something. */
const answerMs = 10_000;
const proofMs = 2000;
const lookMs = 5;

interface SuccessorParts {
  readonly pid: number;
  readonly runtime: Runtime;
  readonly libc: Libc;
  readonly log: Log;
  readonly channel: Channel;
}

/** A gate that is about to serve. */
interface Accepting {
  readonly config: { readonly listen: HostPort };
  readonly counters: { readonly accepted: number };
}

export class Successor implements BanFollower, Disposable {
  /** The process that it takes over from. */
  readonly pid: number;
  readonly #runtime: Runtime;
  readonly #libc: Libc;
  readonly #log: Log;
  readonly #channel: Channel;
  readonly #offer: Delivered<"offer">["message"];
  /** Not taken yet, by their places in the offer. */
  readonly #descriptors: Map<number, number>;
  readonly #isSameKind: boolean;
  readonly #banned = new Set<string>();
  #isConnected = true;

  /** @throws Failure when there is no gate, or it does not hand over. */
  static async ask(config: Config, runtime: Runtime, version: string, log: Log): Promise<Successor> {
    if (!runtime.adoptsListeners) {
      throw failed(`${runtime.name} accepts nothing on a socket of another process: use the executable, or restart`);
    }
    const { pid } = chosen(runningInstances(), config);
    const libc = openLibc(runtime.native);
    let channel: Channel | undefined;
    try {
      channel = new Channel(connectPackets(runtime.native, libc, takeoverPath(pid)));
      await channel.send({
        kind: "hello",
        form: takeoverForm,
        version,
        gates: config.gates.map(({ listen, mode }) => ({ port: listen.port, mode })),
        blockMap: config["block-map"] ?? null,
        dryRun: config["dry-run"],
        drainMs: config.drain,
      });
      const offer = await channel.expect("offer", offerMs);
      const { form, version: theirs } = offer.message;
      if (form !== takeoverForm) throw new Failure(`ttgate ${theirs} hands over by form ${form}: restart instead`);
      return new Successor({ pid, runtime, libc, log, channel }, offer, config);
    } catch (error) {
      channel?.[Symbol.dispose]();
      throw failed(`the gate with pid ${pid}: ${messageOf(error)}`, error);
    }
  }

  private constructor(parts: SuccessorParts, { message, descriptors }: Delivered<"offer">, config: Config) {
    const { pid, runtime, libc, log, channel } = parts;
    this.pid = pid;
    this.#runtime = runtime;
    this.#libc = libc;
    this.#log = log;
    this.#channel = channel;
    this.#offer = message;
    this.#descriptors = new Map(descriptors.entries());
    this.#isSameKind = message.dryRun === config["dry-run"];
    if (!this.#isSameKind) log("warn", "A dry run's bans are none: the table is not taken over");
  }

  /** Its table is this one's: who would have been banned by a dry run is not. */
  get takesTable(): boolean {
    return this.#isSameKind;
  }

  get serviceManager(): { readonly socket: string; readonly watchdogUsec: number } | undefined {
    return this.#offer.serviceManager ?? undefined;
  }

  /** The socket that listens there; the caller's. */
  listener({ host, port }: HostPort): number | undefined {
    const found = this.#offer.listeners.find((listener) => listener.host === host && listener.port === port);
    return found === undefined ? undefined : this.#take(found.fd);
  }

  /** The same of the status endpoint. */
  statusListener(address: StatusAddress): number | undefined {
    const { status } = this.#offer;
    return status.fd !== null && status.address === formatStatus(address) ? this.#take(status.fd) : undefined;
  }

  /** The gate before listens there itself, and lets go of it when this process serves. */
  isStatusHeld(address: StatusAddress): boolean {
    const { status } = this.#offer;
    return status.fd === null && status.address === formatStatus(address);
  }

  /** Before the first kernel object is touched. @throws Failure */
  async mayOpen(): Promise<void> {
    await this.#say(async () => {
      await this.#channel.send({ kind: "open" });
      await this.#channel.expect("go", answerMs);
    });
  }

  /** What the kernel's judge goes on from. @param neverBan who is protected from its first packet on. */
  inherited(neverBan: readonly Prefix[]): Inherited | undefined {
    if (!this.#offer.hasFence) return undefined;
    const maps = Object.entries(this.#offer.maps).flatMap(([name, place]) => {
      const fd = this.#descriptors.get(place);
      return fd === undefined ? [] : [[name as HandedMap, fd] as const];
    });
    return { maps: Object.fromEntries(maps) as Inherited["maps"], neverBan };
  }

  /**
   * All but accepting is done: takes up the table, and has the other one stop.
   * @throws Failure
   */
  async takeTable(goal: TableGoal): Promise<void> {
    await this.#say(async () => {
      const table = this.#take(this.#offer.table);
      if (table !== undefined && this.takesTable) {
        const { taken, error } = await takeUp(`/proc/self/fd/${table}`, goal);
        if (error !== undefined) throw new Error(error);
        if (taken > 0) this.#log("info", `Took up ${taken} bans from pid ${this.pid}`);
      }
      if (table !== undefined) this.#libc.calls.close(table);
      await this.#channel.send({ kind: "ready" });
      const { descriptors } = await this.#channel.expect("yours", answerMs);
      for (const fd of descriptors) {
        if (this.takesTable) takeChanges(`/proc/self/fd/${fd}`, goal);
        this.#libc.calls.close(fd);
      }
    });
  }

  /**
   * The listeners are open: proves that each accepts, and takes over for good.
   * @throws Failure; then the other one goes on.
   */
  async serve(gates: readonly Accepting[]): Promise<void> {
    await this.#say(async () => {
      await Promise.all(gates.map((gate) => proveAccepting(this.#runtime, gate)));
      await this.#channel.send({ kind: "serving" });
    });
    this.#log("info", `Took over from pid ${this.pid} (ttgate ${this.#offer.version})`);
  }

  bansChanged(changes: readonly BanChange[]): void {
    if (!this.#isConnected) return;
    for (const { kind, ban } of changes) if (kind === "ban") this.#banned.add(ban.prefix.text);
  }

  /** While the other one drains: its bans become bans here, and connections there end with those made here. */
  exchange({ enforcement, offenders, moment }: TableGoal): void {
    if (!this.#isConnected) return;
    try {
      const sources = [...this.#banned].slice(0, 100);
      const lines = fitting(
        sources.map((source) => lineOfSource({ bans: enforcement.bans, offenders }, source, moment()).trimEnd()),
      );
      if (lines.length > 0 && this.#channel.offer({ kind: "bans", lines: [...lines] })) {
        for (const source of sources.slice(0, lines.length)) this.#banned.delete(source);
      }
      for (let said = this.#channel.poll(); said !== undefined; said = this.#channel.poll()) {
        if (said === "closed") {
          this[Symbol.dispose]();
          return;
        }
        if (said.message.kind === "bans" && this.takesTable) this.#ban(said.message.lines, enforcement, moment());
      }
    } catch {
      // It ended in the middle of a word.
      this[Symbol.dispose]();
    }
  }

  #ban(lines: readonly string[], enforcement: Enforcement, moment: Moment): void {
    for (const line of lines) {
      const saved = parseJournalLine(line, moment);
      if (saved === undefined) continue;
      for (const { origin, reason, untilMs, evidence } of saved.claims) {
        if (untilMs > moment.nowMs)
          enforcement.ban({ prefix: saved.prefix, origin, reason, untilMs, evidence }, moment.nowMs);
      }
    }
  }

  #take(place: number): number | undefined {
    const fd = this.#descriptors.get(place);
    this.#descriptors.delete(place);
    return fd;
  }

  async #say(step: () => Promise<void>): Promise<void> {
    try {
      await step();
    } catch (error) {
      throw failed(messageOf(error), error);
    }
  }

  /** What nobody took. Idempotent. */
  closeRest(): void {
    for (const fd of this.#descriptors.values()) this.#libc.calls.close(fd);
    this.#descriptors.clear();
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#isConnected = false;
    this.#banned.clear();
    this.closeRest();
    this.#channel[Symbol.dispose]();
  }
}

function failed(reason: string, cause?: unknown): Failure {
  return new Failure(`Cannot take over: ${reason}`, { exitCode: 3, ...(cause === undefined ? {} : { cause }) });
}

/** @throws Failure when there is none, or more than one that could be meant. */
function chosen(instances: readonly Instance[], config: Pick<Config, "gates">): Instance {
  const listens = config.gates.map(({ listen: { host, port } }) => formatEndpoint({ address: host, port }));
  const same = instances.filter((instance) => listensOf(instance).some((listen) => listens.includes(listen)));
  const candidates = same.length > 0 ? same : instances;
  const [first, ...others] = candidates;
  if (first === undefined) throw failed("no gate runs here: start without --takeover");
  if (others.length === 0) return first;
  const list = candidates.map((instance) => `pid ${instance.pid} on ${listensOf(instance).join(" and ")}`).join(", ");
  if (same.length > 0) throw failed(`several processes listen where this one is to (${list}): stop all but one`);
  throw failed(
    `several processes run here, and none listens on ${listens.join(" or ")} (${list}): name one's address with --listen`,
  );
}

function listensOf({ listen, listens }: Instance): readonly string[] {
  return listens ?? [listen];
}

/** A connection of our own comes in by the queue like any other. @throws Failure when nothing comes. */
async function proveAccepting(runtime: Runtime, { config, counters }: Accepting): Promise<void> {
  const { host, port } = config.listen;
  const before = counters.accepted;
  const address = isWildcard(host) ? (host === "::" ? "::1" : "127.0.0.1") : host;
  const connection = runtime.connect({ host: address, port }, silentEvents);
  let refusal: string | undefined;
  connection.catch((error: unknown) => {
    refusal = codeOf(error) ?? messageOf(error);
  });
  try {
    for (const endMs = performance.now() + proofMs; counters.accepted === before; await setTimeout(lookMs)) {
      if (performance.now() < endMs) continue;
      const why = refusal === undefined ? "" : ` (${refusal})`;
      throw new Failure(`nothing that connects to ${address}:${port} is accepted${why}`);
    }
  } finally {
    connection.then(
      (socket) => socket.close(),
      () => {},
    );
  }
}
