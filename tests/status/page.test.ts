// SPDX-License-Identifier: Apache-2.0
// The pages as they are served: every figure is in the markup, nothing from the network becomes markup, and the
// browser is told to run nothing else.
import { beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import fc from "fast-check";
import { requirePrefix } from "../../src/core/address.ts";
import { Client } from "../../src/core/client.ts";
import type { HttpHandler } from "../../src/runtime/types.ts";
import { statusHandler } from "../../src/status/routes.ts";
import { configWith } from "../harness/config.ts";
import { askAt, partsOf } from "./parts.ts";

/** What is served at most, with everything in it. */
const pageBytes = 80_000;

let parts: ReturnType<typeof partsOf>;
let handler: HttpHandler;

beforeEach(() => {
  parts = partsOf(configWith({}), 200_000);
  handler = statusHandler(parts.status, { token: "secret-token", closed: false });
});

async function get(path: string) {
  const reply = await askAt(handler, path);
  return { status: reply.status, headers: reply.headers, text: await reply.text() };
}

function sniffed(address: string, said: string, reason = "http"): void {
  const firstBytes = new TextEncoder().encode(said);
  const evidence = { firstBytes, clientAddress: address, clientPort: 4711, gatePort: 5000 };
  parts.desk.ban(new Client(address, 4711, 64), { origin: "sniffer", reason, evidence });
}

/** What a reader without a script sees: no markup, script or style. */
function textOf(page: string): string {
  return page
    .replace(/<(script|style)>.*?<\/\1>/gs, "")
    .replace(/<[^>]*>/g, " ")
    .replace(/\s+/g, " ");
}

/** Bans, counters and a history as on a busy day. */
function busyDay(): void {
  const { gate, clock, status, counters } = parts;
  for (let minute = 0; minute <= 1440; minute++) {
    clock.nowMs = 3_600_000 + minute * 60_000;
    status.sample(clock.nowMs);
    gate.counters.accepted += (minute * 7919) % 100_000;
    gate.counters.relayed += (minute * 104_729) % 90_000;
    gate.counters.foreign += (minute * 1299) % 5000;
    gate.counters.undecided += minute % 100;
    clock.nowMs += 1000;
    status.sample(clock.nowMs);
  }
  for (let number = 0; number < 40; number++)
    counters.bansByProtocol.set(`protocol-number-${number}`, 1_000_000 - number);
  for (let number = 0; number < 200; number++) {
    const network = `2001:db8:${(0x1000 + number).toString(16)}:abcd`;
    sniffed(`${network}:1:2:3:4`, "\u0000".repeat(64), "longest-name-of-a-protocol");
    for (const list of ["crowdsec", "fail2ban", `list:${"a".repeat(64)}`] as const) {
      const prefix = requirePrefix(`${network}::/64`);
      parts.enforcement.ban({ prefix, reason: "manual", origin: list, untilMs: 1e12 }, clock.nowMs);
    }
  }
}

describe("the page", () => {
  test("holds all figures without a script", async () => {
    sniffed("203.0.113.7", "GET / HTTP/1.1\r\n\r\n");
    parts.ban("2001:db8:1:2::/64", 3_600_000);
    Object.assign(parts.gate.counters, {
      accepted: 98_765,
      relayed: 87_654,
      foreign: 7654,
      undecided: 543,
      refusedBanned: 432,
    });
    const { text, status } = await get("/");
    expect(status).toBe(200);
    const shown = textOf(text);
    for (const figure of [
      ...[
        "Accepted 98,765",
        "Relayed 87,654",
        "Foreign 7,654",
        "Undecided 543",
        "Refused while banned 432",
        "Over a limit 0",
        "Spared 0",
      ],
      ...["Banned now 2", "Bans in all 2", "Profile tapetrack", "Mode proxy", "of 77", "127.0.0.1:5001"],
      ...[
        "203.0.113.7",
        "2001:db8:1:2::/64",
        "http",
        "sniffer",
        "operator",
        "1h",
        "2 sources are banned",
        "Version 1.2.3",
      ],
    ]) {
      expect([figure, shown.includes(figure)]).toEqual([figure, true]);
    }
    for (const path of ["/metrics", "/status", "/bans", "/history", "/events", "/readyz", "/talkers"]) {
      expect(text).toContain(`href="${path}"`);
      if (path !== "/events") expect([path, [200, 503].includes((await get(path)).status)]).toEqual([path, true]);
    }
  });

  test("says its state in words, title and icon, and why", async () => {
    parts.readiness.phase = "stopping";
    const { text } = await get("/");
    expect(/<title>(.*?)<\/title>/.exec(text)?.[1]).toStartWith("■ Not ready: ttgate on ");
    expect(/id="state" role="status" class="(.*?)"/.exec(text)?.[1]).toBe("failing");
    expect(textOf(text)).toContain("Stopping");
    expect(text).toContain("%23c62828");
  });

  test(`is never more than ${pageBytes} bytes and asks nobody for anything`, async () => {
    busyDay();
    for (const path of ["/", "/?sort=left&offset=100&q=2001", "/source/2001:db8:1001:abcd::1"]) {
      const { text, status } = await get(path);
      expect([path, status]).toEqual([path, 200]);
      expect(new TextEncoder().encode(text).length).toBeLessThanOrEqual(pageBytes);
      expect(text).not.toMatch(/(?:src|action)\s*=\s*"?(?:https?:|\/\/)|@import|url\(/i);
      expect(text.match(/href="(?!\/|#|data:image\/svg)[^"]*"/g)).toBeNull();
    }
  });

  test("allows its own script and style by their hash and nothing else", async () => {
    const { text, headers } = await get("/");
    const policy = headers.get("content-security-policy") ?? "";
    expect(policy).not.toContain("unsafe");
    expect(policy).toStartWith("default-src 'none';");
    for (const [element, directive] of [
      ["script", "script-src"],
      ["style", "style-src"],
    ] as const) {
      const all = [...text.matchAll(new RegExp(`<${element}>(.*?)</${element}>`, "gs"))];
      expect(all.length).toBe(1);
      const hash = createHash("sha256")
        .update(all[0]?.[1] ?? "")
        .digest("base64");
      expect(policy).toContain(`${directive} 'sha256-${hash}';`);
    }
    expect(text.replace(/<(script|style)>.*?<\/\1>/gs, "")).not.toMatch(/\son\w+=|\sstyle=|javascript:/i);
    for (const directive of ["connect-src 'self'", "base-uri 'none'", "frame-ancestors 'none'", "form-action 'self'"]) {
      expect(policy).toContain(directive);
    }
    expect(headers.get("cache-control")).toBe("no-store");
  });

  test("what a stranger sent, and what is looked for, stays text", async () => {
    const nasty = `</p><img src=x onerror=alert(1)>"'&<script>alert(2)</script>`;
    sniffed("203.0.113.7", nasty, nasty);
    for (const path of ["/", `/?q=${encodeURIComponent(nasty)}`, "/source/203.0.113.7"]) {
      const { text } = await get(path);
      expect(text).not.toContain("<img");
      expect(text.match(/<script/g)?.length).toBe(1);
      expect(text).toContain("&lt;img src=x onerror=alert(1)&gt;");
    }
  });

  test("no first bytes and no search make markup", async () => {
    const markup = /<(?!\/?[a-z]|!doctype)|<(?:img|iframe|object|embed|base)/i;
    await fc.assert(
      fc.asyncProperty(fc.string({ unit: "binary", maxLength: 64 }), async (said) => {
        sniffed("203.0.113.8", said, said.slice(0, 20));
        const { text } = await get(`/source/203.0.113.8`);
        expect(text.replace(/<(script|style)>.*?<\/\1>/gs, "")).not.toMatch(markup);
        const looked = await get(`/?q=${encodeURIComponent(said.toWellFormed())}`);
        expect(looked.text.replace(/<(script|style)>.*?<\/\1>/gs, "")).not.toMatch(markup);
      }),
      { numRuns: 50 },
    );
  });

  test.each([
    ["?sort=fast", 'Invalid sort "fast": expected newest, oldest, left, packets, source, protocol'],
    ["?offset=-1", 'Invalid offset "-1": expected a whole number'],
    [`?q=${"x".repeat(101)}`, "Invalid q: 101 characters, expected at most 100"],
  ])("%s is refused", async (query, message) => {
    expect(await get(`/${query}`)).toMatchObject({ status: 400, text: message });
  });
});

describe("a page of bans", () => {
  test("links the next and the last, with what was looked for", async () => {
    for (let number = 0; number < 60; number++) parts.ban(`192.0.2.${number}`, 60_000);
    const { text } = await get("/?q=192.0.2&sort=source&offset=25");
    const shown = textOf(text);
    expect(shown).toContain("60 of 60 bans match “192.0.2”.");
    expect(shown).toContain("Page 2 of 3");
    expect(text).toContain('href="/?q=192.0.2&amp;sort=source&amp;offset=50#bans">Next</a>');
    expect(text).toContain('href="/?q=192.0.2&amp;sort=source&amp;offset=0#bans">Previous</a>');
    expect(text.match(/id="ban-192/g)?.length).toBe(25);
    expect(text).toContain('<option value="source" selected>');
  });
});

describe("a source", () => {
  test("has its own page, with the evidence in hex and as text", async () => {
    sniffed("2001:db8:7:8::9", "GET / HTTP/1.1\r\n");
    const { text, status } = await get(`/source/${encodeURIComponent("2001:db8:7:8::9")}`);
    expect(status).toBe(200);
    const shown = textOf(text);
    for (const told of [
      "Banned: http",
      "2001:db8:7:8::/64",
      "GET / HTTP/1.1\\r\\n",
      "00 47 45 54 20 2f 20 48 54 GET / HT",
      "From 2001:db8:7:8::9 to port 5000",
      "ttgate lift 2001:db8:7:8::/64",
    ]) {
      expect([told, shown.includes(told)]).toEqual([told, true]);
    }
    expect(text).toContain('name="token"');
  });

  test("that is not banned or never will be says so; what is no address is refused", async () => {
    expect(textOf((await get("/source/192.0.2.1")).text)).toContain("Not banned");
    expect(textOf((await get("/source/198.51.100.9")).text)).toContain("Never banned 198.51.100.0/24 (--allow)");
    expect((await get("/source/nonsense")).status).toBe(400);
  });

  test("that was banned a moment ago has what happened", async () => {
    parts.ban("192.0.2.77");
    expect(textOf((await get("/source/192.0.2.77")).text)).toMatch(
      /Recent events.* ban 192\.0\.2\.77 manual, by operator/,
    );
  });

  test("asks for no token where none is needed", async () => {
    handler = statusHandler(parts.status, { token: undefined, closed: false });
    expect((await get("/source/192.0.2.1")).text).not.toContain('name="token"');
  });
});

describe("many readers of the same page", () => {
  const counted = (page: string) => /<p id="bans-count">(.*?)<\/p>/s.exec(page)?.[1];

  test("share one that is made after they asked, and a reader who has changed something sees it", async () => {
    let made = 0;
    const { status } = parts;
    const snapshot = status.snapshot.bind(status);
    status.snapshot = () => {
      made++;
      return snapshot();
    };
    const pages = await Promise.all(Array.from({ length: 30 }, () => get("/")));
    expect(new Set(pages.map(({ text }) => counted(text)))).toEqual(new Set(["Nobody is banned."]));
    // For the first one, and for all others.
    expect(made).toBe(2);
    for (const address of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) {
      parts.ban(address);
      expect((await get("/")).text.includes(`/source/${address}"`)).toBe(true);
    }
  });

  test("and who searches has a page of their own", async () => {
    parts.ban("192.0.2.1");
    const asked = ["/", "/", "/?q=198.51.100.1", "/"];
    const counts = (await Promise.all(asked.map(get))).map(({ text }) => counted(text));
    expect(counts[1]).toBe(counts[0]);
    expect(counts[3]).toBe(counts[0]);
    expect(counts[2]).not.toBe(counts[0]);
  });
});

describe("long answers", () => {
  test("of a hundred thousand bans are made in pieces of a hundred rows", () => {
    for (let number = 0; number < 100_000; number++) {
      const prefix = requirePrefix(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`);
      parts.enforcement.ban({ prefix, reason: "http", origin: "sniffer", untilMs: 1e12 }, parts.clock.nowMs);
    }
    const query = { search: "", order: "newest" as const, offset: 0, limit: 10_000 };
    const work = parts.status.bans(query);
    let pieces = 0;
    let step = work.next();
    for (; step.done !== true; step = work.next()) pieces++;
    // Five hundred are looked at in one, a hundred rows made in one.
    expect(pieces).toBe(200);
    const rows = [...step.value.rows].map(({ length }) => length);
    expect(rows).toEqual(Array.from({ length: 100 }, () => 100));
  });

  test("are whole, page after page", async () => {
    for (let number = 0; number < 2500; number++) parts.ban(`10.0.${number >> 8}.${number & 255}`, 60_000);
    const seen: string[] = [];
    for (let offset = 0; offset < 3000; offset += 500) {
      const { text } = await get(`/bans?limit=500&offset=${offset}&sort=source`);
      const body = JSON.parse(text);
      expect([body.total, body.banned, body.offset]).toEqual([2500, 2500, offset]);
      seen.push(...body.bans.map(({ source }: { source: string }) => source));
    }
    expect(new Set(seen).size).toBe(2500);
    expect(seen.length).toBe(2500);
  });

  test("about the busiest name who has the most connections", async () => {
    const { text } = await get("/talkers");
    expect(JSON.parse(text)).toEqual({ connections: [], dropped: [] });
  });
});

describe("/history", () => {
  test("tells what was added by minute, up to now", async () => {
    const { clock, status, gate } = parts;
    clock.nowMs = 3_600_000;
    status.sample(clock.nowMs);
    gate.counters.accepted = 12;
    clock.nowMs += 1000;
    status.sample(clock.nowMs);
    const { step, stepSeconds, until, series } = JSON.parse((await get("/history?count=2")).text);
    expect([step, stepSeconds]).toEqual(["minute", 60]);
    expect(series.accepted).toEqual([null, 12]);
    expect(Math.abs(Date.parse(until) - Date.now() - 59_000)).toBeLessThan(5000);
  });

  test.each([
    ["step=day", 'Invalid step "day": expected second, minute, hour'],
    ["count=0", 'Invalid count "0": expected a whole number from 1 to 9999'],
    ["count=x", 'Invalid count "x": expected a whole number from 1 to 9999'],
  ])("refuses %s", async (query, error) => {
    const { status, text } = await get(`/history?${query}`);
    expect([status, JSON.parse(text)]).toEqual([400, { error }]);
  });
});
