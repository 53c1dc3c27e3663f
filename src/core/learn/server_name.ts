// SPDX-License-Identifier: Apache-2.0
// The name that a TLS client asks for (RFC 8446 section 4.1.2, RFC 6066 section 3), for what learning tells. A
// hello that is cut or spread over records has none; the rule kind tls reads those too.

const recordHead = 5;
const handshakeHead = 4;
const versionAndRandom = 34;
const extensionServerName = 0;

export function serverNameOf(bytes: Uint8Array): string | undefined {
  const byte = (at: number) => bytes[at] ?? 0;
  const word = (at: number) => byte(at) * 256 + byte(at + 1);
  let at = recordHead + handshakeHead + versionAndRandom;
  at += 1 + byte(at);
  at += 2 + word(at);
  at += 1 + byte(at);
  const end = Math.min(bytes.length, at + 2 + word(at));
  at += 2;
  while (at + 4 <= end) {
    const length = word(at + 2);
    // The list's length, the name's kind and its length come before the name.
    if (word(at) === extensionServerName) {
      const name = bytes.subarray(at + 9, at + 9 + word(at + 7));
      return /^[\w.-]+$/.test(String.fromCharCode(...name)) ? String.fromCharCode(...name) : undefined;
    }
    at += 4 + length;
  }
  return undefined;
}
