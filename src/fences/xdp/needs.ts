// SPDX-License-Identifier: Apache-2.0
// What the kernel block takes of this process and this kernel, and what of it is not there: said by name.
import { existsSync } from "node:fs";
import { release } from "node:os";
import type { Libc } from "../../kernel/libc.ts";
import { type CapabilityName, hasCapability, readCapabilities } from "../../kernel/privileges.ts";

export const btfPath = "/sys/kernel/btf/vmlinux";

/** From then on XDP has helpers that read a packet; before, reading takes pointer arithmetic and so CAP_PERFMON. */
const helpersSince = [5, 18] as const;
/** The first kernel that takes the judging program. */
const judgesSince = [5, 15] as const;

/** @param version as uname gives it. */
export function isOlder(version: string, [major, minor]: readonly [number, number]): boolean {
  const [, foundMajor, foundMinor] = /^(\d+)\.(\d+)/.exec(version) ?? [];
  return Number(foundMajor) < major || (Number(foundMajor) === major && Number(foundMinor) < minor);
}

/** @param effective capabilities in use, as in /proc/PID/status. @param judges the program judges first bytes too. */
export function missingCapabilities(effective: bigint, judges: boolean, version = release()): CapabilityName[] {
  const needed: CapabilityName[] = ["CAP_BPF", "CAP_NET_ADMIN"];
  if (judges || isOlder(version, helpersSince)) needed.push("CAP_PERFMON");
  const all = hasCapability(effective, "CAP_SYS_ADMIN");
  return needed.filter((name) => !hasCapability(effective, name) && !(all && name !== "CAP_NET_ADMIN"));
}

/** What to do about capabilities that are missing. */
export function grantOf(missing: readonly CapabilityName[]): string {
  return `run as root, or add ${missing.join(" ")} to AmbientCapabilities= in the unit`;
}

/** Why the kernel says EPERM. */
export function refusalOf(libc: Libc, judges: boolean): string {
  const missing = missingCapabilities(readCapabilities(libc).effective, judges);
  if (missing.length > 0) {
    return `The kernel block is not allowed, ${missing.join(" and ")} missing: ${grantOf(missing)}, or run without -B`;
  }
  const barriers = "a user namespace, a seccomp filter of the container, or kernel lockdown";
  return `The kernel block is not allowed, though no capability is missing: look for ${barriers}, or run without -B`;
}

/** What judging takes beyond the block, and is not there. */
export function missingForJudging(libc: Libc): string[] {
  return [
    ...(isOlder(release(), judgesSince) ? [`Linux ${judgesSince.join(".")} or later (this is ${release()})`] : []),
    ...(existsSync(btfPath) ? [] : [`the kernel's BTF (${btfPath})`]),
    ...missingCapabilities(readCapabilities(libc).effective, true),
  ];
}
