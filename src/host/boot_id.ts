// SPDX-License-Identifier: Apache-2.0
// Which boot of this host this is: clocks that count from a boot mean nothing after the next one.
import { readFileSync } from "node:fs";

/** random(4) */
const path = "/proc/sys/kernel/random/boot_id";

/**
 * 32 hexadecimal digits; undefined where nobody tells. In a service /proc has nothing but processes: there it comes by
 * the environment, from the unit (`%b`).
 */
export function bootId(
  variables: Readonly<Record<string, string | undefined>>,
  read = () => readFileSync(path, "utf8"),
): string | undefined {
  const id = (tried(read) ?? variables["TTGATE_BOOT_ID"] ?? "").trim().replaceAll("-", "");
  return /^[0-9a-f]{32}$/.test(id) ? id : undefined;
}

function tried(read: () => string): string | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}
