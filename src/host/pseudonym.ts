// SPDX-License-Identifier: Apache-2.0
// A name for a source that is the same as long as this host is, and tells nobody else the address: recordings tell
// sources apart and hold no addresses. The key is the host's own (machine-id(5) asks for it to be used this way).
import { createHmac, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

let key: string | undefined;

export function pseudonymOf(source: string): string {
  key ??= machineKey();
  return createHmac("sha256", key).update(`ttgate source ${source}`).digest("hex").slice(0, 16);
}

/** Without a machine-id it lasts as long as the process. */
function machineKey(): string {
  try {
    const id = readFileSync("/etc/machine-id", "utf8").trim();
    if (id !== "") return id;
  } catch {
    // Not every container has one.
  }
  return randomBytes(16).toString("hex");
}
