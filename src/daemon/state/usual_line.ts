// SPDX-License-Identifier: Apache-2.0
// Reads what nearly every line of the state file is, one claim that holds everywhere, from its bytes: JSON takes three
// times as long, and a million lines are read at a start. Knows no other lines.
import { type Prefix, parsePrefix, prefixFromWords } from "../../core/address.ts";
import type { Claim, Evidence, Origin } from "../../core/bans/claim.ts";
import { KeptEvidence } from "../../core/bans/table/evidence_rows.ts";
import type { SavedSource } from "./saved_source.ts";

const noDigit = 16;
const [quote, comma, dot, zero, opening, backslash] = [34, 44, 46, 48, 91, 92];
/** What a byte stands for as a digit of hexadecimal numbers, in small letters. */
const digits = new Uint8Array(256).fill(noDigit);
for (const [value, digit] of [..."0123456789abcdef"].entries()) digits[digit.charCodeAt(0)] = value;

const ascii = new TextDecoder();

export class UsualLine {
  #bytes: Uint8Array = new Uint8Array(0);
  #at = 0;
  #isUsual = true;
  /** Of the line before: nearly always the same, and kept once. */
  #origin = "";
  #reason = "";

  /** @returns undefined where it is another line. @param bootMs Unix time at boot. */
  read(bytes: Uint8Array, from: number, to: number, bootMs: number): SavedSource | undefined {
    this.#bytes = bytes;
    this.#at = from;
    this.#isUsual = true;
    this.#expect("[");
    const prefix = this.#address();
    if (prefix === undefined) return undefined;
    this.#expect(",[[");
    const claim = this.#claim(prefix, bootMs);
    this.#expect("]]]");
    return this.#isUsual && this.#at === to ? { prefix, claims: [claim], offender: undefined } : undefined;
  }

  #claim(source: Prefix, bootMs: number): Claim {
    this.#origin = this.#string(this.#origin);
    const origin = this.#origin as Origin;
    this.#expect(",");
    this.#reason = this.#string(this.#reason);
    const reason = this.#reason;
    this.#expect(",");
    const sinceMs = this.#number() - bootMs;
    this.#expect(",");
    const until = this.#number();
    const untilMs = until === 0 ? Number.POSITIVE_INFINITY : until - bootMs;
    this.#expect(",");
    const evidence = this.#evidence(source);
    return { origin, reason, sinceMs, untilMs, evidence, gate: undefined, isLocal: undefined };
  }

  #evidence(source: Prefix): Evidence | undefined {
    if (this.#bytes[this.#at] !== opening) {
      this.#expect("null");
      return undefined;
    }
    this.#expect("[");
    const firstBytes = this.#hex();
    this.#expect(",");
    const client = this.#address(source);
    this.#expect(",");
    const clientPort = this.#number();
    this.#expect(",");
    const gatePort = this.#number();
    // Of earlier versions: no bet.
    if (this.#bytes[this.#at] === comma) this.#expect(",null");
    this.#expect("]");
    if (client === undefined) this.#isUsual = false;
    return client && new KeptEvidence({ firstBytes, client, clientPort, gatePort });
  }

  /** @param likely what it is if it is that. */
  #address(likely?: Prefix): Prefix | undefined {
    const start = this.#at;
    this.#expect('"');
    const ipv4 = this.#dotted();
    if (ipv4 >= 0 && this.#bytes[this.#at] === quote) {
      this.#at++;
      const isLikely = likely?.ipv4 === true && likely.bits === 128 && likely.words[3] === ipv4;
      return isLikely ? likely : prefixFromWords([0, 0, 0xffff, ipv4]);
    }
    this.#at = start;
    return parsePrefix(this.#string());
  }

  /** -1: it is none. */
  #dotted(): number {
    let address = 0;
    for (let octet = 0; octet < 4; octet++) {
      if (octet > 0 && this.#bytes[this.#at++] !== dot) return -1;
      const value = this.#digits();
      if (value < 0 || value > 255) return -1;
      address = address * 256 + value;
    }
    return address;
  }

  #expect(text: string): void {
    for (let index = 0; index < text.length; index++) {
      if (this.#bytes[this.#at++] !== text.charCodeAt(index)) this.#isUsual = false;
    }
  }

  /** @param likely what it is if it is that. */
  #string(likely = ""): string {
    this.#expect('"');
    const start = this.#at;
    this.#at = this.#endOfString();
    const text = this.#is(likely, start) ? likely : ascii.decode(this.#bytes.subarray(start, this.#at));
    this.#expect('"');
    return text;
  }

  #is(text: string, start: number): boolean {
    if (this.#at - start !== text.length) return false;
    for (let index = 0; index < text.length; index++) {
      if (this.#bytes[start + index] !== text.charCodeAt(index)) return false;
    }
    return true;
  }

  #hex(): Uint8Array {
    this.#expect('"');
    const length = this.#bytes.indexOf(quote, this.#at) - this.#at;
    const bytes = new Uint8Array(Math.max(0, length) >> 1);
    let seen = 0;
    for (let index = 0; index < bytes.length; index++) {
      const upper = digits[this.#bytes[this.#at++] ?? 0] ?? 0;
      const lower = digits[this.#bytes[this.#at++] ?? 0] ?? 0;
      bytes[index] = 16 * upper + lower;
      seen |= upper | lower;
    }
    if ((seen & noDigit) !== 0) this.#isUsual = false;
    this.#expect('"');
    return bytes;
  }

  /** Without escapes, and of ASCII alone. */
  #endOfString(): number {
    let at = this.#at;
    for (; at < this.#bytes.length; at++) {
      const code = this.#bytes[at] ?? 0;
      if (code === quote) return at;
      if (code === backslash || code < 32 || code > 126) break;
    }
    this.#isUsual = false;
    return at;
  }

  #number(): number {
    const value = this.#digits();
    if (value < 0) this.#isUsual = false;
    return value;
  }

  /** -1: there is none. */
  #digits(): number {
    let value = 0;
    const start = this.#at;
    for (; ; this.#at++) {
      const digit = (this.#bytes[this.#at] ?? 0) - zero;
      if (digit < 0 || digit > 9) break;
      value = value * 10 + digit;
    }
    return this.#at === start ? -1 : value;
  }
}
