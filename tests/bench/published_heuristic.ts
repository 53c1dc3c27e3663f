// SPDX-License-Identifier: Apache-2.0
// How a censor was found to tell fully encrypted traffic by its first packet: "How the Great Firewall of
// China Detects and Blocks Fully Encrypted Traffic", USENIX Security 2023, section 4, without its exemption
// of TLS and HTTP by their first bytes. For comparison only.

const isPrintable = (byte: number) => byte >= 0x20 && byte <= 0x7e;

function bitsOf(byte: number): number {
  let bits = 0;
  for (let rest = byte; rest > 0; rest >>= 1) bits += rest & 1;
  return bits;
}

export function looksEncrypted(bytes: Uint8Array): boolean {
  let bits = 0;
  let printable = 0;
  let run = 0;
  let longestRun = 0;
  let leading = 0;
  for (const [at, byte] of bytes.entries()) {
    bits += bitsOf(byte);
    run = isPrintable(byte) ? run + 1 : 0;
    if (run > 0) printable++;
    if (run === at + 1) leading = run;
    longestRun = Math.max(longestRun, run);
  }
  const mean = bits / bytes.length;
  if (mean <= 3.4 || mean >= 4.6) return false;
  return leading < 6 && printable <= bytes.length / 2 && longestRun <= 20;
}
