// SPDX-License-Identifier: Apache-2.0
// Lists from files and from a real web server, over the real table: what is on a list is banned by it, and nothing
// that goes wrong with a list changes what it had banned.
import { afterAll, beforeAll, beforeEach, describe, expect, setDefaultTimeout, test } from "bun:test";
import { readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from "node:fs";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { type BlocklistOptions, parseBlocklist } from "../../../src/config/blocklist.ts";
import { contains, requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import type { BanChange } from "../../../src/core/bans/change.ts";
import { claimsOf } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { Blocklists } from "../../../src/sources/blocklist/blocklists.ts";
import { run } from "../../harness/child.ts";
import { lifted } from "../../harness/lifted.ts";
import { listServer, type Mode } from "../../harness/list_server.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { waitFor } from "../../harness/wait.ts";

setDefaultTimeout(60_000);

const hour = 3_600_000;

/** Lists over a table of their own, with a clock that is turned by hand. */
class Bed {
  now = 1_000_000;
  readonly log: string[] = [];
  readonly changes: BanChange[] = [];
  readonly enforcement: Enforcement;
  lists: Blocklists;

  readonly #limits: { readonly fetchMs?: number };

  constructor(capacity = 100_000, limits: { readonly fetchMs?: number } = {}) {
    this.#limits = limits;
    const counters = newBanCounters();
    this.enforcement = new Enforcement(new Bans(capacity, 64), new NeverBan(), undefined, counters);
    this.enforcement.follow({ bansChanged: (changes) => this.changes.push(...changes) });
    this.lists = this.#made();
  }

  #made(): Blocklists {
    const { enforcement, log } = this;
    const lists = new Blocklists({
      ...{ enforcement, ipv6Bits: 64, nowMs: () => this.now, fetchMs: 30_000, ...this.#limits },
      hasRoom: (_prefix, asked) => enforcement.bans.size + asked < enforcement.bans.capacity * 0.9,
      log: (level, message) => log.push(`${level}: ${message}`),
    });
    enforcement.follow(lists);
    return lists;
  }

  /** As at the next start, with the bans that were saved. */
  restart(): void {
    this.lists = this.#made();
  }

  open(...texts: readonly string[]): Promise<void> {
    return this.lists.open(texts.map(options));
  }

  /** One look at all lists, to its end. */
  async look(): Promise<void> {
    this.lists.tick(this.now);
    await waitFor("the lists", () => !this.lists.isBusy, 50_000);
  }

  view(name = "l") {
    return this.lists.views().find((view) => view.name === name);
  }

  banned(): string[] {
    return [...this.enforcement.bans.all()].map(({ prefix }) => prefix.text).sort();
  }

  claims(text: string): string[] {
    const ban = this.enforcement.bans.byText(text);
    return ban === undefined ? [] : claimsOf(ban, this.now).map(({ origin }) => origin);
  }
}

function options(text: string): BlocklistOptions {
  const parsed = parseBlocklist(text);
  if (parsed === undefined) throw new Error(`Not a list: ${text}`);
  return parsed;
}

function addresses(count: number, first = 0): string[] {
  return Array.from({ length: count }, (_, index) => `198.18.${(first + index) >> 8}.${(first + index) & 255}`);
}

let directory: TempDir;
let server: Server;
let url: string;

beforeAll(async () => {
  directory = new TempDir();
  server = listServer(directory.path);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/list`;
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  directory[Symbol.dispose]();
});

beforeEach(() => {
  rmSync(directory.file("requests"), { force: true });
  give("ok", addresses(40));
});

function give(mode: Mode, lines: readonly string[]): void {
  writeFileSync(directory.file("mode"), mode);
  writeFileSync(directory.file("body"), `${lines.join("\n")}\n`);
}

function requests(): string[] {
  return readFileSync(directory.file("requests"), "utf8").trim().split("\n");
}

describe("a list", () => {
  test("bans what is on it, follows each change, and is asked for only when it is not the same", async () => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    expect(bed.banned()).toEqual(addresses(40).sort());
    expect(bed.claims("198.18.0.7")).toEqual(["list:l"]);
    await bed.look();
    expect(requests()).toEqual(["/list ok 200"]);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(requests()).toEqual(["/list ok 200", "/list ok 304"]);
    give("ok", addresses(40, 5));
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.banned()).toEqual(addresses(40, 5).sort());
    expect(bed.log).toEqual([
      'info: List "l": 40 entries, 40 added, 0 removed',
      'info: List "l": 40 entries, 5 added, 5 removed',
    ]);
    await bed.lists.close();
  });

  const bad: readonly [mode: Mode, lines: readonly string[], reason: RegExp][] = [
    ["error", [], /the server answers 500/],
    ["truncated", addresses(40), /ends after|closed|terminated|socket|truncated|length/i],
    ["cut", addresses(40), /closed|terminated|socket|reset|abort/i],
    ["html", [], /it is a page of HTML/],
    ["unmeasured", addresses(40), /it ends within a line/],
    ["unpackable", addresses(40), /./],
    ["ok", ["<p>", "Too many requests", "</p>"], /it is no list: 3 lines cannot be read, 1: /],
    ["elsewhere", [], /redirected from http:\/\/ to file:\/\/, which is refused/],
    ["endless", [], /larger than 128 MiB/],
    ["ok", [""], /it is empty/],
    ["ok", ["# moved"], /it is empty/],
    ["ok", addresses(19), /it has 19 entries and had 40: if that is meant, write "shrinking" behind it/],
    ["ok", ['{"error": "rate limited"}'], /it is no list/],
    ["ok", [`{"nftables": [${" ".repeat(300_000)}]}`], /a line is longer than 256 KiB/],
  ];
  test.each(bad)("that comes as %s (%#) changes nothing, and is told", async (mode, lines, reason) => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    give(mode, lines);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.banned()).toEqual(addresses(40).sort());
    expect(bed.view()).toMatchObject({ entries: 40, error: expect.stringMatching(reason) });
    expect(bed.lists.notes()).toEqual([expect.stringMatching(/^List "l" is not up to date: /)]);
    expect(bed.log.at(-1)).toMatch(/^warn: Cannot take the list "l" from http.*what it had holds \(40 entries\)/);
    // However long it lasts: nobody is let out.
    for (let days = 0; days < 3; days += 0.3) {
      bed.now += 0.3 * 24 * hour;
      await bed.look();
      bed.enforcement.sweep(bed.now);
      if (mode === "endless") break;
    }
    expect(bed.banned()).toEqual(addresses(40).sort());
    give("ok", addresses(40, 1));
    bed.now += hour;
    await bed.look();
    expect(bed.banned()).toEqual(addresses(40, 1).sort());
    expect([bed.view()?.error, bed.lists.notes()]).toEqual([null, []]);
    await bed.lists.close();
  });

  test("that does not come to its end in time changes nothing, and hides the key in its query", async () => {
    const bed = new Bed(1000, { fetchMs: 500 });
    await bed.open(`l=${url}?key=secret`);
    await bed.look();
    give("slow", addresses(40));
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.view()).toMatchObject({ error: "it did not come within 0.5 s", source: `${url}?...` });
    expect(requests().at(-1)).toBe("/list?key=secret slow 200");
    give("unpackable", addresses(40));
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.view()?.error).toBeString();
    expect(`${bed.log.join()} ${bed.view()?.error} ${bed.lists.notes().join()}`).not.toContain("secret");
    expect(bed.banned().length).toBe(40);
    await bed.lists.close();
  });

  test("is read again when a reload comes while it is being read", async () => {
    const bed = new Bed();
    give("ok", [...addresses(40), "45.0.0.0/8"]);
    await bed.open(`l=${url}`);
    bed.lists.tick(bed.now);
    await bed.lists.reconfigure([options(`l=${url} wide`)]);
    await waitFor("the lists", () => !bed.lists.isBusy);
    expect(bed.banned()).not.toContain("45.0.0.0/8");
    await bed.look();
    expect(bed.banned()).toContain("45.0.0.0/8");
    await bed.lists.close();
  });

  test("that does not come to its end is given up when the daemon stops", async () => {
    const bed = new Bed();
    give("slow", addresses(40));
    await bed.open(`l=${url}`);
    bed.lists.tick(bed.now);
    await waitFor("its request", () => requests().length === 1);
    const beforeMs = performance.now();
    await bed.lists.close();
    expect(performance.now() - beforeMs).toBeLessThan(2000);
    expect(bed.banned()).toEqual([]);
  });

  test("that shrinks is taken where that is allowed, after a redirect as well", async () => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    give("redirect", addresses(3));
    await bed.lists.reconfigure([options(`l=${url}`)]);
    await bed.look();
    expect(bed.banned().length).toBe(40);
    await bed.lists.reconfigure([options(`l=${url} shrinking`)]);
    await bed.look();
    expect(bed.banned()).toEqual(addresses(3));
    await bed.lists.close();
  });

  test("is never taken over the never-ban list, nor where it is too wide", async () => {
    const bed = new Bed();
    bed.enforcement.neverBan.add({ prefix: requirePrefix("198.18.0.5"), why: "--allow" });
    const wide = ["0.0.0.0/0", "45.0.0.0/8", "::/0", "2001::/16", "198.18.0.0/28", "198.51.0.0/12", "not an address"];
    give("ok", [...addresses(40), ...wide]);
    await bed.open(`l=${url}`);
    await bed.look();
    expect(bed.banned()).toEqual(
      addresses(40)
        .filter((address) => address !== "198.18.0.5")
        .sort(),
    );
    expect(bed.view()).toMatchObject({ refused: 6, neverBanned: 2 });
    expect(bed.log[0]).toContain('line 41: "0.0.0.0/0" is wider than /8 (IPv6 /19)');
    await bed.lists.reconfigure([options(`l=${url} wide`)]);
    await bed.look();
    expect(bed.banned()).toContain("45.0.0.0/8");
    expect(bed.view()).toMatchObject({ refused: 4 });
    // It is allowed no more: what was spared is banned with the next look.
    bed.enforcement.neverBan.replace([]);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.banned()).toContain("198.18.0.5");
    expect(bed.view()).toMatchObject({ neverBanned: 0 });
    await bed.lists.close();
  });

  test("with all networks that no packet of the internet comes from bans no private network, but hosts in one", async () => {
    const bed = new Bed();
    const bogons = [
      "10.0.0.0/8",
      "100.64.0.0/10",
      "169.254.0.0/16",
      "172.16.0.0/12",
      "192.168.0.0/16",
      "192.128.0.0/9",
    ];
    give("ok", [...addresses(3), ...bogons, "192.0.2.0/24", "192.168.7.9", "10.1.0.0/16"]);
    await bed.open(`l=${url} wide`);
    await bed.look();
    expect(bed.banned()).toEqual([...addresses(3), "192.0.2.0/24", "192.168.7.9", "10.1.0.0/16"].sort());
    expect(bed.view()).toMatchObject({ refused: 6 });
    expect(bed.log[0]).toContain(
      '"10.0.0.0/8" holds the private network 10.0.0.0/8: "ttgate ban --force" bans it, if that is meant',
    );
    expect(bed.log[0]).toContain('"169.254.0.0/16" holds the private network 169.254.0.0/16: "ttgate ban" bans it');
    await bed.lists.close();
  });

  test("whose server says for ever that nothing changed is read whole once a day, and says how old it is", async () => {
    const bed = new Bed();
    give("same", addresses(40));
    await bed.open(`l=${url}`);
    await bed.look();
    // By its server's word, and by what is seen here.
    const year = Date.parse("2026-01-01T00:00:00Z");
    expect(bed.lists.views(year)).toMatchObject([
      { changedAt: "2025-12-25T00:00:00.000Z", unchangedSeconds: 7 * 86_400 },
    ]);
    give("same", addresses(50));
    for (let look = 0; look < 20; look++) {
      bed.now += 1.25 * hour;
      await bed.look();
    }
    expect(requests().filter((line) => line.endsWith("304"))).toHaveLength(19);
    expect(bed.view()).toMatchObject({ entries: 50, ageSeconds: 0 });
    expect(bed.lists.views(year + 30 * hour)[0]?.unchangedSeconds).toBeLessThan(3 * 3600);
    // The same text once more is no change.
    give("ok", addresses(50));
    bed.now += 25 * hour;
    await bed.look();
    expect(requests().at(-1)).toEndWith("ok 200");
    expect(bed.view()?.unchangedSeconds).toBeGreaterThanOrEqual(25 * 3600);
    await bed.lists.close();
  });

  test("that has not changed says once which of its lines are refused, though it is read whole once a day", async () => {
    const bed = new Bed();
    const warnings = () => bed.log.filter((line) => line.startsWith("warn")).length;
    give("ok", [...addresses(40), "198.18.0.0/15"]);
    await bed.open(`l=${url}`);
    for (let day = 0; day < 3; day++) {
      await bed.look();
      bed.now += 25 * hour;
    }
    expect(warnings()).toBe(1);
    expect(bed.log[0]).toContain("1 lines refused");
    // What may be wide now was no news before.
    await bed.lists.reconfigure([options(`l=${url} wide`)]);
    await bed.look();
    expect([warnings(), bed.view()?.refused]).toEqual([1, 0]);
    await bed.lists.reconfigure([options(`l=${url}`)]);
    await bed.look();
    expect([warnings(), bed.view()?.refused]).toEqual([2, 1]);
    give("ok", [...addresses(41), "198.18.0.0/15"]);
    bed.now += 25 * hour;
    await bed.look();
    expect(warnings()).toBe(3);
    await bed.lists.close();
  });

  test("leaves the claims of others, and what an operator lifted until it has left the list", async () => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    const [prefix, other] = [requirePrefix("198.18.0.1"), requirePrefix("198.18.0.2")];
    bed.enforcement.ban({ prefix: other, reason: "manual", origin: "operator", untilMs: bed.now + hour }, bed.now);
    lifted(bed.enforcement, [prefix], bed.now);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.banned()).not.toContain("198.18.0.1");
    expect(bed.view()).toMatchObject({ lifted: 1 });
    bed.enforcement.ban({ prefix: other, reason: "manual", origin: "operator", untilMs: bed.now + 9 * hour }, bed.now);
    for (const lines of [addresses(38, 3), addresses(40)]) {
      give("ok", lines);
      bed.now += 0.5 * hour;
      await bed.lists.reconfigure([options(`l=${url}`)]);
      await bed.look();
      expect(bed.claims("198.18.0.2").sort()).toEqual(lines.length === 38 ? ["operator"] : ["list:l", "operator"]);
    }
    expect(bed.banned()).toContain("198.18.0.1");
    await bed.lists.close();
  });

  test("ends with its place in the configuration, after a restart too; the others stay", async () => {
    using files = new TempDir();
    const bed = new Bed();
    const mine = `mine=${files.write("mine", "203.0.113.1\n198.18.0.1\n")}`;
    await bed.open(`l=${url}`, mine);
    await bed.look();
    expect(bed.claims("198.18.0.1").sort()).toEqual(["list:l", "list:mine"]);
    await bed.lists.reconfigure([options(mine)]);
    expect(bed.banned()).toEqual(["198.18.0.1", "203.0.113.1"]);
    await bed.lists.close();
    bed.restart();
    await bed.open();
    expect(bed.banned()).toEqual([]);
    await bed.lists.close();
  });

  test("goes on after a restart from what it had: it does not shrink to half unseen, and leaves nothing behind", async () => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    await bed.lists.close();
    bed.restart();
    give("ok", addresses(10));
    await bed.open(`l=${url}`);
    await bed.look();
    expect(bed.banned().length).toBe(40);
    give("ok", addresses(30));
    bed.now += hour;
    await bed.look();
    expect(bed.banned()).toEqual(addresses(30).sort());
    await bed.lists.close();
  });

  test("in a file is read again when the file changes, and not before it is written", async () => {
    using files = new TempDir();
    const bed = new Bed();
    const path = files.write("list", "203.0.113.1 2h # own time\n203.0.113.2\n");
    await bed.open(`l=${path}`);
    await bed.look();
    expect(bed.banned()).toEqual(["203.0.113.1", "203.0.113.2"]);
    expect(bed.enforcement.bans.byText("203.0.113.1")?.untilMs).toBe(bed.now + 2 * hour);
    expect(bed.enforcement.bans.byText("203.0.113.2")?.untilMs).toBe(bed.now + 24 * hour);
    bed.now += 10_000;
    for (const text of ["203.0.113.1\n", "203.0.113.1\n203.0.113.3\n"]) {
      files.write("list", text);
      await bed.look();
    }
    expect(bed.banned()).toEqual(["203.0.113.1", "203.0.113.2"]);
    await bed.look();
    expect(bed.banned()).toEqual(["203.0.113.1", "203.0.113.3"]);
    rmSync(path);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.view()?.error).toContain("ENOENT");
    expect(bed.banned().length).toBe(2);
    await bed.lists.close();
  });

  test("never lets go of a host whose network comes, nor of a network whose hosts do; in a full table too nearly all fit", async () => {
    const bed = new Bed(1000);
    const hosts = addresses(256);
    give("ok", hosts);
    await bed.open(`l=${url} shrinking`);
    await bed.look();
    const isBanned = (address: string) => {
      const prefix = requirePrefix(address);
      return [...bed.enforcement.bans.prefixes()].some((banned) => contains(banned, prefix));
    };
    const gaps: string[] = [];
    bed.enforcement.follow({ bansChanged: () => gaps.push(...hosts.filter((address) => !isBanned(address))) });
    for (const [lines, banned] of [
      [["198.18.0.0/24"], 1],
      [hosts, 256],
    ] as const) {
      give("ok", lines);
      bed.now += 1.2 * hour;
      await bed.look();
      expect([bed.banned().length, gaps]).toEqual([banned, []]);
    }
    // No room for both of them at a time.
    give("ok", addresses(800));
    bed.now += 1.2 * hour;
    await bed.look();
    give("ok", addresses(800, 2000));
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.banned()).toEqual(addresses(800, 2000).sort());
    expect(bed.view()).toMatchObject({ entries: 800, noRoom: 0, neverBanned: 0 });
    await bed.lists.close();
  });

  test("in a file of which half is written lifts nothing, also when it is due just then", async () => {
    using files = new TempDir();
    const bed = new Bed();
    const whole = `${addresses(40).join("\n")}\n`;
    const path = files.write("list", whole);
    await bed.open(`l=${path} every=1m`);
    await bed.look();
    // It goes on being written.
    files.write("list", `${addresses(30).join("\n")}\n`);
    bed.now += 67_000;
    await bed.look();
    files.write("list", `${addresses(35).join("\n")}\n`);
    await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([40, null]);
    // Who writes it has stopped, but not at its end.
    files.write("list", whole.slice(0, whole.length * 0.7));
    for (let looks = 0; looks < 3; looks++) await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([40, expect.stringContaining("end it with a newline")]);
    files.write("list", `${addresses(39).join("\n")}\n`);
    for (let looks = 0; looks < 2; looks++) await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([39, null]);
    // A person wrote that, some time ago.
    files.write("list", addresses(38).join("\n"));
    utimesSync(path, new Date(), new Date(Date.now() - 120_000));
    for (let looks = 0; looks < 2; looks++) await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([38, null]);
    await bed.lists.close();
  });

  test("in a file that is written while it is read, or is a pipe by then, changes nothing, and is told", async () => {
    using files = new TempDir();
    const bed = new Bed();
    const path = files.write("list", `${addresses(40).join("\n")}\n`);
    await bed.open(`l=${path}`);
    await bed.look();
    const many = (count: number) => `${addresses(count).join("\n")}\n`;
    files.write("list", many(30_000));
    bed.now += 1.2 * hour;
    bed.lists.tick(bed.now);
    // The first look was at it as a whole.
    files.write("list", many(15_000));
    await waitFor("the list", () => !bed.lists.isBusy, 50_000);
    expect([bed.banned().length, bed.view()?.error]).toEqual([40, "it was changed while it was read"]);
    rmSync(path);
    expect((await run(["mkfifo", path])).code).toBe(0);
    bed.now += 1.2 * hour;
    await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([40, "it is no file"]);
    rmSync(path);
    files.write("list", many(41));
    bed.now += 1.2 * hour;
    await bed.look();
    expect([bed.banned().length, bed.view()?.error]).toEqual([41, null]);
    await bed.lists.close();
  });

  test("in a file that cannot be looked at keeps no other list from its turn", async () => {
    using files = new TempDir();
    const bed = new Bed();
    const first = files.write("first", "203.0.113.1\n");
    await bed.open(`first=${first}`, `second=${files.write("second", "203.0.113.2\n")}`);
    await bed.look();
    rmSync(first);
    symlinkSync(first, first);
    files.write("second", "203.0.113.2\n203.0.113.3\n");
    await bed.look();
    await bed.look();
    expect(bed.banned()).toEqual(["203.0.113.1", "203.0.113.2", "203.0.113.3"]);
    bed.now += 1.2 * hour;
    await bed.look();
    expect(bed.view("first")?.error).toContain("ELOOP");
    await bed.lists.close();
  });

  test("lets a line that says how long end by itself", async () => {
    using files = new TempDir();
    const bed = new Bed();
    await bed.open(`l=${files.write("list", "203.0.113.1 2h\n203.0.113.2\n")}`);
    await bed.look();
    for (let round = 0; round < 3; round++) {
      bed.now += 1.2 * hour;
      bed.enforcement.sweep(bed.now);
      await bed.look();
    }
    expect(bed.banned()).toEqual(["203.0.113.2"]);
    // Read whole once more.
    bed.now += 25 * hour;
    bed.enforcement.sweep(bed.now);
    await bed.look();
    expect(bed.banned()).toEqual(["203.0.113.2"]);
    await bed.lists.close();
  });

  test("leaves room for others in a full table, and says so", async () => {
    const bed = new Bed(30);
    await bed.open(`l=${url}`);
    await bed.look();
    expect(bed.enforcement.bans.size).toBe(27);
    expect(bed.view()).toMatchObject({ entries: 40, noRoom: 13 });
    expect(bed.log[0]).toMatch(/^warn: .*13 without room in the table or the map/);
    await bed.lists.close();
  });

  test("is taken and let go quietly, whatever its length: no line and no event for each", async () => {
    const bed = new Bed();
    await bed.open(`l=${url}`);
    await bed.look();
    await bed.lists.reconfigure([]);
    expect(bed.changes.length).toBe(80);
    expect(bed.changes.every((change) => "isQuiet" in change && change.isQuiet === true)).toBe(true);
    await bed.lists.close();
  });
});
