// SPDX-License-Identifier: Apache-2.0
// A start takes the bans up from the file that the last run left, and goes on in it where nothing of it was left out.
import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Offenders } from "../../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { journalHead } from "../../../src/daemon/state/journal.ts";
import { openState, type StateOptions } from "../../../src/daemon/state/state.ts";
import { TempDir } from "../../harness/temp_dir.ts";

let directory: TempDir;
let path: string;
const log: string[] = [];

beforeEach(() => {
  directory = new TempDir();
  path = directory.file("bans-127.0.0.1-5000");
  log.length = 0;
});
afterEach(() => directory[Symbol.dispose]());

/** @param spared who is never banned. */
async function start({
  isOnTrial = (_gate: string): boolean => false,
  spared = [] as readonly string[],
  at = directory.path,
} = {}) {
  const bans = new Bans(1000, 64);
  const neverBan = new NeverBan(spared.map((text) => ({ prefix: requirePrefix(text), why: "--allow" })));
  const enforcement = new Enforcement(bans, neverBan, undefined, newBanCounters());
  const config = {
    ...{ state: at, forget: false },
    gates: [{ name: "default", listen: { host: "127.0.0.1", port: 5000 } }],
  } as unknown as StateOptions["config"];
  const state = openState({
    ...{ config, enforcement, offenders: new Offenders(() => 0) },
    moment: () => ({ nowMs: 1000, wallMs: 1_800_000_000_000 }),
    log: (level, message) => void log.push(`${level} ${message}`),
  });
  await state?.begin(isOnTrial);
  const ban = (text: string, gate?: string) =>
    enforcement.ban({ prefix: requirePrefix(text), reason: "http", origin: "sniffer", untilMs: 60_000, gate }, 1000);
  return { bans, ban, stop: () => state?.close() };
}

const texts = (bans: Bans) => [...bans.all()].map(({ prefix }) => prefix.text).sort();
const identity = () => statSync(path).ino;

test("a start goes on in the file that it read, without writing it once more", async () => {
  const first = await start();
  first.ban("192.0.2.1");
  await first.stop();
  const [before, bytes] = [identity(), readFileSync(path, "utf8")];
  const second = await start();
  expect(identity()).toBe(before);
  second.ban("192.0.2.2");
  await second.stop();
  expect([identity(), readFileSync(path, "utf8").startsWith(bytes)]).toEqual([before, true]);
  const third = await start();
  expect(texts(third.bans)).toEqual(["192.0.2.1", "192.0.2.2"]);
  await third.stop();
});

test("a file of which something is left out is written anew, so that it does not come back", async () => {
  const first = await start();
  for (const text of ["192.0.2.1", "192.0.2.2", "192.0.2.3"]) first.ban(text, text === "192.0.2.3" ? "b" : undefined);
  await first.stop();
  await (await start({ spared: ["192.0.2.1"] })).stop();
  const spared = await start();
  expect(texts(spared.bans)).toEqual(["192.0.2.2", "192.0.2.3"]);
  await spared.stop();
  await (await start({ isOnTrial: () => true })).stop();
  // Half a line at the end: what is written next must not be a part of it.
  const bytes = readFileSync(path, "utf8");
  writeFileSync(path, bytes + bytes.slice(-50, -20));
  const torn = await start();
  expect([texts(torn.bans), log.filter((line) => line.startsWith("warn")).length]).toEqual([["192.0.2.2"], 1]);
  torn.ban("192.0.2.4");
  await torn.stop();
  const last = await start();
  expect(texts(last.bans)).toEqual(["192.0.2.2", "192.0.2.4"]);
  await last.stop();
});

test("a head of which a bit flipped costs no ban; a file that cannot be read at all is kept", async () => {
  const first = await start();
  first.ban("192.0.2.1");
  await first.stop();
  writeFileSync(path, readFileSync(path, "utf8").replace(journalHead, "ttgate-bans 3"));
  const second = await start();
  expect([texts(second.bans), log.at(-2)]).toEqual([["192.0.2.1"], expect.stringContaining("its head")]);
  await second.stop();
  expect(readFileSync(path, "utf8").startsWith(`${journalHead}\n`)).toBe(true);
  expect(existsSync(`${path}.unread`)).toBe(false);
  for (const strange of ["ttgate-bans 2\nsomething else\n", "\0\0\0\0"]) {
    writeFileSync(path, strange);
    const next = await start();
    expect([texts(next.bans), readFileSync(`${path}.unread`, "utf8")]).toEqual([[], strange]);
    expect(log.at(-1)).toContain(`kept as "${path}.unread"`);
    await next.stop();
  }
});

test("a state that cannot be read costs its bans and no start: it is said, and kept", async () => {
  // As good as a disk that fails: it can be opened, and not read.
  mkdirSync(path);
  const { bans, ban, stop } = await start();
  expect(log).toEqual([
    `error Cannot read state "${path}": EISDIR: illegal operation on a directory, read: no ban is taken from it, and it is kept as "${path}.unread"`,
  ]);
  ban("192.0.2.1");
  await stop();
  expect([texts(bans), statSync(`${path}.unread`).isDirectory()]).toEqual([["192.0.2.1"], true]);
  const next = await start();
  expect(texts(next.bans)).toEqual(["192.0.2.1"]);
  await next.stop();
});

test("a directory that is missing is made and said; one above it is not, since its disk may be", async () => {
  const at = directory.file("disk/state");
  const refused = await start({ at }).catch((error: Error) => error);
  expect(String(refused)).toMatch(/Cannot keep bans in .*: there is no directory .*: mount its disk, or make it/);
  expect(existsSync(directory.file("disk"))).toBe(false);
  mkdirSync(directory.file("disk"));
  const { stop } = await start({ at });
  await stop();
  expect(log).toEqual([`info Made the state directory "${at}": no earlier bans are in it`]);
});

test("what a process left that was killed while it wrote the file anew goes at the next start", async () => {
  const first = await start();
  first.ban("192.0.2.1");
  await first.stop();
  writeFileSync(`${path}.new`, journalHead);
  const second = await start();
  expect(existsSync(`${path}.new`)).toBe(false);
  await second.stop();
});
