// SPDX-License-Identifier: Apache-2.0
// Puts lines of the state file together as bytes, in a buffer that is used again and again: made as JSON, a million
// of them leave gigabytes to the garbage collector, which holds the relay up while it sweeps.
import { crc32 } from "node:zlib";
import type { Prefix } from "../../core/address.ts";
import type { Claim, Evidence } from "../../core/bans/claim.ts";
import { KeptEvidence } from "../../core/bans/table/evidence_rows.ts";
import type { SavedSource } from "./saved_source.ts";

const firstBytes = 64 * 1024;
const encoder = new TextEncoder();
const digitsOfHex = encoder.encode("0123456789abcdef");
const [space, newline, quote, backslash, zero] = [32, 10, 34, 92, 48];
const checksumBytes = 8;

/** What a line says; of a ban its prefix will do, whose text need not be made then. */
export interface Written extends Omit<SavedSource, "prefix"> {
  readonly source: string | Prefix;
}

export class LineWriter {
  #bytes = new Uint8Array(firstBytes);
  #at = 0;

  get length(): number {
    return this.#at;
  }

  /** What was added since the last call: to be used before the next is added. */
  take(): Uint8Array<ArrayBuffer> {
    const taken = this.#bytes.subarray(0, this.#at);
    this.#at = 0;
    return taken;
  }

  /** @param bootMs Unix time at boot. */
  add({ source, claims, offender }: Written, bootMs: number): void {
    const start = this.#at;
    this.#at += checksumBytes;
    this.#byte(space);
    this.#text("[");
    if (typeof source === "string") this.#string(source);
    else this.#source(source);
    this.#text(",[");
    for (let index = 0; index < claims.length; index++) {
      if (index > 0) this.#text(",");
      this.#claim(claims[index] as Claim, bootMs);
    }
    this.#text("]");
    if (offender !== undefined) {
      this.#text(",[");
      this.#number(offender.bans);
      this.#text(",");
      this.#number(Math.round(bootMs + offender.untilMs));
      this.#text("]");
    }
    this.#text("]");
    this.#checksum(start);
    this.#byte(newline);
  }

  #claim({ origin, reason, sinceMs, untilMs, evidence, gate, isLocal }: Claim, bootMs: number): void {
    this.#text("[");
    this.#string(origin);
    this.#text(",");
    this.#string(reason);
    this.#text(",");
    this.#number(Math.round(bootMs + sinceMs));
    this.#text(",");
    this.#number(Number.isFinite(untilMs) ? Math.round(bootMs + untilMs) : 0);
    this.#text(",");
    if (evidence === undefined) this.#text("null");
    else this.#evidence(evidence);
    if (gate !== undefined) {
      this.#text(",");
      this.#string(gate);
      this.#text(isLocal === true ? ",true" : ",false");
    }
    this.#text("]");
  }

  #source(source: Prefix): void {
    if (!source.ipv4 || source.bits !== 128) {
      this.#string(source.text);
      return;
    }
    const address = source.words[3];
    this.#text('"');
    for (let shift = 24; shift >= 0; shift -= 8) {
      this.#number((address >>> shift) & 255);
      this.#text(shift > 0 ? "." : '"');
    }
  }

  #evidence(evidence: Evidence): void {
    const { firstBytes, clientPort, gatePort, bet } = evidence;
    this.#text('["');
    this.#room(2 * firstBytes.length);
    for (let index = 0; index < firstBytes.length; index++) {
      const byte = firstBytes[index] ?? 0;
      this.#bytes[this.#at++] = digitsOfHex[byte >> 4] ?? 0;
      this.#bytes[this.#at++] = digitsOfHex[byte & 15] ?? 0;
    }
    this.#text('",');
    if (evidence instanceof KeptEvidence) this.#source(evidence.client);
    else this.#string(evidence.clientAddress);
    this.#text(",");
    this.#number(clientPort);
    this.#text(",");
    this.#number(gatePort);
    if (bet !== undefined) this.#text(`,${JSON.stringify(bet)}`);
    this.#text("]");
  }

  /** In the place that was left for it. */
  #checksum(start: number): void {
    const textStart = start + checksumBytes + 1;
    const sum = crc32(this.#bytes.subarray(textStart, this.#at));
    for (let index = 0; index < checksumBytes; index++) {
      this.#bytes[start + index] = digitsOfHex[(sum >>> (28 - 4 * index)) & 15] ?? 0;
    }
  }

  #string(text: string): void {
    if (!isPlain(text)) {
      this.#text(JSON.stringify(text));
      return;
    }
    this.#byte(quote);
    this.#text(text);
    this.#byte(quote);
  }

  /** In base ten; not negative and whole, as times and ports are. */
  #number(value: number): void {
    if (value < 0 || value > Number.MAX_SAFE_INTEGER) {
      this.#text(JSON.stringify(value));
      return;
    }
    this.#room(16);
    let digits = 1;
    for (let bound = 10; bound <= value; bound *= 10) digits++;
    let rest = value;
    for (let at = this.#at + digits - 1; at >= this.#at; at--) {
      const tenth = Math.floor(rest / 10);
      this.#bytes[at] = zero + (rest - 10 * tenth);
      rest = tenth;
    }
    this.#at += digits;
  }

  #text(text: string): void {
    // A character has three bytes at most.
    this.#room(3 * text.length);
    for (let index = 0; index < text.length; index++) {
      const code = text.charCodeAt(index);
      if (code > 126) {
        this.#at += encoder.encodeInto(text.slice(index), this.#bytes.subarray(this.#at)).written;
        return;
      }
      this.#bytes[this.#at++] = code;
    }
  }

  #byte(byte: number): void {
    this.#room(1);
    this.#bytes[this.#at++] = byte;
  }

  #room(bytes: number): void {
    if (this.#at + bytes <= this.#bytes.length) return;
    const larger = new Uint8Array(2 * (this.#bytes.length + bytes));
    larger.set(this.#bytes.subarray(0, this.#at));
    this.#bytes = larger;
  }
}

/** JSON has it as it is. */
function isPlain(text: string): boolean {
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code < space || code > 126 || code === quote || code === backslash) return false;
  }
  return true;
}
