// SPDX-License-Identifier: Apache-2.0
// `ttgate top` without a terminal, and what a terminal of any size would show; on a real one: tests/e2e/top.test.ts.
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Desk } from "../../src/cli/top/desk.ts";
import { cut, plainFrame, screenFrame } from "../../src/cli/top/frame.ts";
import type { Picture } from "../../src/cli/top/picture.ts";
import { coloured, paintOf, plain } from "../../src/cli/top/style.ts";
import { historyCounters, historyGauges } from "../../src/core/history.ts";
import type { Key } from "../../src/host/terminal.ts";
import type { BanView } from "../../src/status/snapshot.ts";
import { configWith } from "../harness/config.ts";
import { partsOf } from "../status/parts.ts";
import { FakeDaemon } from "./fake_daemon.ts";

const nasty = "\u001b[2J\u0007\u202e";

function ban(source: string): BanView {
  const claim = {
    origin: "sniffer" as const,
    protocol: "http",
    since: "",
    until: null,
    evidence: null,
    gate: null,
    scope: "all" as const,
  };
  return {
    ...{
      source,
      protocol: "http",
      by: "sniffer",
      since: "",
      until: null,
      remainingSeconds: 61,
      packets: 7,
      bytes: 420,
    },
    refused: { by: "user space", why: null },
    ...{ gate: null, scope: "all" as const },
    claims: [claim],
  };
}

const never = { address: "127.0.0.1:5001", active: 0, total: 0, failed: 9, resolved: null, unresolved: null };

function pictureOf(bans: readonly BanView[], error = "ECONNREFUSED"): Picture {
  const series = Object.fromEntries(
    [...historyCounters, ...historyGauges].map((name) => [name, Array.from({ length: 60 }, (_, second) => second % 7)]),
  ) as unknown as Picture["history"]["series"];
  const status = partsOf(configWith({})).status.snapshot();
  return {
    status: {
      ...status,
      gates: status.gates.map((gate) => ({ ...gate, upstreams: [{ ...never, reachable: false, error }] })),
    },
    readiness: { ready: false, reasons: ["No upstream is reachable"] },
    history: { step: "second", stepSeconds: 1, until: "", series },
    bans: { total: bans.length, banned: bans.length, bans },
    talkers: {
      connections: [{ source: "192.0.2.1", connections: 3 }],
      dropped: [{ source: "192.0.2.2", packets: 99, bytes: 5940, lastSeen: null }],
    },
  };
}

const few = pictureOf(["203.0.113.7", "2001:db8:1:2::/64"].map(ban));
const letter = (text: string): Key => ({ name: text, text, isControl: false });
const named = (name: string): Key => ({ name, text: "", isControl: false });

