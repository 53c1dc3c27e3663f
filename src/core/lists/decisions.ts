// SPDX-License-Identifier: Apache-2.0
// CrowdSec's decisions as `cscli decisions list -o raw` prints them: CSV,
// `id,source,ip,reason,action,country,as,events_count,expiration,simulated,alert_id`.

import { parseGoDuration } from "../duration.ts";
import { quoted } from "../quoted.ts";
import { type LineReading, mistake, nothing } from "./entry.ts";
import { readSource } from "./range.ts";

const isHeader = /^id,source,ip,reason,action,/;
const isRow = /^\d+,[^,]*,[A-Za-z]+:/;

export function isDecision(line: string): boolean {
  return isHeader.test(line) || isRow.test(line);
}

export function readDecision(line: string): LineReading {
  if (isHeader.test(line)) return nothing;
  const [id, , scoped = "", , action = "", , , , expiration = "", simulated] = fieldsOf(line);
  const colon = scoped.indexOf(":");
  const [scope, value] = [scoped.slice(0, colon), scoped.slice(colon + 1)];
  if (!/^(ip|range)$/i.test(scope)) return mistake(`Decision ${id} is about a ${scope}: expected Ip or Range`);
  if (action !== "ban") return mistake(`Decision ${id} is a ${action}: expected ban`);
  if (simulated === "true") return mistake(`Decision ${id} is simulated: nothing to ban`);
  const leftMs = parseGoDuration(expiration);
  if (leftMs === undefined) return mistake(`Invalid expiration ${quoted(expiration)}: expected such as 53m47.5s`);
  return leftMs <= 0 ? mistake(`Decision ${id} ended ${expiration.slice(1)} ago`) : readSource(value, leftMs);
}

/** RFC 4180: a field in quotes holds commas, and two quotes for one. */
function fieldsOf(line: string): string[] {
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? "",
  );
}
