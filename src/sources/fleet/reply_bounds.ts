// SPDX-License-Identifier: Apache-2.0
// How much a reply of the engine may be. The client library believes what a reply says of its own size: `*99999999` made
// it take 1.5 GB at once, and a text without an end is gathered until there is no memory. So what comes is looked at
// before the library's decoder has it. It is RESP 2 (https://redis.io/docs/latest/develop/reference/protocol-spec/), read as
// strictly as a server writes it, so that the decoder finds the same parts in it.
import { Decoder } from "@redis/client/dist/lib/RESP/decoder.js";

/** Parts of one reply, with those of its parts: a page of records has a thousand, what a cluster says of itself some more. */
const mostParts = 100_000;
/** A page of records of the longest texts that are asked for is 20 MB. */
const mostBytes = 32 * 1024 * 1024;

const [carriageReturn, lineFeed, minus, zero, one, nine] = [0x0d, 0x0a, 0x2d, 0x30, 0x31, 0x39];
const [array, text, simple, error, integer] = [0x2a, 0x24, 0x2b, 0x2d, 0x3a];

export class ReplyBounds {
  /** Of the line that has begun; 0: none. */
  #type = 0;
  /** Of parts or bytes; minus one: there is no array, no text. */
  #number = 0;
  #digits = 0;
  /** Its end has begun. */
  #isReturned = false;
  /** Bytes of a text, with the end of its line, that are still to come. */
  #textBytes = 0;
  /** Parts that are still to come; the reply itself is one. */
  #open = 1;
  #parts = 0;
  #bytes = 0;

  /** @throws RangeError when a reply is more than any honest one, or none at all. */
  look(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      const from = at;
      if (this.#textBytes > 0) {
        at = Math.min(from + this.#textBytes, chunk.length);
        this.#textBytes -= at - from;
        if (this.#textBytes === 0) this.#endPart();
      } else {
        at = this.#line(chunk, from);
        this.#count(at - from);
      }
    }
  }

  /** A line or what there is of it. @returns where the next one begins. */
  #line(chunk: Uint8Array, from: number): number {
    let at = from;
    if (this.#type === 0) this.#begin(chunk[at++]);
    if (!this.#isReturned) {
      at = this.#type === array || this.#type === text ? this.#size(chunk, at) : endOf(chunk, at);
      if (at < chunk.length) this.#isReturned = true;
      at++;
    }
    if (at >= chunk.length) return chunk.length;
    if (chunk[at] !== lineFeed) throw malformed();
    this.#endLine();
    return at + 1;
  }

  #begin(type: number | undefined): void {
    if (type !== array && type !== text && type !== simple && type !== error && type !== integer) throw malformed();
    this.#type = type;
    this.#isReturned = false;
    this.#number = 0;
    this.#digits = 0;
  }

  /** @returns where it ends. */
  #size(chunk: Uint8Array, from: number): number {
    for (let at = from; at < chunk.length; at++) {
      const byte = chunk[at] ?? 0;
      if (byte === carriageReturn) return at;
      if (byte >= zero && byte <= nine && this.#number >= 0) this.#number = this.#number * 10 + byte - zero;
      else if (byte === minus && this.#digits === 0) this.#number = -1;
      else if (byte !== one || this.#number >= 0 || this.#digits !== 1) throw malformed();
      this.#digits++;
    }
    return chunk.length;
  }

  #endLine(): void {
    const isSize = this.#type === array || this.#type === text;
    const isText = this.#type === text;
    this.#type = 0;
    if (isSize && this.#digits < (this.#number < 0 ? 2 : 1)) throw malformed();
    if (!isSize || this.#number < 0) this.#endPart();
    else if (isText) {
      this.#textBytes = this.#number + 2;
      this.#count(this.#textBytes);
    } else {
      this.#parts += this.#number;
      if (this.#parts > mostParts) throw new RangeError(`a reply of ${this.#parts} parts`);
      this.#open += this.#number;
      this.#endPart();
    }
  }

  #endPart(): void {
    this.#open--;
    if (this.#open > 0) return;
    this.#open = 1;
    this.#parts = 0;
    this.#bytes = 0;
  }

  #count(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes > mostBytes) throw new RangeError(`a reply of ${this.#bytes} bytes`);
  }
}

function endOf(chunk: Uint8Array, from: number): number {
  const end = chunk.indexOf(carriageReturn, from);
  return end < 0 ? chunk.length : end;
}

function malformed(): RangeError {
  return new RangeError("a reply that is not RESP 2");
}

const bounds = new WeakMap<Decoder, ReplyBounds>();
const { write, reset } = Decoder.prototype;

/** The library has no limit and no place for one; what its decoder throws is an error of the connection. Idempotent. */
export function boundReplies(): void {
  if (Decoder.prototype.write !== write) return;
  Decoder.prototype.write = function (this: Decoder, chunk: Uint8Array): void {
    let ours = bounds.get(this);
    if (ours === undefined) {
      ours = new ReplyBounds();
      bounds.set(this, ours);
    }
    ours.look(chunk);
    write.call(this, chunk);
  };
  Decoder.prototype.reset = function (this: Decoder): void {
    bounds.delete(this);
    reset.call(this);
  };
}
