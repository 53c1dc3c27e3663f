// SPDX-License-Identifier: Apache-2.0
// The kernel's own judge of one gate as a source of bans: what it decided is brought to where everything else is.
import { Client } from "../core/client.ts";
import type { ConnectionCounters } from "../core/counters.ts";
import type { Sniffer } from "../core/sniff.ts";
import {
  type InlineCounts,
  type InlineDecision,
  type InlineGate,
  type InlineJudge,
  zeroCounts,
} from "../fences/xdp/inline/inline_judge.ts";
import type { Offence } from "./desk.ts";

/** A few strays after a restart of the server say nothing. */
const blindAfter = 10;

export interface KernelJudgeParts {
  /** The one that is in place now. */
  readonly judge: () => InlineJudge | undefined;
  /** The gate's. */
  readonly port: () => number;
  ban(client: Client, offence: Offence): "banned" | "spared";
  strike(client: Client, bytes: Uint8Array): void;
  /** It refused a near miss, or would have. */
  malformed(client: Client): void;
  readonly counters: ConnectionCounters;
  readonly ipv6Bits: number;
  /** Says of what the kernel tells which bet was lost. */
  sniffer(): Sniffer;
  /** The kernel alone judges; otherwise it counts what never reached the gate. */
  readonly alone: boolean;
}

export class KernelJudge {
  readonly #parts: KernelJudgeParts;
  /** How many first bytes had fitted their connection, and how many not, when the last of these did. */
  #fitting = { judged: 0, unproven: 0 };

  constructor(parts: KernelJudgeParts) {
    this.#parts = parts;
  }

  /** From one packet to the next. @throws KernelError */
  change(changes: Partial<Omit<InlineGate, "port">>): void {
    const { judge, port } = this.#parts;
    judge()?.change(port(), changes);
  }

  /** Twice a second, when the judge has counted. */
  tick(): void {
    const { counters, alone } = this.#parts;
    const judged = judgedOf(this.counts);
    if (judged !== this.#fitting.judged) this.#fitting = { judged, unproven: this.counts.unproven };
    if (!alone) return;
    const { passed, undecided, malformed, banned, spared, would_ban, not_banned } = this.counts;
    counters.foreign = banned + spared + would_ban + not_banned;
    counters.relayed = passed;
    counters.undecided = undecided + malformed;
    counters.accepted = counters.foreign + counters.relayed;
  }

  /** Packets by what became of them, as of the last tick. */
  get counts(): InlineCounts {
    const { judge, port } = this.#parts;
    return judge()?.countsOf(port()) ?? zeroCounts;
  }

  /** The program is in place and sees nothing that it could judge: why, and what to do. */
  blindness(): string | undefined {
    const { older, no_socket } = this.counts;
    if (no_socket < blindAfter || judgedOf(this.counts) + older > 0) return undefined;
    return `The kernel judges nobody: ${no_socket} packets to the guarded port belong to no connection in this network namespace; a server in a container or on another host needs --mode proxy`;
  }

  /**
   * First bytes that did not fit their connections, since the last that did. Others can bring this about by what they
   * send, so that it is no reason for the gate not to be ready.
   */
  doubt(): string | undefined {
    const misfits = this.counts.unproven - this.#fitting.unproven;
    if (misfits < blindAfter) return undefined;
    return `The last ${misfits} first bytes did not fit their connections: something changes packets behind XDP (SYNPROXY, a tc action), they come damaged or without checksums (LRO), or somebody forges them; ttgate doctor lists what it finds`;
  }

  /** What the kernel decided about a connection to the gate. */
  settle({ source, sourcePort, port, protocol, firstBytes }: InlineDecision): void {
    const { counters, ipv6Bits, alone, sniffer, judge, strike, malformed } = this.#parts;
    const client = new Client(source.text, sourcePort, ipv6Bits);
    if (protocol === undefined) {
      if (!alone) counters.undecided++;
      malformed(client);
      // As with those who fall silent: a source with a connection that passed is a friend.
      if (judge()?.isWelcome(source) === false) strike(client, firstBytes);
      return;
    }
    const bet = sniffer().evidence?.(firstBytes);
    const evidence = { firstBytes, clientAddress: source.text, clientPort: sourcePort, gatePort: port, bet };
    if (!alone) counters.foreign++;
    const result = this.#parts.ban(client, { origin: "kernel", reason: protocol, evidence });
    if (result === "spared") counters.spared++;
  }
}

/** First bytes that fitted their connection, whatever became of them. */
function judgedOf({ passed, undecided, malformed, banned, spared, would_ban, not_banned }: InlineCounts): number {
  return passed + undecided + malformed + banned + spared + would_ban + not_banned;
}
