// SPDX-License-Identifier: Apache-2.0
// Reads a list into entries, line by line in slices, and says whether it is one: a page of HTML, an empty body or a
// list that lost most of its entries since the last time changes nothing.
import { setImmediate } from "node:timers/promises";
import { contains, coversBoth, isIpv4, type Prefix, parsePrefix, requirePrefix } from "../../core/address.ts";
import { sourceOf } from "../../core/client.ts";
import { Entries } from "../../core/lists/entries.ts";
import { ListReader } from "../../core/lists/list_reader.ts";
import type { LineFailure } from "../answer.ts";
import { isWide, notAnAddress } from "../operator.ts";

/** Between two turns of everything else. */
const sliceMs = 2;
/** Lines between two looks at the clock. */
const linesAtOnce = 100;
/** A line of JSON may hold a whole set, and is read in one go: some thousand elements. */
const longestLine = 256 * 1024;
/** What the kernel's map has room for. */
const mostEntries = 1_048_576;
const failuresTold = 5;
/** Wider than these nothing is taken from a list, whatever it is allowed: a mistake of others takes a continent out. */
const widestIpv4Bits = 96 + 8;
const widestIpv6Bits = 19;
/**
 * RFC 1918, 6598 and 3927. Lists of what cannot come over the internet have them, and here they would be the site's own
 * clients. (Those of IPv6 are too wide.)
 */
const privateNetworks = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16"].map(
  requirePrefix,
);

export interface Intake {
  readonly entries: Entries;
  /** Lines that were not taken. */
  readonly refused: number;
  /** The first of them. */
  readonly failures: readonly LineFailure[];
}

export interface IntakeOptions {
  readonly ipv6Bits: number;
  readonly wide: boolean;
}

/** @throws Error that says why it is no list. */
export async function takeIn(chunks: AsyncIterable<string>, options: IntakeOptions): Promise<Intake> {
  const reader = new ListReader();
  const entries = new Entries();
  const failures: LineFailure[] = [];
  const counts = { refused: 0, unreadable: 0, line: 0 };
  const take = (line: string) => {
    counts.line++;
    if (counts.line === 1 && isHtml.test(line)) throw new Error("it is a page of HTML");
    for (const reading of reader.read(line)) {
      if (reading.kind === "mistake") fail(reading.message, true);
      else for (const { source, forMs } of reading.entries) enter(source, forMs);
    }
  };
  const fail = (message: string, isUnreadable: boolean) => {
    counts.refused++;
    if (isUnreadable) counts.unreadable++;
    if (failures.length < failuresTold) failures.push({ line: counts.line, message });
  };
  const enter = (source: string, forMs: number | undefined) => {
    const prefix = prefixOf(source, options.ipv6Bits);
    if (prefix === undefined) return fail(notAnAddress(source).message, true);
    const reason = whyNotTaken(prefix, options.wide);
    if (reason !== undefined) return fail(`"${source}" ${reason}`, false);
    entries.add(prefix.text, forMs);
    if (entries.size > mostEntries) throw new Error(`it has more than ${mostEntries} entries`);
  };
  for await (const lines of slicesOf(chunks)) for (const line of lines) take(line);
  if (entries.size === 0 && counts.refused === 0) throw new Error("it is empty");
  if (counts.unreadable >= entries.size && counts.unreadable > 0) {
    const [first] = failures;
    throw new Error(`it is no list: ${counts.unreadable} lines cannot be read, ${first?.line}: ${first?.message}`);
  }
  return { entries, refused: counts.refused, failures };
}

function prefixOf(source: string, ipv6Bits: number): Prefix | undefined {
  const prefix = parsePrefix(source);
  return prefix === undefined || source.includes("/") ? prefix : sourceOf(prefix, ipv6Bits);
}

function whyNotTaken(prefix: Prefix, isWideAllowed: boolean): string | undefined {
  if (coversBoth(prefix)) return "holds IPv4 and IPv6";
  if (prefix.bits < (isIpv4(prefix) ? widestIpv4Bits : widestIpv6Bits)) return "is wider than /8 (IPv6 /19)";
  const held = privateNetworks.find((network) => contains(prefix, network));
  if (held !== undefined) {
    const command = isWide(prefix) ? "ttgate ban --force" : "ttgate ban";
    return `holds the private network ${held.text}: "${command}" bans it, if that is meant`;
  }
  return !isWideAllowed && isWide(prefix)
    ? 'is wider than /16 (IPv6 /32, behind NAT64 /112): allow it with "wide"'
    : undefined;
}

/** One may have many addresses, a line each. */
const isHtml = /^\ufeff?\s*<(!doctype|html|\?xml)\b/i;

const tooLong = `a line is longer than ${longestLine / 1024} KiB: give a set of nft as text, without -j`;

/** Whole lines, with a turn for everything else after some milliseconds. */
async function* slicesOf(chunks: AsyncIterable<string>): AsyncGenerator<readonly string[]> {
  let rest = "";
  let startMs = performance.now();
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split("\n");
    rest = lines.pop() ?? "";
    if (rest.length > longestLine || lines.some(({ length }) => length > longestLine)) throw new Error(tooLong);
    for (let start = 0; start < lines.length; start += linesAtOnce) {
      yield lines.slice(start, start + linesAtOnce);
      if (performance.now() - startMs < sliceMs) continue;
      await setImmediate();
      startMs = performance.now();
    }
  }
  if (rest !== "") yield [rest];
}
