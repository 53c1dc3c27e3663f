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

const [carriageReturn, lineFeed, minus, zero, nine] = [0x0d, 0x0a, 0x2d, 0x30, 0x39];
const [array, text] = [0x2a, 0x24];
/** A simple string, an error, an integer. */
const lines: readonly number[] = [0x2b, 0x2d, 0x3a];

export class ReplyBounds {
  /** Of the line that has begun; 0: none. */
  #type = 0;
  /** Of parts or bytes; minus one: there is no array, no text. */
  #number = 0;
  #digits = 0;
  #before = 0;
  /** Bytes of a text, with the end of its line, that are still to come. */
  #textBytes = 0;
  /** Parts that are still to come; the reply itself is one. */
  #open = 1;
  #parts = 0;
  #bytes = 0;

  /** @throws RangeError when a reply is more than any honest one, or none at all. */
  look(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#textBytes === 0) this.#lookAt(chunk[at++] ?? 0);
      else {
        const here = Math.min(this.#textBytes, chunk.length - at);
        at += here;
        this.#textBytes -= here;
        if (this.#textBytes === 0) this.#endPart();
      }
    }
  }

  #lookAt(byte: number): void {
    this.#count(1);
    const before = this.#before;
    this.#before = byte;
    if (this.#type === 0) this.#begin(byte);
    else if (byte === lineFeed && before === carriageReturn) this.#end();
    else if (byte === lineFeed || before === carriageReturn) throw malformed();
    else if (byte !== carriageReturn && !lines.includes(this.#type)) this.#addDigit(byte);
  }

  #begin(type: number): void {
    if (type !== array && type !== text && !lines.includes(type)) throw malformed();
    this.#type = type;
    this.#number = 0;
    this.#digits = 0;
  }

  #addDigit(byte: number): void {
    const isNone = this.#number < 0 && this.#digits === 1 && byte === zero + 1;
    if (byte === minus && this.#digits === 0) this.#number = -1;
    else if (this.#number >= 0 && byte >= zero && byte <= nine) this.#number = this.#number * 10 + byte - zero;
    else if (!isNone) throw malformed();
    this.#digits++;
  }

  #end(): void {
    const type = this.#type;
    this.#type = 0;
    if (!lines.includes(type) && this.#digits < (this.#number < 0 ? 2 : 1)) throw malformed();
    if (lines.includes(type) || this.#number < 0) this.#endPart();
    else if (type === text) {
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

function malformed(): RangeError {
  return new RangeError("a reply that is not RESP 2");
}

const bounds = new WeakMap<Decoder, ReplyBounds>();
const { write, reset } = Decoder.prototype;

/** The library has no limit and no place for one; what its decoder throws is an error of the connection. Idempotent. */
export function boundReplies(): void {
  if (Decoder.prototype.write !== write) return;
  Decoder.prototype.write = function (this: Decoder, chunk: Uint8Array): void {
    const ours = bounds.get(this) ?? new ReplyBounds();
    bounds.set(this, ours);
    ours.look(chunk);
    write.call(this, chunk);
  };
  Decoder.prototype.reset = function (this: Decoder): void {
    bounds.delete(this);
    reset.call(this);
  };
}
