// SPDX-License-Identifier: Apache-2.0
// The engine's replies as this gate understands them. What is shared by all gates may have been written by
// anybody: what is not as it should be is left out.
import { fleetNamePattern } from "../../core/fleet/record.ts";

/** One gate changed some sources. */
export interface Hint {
  readonly id: string;
  readonly gate: string;
  readonly number: number;
  readonly sources: readonly string[];
}

/** No honest gate announces more at a time. */
const sourcesInHint = 200;

export function texts(reply: unknown): string[] {
  return Array.isArray(reply) ? reply.map((one) => (typeof one === "string" ? one : "")) : [];
}

/** Of XREAD on one stream, or of XREVRANGE. */
export function hintsOf(entries: unknown): Hint[] {
  if (!Array.isArray(entries)) return [];
  return entries.flatMap((entry: unknown) => {
    if (!Array.isArray(entry) || typeof entry[0] !== "string") return [];
    const fields = texts(entry[1]);
    const value = (name: string) => {
      const at = fields.findIndex((field, index) => index % 2 === 0 && field === name);
      return at < 0 ? "" : (fields[at + 1] ?? "");
    };
    const gate = value("g");
    const sources = value("s").split(" ", sourcesInHint);
    return [{ id: entry[0], gate: fleetNamePattern.test(gate) ? gate : "", number: Number(value("n")), sources }];
  });
}

/** `XREAD` of one stream; null when nothing came. */
export function readHints(reply: unknown): Hint[] {
  const [stream] = Array.isArray(reply) ? reply : [];
  return Array.isArray(stream) ? hintsOf(stream[1]) : [];
}

/** The same of `hintsCommand`: the id, and the fields as a gate writes them. */
export function shortHints(reply: unknown): Hint[] {
  return texts(reply).flatMap((text) => {
    if (text === "") return [];
    const [id = "", g, gate = "", n, number, s, ...sources] = text.split(" ", 6 + sourcesInHint);
    const isHint = g === "g" && n === "n" && s === "s" && fleetNamePattern.test(gate);
    return [{ id, gate: isHint ? gate : "", number: Number(number), sources }];
  });
}

/** What a gate says on its channel: the number of its hint, and the sources with their records. */
export function saidOf(message: string): { readonly number: number; readonly entries: readonly [string, string][] } {
  const entries: [string, string][] = [];
  const head = message.indexOf("\n");
  for (let end = head; end >= 0 && entries.length < sourcesInHint; ) {
    const start = end + 1;
    end = message.indexOf("\n", start);
    const stop = end < 0 ? message.length : end;
    const blank = message.indexOf(" ", start);
    entries.push(
      blank < 0 || blank > stop
        ? [message.slice(start, stop), ""]
        : [message.slice(start, blank), message.slice(blank + 1, stop)],
    );
  }
  return { number: Number(head < 0 ? message : message.slice(0, head)), entries };
}

/** Of `HSCAN`. */
export function page(reply: unknown): { readonly cursor: string; readonly entries: readonly [string, string][] } {
  const [cursor, flat] = Array.isArray(reply) ? reply : [];
  const fields = texts(flat);
  const entries: [string, string][] = [];
  for (let index = 0; index + 1 < fields.length; index += 2)
    entries.push([fields[index] ?? "", fields[index + 1] ?? ""]);
  return { cursor: typeof cursor === "string" ? cursor : "0", entries };
}

/** Of `HMGET`: what there is of each. */
export function recordsOf(reply: unknown, sources: readonly string[]): [source: string, text: string | null][] {
  const records: readonly unknown[] = Array.isArray(reply) ? reply : [];
  return sources.map((source, index) => {
    const record = records[index];
    return [source, typeof record === "string" ? record : null];
  });
}

/** Milliseconds in the number of a stream's entry. */
export function msOf(id: string): number {
  return Number(id.split("-")[0]);
}

/** Of `TIME`. @throws Error for what is no time: every end would be computed by it. */
export function timeMs(reply: unknown): number {
  const [seconds = "", micros = ""] = texts(reply);
  if (!/^\d{1,12}$/.test(seconds) || !/^\d{1,6}$/.test(micros)) throw new Error("TIME: the answer is no time");
  return Number(seconds) * 1000 + Number(micros) / 1000;
}
