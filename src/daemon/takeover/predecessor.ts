// SPDX-License-Identifier: Apache-2.0
// The side of the gate that runs: hands everything over to a process that asks for it, and goes on as if nothing had
// been when that one does not come to serve. From "go" to "serving" kernel objects have one writer, the other one;
// before and after a failure it is this one.

import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { setTimeout } from "node:timers/promises";
import type { HostPort } from "../../config/endpoints.ts";
import type { Config } from "../../config/options.ts";
import type { Prefix } from "../../core/address.ts";
import type { Enforcement } from "../../core/bans/enforcement.ts";
import { Failure, messageOf } from "../../failure.ts";
import type { Ladder } from "../../fences/ladder.ts";
import { identityAt, wasRemoved } from "../../host/file_identity.ts";
import { startTicks } from "../../host/start_ticks.ts";
import { forOwnerOnly } from "../../host/unix_socket.ts";
import { duplicate } from "../../kernel/descriptor.ts";
import type { Libc } from "../../kernel/libc.ts";
import { PacketListener, type Peer } from "../../kernel/packet_socket.ts";
import type { Log } from "../../log.ts";
import type { Native } from "../../runtime/types.ts";
import { type Moment, parseJournalLine } from "../state/journal.ts";
import { lineOfSource, type Table } from "../state/lines.ts";
import { Channel, type Delivered, fitting, Silent, takeoverForm } from "./channel.ts";
import { ChangedSources, changesOf, wholeTable } from "./table.ts";

/** How long the other one may take, between two words, until it counts as hung. */
const helloMs = 5000;
/** It has read its configuration before that. */
const openMs = 10_000;
/** A million bans are taken up in three seconds, a slow verifier takes one more. */
const readyMs = 60_000;
/** Connections wait in the queue meanwhile. */
const servingMs = 5000;
/** A process that was killed is gone at once, unless the kernel holds it. */
const killMs = 2000;
const drainLookMs = 20;

/** One listener of this process. */
export interface HandedGate {
  readonly listen: HostPort;
  readonly descriptor: number | undefined;
  pause(duplicate: (fd: number) => number): void;
  leave(close: (fd: number) => void): void;
  resume(): Promise<void>;
  /** Deadlines of those that are not judged yet. */
  tick(nowMs: number): Promise<void>;
  readonly sessions: { readonly size: number; cut(prefix: Prefix): number };
}

/** What stops for the other one, and goes on when it fails. */
export interface Suspended {
  suspend(): void | Promise<void>;
  resume(): void | Promise<void>;
}

export interface PredecessorParts {
  readonly native: Native;
  readonly libc: Libc;
  readonly path: string;
  readonly version: string;
  readonly config: () => Pick<Config, "gates" | "dry-run" | "block-map">;
  /** Those that accept. */
  readonly relays: () => readonly HandedGate[];
  /** Those with connections too that accept nobody any more. */
  readonly gates: () => readonly HandedGate[];
  /** Nothing else replaces a gate meanwhile. */
  inTurn<T>(work: () => Promise<T>): Promise<T>;
  readonly fence: Ladder | undefined;
  readonly enforcement: Enforcement;
  readonly table: Table;
  /** Why this process cannot hand over at all. */
  readonly hindrance: string | undefined;
  /** With the socket, where the service manager made it. */
  readonly status: () => { readonly address: string; readonly fd: number | undefined };
  readonly serviceManager: { readonly socket: string; readonly watchdogUsec: number } | undefined;
  /** Writing of kernel objects: from "go" on. */
  readonly owning: Suspended;
  /** The state file: from "yours" on. */
  readonly serving: Suspended;
  /** There is no way back: whatever of the process is not needed by connections that are open ends. */
  handedOver(pid: number): void;
  /** A few times a second, while connections go on. */
  drained(nowMs: number): void;
  /** By which ends are told. */
  readonly moment: () => Moment;
  readonly log: Log;
}

export class Predecessor implements Disposable {
  readonly #parts: PredecessorParts;
  #listener: PacketListener;
  /** Of the socket at the path. */
  #identity: string | undefined;
  readonly #changed = new ChangedSources();
  readonly #replaced = Promise.withResolvers<string>();
  /** Undone in reverse order when the other one fails. */
  #undo: (() => void | Promise<void>)[] = [];

  /** Makes the socket, which nobody can connect to before `begin`. @throws Error when that cannot be done. */
  static async open(parts: PredecessorParts): Promise<Predecessor> {
    return new Predecessor(parts, await socketAt(parts));
  }

