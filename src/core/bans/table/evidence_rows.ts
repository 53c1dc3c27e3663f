// SPDX-License-Identifier: Apache-2.0
// Evidence of claims, 80 bytes each, 18 more of an IPv6 client and 13 for a lost bet: the first bytes have their full
// room, so that no place is ever too small.
import { type Prefix, parsePrefix, prefixFromWords } from "../../address.ts";
import type { BetEvidence } from "../../ciphertext/bets.ts";
import { type Evidence, evidenceBytes } from "../claim.ts";
import { none, offsetOf, rowsInChunk, Slab } from "./slab.ts";

class EvidenceColumns {
  readonly firstBytes = new Uint8Array(evidenceBytes * rowsInChunk);
  readonly lengths = new Uint8Array(rowsInChunk);
  /** An IPv4 address, or the row of another's. */
  readonly client = new Uint32Array(rowsInChunk);
  readonly isIpv4 = new Uint8Array(rowsInChunk);
  readonly ports = new Uint16Array(2 * rowsInChunk);
  /** The row of the lost bet; `none`: there was none. */
  readonly bet = new Uint32Array(rowsInChunk);
}

class Ipv6Columns {
  readonly words = new Uint32Array(4 * rowsInChunk);
}

class BetColumns {
  readonly expert = new Uint16Array(rowsInChunk);
  readonly bits = new Float64Array(rowsInChunk);
  readonly byte = new Uint8Array(rowsInChunk);
}

/** A copy. The address becomes a text when somebody asks: who saves a million does without. */
export class KeptEvidence implements Evidence {
  readonly firstBytes: Uint8Array;
  readonly client: Prefix;
  readonly clientPort: number;
  readonly gatePort: number;
  readonly bet: BetEvidence | undefined;

  constructor(seen: Omit<Evidence, "clientAddress"> & { readonly client: Prefix }) {
    this.firstBytes = seen.firstBytes;
    this.client = seen.client;
    this.clientPort = seen.clientPort;
    this.gatePort = seen.gatePort;
    this.bet = seen.bet;
  }

  get clientAddress(): string {
    return this.client.text;
  }
}

export class EvidenceRows {
  readonly #slab = new Slab(() => new EvidenceColumns());
  readonly #ipv6 = new Slab(() => new Ipv6Columns());
  readonly #bets = new Slab(() => new BetColumns());
  readonly #experts: string[] = [];

  /** @returns the row; `none` of none, and where the client is no address. */
  write(evidence: Evidence | undefined): number {
    const client = evidence instanceof KeptEvidence ? evidence.client : evidence && parsePrefix(evidence.clientAddress);
    if (evidence === undefined || client === undefined) return none;
    const { firstBytes, clientPort, gatePort, bet } = evidence;
    const row = this.#slab.take();
    const columns = this.#slab.columns(row);
    const at = offsetOf(row);
    const kept = firstBytes.length > evidenceBytes ? firstBytes.subarray(0, evidenceBytes) : firstBytes;
    columns.firstBytes.set(kept, evidenceBytes * at);
    columns.lengths[at] = kept.length;
    columns.client[at] = client.ipv4 ? client.words[3] : this.#writeIpv6(client);
    columns.isIpv4[at] = Number(client.ipv4);
    columns.ports[2 * at] = clientPort;
    columns.ports[2 * at + 1] = gatePort;
    columns.bet[at] = bet === undefined ? none : this.#writeBet(bet);
    return row;
  }

  #writeIpv6({ words }: Prefix): number {
    const row = this.#ipv6.take();
    this.#ipv6.columns(row).words.set(words, 4 * offsetOf(row));
    return row;
  }

  #readClient(client: number, isIpv4: boolean): Prefix {
    if (isIpv4) return prefixFromWords([0, 0, 0xffff, client]);
    const { words } = this.#ipv6.columns(client);
    const word = (index: number) => words[4 * offsetOf(client) + index] ?? 0;
    return prefixFromWords([word(0), word(1), word(2), word(3)]);
  }

  #writeBet({ expert, bits, byte }: BetEvidence): number {
    const row = this.#bets.take();
    const columns = this.#bets.columns(row);
    const at = offsetOf(row);
    columns.expert[at] = this.#expert(expert);
    columns.bits[at] = bits;
    columns.byte[at] = byte;
    return row;
  }

  #readBet(row: number): BetEvidence | undefined {
    if (row === none) return undefined;
    const { expert, bits, byte } = this.#bets.columns(row);
    const at = offsetOf(row);
    return { expert: this.#experts[expert[at] ?? 0] ?? "", bits: bits[at] ?? 0, byte: byte[at] ?? 0 };
  }

  /** @returns a copy. */
  read(row: number): Evidence | undefined {
    if (row === none) return undefined;
    const { firstBytes, lengths, client, isIpv4, ports, bet } = this.#slab.columns(row);
    const at = offsetOf(row);
    return new KeptEvidence({
      firstBytes: firstBytes.slice(evidenceBytes * at, evidenceBytes * at + (lengths[at] ?? 0)),
      client: this.#readClient(client[at] ?? 0, isIpv4[at] === 1),
      clientPort: ports[2 * at] ?? 0,
      gatePort: ports[2 * at + 1] ?? 0,
      bet: this.#readBet(bet[at] ?? none),
    });
  }

  release(row: number): void {
    if (row === none) return;
    const columns = this.#slab.columns(row);
    const at = offsetOf(row);
    if (columns.isIpv4[at] === 0) this.#ipv6.release(columns.client[at] ?? 0);
    const bet = columns.bet[at] ?? none;
    if (bet !== none) this.#bets.release(bet);
    this.#slab.release(row);
  }

  /** There are a dozen. */
  #expert(name: string): number {
    const known = this.#experts.indexOf(name);
    return known >= 0 ? known : this.#experts.push(name) - 1;
  }
}
