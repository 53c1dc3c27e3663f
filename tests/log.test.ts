// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import process from "node:process";
import fc from "fast-check";
import { LineLimit, oneLine, openLog, printable } from "../src/log.ts";

let written: string[];
const { write } = process.stderr;

beforeEach(() => {
  written = [];
  process.stderr.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
});

afterEach(() => {
  process.stderr.write = write;
});

const nasty = "a\nb\r\u001b[2J\u0000\u007f\u009b1m\u2028\u202e\tc";

describe("a log line", () => {
  test("of text is one line without anything that drives a terminal", () => {
    openLog("text")("warn", nasty);
    expect(written).toHaveLength(1);
    expect(written[0]).toMatch(
      /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z warn a\\u000ab[^\p{Cc}\u2028\u202e]*\\u0009c\n$/u,
    );
  });

  test("of JSON is read as what was given, fields included", () => {
    openLog("json")("error", nasty, { source: nasty, level: "not mine", count: 3 });
    expect(written[0]).toMatch(/^[^\p{Cc}\u2028\u202e]*\n$/u);
    expect(JSON.parse(written[0] ?? "")).toMatchObject({ message: nasty, source: nasty, count: 3 });
  });

  test("of JSON keeps its own time, level and message, whatever the fields are called", () => {
    openLog("json")("info", "mine", { time: "x", level: "x", message: "x" });
    expect(JSON.parse(written[0] ?? "")).toMatchObject({ level: "info", message: "mine" });
  });

  test("is one line, whatever is in it", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.constantFrom("text" as const, "json" as const), (text, form) => {
        written.length = 0;
        openLog(form)("info", text, { text });
        expect(written).toHaveLength(1);
        expect(written[0]).toMatch(/^[^\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]*\n$/u);
      }),
    );
  });

  test("of logfmt quotes what could be taken for something else, fields included", () => {
    const fields = {
      source: "192.0.2.1",
      text: nasty,
      none: undefined,
      end: null,
      list: ["a", "b"],
      level: "x",
      n: 3,
      e: "",
    };
    openLog("logfmt")("warn", 'said "x=1"', fields);
    expect(written[0]).toMatch(
      /^time=20\S+Z level=warn message="said \\"x=1\\"" source=192\.0\.2\.1 text="a\\nb\\r\\u001b[^\n]*c" end=null list="\[\\"a\\",\\"b\\"\]" n=3 e=""\n$/,
    );
  });

  test("is coloured on a terminal by its level, and has a priority in the journal", () => {
    openLog("text", { isJournal: false, isColoured: true })("error", "x");
    expect(written[0]).toStartWith("\u001b[31m20");
    expect(written[0]).toEndWith("Z error x\u001b[0m\n");
    const journal = openLog("text", { isJournal: true, isColoured: false });
    for (const level of ["info", "warn", "error"] as const) journal(level, `a\n<0>b`);
    expect(written.slice(1)).toEqual(["<6>a\\u000a<0>b\n", "<4>a\\u000a<0>b\n", "<3>a\\u000a<0>b\n"]);
  });

  test("that is harmless is left as it is", () => {
    const text = 'Banned 2001:db8::/64 for 10m: it spoke http, "GET / HTTP/1.1\\r\\n" é 漢';
    expect(oneLine(text)).toBe(text);
  });
});

describe("a limit of lines", () => {
  test("passes so many, makes no more of them than it passes, and tells what it held back", () => {
    const told: string[] = [];
    const lines = new LineLimit((level, message) => void told.push(`${level} ${message}`), 3, 60_000);
    let made = 0;
    const line = () => [`line ${++made}`, {}] as const;
    for (let count = 0; count < 9; count++) lines.line("info", "bans", line);
    expect([made, told]).toEqual([3, ["info line 1", "info line 2", "info line 3"]]);
    for (let nowMs = 0; nowMs < 60_000; nowMs += 500) lines.flush(nowMs);
    expect(told.slice(3)).toEqual([
      'warn More than 3 lines about bans within 60 s: the others are counted, "ttgate events" shows each',
    ]);
    lines.line("warn", "lifts", line);
    expect(told[4]).toBe("warn line 4");
    lines.flush(60_000);
    expect(told.slice(5)).toEqual(["warn Held back: 6 about bans"]);
    lines.flush(60_500);
    lines.line("info", "bans", line);
    lines.flush(61_000);
    expect(told.slice(6)).toEqual(["info line 5"]);
    for (let count = 0; count < 9; count++) lines.line("info", "bans", line);
    lines.close();
    lines.close();
    expect(told.slice(7)).toEqual(["info line 6", "info line 7", "warn Held back: 7 about bans"]);
  });
});

describe("bytes for people", () => {
  test.each([
    [[0x47, 0x45, 0x54, 0x20, 0x2f, 0x0d, 0x0a], "GET /\\r\\n"],
    [[0x16, 0x03, 0x01, 0x00, 0xff], "\\x16\\x03\\x01\\x00\\xff"],
    [[0x09, 0x22, 0x5c, 0x1b, 0x7f], '\\t\\"\\\\\\x1b\\x7f'],
    [[], ""],
  ])("%j are %s", (bytes, text) => {
    expect(printable(Uint8Array.from(bytes))).toBe(text);
  });

  test("are cut after so many", () => {
    expect(printable(new Uint8Array(40).fill(0x41))).toBe(`${"A".repeat(32)}…`);
    expect(printable(new Uint8Array(32).fill(0x41))).toBe("A".repeat(32));
    expect(printable(new Uint8Array(40).fill(0x41), 40)).toBe("A".repeat(40));
  });

  test("are plain ASCII and can be told back, whatever they are", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 40 }), (bytes) => {
        const text = printable(bytes, bytes.length);
        expect(text).toMatch(/^[ -~]*$/);
        const back = text.replace(/\\(x..|.)/g, (_, code: string) => {
          const named: Readonly<Record<string, string>> = { t: "\t", n: "\n", r: "\r", '"': '"', "\\": "\\" };
          return named[code] ?? String.fromCharCode(Number.parseInt(code.slice(1), 16));
        });
        expect(Buffer.from(back, "latin1")).toEqual(Buffer.from(bytes));
      }),
    );
  });
});
