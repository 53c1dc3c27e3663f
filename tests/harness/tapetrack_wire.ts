// SPDX-License-Identifier: Apache-2.0
// A stand-in for TapeTrack's wire, with what is public about it and no more: a packet is gzip level 9,
// then AES-256, so that what an onlooker sees is ciphertext, perhaps after a short clear header. The
// framing is this stand-in's own: inside the ciphertext's first block, or a 4-byte length before it.
import { createCipheriv, createDecipheriv, createHash, randomBytes } from "node:crypto";
import { gunzipSync, gzipSync } from "node:zlib";

/** `bare`: ciphertext from the first byte. `length`: after a clear 4-byte big-endian length. */
export type WireVariant = "bare" | "length";

const key = createHash("sha256").update("a key that only tests use").digest();
const blockBytes = 16;
/** The random initialisation vector, then the block that holds the packet's length. */
const headBytes = 2 * blockBytes;
const magic = 0x54415045;

/** Seals a payload the way a client or server sends it. */
export function seal(payload: Uint8Array, variant: WireVariant): Uint8Array {
  const packed = gzipSync(payload, { level: 9 });
  const iv = randomBytes(blockBytes);
  const head = new DataView(new ArrayBuffer(8));
  head.setUint32(0, magic);
  head.setUint32(4, packed.length);
  const cipher = createCipheriv("aes-256-cbc", key, iv);
  const sealed = Buffer.concat([iv, cipher.update(new Uint8Array(head.buffer)), cipher.update(packed), cipher.final()]);
  if (variant === "bare") return sealed;
  const prefix = Buffer.alloc(4);
  prefix.writeUInt32BE(sealed.length);
  return Buffer.concat([prefix, sealed]);
}

/** Takes bytes as they come and gives whole payloads. */
export class PacketReader {
  readonly #variant: WireVariant;
  #held: Buffer = Buffer.alloc(0);

  constructor(variant: WireVariant) {
    this.#variant = variant;
  }

  /** @throws Error when the bytes are not of this protocol: the server hangs up on that. */
  push(bytes: Uint8Array): Uint8Array[] {
    this.#held = Buffer.concat([this.#held, bytes]);
    const payloads: Uint8Array[] = [];
    for (let length = this.#packetBytes(); length !== undefined && this.#held.length >= length; ) {
      payloads.push(open(this.#held.subarray(this.#variant === "length" ? 4 : 0, length)));
      this.#held = this.#held.subarray(length);
      length = this.#packetBytes();
    }
    return payloads;
  }

  #packetBytes(): number | undefined {
    const clear = this.#variant === "length" ? 4 : 0;
    if (this.#held.length < clear + headBytes) return undefined;
    const packed = readHead(this.#held.subarray(clear, clear + headBytes));
    // PKCS#7 always adds: up to the next whole block.
    return clear + blockBytes + (Math.floor((packed + 8) / blockBytes) + 1) * blockBytes;
  }
}

function readHead(bytes: Uint8Array): number {
  const decipher = createDecipheriv("aes-256-cbc", key, bytes.subarray(0, blockBytes)).setAutoPadding(false);
  const head = decipher.update(bytes.subarray(blockBytes, headBytes));
  if (head.readUInt32BE(0) !== magic) throw new Error("Not a packet of the stand-in's protocol");
  return head.readUInt32BE(4);
}

function open(sealed: Uint8Array): Uint8Array {
  const decipher = createDecipheriv("aes-256-cbc", key, sealed.subarray(0, blockBytes));
  const clear = Buffer.concat([decipher.update(sealed.subarray(blockBytes)), decipher.final()]);
  return gunzipSync(clear.subarray(8));
}
