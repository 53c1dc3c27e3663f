// SPDX-License-Identifier: Apache-2.0
// The log: one line for each thing that happened, on stderr, as text or JSON. Bytes from the network
// are escaped before they get here; nothing else can make a second line either.
import process from "node:process";

export type LogLevel = "info" | "warn" | "error";

export type Log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => void;

/** text: `TIME LEVEL message`; json: the same with the fields, one object a line. */
export type LogForm = "text" | "json";

/** @returns the log; its form may be changed while it is in use. */
export function openLog(form: LogForm): Log & { form: LogForm } {
  const log = (level: LogLevel, message: string, fields?: Readonly<Record<string, unknown>>) => {
    const head = { time: new Date().toISOString(), level, message };
    // No field takes the place of what every line has.
    const isJson = switchable.form === "json";
    const line = isJson ? JSON.stringify({ ...head, ...fields, ...head }) : Object.values(head).join(" ");
    process.stderr.write(`${oneLine(line)}\n`);
  };
  const switchable = Object.assign(log, { form });
  return switchable;
}

/** What would break the line, drive a terminal or turn the reading direction becomes visible: `\u001b`. */
export function oneLine(text: string): string {
  return text.replace(
    /[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );
}

/** Passes at most `limit` lines between two calls of `flush`, and tells how many of what it held back. */
export class LineLimit {
  readonly #log: Log;
  readonly #limit: number;
  readonly #held = new Map<string, number>();
  #passed = 0;

  constructor(log: Log, limit: number) {
    this.#log = log;
    this.#limit = limit;
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
    this.#passed++;
    if (this.#passed <= this.#limit) this.#log(level, ...line());
    else this.#held.set(about, (this.#held.get(about) ?? 0) + 1);
  }

  flush(): void {
    this.#passed = 0;
    if (this.#held.size === 0) return;
    const held = Object.fromEntries(this.#held);
    const counts = [...this.#held].map(([about, count]) => `${count} about ${about}`);
    this.#held.clear();
    this.#log("warn", `Too many lines at a time, held back: ${counts.join(", ")}`, { held });
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
