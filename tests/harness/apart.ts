// SPDX-License-Identifier: Apache-2.0
// Whether this process meets the host: its bpf file system, /run/ttgate, /etc/ttgate, its network.
import process from "node:process";

/** Undefined when scripts/apart.sh keeps it away from the host; otherwise what to do about it. */
export function notApart(): string | undefined {
  return process.env["TTGATE_APART"] === "yes"
    ? undefined
    : "it needs namespaces of its own: as root run make test T=FILE";
}