describe("a frame", () => {
  test("plain has everything and drives no terminal", () => {
    const text = plainFrame(few, new Desk()).join("\n");
    for (const told of [
      ...["not ready: No upstream is reachable", "127.0.0.1:5001 down (ECONNREFUSED)", "fence  none"],
      ...["BANS 2, newest first", "203.0.113.7", "2001:db8:1:2::/64", "1m1s", "MOST CONNECTIONS", "192.0.2.2", "99"],
    ]) {
      expect([told, text.includes(told)]).toEqual([told, true]);
    }
    expect(text).not.toMatch(/\p{Cc}(?<!\n)/u);
  });

  test("fits any screen to the row and the column", () => {
    const many = pictureOf(
      Array.from({ length: 300 }, (_, number) => ban(`2001:db8:${number.toString(16)}:ffff::/64`)),
    );
    const size = fc.integer({ min: 1, max: 200 });
    fc.assert(
      fc.property(size, size, fc.constantFrom("list", "filter", "lift", "help"), (columns, rows, mode) => {
        const desk = Object.assign(new Desk(), { mode });
        const lines = screenFrame(many, desk, { columns, rows, paint: plain }, undefined);
        expect(lines.length).toBe(rows);
        expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(columns);
      }),
    );
  });

  test("what comes from elsewhere drives no terminal", () => {
    const told = pictureOf([ban(nasty)], nasty);
    for (const paint of [plain, coloured]) {
      const lines = screenFrame(told, new Desk(), { columns: 120, rows: 40, paint }, nasty);
      // biome-ignore lint/suspicious/noControlCharactersInRegex: colours are what may be there.
      expect(lines.join("").replace(/\u001b\[\d+m/g, "")).not.toMatch(/[\p{Cc}\u202e]/u);
    }
    expect(plainFrame(told, new Desk()).join("")).not.toMatch(/[\p{Cc}\u202e]/u);
  });

  test("is cut by what is seen of it", () => {
    expect(cut("\u001b[31mred\u001b[0m and more", 5)).toBe("\u001b[31mred\u001b[0m a");
  });

  test("has colours where they are wanted", () => {
    const lines = (variables: Record<string, string>) =>
      screenFrame(few, new Desk(), { columns: 80, rows: 24, paint: paintOf(variables) }, undefined).join("");
    expect(lines({})).toContain("\u001b[31m");
    expect(lines({ NO_COLOR: "" })).toContain("\u001b[31m");
    expect(lines({ NO_COLOR: "1" })).not.toContain("\u001b");
    expect(lines({ TERM: "dumb" })).not.toContain("\u001b");
  });
});

describe("a key", () => {
  const sources = ["a", "b", "c"];

  test("chooses a ban, which stays chosen when others come", () => {
    const desk = new Desk();
    expect(desk.press(letter("l"), sources)).toBe("draw");
    expect(desk.message).toStartWith("Choose a ban first");
    desk.press(named("down"), sources);
    desk.press(letter("j"), sources);
    expect(desk.chosen).toBe("b");
    desk.press(named("down"), ["new", ...sources]);
    expect(desk.chosen).toBe("c");
    desk.press(named("down"), sources);
    expect(desk.chosen).toBe("c");
    desk.press(letter("k"), sources);
    expect(desk.chosen).toBe("b");
  });

  test("lifts only after a yes", () => {
    const desk = new Desk();
    desk.press(named("down"), sources);
    for (const [answer, deed] of [
      ["n", "draw"],
      ["l", "draw"],
      ["y", "lift"],
    ] as const) {
      desk.press(letter("l"), sources);
      expect(desk.mode).toBe("lift");
      expect([answer, desk.press(letter(answer), sources)]).toEqual([answer, deed]);
    }
  });

  test("filters by what is typed, and not before it is", () => {
    const desk = new Desk();
    desk.press(letter("/"), sources);
    for (const text of ["s", "s", "x", "q"]) desk.press(letter(text), sources);
    desk.press(named("backspace"), sources);
    desk.press(named("backspace"), sources);
    desk.press({ name: "h", text: "h", isControl: false }, sources);
    desk.press({ name: undefined, text: "\u0007", isControl: false }, sources);
    expect([desk.typed, desk.search]).toEqual(["ssh", ""]);
    expect(desk.press(named("return"), sources)).toBe("look");
    expect([desk.mode, desk.search]).toEqual(["list", "ssh"]);
    expect(desk.press(named("escape"), sources)).toBe("look");
    expect(desk.search).toBe("");
  });

  test("ends it, orders, pauses and helps", () => {
    const desk = new Desk();
    expect(desk.press(letter("q"), sources)).toBe("quit");
    expect(desk.press({ name: "c", text: "\u0003", isControl: true }, sources)).toBe("quit");
    const orders = Array.from({ length: 6 }, () => {
      desk.press(letter("s"), sources);
      return desk.order;
    });
    expect(orders).toEqual(["oldest", "left", "packets", "source", "protocol", "newest"]);
    desk.press(letter("p"), sources);
    expect(desk.isPaused).toBe(true);
    desk.press(letter("?"), sources);
    expect(desk.mode).toBe("help");
    desk.press(letter("q"), sources);
    expect(desk.mode).toBe("list");
  });
});

describe("without a terminal", () => {
  let daemon: FakeDaemon;

  beforeEach(async () => {
    daemon = await FakeDaemon.start();
    Object.assign(daemon.answers, {
      "GET /status": [200, few.status],
      "GET /readyz": [503, few.readiness],
      "GET /history?step=second&count=60": [200, few.history],
      "GET /bans?limit=20&sort=newest": [200, few.bans],
      "GET /talkers": [200, few.talkers],
    });
  });

  afterEach(() => daemon[Symbol.asyncDispose]());

  test("one look is plain text, or JSON", async () => {
    const { code, stdout, stderr } = await daemon.ttgate(["top", "--once"]);
    expect([code, stderr]).toEqual([0, ""]);
    expect(stdout).toContain("203.0.113.7");
    const json = await daemon.ttgate(["top", "--once", "--json"]);
    expect(JSON.parse(json.stdout)).toMatchObject({ readiness: few.readiness, bans: few.bans, talkers: few.talkers });
  });

  test.each(["0s", "100ms", "soon", "-1s", "100d"])("--every %s is refused", async (every) => {
    const { code, stderr } = await daemon.ttgate(["top", `--every=${every}`]);
    expect([code, stderr]).toEqual([
      2,
      `ttgate: Invalid --every "${every}": expected a duration from 200ms to 1h, such as 2s\n`,
    ]);
  });

  test("a daemon that refuses is told in its own words", async () => {
    daemon.answers["GET /talkers"] = [503, { error: "Too many long answers are under way: try again in a second" }];
    const { code, stdout, stderr } = await daemon.ttgate(["top", "--once"]);
    expect([code, stdout]).toEqual([3, ""]);
    expect(stderr).toBe("ttgate: Too many long answers are under way: try again in a second\n");
  });
});
