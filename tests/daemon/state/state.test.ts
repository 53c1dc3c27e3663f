// SPDX-License-Identifier: Apache-2.0
// A start takes the bans up from the file that the last run left, and goes on in it where nothing of it was left out.
import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import process from "node:process";
import { setTimeout as sleep } from "node:timers/promises";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Offenders } from "../../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { journalHead } from "../../../src/daemon/state/journal.ts";
import { openState, type StateOptions } from "../../../src/daemon/state/state.ts";
import { FileLock } from "../../../src/host/file_lock.ts";
import { openLibc } from "../../../src/kernel/libc.ts";
import { native } from "../../../src/runtime/bun_ffi.ts";
import { TempDir } from "../../harness/temp_dir.ts";
import { Undo } from "../../harness/undo.ts";

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
  at = directory.path as string | null,
  beforeItReads = async () => {},
} = {}) {
  const bans = new Bans(1000, 64);
  const neverBan = new NeverBan(spared.map((text) => ({ prefix: requirePrefix(text), why: "--allow" })));
  const enforcement = new Enforcement(bans, neverBan, undefined, newBanCounters());
  const config = {
    ...{ state: at ?? undefined, forget: false },
    gates: [{ name: "default", listen: { host: "127.0.0.1", port: 5000 } }],
  } as unknown as StateOptions["config"];
  const state = openState({
    ...{ config, enforcement, offenders: new Offenders(() => 0), libc: openLibc(native) },
    moment: () => ({ nowMs: 1000, wallMs: 1_800_000_000_000 }),
    log: (level, message) => void log.push(`${level} ${message}`),
  });
  await beforeItReads();
  try {
    await state?.begin(isOnTrial);
  } catch (error) {
    await state?.close();
    throw error;
  }
  const ban = (text: string, gate?: string) =>
    enforcement.ban({ prefix: requirePrefix(text), reason: "http", origin: "sniffer", untilMs: 60_000, gate }, 1000);
  return { bans, ban, save: () => state?.save(), stop: () => state?.close() };
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

test("bans of another listener are not taken up, and it is said once how they can be", async () => {
  const first = await start();
  first.ban("192.0.2.1");
  await first.stop();
  const other = directory.file("bans-127.0.0.1-6000");
  renameSync(path, other);
  writeFileSync(`${other}.trial`, "");
  const told = `warn State "${other}" is of a gate with another listener or name: its bans are not taken up; if it was this one, stop this gate, mv ${other} ${path}, and start it again`;
  for (const expected of [[told], []]) {
    log.length = 0;
    const moved = await start();
    expect([texts(moved.bans), log]).toEqual([[], expected]);
    await moved.stop();
  }
  // As it says.
  renameSync(other, path);
  const last = await start();
  expect(texts(last.bans)).toEqual(["192.0.2.1"]);
  await last.stop();
});

test("a lock that was removed is taken again; one that another gate has taken since is told, and left to it", async () => {
  const gate = await start();
  using undo = new Undo();
  undo.push(() => void gate.stop());
  const lock = `${path}.lock`;
  rmSync(lock);
  await gate.save();
  expect(readFileSync(lock, "utf8")).toStartWith(`${process.pid} `);
  rmSync(lock);
  const other = FileLock.take(openLibc(native), lock);
  undo.push(() => other?.release());
  await expect(gate.save()).rejects.toThrow("give each gate a --state of its own");
  await gate.stop();
  expect(existsSync(lock)).toBe(true);
});

test("of a file that a gate uses in another container, or whose lock cannot be read, nothing is said", async () => {
  const other = directory.file("bans-127.0.0.1-6000");
  writeFileSync(other, `${journalHead}\n`);
  const held = FileLock.take(openLibc(native), `${other}.lock`);
  // A process of another PID namespace is not seen.
  held?.write("999999999 1\n");
  const beside = await start();
  expect(log).toEqual([]);
  await beside.stop();
  rmSync(path);
  held?.release();
  mkdirSync(`${other}.lock`);
  const started = await start();
  expect(log).toEqual([]);
  await started.stop();
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
  const strange = ["ttgate-bans 2\nsomething else\n", "\0\0\0\0"];
  const kept = [`${path}.unread`, `${path}.unread-2`];
  for (const [index, text] of strange.entries()) {
    writeFileSync(path, text);
    const next = await start();
    expect(texts(next.bans)).toEqual([]);
    expect(log.at(-1)).toContain(`kept as "${kept[index]}"`);
    await next.stop();
  }
  // The first may be put back one day.
  expect(kept.map((file) => readFileSync(file, "utf8"))).toEqual(strange);
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

test("what is no file of bans, or has a bad sector, is kept aside; a pipe is not waited for", async () => {
  symlinkSync(path, path);
  await (await start()).stop();
  rmSync(path);
  expect(Bun.spawnSync(["mkfifo", path]).success).toBe(true);
  await (await start()).stop();
  rmSync(path);
  // Nothing is mapped at the address 0.
  symlinkSync("/proc/self/mem", path);
  await (await start()).stop();
  expect(log).toEqual([
    expect.stringMatching(/^error Cannot read state .*ELOOP.* kept as ".*\.unread"$/),
    expect.stringMatching(/^error Cannot read state .*: it is no regular file: .* kept as ".*\.unread-2"$/),
    expect.stringMatching(/^error Cannot read state .*EIO.* kept as ".*\.unread-3"$/),
  ]);
});

test("a start that cannot read the bans at the moment fails, and the next one finds them", async () => {
  const first = await start();
  first.ban("192.0.2.1");
  await first.stop();
  {
    using undo = new Undo();
    const refused = await start({ beforeItReads: () => openAllFiles(undo) }).catch((error: Error) => error);
    expect(String(refused)).toMatch(/Cannot read state ".*": EMFILE: .*: a start without its bans would lose them/);
    expect(refused).toMatchObject({ exitCode: 3 });
  }
  const next = await start();
  expect([texts(next.bans), existsSync(`${path}.unread`)]).toEqual([["192.0.2.1"], false]);
  await next.stop();
});

/** As many as this process may have, and those that others give back meanwhile. */
async function openAllFiles(undo: Undo): Promise<void> {
  const limit = (soft: string) => Bun.spawnSync(["prlimit", `--pid=${process.pid}`, `--nofile=${soft}:`]).success;
  const before = /Max open files +(\d+)/.exec(readFileSync("/proc/self/limits", "utf8"))?.[1] ?? "";
  undo.push(() => void limit(before));
  expect(limit("512")).toBe(true);
  while (openWhatIsFree(undo) > 0) await sleep(20);
}

/** @returns how many there were. */
function openWhatIsFree(undo: Undo): number {
  for (let count = 0; ; count++) {
    try {
      const fd = openSync("/dev/null", "r");
      undo.push(() => closeSync(fd));
    } catch {
      return count;
    }
  }
}

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

test("one that the environment names is asked for as one of --state", async () => {
  const before = process.env["STATE_DIRECTORY"];
  process.env["STATE_DIRECTORY"] = directory.file("disk/state");
  try {
    const refused = await start({ at: null }).catch((error: Error) => error);
    expect(String(refused)).toMatch(/Cannot keep bans in .*: there is no directory .*: mount its disk, or make it/);
  } finally {
    if (before === undefined) delete process.env["STATE_DIRECTORY"];
    else process.env["STATE_DIRECTORY"] = before;
  }
});

test("a link to a disk that is not mounted is said to be that", async () => {
  const at = directory.file("state");
  symlinkSync(directory.file("disk/state"), at);
  const refused = await start({ at }).catch((error: Error) => error);
  expect(String(refused)).toContain(`"${at}" leads to a directory that is not there: mount its disk`);
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
