// SPDX-License-Identifier: Apache-2.0
// All gates of the daemon: those that are open, and those that a reload has closed and whose connections still
// go on. Brings what the kernel decided to the gate that it concerns.
import type { NeverBan } from "../core/bans/never_ban.ts";
import type { InlineGate, InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import type { DaemonGate } from "./daemon_gate.ts";

/** A flood of decisions does not hold up what else there is to do. */
const decisionsAtOnce = 500;

/** Deadlines are a matter of seconds. */
export const gatesTickMs = 500;

export interface GatesParts {
  /** The kernel's judge that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  readonly neverBan: () => NeverBan;
  readonly nowMs: () => number;
}

export class DaemonGates {
  readonly #parts: GatesParts;
  #open: readonly DaemonGate[] = [];
  #retired: readonly DaemonGate[] = [];
  #tickedMs: number;

  constructor(parts: GatesParts) {
    this.#parts = parts;
    this.#tickedMs = parts.nowMs();
  }

  get open(): readonly DaemonGate[] {
    return this.#open;
  }

  /** Those that accept connections; in inline mode the server does. */
  get relays(): readonly DaemonGate[] {
    return this.#open.filter(({ isInline }) => !isInline);
  }

  /** Those with connections, be it only of before. */
  get all(): readonly DaemonGate[] {
    return [...this.#open, ...this.#retired];
  }

  /** Those whose port the kernel judges, as it is to judge them. */
  get judged(): readonly InlineGate[] {
    return this.#open.flatMap(({ judged }) => judged ?? []);
  }

  /** How many of them are inline. */
  get inline(): "all" | "some" | "none" {
    const relays = this.relays.length;
    if (relays === 0) return "all";
    return relays === this.#open.length ? "none" : "some";
  }

  /** These are the gates from now on, in this order; the others accept nobody any more. */
  replace(gates: readonly DaemonGate[]): void {
    const gone = this.#open.filter((gate) => !gates.includes(gate));
    this.#open = gates;
    this.#retired = [...this.#retired, ...gone];
    for (const gate of gone) gate.retire();
  }

  async listen(): Promise<void> {
    await Promise.all(this.relays.map(({ gate }) => gate.listenSocket.listen()));
  }

  /** What the kernel decided: often, a ban is to be seen within 100 ms. @returns false when there may be more. */
  fetchDecisions(): boolean {
    const decisions = this.#parts.judge()?.decisions(decisionsAtOnce) ?? [];
    for (const decision of decisions) {
      const gate = this.#open.find(({ config }) => config.listen.port === decision.port);
      gate?.kernelJudge?.settle(decision);
    }
    return decisions.length < decisionsAtOnce;
  }

  /** The kernel judges from now on. @throws KernelError */
  beginJudging(): void {
    this.#protect();
    this.#parts.judge()?.begin();
  }

  /** Twice a second. @throws KernelError */
  tickJudge(): void {
    this.#parts.judge()?.count();
    for (const { kernelJudge } of this.#open) kernelJudge?.tick();
    this.#protect();
  }

  /** Twice a second: whether the trial of a gate is over. @throws KernelError */
  async tickTrials(nowMs: number): Promise<void> {
    for (const { trial } of this.#open) await trial?.tick(nowMs);
  }

  /** Twice a second: deadlines. Gates that are closed go when nothing of them is open. */
  async tick(nowMs: number): Promise<void> {
    const lateMs = nowMs - this.#tickedMs - gatesTickMs;
    this.#tickedMs = nowMs;
    for (const gate of this.all) gate.tick(nowMs, lateMs);
    const over = this.#retired.filter(({ gate }) => gate.sessions.size === 0);
    if (over.length === 0) return;
    this.#retired = this.#retired.filter((gate) => !over.includes(gate));
    await Promise.all(over.map((gate) => gate.close()));
  }

  /** Likewise, for connections that live. */
  async settle(): Promise<void> {
    for (const { gate } of this.all) await gate.settle();
  }

  /** All that is open, of all gates. */
  cutAll(): void {
    for (const { gate } of this.all) gate.sessions.cutAll();
  }

  /** No gate accepts anybody any more. */
  retireAll(): void {
    for (const gate of this.#open) gate.retire();
  }

  async close(): Promise<void> {
    await Promise.all(this.all.map((gate) => gate.close()));
  }

  #protect(): void {
    const prefixes = this.#parts
      .neverBan()
      .entries()
      .map(({ prefix }) => prefix);
    this.#parts.judge()?.protect(prefixes);
  }
}
