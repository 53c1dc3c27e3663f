// SPDX-License-Identifier: Apache-2.0
// Sets of nftables: the text of `nft list set` and the JSON of `nft -j list set`.

import { z } from "zod";
import { quoted } from "../quoted.ts";
import { type LineReading, type ListEntry, mistake, nothing } from "./entry.ts";
import { readSource } from "./range.ts";

const unitMs: Readonly<Record<string, number>> = {
  w: 604_800_000,
  d: 86_400_000,
  h: 3_600_000,
  m: 60_000,
  s: 1000,
  ms: 1,
};

/** Reads the lines of `nft list set` one after the other: its elements go over many. */
export class NftText {
  #isInSet = false;
  #isInElements = false;

  /** @returns undefined when the line is none of a set. */
  read(line: string): LineReading | undefined {
    if (/^(table|set|map)\s.*\{$/.test(line)) {
      this.#isInSet = true;
      return nothing;
    }
    if (!this.#isInSet && !/^elements\s*=/.test(line)) return undefined;
    const begin = /^elements\s*=\s*\{(.*)$/.exec(line);
    if (begin === null && !this.#isInElements) {
      // Its properties; a line of another list may follow the set in the same file.
      if (
        line === "}" ||
        /^(type|typeof|flags|timeout|gc-interval|size|policy|counter|auto-merge|comment)\b/.test(line)
      ) {
        return nothing;
      }
      this.#isInSet = false;
      return undefined;
    }
    this.#isInElements = true;
    const parts = elementsOf(begin?.[1] ?? line);
    if (parts.isLast) this.#isInElements = false;
    return joined(parts.elements.map(readElement));
  }
}

/** Split at commas and ended by a brace, but not in a comment. */
function elementsOf(text: string): { readonly elements: readonly string[]; readonly isLast: boolean } {
  const words = [...text.matchAll(/"[^"]*"|[,}]|[^\s,}]+/g)].map(([word]) => word);
  const elements: string[] = [];
  let element: string[] = [];
  for (const word of [...words, ","]) {
    if (word !== "," && word !== "}") element.push(word);
    else if (element.length > 0) {
      elements.push(element.join(" "));
      element = [];
    }
  }
  return { elements, isLast: words.includes("}") };
}

/** `45.9.22.5 timeout 1h expires 59m59s counter packets 0 bytes 0 comment "x"`. */
function readElement(text: string): LineReading {
  const [source = "", ...rest] = text.split(" ");
  const after = (word: string) => (rest.includes(word) ? rest[rest.indexOf(word) + 1] : undefined);
  const end = after("expires") ?? after("timeout");
  const forMs = end === undefined || end === "never" ? undefined : durationOf(end);
  if (end !== undefined && end !== "never" && forMs === undefined) {
    return mistake(`Invalid time ${quoted(end)} of ${source}: expected such as 59m59s`);
  }
  return readSource(source, end === "never" ? Number.POSITIVE_INFINITY : forMs);
}

function durationOf(text: string): number | undefined {
  if (!/^(\d+(ms|[wdhms]))+$/.test(text)) return undefined;
  const parts = [...text.matchAll(/(\d+)(ms|[wdhms])/g)];
  return parts.reduce((sum, [, amount, unit = ""]) => sum + Number(amount) * (unitMs[unit] ?? 0), 0);
}

/** The first mistake among them, or all entries. */
function joined(readings: readonly LineReading[]): LineReading {
  const entries: ListEntry[] = [];
  for (const reading of readings) {
    if (reading.kind === "mistake") return reading;
    entries.push(...reading.entries);
  }
  return { kind: "entries", entries };
}

const value = z.union([
  z.string(),
  z.object({ prefix: z.object({ addr: z.string(), len: z.number() }) }),
  z.object({ range: z.tuple([z.string(), z.string()]) }),
]);
const element = z.union([
  value,
  z.object({ elem: z.object({ val: value, timeout: z.number().optional(), expires: z.number().optional() }) }),
]);
const document = z.object({
  nftables: z.array(z.object({ set: z.object({ elem: z.array(z.unknown()).optional() }).optional() })),
});

/** Every element has a reading of its own; undefined when it is no JSON of nft. */
export function readNftJson(json: unknown): readonly LineReading[] | undefined {
  const parsed = document.safeParse(json);
  if (!parsed.success) return undefined;
  return parsed.data.nftables.flatMap(({ set }) => (set?.elem ?? []).map(readJsonElement));
}

function readJsonElement(json: unknown): LineReading {
  const parsed = element.safeParse(json);
  if (!parsed.success) return mistake(`Invalid element ${JSON.stringify(json)}: expected an address, prefix or range`);
  if (typeof parsed.data !== "object" || !("elem" in parsed.data)) return readSource(textOf(parsed.data), undefined);
  const { val, timeout, expires } = parsed.data.elem;
  const seconds = expires ?? timeout;
  return readSource(textOf(val), seconds === undefined ? undefined : seconds * 1000);
}

function textOf(val: z.infer<typeof value>): string {
  if (typeof val === "string") return val;
  return "prefix" in val ? `${val.prefix.addr}/${val.prefix.len}` : val.range.join("-");
}
