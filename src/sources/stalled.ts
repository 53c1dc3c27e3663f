// SPDX-License-Identifier: Apache-2.0
// Connections that the kernel judges and that ended or stalled before their first bytes were enough: judged
// here as the gate judges who falls silent, since the kernel never learns of silence. A stranger is banned, and
// who said too little has a strike, but for sources with a connection that passed.
import { evidenceBytes } from "../core/bans/claim.ts";
import { Client } from "../core/client.ts";
import type { Sniffer } from "../core/sniff.ts";
import type { InlineUndecided } from "../fences/xdp/inline/inline_layout.ts";
import type { Offence } from "./desk.ts";

/** What the kernel knows: InlineJudge. */
export interface UndecidedConnections {
  undecided(): Iterable<InlineUndecided>;
  isWelcome(address: InlineUndecided["source"]): boolean;
}

export interface StalledOptions {
  /** The judge that is in place now. */
  readonly connections: () => UndecidedConnections | undefined;
  /** Of connections to this port alone. */
  readonly port: () => number;
  readonly ipv6Bits: number;
  /** How long a client may take for its first packet. */
  readonly firstPacketMs: number;
  sniffer(): Sniffer;
  ban(client: Client, offence: Offence): void;
  /** It is refused without a ban: a near miss, or a silence that the profile counts. */
  strike(client: Client, bytes: Uint8Array): void;
}

/** Reading the whole map takes some milliseconds, and a deadline is no matter of one. */
const sweepEveryMs = 2000;

interface Seen {
  readonly sinceMs: number;
  readonly bytes: number;
  readonly isSettled: boolean;
}

export class Stalled {
  readonly #options: StalledOptions;
  /** By connection; those that the kernel forgot are forgotten here. */
  #seen = new Map<string, Seen>();
  #sweptMs = Number.NEGATIVE_INFINITY;

  constructor(options: StalledOptions) {
    this.#options = options;
  }

  /** With the gate's tick. @throws KernelError */
  tick(nowMs: number): void {
    if (nowMs - this.#sweptMs < sweepEveryMs) return;
    this.#sweptMs = nowMs;
    const seen = new Map<string, Seen>();
    for (const connection of this.#options.connections()?.undecided() ?? []) {
      if (!connection.passed && connection.port === this.#options.port())
        seen.set(connection.id, this.#look(connection, nowMs));
    }
    this.#seen = seen;
  }

  /** The time begins anew with every byte that comes: the kernel judges it as well. */
  #look(connection: InlineUndecided, nowMs: number): Seen {
    const bytes = connection.firstBytes.length;
    const before = this.#seen.get(connection.id);
    if (before === undefined || before.bytes !== bytes) return { sinceMs: nowMs, bytes, isSettled: false };
    if (before.isSettled || nowMs - before.sinceMs < this.#options.firstPacketMs) return before;
    this.#settle(connection);
    return { ...before, isSettled: true };
  }

  #settle({ source, sourcePort, port, firstBytes }: InlineUndecided): void {
    const { sniffer, connections, ipv6Bits, ban, strike } = this.#options;
    if (firstBytes.length === 0) return;
    const client = new Client(source.text, sourcePort, ipv6Bits);
    const judge = sniffer();
    const sniffed = judge.sniff(firstBytes, true);
    switch (sniffed.kind) {
      case "accept":
        return;
      case "foreign":
        ban(client, {
          origin: "sniffer",
          reason: sniffed.protocol,
          evidence: {
            firstBytes: firstBytes.slice(0, evidenceBytes),
            clientAddress: source.text,
            clientPort: sourcePort,
            gatePort: port,
            bet: judge.evidence?.(firstBytes),
          },
        });
        return;
      case "malformed":
        if (connections()?.isWelcome(source) === false) strike(client, firstBytes);
        return;
      case "more":
        if (sniffed.isLast === true && connections()?.isWelcome(source) === false) strike(client, firstBytes);
        return;
      default:
        sniffed satisfies never;
    }
  }
}
