// SPDX-License-Identifier: Apache-2.0
// Origins of bans and the numbers that stand for them in kernel entries: enum ban_origin of bpf/ttgate.h.
// An entry has no room for the name of a list or of another gate: what is read back is called unknown.
import type { Origin } from "../../../core/bans/claim.ts";

/** In the order of enum ban_origin. */
const kinds = [
  "map",
  "sniffer",
  "strikes",
  "kernel",
  "operator",
  "list",
  "server",
  "crowdsec",
  "fail2ban",
  "gate",
] as const;

const codes: ReadonlyMap<string, number> = new Map(kinds.map((kind, code) => [kind, code]));

/** `foreign` entries are not ttgate's to write: they count as the map's. */
export function originCode(origin: Origin): number {
  return codes.get(origin) ?? codes.get(origin.split(":", 1)[0] ?? "") ?? 0;
}

/** A number of a later version is as good as not told. */
export function originOf(code: number): Origin {
  const kind = kinds[code] ?? "map";
  return kind === "list" || kind === "gate" ? `${kind}:unknown` : kind;
}
