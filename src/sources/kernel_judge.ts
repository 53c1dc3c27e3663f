// SPDX-License-Identifier: Apache-2.0
// The kernel's own judge as a source of bans: what it decided is brought to where everything else is. The
// other way round, tells the kernel who is never banned.
import type { NeverBan } from "../core/bans/never_ban.ts";
import { Client } from "../core/client.ts";
import type { ConnectionCounters } from "../core/counters.ts";
import type { SignatureTable } from "../core/signature/table.ts";
import type { Sniffer } from "../core/sniff.ts";
import { type InlineDecision, type InlineJudge, zeroCounts } from "../fences/xdp/inline/inline_judge.ts";
import type { InlineOutcome } from "../fences/xdp/inline/inline_layout.ts";
import type { Offence } from "./desk.ts";

/** A flood of decisions does not hold up what else there is to do. */
const decisionsAtOnce = 500;

/** A few strays after a restart of the server say nothing. */
const blindAfter = 10;

export interface KernelJudgeParts {
  /** The one that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  ban(client: Client, offence: Offence): "banned" | "spared";
  readonly neverBan: NeverBan;
  readonly counters: ConnectionCounters;
  readonly ipv6Bits: number;
  /** Says of what the kernel tells which bet was lost. */
  sniffer(): Sniffer;
  /** The kernel alone judges; otherwise it counts what never reached the gate. */
  readonly alone: boolean;
}

export class KernelJudge {
  readonly #parts: KernelJudgeParts;

  constructor(parts: KernelJudgeParts) {
    this.#parts = parts;
  }

  /** When the program is in place. @throws KernelError */
  begin(): void {
    this.#protect();
    this.#parts.judge()?.begin();
  }

  /** From one packet to the next. @throws KernelError */
  change(changes: { readonly table?: SignatureTable; readonly banMs?: number; readonly dryRun?: boolean }): void {
    this.#parts.judge()?.change(changes);
  }

  /** Often: a ban is to be seen within 100 ms. */
  fetch(): void {
    for (const decision of this.#parts.judge()?.decisions(decisionsAtOnce) ?? []) this.#settle(decision);
  }

  /** Twice a second. */
  tick(): void {
    const { judge, counters, alone } = this.#parts;
    this.#protect();
    judge()?.count();
    if (!alone) return;
    const { passed, undecided, banned, spared, would_ban, not_banned } = this.counts;
    counters.foreign = banned + spared + would_ban + not_banned;
    counters.relayed = passed;
    counters.undecided = undecided;
    counters.accepted = counters.foreign + counters.relayed;
  }

  /** Packets by what became of them, as of the last tick. */
  get counts(): Readonly<Record<InlineOutcome, number>> {
    return this.#parts.judge()?.counts ?? zeroCounts;
  }

  /** The program is in place and sees nothing that it could judge: why, and what to do. */
  blindness(): string | undefined {
    const { passed, undecided, banned, spared, would_ban, not_banned, older, no_socket } = this.counts;
    const seen = passed + undecided + banned + spared + would_ban + not_banned + older;
    if (no_socket < blindAfter || seen > 0) return undefined;
    return `The kernel judges nobody: ${no_socket} packets to the guarded port belong to no connection in this network namespace; a server in a container or on another host needs --mode proxy`;
  }

  #protect(): void {
    this.#parts.judge()?.protect(this.#parts.neverBan.entries().map(({ prefix }) => prefix));
  }

  #settle({ source, sourcePort, port, protocol, firstBytes }: InlineDecision): void {
    const { counters, ipv6Bits, alone, sniffer } = this.#parts;
    const client = new Client(source.text, sourcePort, ipv6Bits);
    const bet = sniffer().evidence?.(firstBytes);
    const evidence = { firstBytes, clientAddress: source.text, clientPort: sourcePort, gatePort: port, bet };
    if (!alone) counters.foreign++;
    const result = this.#parts.ban(client, { origin: "kernel", reason: protocol, evidence });
    if (result === "spared") counters.spared++;
  }
}