  private constructor(parts: PredecessorParts, listener: PacketListener) {
    this.#parts = parts;
    this.#listener = listener;
    this.#identity = identityAt(parts.path);
    parts.enforcement.follow(this.#changed);
  }

  /** When another process serves, and the connections of this one are over: says which one. */
  get replaced(): Promise<string> {
    return this.#replaced.promise;
  }

  /** All is there that can be handed over. @throws KernelError */
  begin(): void {
    this.#listener.listen();
  }

  /** Now and then: somebody may have removed the socket. @throws Error when it cannot be put back. */
  async renew(): Promise<void> {
    const { path, log } = this.#parts;
    if (!wasRemoved(path, this.#identity)) return;
    const listener = await socketAt(this.#parts);
    this.#listener[Symbol.dispose]();
    this.#listener = listener;
    this.#identity = identityAt(path);
    listener.listen();
    log("warn", `"${path}" was removed and is made again: "ttgate --takeover" finds this gate by it`);
  }

  /** Twice a second; takes as long as a take-over does. */
  async look(): Promise<void> {
    const connection = this.#listener.accept();
    if (connection === undefined) return;
    using channel = new Channel(connection);
    const { log } = this.#parts;
    let peer: Peer | undefined;
    try {
      peer = connection.peer();
      // The file mode has said so already, but a descriptor may be passed on.
      if (peer.uid !== 0 && peer.uid !== process.geteuid?.()) throw new Failure(`user ${peer.uid} may not`);
      const { pid } = peer;
      const drainMs = await this.#parts.inTurn(() => this.#attempt(channel, pid));
      await this.#drain(channel, pid, drainMs);
    } catch (error) {
      log("warn", `Take-over by pid ${peer?.pid ?? 0} failed: ${messageOf(error)}; this gate goes on`);
    } finally {
      this.#changed.end();
    }
  }

  /** @returns how long connections that are open may go on. @throws Failure when this process goes on. */
  async #attempt(channel: Channel, pid: number): Promise<number> {
    try {
      const drainMs = await this.#handOver(channel);
      this.#undo = [];
      this.#parts.handedOver(pid);
      return drainMs;
    } catch (error) {
      if (error instanceof Silent) await this.#end(pid);
      await this.#goOn();
      throw error;
    }
  }

  /** @returns how long connections that are open may go on. @throws Failure when the other one does not come to serve. */
  async #handOver(channel: Channel): Promise<number> {
    const parts = this.#parts;
    const relays = parts.relays();
    const hello = await channel.expect("hello", helloMs);
    const { drainMs, version } = hello.message;
    const reason = this.#reasonAgainst(hello);
    if (reason !== undefined) {
      await channel.send({ kind: "refusal", reason });
      throw new Failure(reason);
    }
    parts.log("info", `ttgate ${version} asks to take over`);
    await this.#offer(channel, relays);
    await channel.expect("open", openMs);
    await this.#stop(parts.owning);
    if (parts.fence !== undefined) this.#undo.push(() => parts.fence?.reclaim(parts.moment().nowMs));
    await channel.send({ kind: "go" });
    await channel.expect("ready", readyMs);
    for (const gate of relays) {
      gate.pause((fd) => duplicate(parts.libc, fd));
      this.#undo.push(() => gate.resume());
    }
    await this.#stop(parts.serving);
    const changes = await changesOf(parts.libc, parts.table, this.#changed.take(), parts.moment);
    try {
      await channel.send({ kind: "yours" }, [changes]);
    } finally {
      parts.libc.calls.close(changes);
    }
    await channel.expect("serving", servingMs);
    for (const gate of relays) gate.leave((fd) => parts.libc.calls.close(fd));
    return drainMs;
  }

  #reasonAgainst({ message }: Delivered<"hello">): string | undefined {
    const { config, version, fence, hindrance } = this.#parts;
    const { form, gates, blockMap } = message;
    const now = config();
    const own = fence === undefined ? undefined : (now["block-map"] ?? null);
    if (form !== takeoverForm) {
      return `ttgate ${version}, which runs, hands over by form ${takeoverForm}, not ${form}: restart instead`;
    }
    if (hindrance !== undefined) return `${hindrance}: restart instead`;
    for (const { port, mode } of gates) {
      const before = now.gates.find(({ listen }) => listen.port === port)?.mode ?? mode;
      if (mode !== before) return `its gate of port ${port} runs with --mode ${before}, not ${mode}: restart instead`;
    }
    if (own !== undefined && own !== blockMap) {
      return `it blocks by the map "${own}", not "${blockMap ?? "none"}": restart instead`;
    }
    return undefined;
  }

  async #offer(channel: Channel, relays: readonly HandedGate[]): Promise<void> {
    const { libc, version, fence, table: bans, serviceManager, config, moment } = this.#parts;
    const status = this.#parts.status();
    this.#changed.begin();
    const descriptors: number[] = [];
    const place = (fd: number) => descriptors.push(fd) - 1;
    const table = await wholeTable(libc, bans, moment);
    try {
      await channel.send(
        {
          kind: "offer",
          form: takeoverForm,
          version,
          table: place(table),
          listeners: relays.flatMap(({ listen, descriptor }) =>
            descriptor === undefined ? [] : [{ host: listen.host, port: listen.port, fd: place(descriptor) }],
          ),
          status: { address: status.address, fd: status.fd === undefined ? null : place(status.fd) },
          hasFence: fence !== undefined,
          dryRun: config()["dry-run"],
          maps: Object.fromEntries(Object.entries(fence?.judge?.handed() ?? {}).map(([name, fd]) => [name, place(fd)])),
          serviceManager: serviceManager ?? null,
        },
        descriptors,
      );
    } finally {
      libc.calls.close(table);
    }
  }

  async #stop(part: Suspended): Promise<void> {
    this.#undo.push(() => part.resume());
    await part.suspend();
  }

