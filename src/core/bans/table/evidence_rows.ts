// SPDX-License-Identifier: Apache-2.0
// Evidence of claims, 98 bytes each: the first bytes have their full room, so that no place is ever too small.
import { type Prefix, parsePrefix, prefixFromWords } from "../../address.ts";
import type { BetEvidence } from "../../ciphertext/bets.ts";
import { type Evidence, evidenceBytes } from "../claim.ts";
import { none, offsetOf, rowsInChunk, Slab } from "./slab.ts";

class EvidenceColumns {
  readonly firstBytes = new Uint8Array(evidenceBytes * rowsInChunk);
  readonly lengths = new Uint8Array(rowsInChunk);
  readonly client = new Uint32Array(4 * rowsInChunk);
  readonly ports = new Uint16Array(2 * rowsInChunk);
  /** Of the lost bet: its expert, its bits, its byte; 0: there was none. */
  readonly expert = new Uint16Array(rowsInChunk);
  readonly betBits = new Float64Array(rowsInChunk);
  readonly betByte = new Uint8Array(rowsInChunk);
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
    columns.client.set(client.words, 4 * at);
    columns.ports[2 * at] = clientPort;
    columns.ports[2 * at + 1] = gatePort;
    columns.betByte[at] = bet?.byte ?? 0;
    if (bet !== undefined) {
      columns.expert[at] = this.#expert(bet.expert);
      columns.betBits[at] = bet.bits;
    }
    return row;
  }

  /** @returns a copy. */
  read(row: number): Evidence | undefined {
    if (row === none) return undefined;
    const { firstBytes, lengths, client, ports, expert, betBits, betByte } = this.#slab.columns(row);
    const at = offsetOf(row);
    const word = (index: number) => client[4 * at + index] ?? 0;
    const byte = betByte[at] ?? 0;
    return new KeptEvidence({
      firstBytes: firstBytes.slice(evidenceBytes * at, evidenceBytes * at + (lengths[at] ?? 0)),
      client: prefixFromWords([word(0), word(1), word(2), word(3)]),
      clientPort: ports[2 * at] ?? 0,
      gatePort: ports[2 * at + 1] ?? 0,
      bet: byte === 0 ? undefined : { expert: this.#experts[expert[at] ?? 0] ?? "", bits: betBits[at] ?? 0, byte },
    });
  }

  release(row: number): void {
    if (row !== none) this.#slab.release(row);
  }

  /** There are a dozen. */
  #expert(name: string): number {
    const known = this.#experts.indexOf(name);
    return known >= 0 ? known : this.#experts.push(name) - 1;
  }
}
