// SPDX-License-Identifier: Apache-2.0
// Does the first block, decrypted with the site's own AES-256 key, begin as the plaintext must? The
// cipher itself comes from outside: the runtime's is tried, fast and does not leak the key by timing.

import { fails, holds, missing, type Probe } from "./probe.ts";
import { type AesRule, parseHex } from "./signature.ts";

/** AES-256 on single blocks of 16 bytes. The result belongs to the cipher and lasts until its next call. */
export interface BlockCipher {
  encrypt(block: Uint8Array): Uint8Array;
  decrypt(block: Uint8Array): Uint8Array;
}

export interface Ciphers {
  open(key: Uint8Array): BlockCipher;
  /** The 32 bytes of a key file. @throws Error with what is wrong. */
  readKey(file: string): Uint8Array;
}

export type CipherProbe =
  | { readonly kind: "probe"; readonly probe: Probe }
  | { readonly kind: "invalid"; readonly field: "key" | "keyFile"; readonly message: string };

const blockBytes = 16;
/** ID1, ID2 and the only compression method there is, RFC 1952 section 2.3.1. */
const gzipMagic = "1f 8b 08";

export function cipherProbe(rule: AesRule, ciphers: Ciphers): CipherProbe {
  let cipher: BlockCipher;
  try {
    cipher = ciphers.open(rule.keyFile === undefined ? parseHex(rule.key ?? "") : ciphers.readKey(rule.keyFile));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    return { kind: "invalid", field: rule.keyFile === undefined ? "key" : "keyFile", message };
  }
  const at = rule.at ?? 0;
  const plain = parseHex(rule.plain ?? gzipMagic);
  const fixedIv = rule.iv === undefined ? new Uint8Array(blockBytes) : parseHex(rule.iv);
  const { ivAt, mode } = rule;
  const needed = Math.max(at, ivAt ?? 0) + blockBytes;
  const probe: Probe = {
    words: `a block at ${at} that the site's key decrypts to ${rule.plain ?? gzipMagic}`,
    head: new Uint8Array(0),
    minBytes: needed,
    horizonBytes: needed,
    run(bytes, length, ended) {
      if (length < needed) return missing(length, ended);
      const block = bytes.subarray(at, at + blockBytes);
      const iv = ivAt === undefined ? fixedIv : bytes.subarray(ivAt, ivAt + blockBytes);
      // CTR: ciphertext xor E(iv); CBC: D(ciphertext) xor iv; ECB is CBC with an iv of zeros.
      const left = mode === "ctr" ? cipher.encrypt(iv) : cipher.decrypt(block);
      const right = mode === "ctr" ? block : iv;
      for (let index = 0; index < plain.length; index++) {
        if (((left[index] ?? 0) ^ (right[index] ?? 0)) !== plain[index]) return fails(needed);
      }
      return holds(needed);
    },
  };
  return { kind: "probe", probe };
}