  /** What cannot be put back is said, and the rest is. */
  async #goOn(): Promise<void> {
    for (const undo of this.#undo.splice(0).reverse()) {
      try {
        await undo();
      } catch (error) {
        this.#parts.log("error", `Cannot go on as before: ${messageOf(error)}`);
      }
    }
  }

  /** A process that hangs with kernel objects in its hands must not wake up later. */
  async #end(pid: number): Promise<void> {
    const ticks = startTicks(pid);
    try {
      process.kill(pid, "SIGKILL");
    } catch (error) {
      this.#parts.log("error", `Cannot end pid ${pid}, which hangs: ${messageOf(error)}; end it by hand`);
    }
    for (const endMs = performance.now() + killMs; performance.now() < endMs; await setTimeout(drainLookMs)) {
      if (startTicks(pid) !== ticks || isZombie(pid)) return;
    }
  }

  /** Connections that are open go on. Both tell one another whom they ban. */
  async #drain(channel: Channel, pid: number, drainMs: number): Promise<void> {
    const { log, moment } = this.#parts;
    const gates = this.#parts.gates();
    const open = () => gates.reduce((sum, { sessions }) => sum + sessions.size, 0);
    log("info", `Handed over to pid ${pid}: ${open()} connections go on for ${drainMs / 1000} s at most`);
    this.#changed.begin(true);
    const unsaid = new Set<string>();
    let isConnected = true;
    for (const endMs = performance.now() + drainMs; open() > 0 && performance.now() < endMs; ) {
      const { nowMs } = moment();
      for (const gate of gates) await gate.tick(nowMs);
      this.#parts.drained(nowMs);
      for (const source of this.#changed.take()) unsaid.add(source);
      isConnected &&= this.#exchange(channel, unsaid);
      await setTimeout(drainLookMs);
    }
    if (isConnected) this.#exchange(channel, unsaid);
    this.#replaced.resolve(`since pid ${pid} has taken over; ${open()} connections are still open`);
  }

  /** @returns false when the other one is gone. */
  #exchange(channel: Channel, unsaid: Set<string>): boolean {
    const { table, moment } = this.#parts;
    try {
      for (const source of this.#changed.take()) unsaid.add(source);
      while (unsaid.size > 0) {
        const sources = [...unsaid].slice(0, 100);
        const lines = fitting(sources.map((source) => lineOfSource(table, source, moment()).trimEnd()));
        if (!channel.offer({ kind: "bans", lines: [...lines] })) break;
        for (const source of sources.slice(0, lines.length)) unsaid.delete(source);
      }
      for (let said = channel.poll(); said !== undefined; said = channel.poll()) {
        if (said === "closed") return false;
        if (said.message.kind === "bans") this.#cut(said.message.lines);
      }
      return true;
    } catch {
      return false;
    }
  }

  /** Whom the other one banned. */
  #cut(lines: readonly string[]): void {
    const { moment } = this.#parts;
    for (const line of lines) {
      const prefix = parseJournalLine(line, moment())?.prefix;
      if (prefix !== undefined) for (const { sessions } of this.#parts.gates()) sessions.cut(prefix);
    }
  }

  /** Idempotent. */
  [Symbol.dispose](): void {
    this.#listener[Symbol.dispose]();
    try {
      rmSync(this.#parts.path, { force: true });
    } catch {
      // Of another user by now (--user): whoever looks for gates finds that the process is gone.
    }
  }
}

function socketAt({ native, libc, path }: PredecessorParts): Promise<PacketListener> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o755 });
  rmSync(path, { force: true });
  return forOwnerOnly(async () => new PacketListener(native, libc, path));
}

function isZombie(pid: number): boolean {
  try {
    return /\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return true;
  }
}
