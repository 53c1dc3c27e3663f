// SPDX-License-Identifier: Apache-2.0
// One --blocklist as people write it: `NAME=SOURCE [for=DURATION] [every=DURATION] [wide] [shrinking]`.
import { parseDuration, spellDuration } from "../core/duration.ts";

export interface BlocklistOptions {
  /** Its bans have the origin `list:NAME`. */
  readonly name: string;
  /** An absolute path, or an http or https URL. */
  readonly source: string;
  /** How long a ban lasts when the list is not looked at any more; renewed while it is on the list. */
  readonly forMs: number;
  readonly everyMs: number;
  /** Ranges wider than /16 (IPv6 /32) are taken too. */
  readonly wide: boolean;
  /** It is taken also when it lost more than half of its entries, or all. */
  readonly shrinking: boolean;
}

const dayMs = 86_400_000;
const hourMs = 3_600_000;
const leastEveryMs = 1000;
const leastForMs = 60_000;

export const blocklistForm =
  "NAME=/FILE or NAME=https://URL, and behind it for=DURATION (1m at least), every=DURATION (1s at least), wide, shrinking, such as drop=https://www.spamhaus.org/drop/drop.txt every=12h";

export function parseBlocklist(given: string): BlocklistOptions | undefined {
  const [head = "", ...words] = given.trim().split(/\s+/);
  const [, name, source] = /^([A-Za-z0-9._-]{1,64})=(.+)$/.exec(head) ?? [];
  if (name === undefined || source === undefined || !isSource(source)) return undefined;
  let list: BlocklistOptions = { name, source, forMs: dayMs, everyMs: hourMs, wide: false, shrinking: false };
  for (const word of words) {
    const [, key, period = ""] = /^(for|every)=(\w+)$/.exec(word) ?? [];
    const durationMs = parseDuration(period);
    if (key === "for" && durationMs !== undefined && durationMs >= leastForMs) list = { ...list, forMs: durationMs };
    else if (key === "every" && durationMs !== undefined && durationMs >= leastEveryMs)
      list = { ...list, everyMs: durationMs };
    else if (word === "wide" || word === "shrinking") list = { ...list, [word]: true };
    else return undefined;
  }
  return list;
}

/** Credentials in a URL would stand in the status, the log and the configuration that is shown. */
function isSource(source: string): boolean {
  if (source.startsWith("/")) return true;
  if (!/^https?:\/\//.test(source) || !URL.canParse(source)) return false;
  const { username, password } = new URL(source);
  return username === "" && password === "";
}

export function formatBlocklist({ name, source, forMs, everyMs, wide, shrinking }: BlocklistOptions): string {
  const words = [
    `${name}=${source}`,
    ...(forMs === dayMs ? [] : [`for=${spellDuration(forMs)}`]),
    ...(everyMs === hourMs ? [] : [`every=${spellDuration(everyMs)}`]),
    ...(wide ? ["wide"] : []),
    ...(shrinking ? ["shrinking"] : []),
  ];
  return words.join(" ");
}

/** For status and log: keys of services stand in the query. */
export function shownSource(source: string): string {
  return source.startsWith("/") ? source : source.replace(/[?#].*/, "?...");
}
