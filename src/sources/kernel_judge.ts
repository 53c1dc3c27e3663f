// SPDX-License-Identifier: Apache-2.0
// What the kernel judged by itself, brought to where everything else is: the time-out table, the log, the
// counters. The other way round, tells the kernel who is never banned.

import type { NeverBan } from "../core/bans/never_ban.ts";
import { Client } from "../core/client.ts";
import type { Counters } from "../core/counters.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";
import type { InlineDecision, InlineJudge } from "../fences/xdp/inline/inline_judge.ts";
import type { JudgedSnapshot } from "../status/snapshot.ts";
import type { Banning } from "./banning.ts";

/** A flood of decisions does not hold up what else there is to do. */
const decisionsAtOnce = 500;

/** A few strays after a restart of the server say nothing. */
const blindAfter = 10;

export interface InlineParts {
  readonly judge: InlineJudge;
  readonly banning: Banning;
  readonly neverBan: NeverBan;
  readonly counters: Counters;
  readonly ipv6Bits: number;
  /** Says of what the kernel tells which bet was lost. */
  sniffer(): Sniffer;
  /** The kernel alone judges; otherwise it counts what never reached the gate. */
  readonly alone: boolean;
}

export class InlineWatch {
  readonly #parts: InlineParts;

  constructor(parts: InlineParts) {
    this.#parts = parts;
  }

  /** When the program is in place. @throws KernelError */
  begin(): void {
    this.#protect();
    this.#parts.judge.begin();
  }

  /** @throws KernelError */
  replaceTable(table: SignatureTable): void {
    this.#parts.judge.replaceTable(table);
  }

  /** Often: a ban is to be seen within 100 ms. */
  fetch(): void {
    for (const decision of this.#parts.judge.decisions(decisionsAtOnce)) this.#settle(decision);
  }

  /** With the gate's tick. */
  tick(): void {
    const { judge, counters, alone } = this.#parts;
    this.#protect();
    judge.count();
    if (!alone) return;
    const { passed, undecided, banned, spared, would_ban, not_banned } = judge.counts;
    counters.foreign = banned + spared + would_ban + not_banned;
    counters.relayed = passed;
    counters.undecided = undecided;
    counters.accepted = counters.foreign + counters.relayed;
  }

  /** As of the last tick. */
  judged(): JudgedSnapshot {
    const { would_ban, not_banned, no_socket, event_lost, ...counts } = this.#parts.judge.counts;
    return { ...counts, wouldBan: would_ban, notBanned: not_banned, noSocket: no_socket, eventsLost: event_lost };
  }

  /** The program is in place and sees nothing that it could judge: why, and what to do. */
  blindness(): string | undefined {
    const { passed, undecided, banned, spared, would_ban, not_banned, older, no_socket } = this.#parts.judge.counts;
    const seen = passed + undecided + banned + spared + would_ban + not_banned + older;
    if (no_socket < blindAfter || seen > 0) return undefined;
    return `The kernel judges nobody: ${no_socket} packets to the guarded port belong to no connection in this network namespace; a server in a container or on another host needs --mode proxy`;
  }

  #protect(): void {
    this.#parts.judge.protect(this.#parts.neverBan.entries().map(({ prefix }) => prefix));
  }

  #settle({ source, sourcePort, port, protocol, firstBytes }: InlineDecision): void {
    const { banning, counters, ipv6Bits, alone, sniffer } = this.#parts;
    const client = new Client(source.text, sourcePort, ipv6Bits);
    const bet = sniffer().evidence?.(firstBytes);
    const evidence = { firstBytes, clientAddress: source.text, clientPort: sourcePort, gatePort: port, bet };
    if (!alone) counters.foreign++;
    banning.client(client, protocol, evidence);
  }
}
