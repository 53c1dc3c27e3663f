// SPDX-License-Identifier: Apache-2.0
// The log: one line for each thing that happened, on stderr, in one of three forms: docs/logs.md. Bytes from the
// network are escaped before they get here; nothing else can make a second line either.
import { fstatSync } from "node:fs";
import process from "node:process";

export type LogLevel = "info" | "warn" | "error";

export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** text: `TIME LEVEL message`; logfmt: `time=... level=... message="..."` and the fields; json: an object a line. */
export type LogForm = "text" | "logfmt" | "json";

export interface LogTarget {
  /** The journal of systemd reads it: it wants a priority, and writes the time down itself. */
  readonly isJournal: boolean;
  /** A terminal of a person who wants colour. */
  readonly isColoured: boolean;
}

/** sd-daemon(3). */
const priorities: Readonly<Record<LogLevel, number>> = { info: 6, warn: 4, error: 3 };
/** ECMA-48 8.3.117: yellow, red. */
const colours: Readonly<Record<LogLevel, string>> = { info: "", warn: "\u001b[33m", error: "\u001b[31m" };

/** @param write takes whole lines. @returns the log; its form may be changed while it is in use. */
export function openLog(
  form: LogForm,
  target: LogTarget = targetOf(process.env),
  write: (line: string) => void = (line) => process.stderr.write(line),
): Log & { form: LogForm } {
  const log = (level: LogLevel, message: string, fields: Readonly<Record<string, unknown>> = {}) => {
    const line = oneLine(written(switchable.form, { time: new Date().toISOString(), level, message }, fields, target));
    const colour = target.isColoured ? colours[level] : "";
    const prefix = target.isJournal ? `<${priorities[level]}>` : colour;
    write(`${prefix}${line}${colour === "" ? "" : "\u001b[0m"}\n`);
  };
  const switchable = Object.assign(log, { form });
  return switchable;
}

interface Head {
  readonly time: string;
  readonly level: LogLevel;
  readonly message: string;
}

/** No field takes the place of what every line has. */
function written(form: LogForm, head: Head, fields: Readonly<Record<string, unknown>>, target: LogTarget): string {
  switch (form) {
    case "json":
      return JSON.stringify({ ...head, ...fields, ...head });
    case "logfmt": {
      const { time, ...rest } = head;
      const own = target.isJournal ? rest : head;
      return Object.entries({ ...own, ...fields, ...own })
        .filter(([, value]) => value !== undefined)
        .map(([key, value]) => `${key}=${logfmtValue(value)}`)
        .join(" ");
    }
    case "text":
      return target.isJournal ? head.message : `${head.time} ${head.level} ${head.message}`;
    default:
      return form satisfies never;
  }
}

/** Bare where nothing in it could be taken for something else, quoted as JSON otherwise; lists and null as JSON. */
function logfmtValue(value: unknown): string {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return /^[^\s"=\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text);
}

/** systemd.exec(5): JOURNAL_STREAM names the device and inode of the journal's socket; children may have another stderr. */
function isJournalStream(stream: string | undefined, descriptor: number): boolean {
  if (stream === undefined) return false;
  try {
    const { dev, ino } = fstatSync(descriptor, { bigint: true });
    return stream === `${dev}:${ino}`;
  } catch {
    return false;
  }
}

function targetOf(variables: Readonly<Record<string, string | undefined>>): LogTarget {
  const isPlain = (variables["NO_COLOR"] ?? "") !== "" || variables["TERM"] === "dumb";
  return {
    isJournal: isJournalStream(variables["JOURNAL_STREAM"], 2),
    isColoured: process.stderr.isTTY === true && !isPlain,
  };
}

/** What would break the line, drive a terminal or turn the reading direction becomes visible: `\u001b`. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Passes at most `limit` lines of a kind within a period; of the others it tells how many there were. */
export class LineLimit {
  readonly #log: Log;
  readonly #limit: number;
  readonly #periodMs: number;
  readonly #counts = new Map<string, number>();
  #isHolding = false;
  #untilMs: number | undefined;

  constructor(log: Log, limit: number, periodMs: number) {
    this.#log = log;
    this.#limit = limit;
    this.#periodMs = periodMs;
  }

  /**
   * @param about what the line tells of, in the plural: "bans".
   * @param line made only when it is going to be written.
   */
  line(
    level: LogLevel,
    about: string,
    line: () => readonly [message: string, fields: Readonly<Record<string, unknown>>],
  ): void {
    const count = (this.#counts.get(about) ?? 0) + 1;
    this.#counts.set(about, count);
    if (count <= this.#limit) this.#log(level, ...line());
  }

  /** Whether the next line of a kind will be written. */
  hasRoom(about: string): boolean {
    return (this.#counts.get(about) ?? 0) < this.#limit;
  }

  /** Often: says once that lines are held back, and at the end of the period how many. */
  flush(nowMs: number): void {
    if (this.#counts.size === 0) return;
    this.#untilMs ??= nowMs + this.#periodMs;
    if (nowMs >= this.#untilMs) {
      this.close();
      return;
    }
    const held = this.#held();
    if (this.#isHolding || held.length === 0) return;
    this.#isHolding = true;
    const kinds = held.map(([about]) => about);
    const seconds = this.#periodMs / 1000;
    const message = `More than ${this.#limit} lines about ${kinds.join(" and ")} within ${seconds} s: the others are counted`;
    this.#log("warn", `${message}, "ttgate events" shows each`, { heldBack: kinds });
  }

  /** Tells what was held back until now. */
  close(): void {
    const held = this.#held();
    this.#counts.clear();
    this.#isHolding = false;
    this.#untilMs = undefined;
    if (held.length === 0) return;
    const counts = held.map(([about, count]) => `${count} about ${about}`);
    this.#log("warn", `Held back: ${counts.join(", ")}`, { held: Object.fromEntries(held) });
  }

  #held(): [about: string, count: number][] {
    return [...this.#counts].flatMap(([about, count]) => (count > this.#limit ? [[about, count - this.#limit]] : []));
  }
}

/** Bytes as a person reads them, `GET / HTTP/1.1\r\n` or `\x16\x03\x01`, cut after `limit`. */
export function printable(bytes: Uint8Array, limit = 32): string {
  const escapes: Readonly<Record<number, string>> = { 9: "\\t", 10: "\\n", 13: "\\r", 34: '\\"', 92: "\\\\" };
  const shown = [...bytes.subarray(0, limit)].map((byte) => {
    const plain = byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, "0")}`;
    return escapes[byte] ?? plain;
  });
  return shown.join("") + (bytes.length > limit ? "…" : "");
}
