// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, expect, spyOn, test } from "bun:test";
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { requirePrefix } from "../../../src/core/address.ts";
import { Bans } from "../../../src/core/bans/bans.ts";
import { claimsOf, type Origin } from "../../../src/core/bans/claim.ts";
import { Enforcement } from "../../../src/core/bans/enforcement.ts";
import { NeverBan } from "../../../src/core/bans/never_ban.ts";
import { Offenders } from "../../../src/core/bans/offenders.ts";
import { newBanCounters } from "../../../src/core/counters.ts";
import { journalHead, type Moment } from "../../../src/daemon/state/journal.ts";
import { readState } from "../../../src/daemon/state/read_state.ts";
import type { SavedSource } from "../../../src/daemon/state/saved_source.ts";
import { takeUp } from "../../../src/daemon/state/state.ts";
import { StateFile } from "../../../src/daemon/state/state_file.ts";
import { lifted } from "../../harness/lifted.ts";
import { TempDir } from "../../harness/temp_dir.ts";

let directory: TempDir;
let path: string;
let nowMs = 0;
const memoryMs = 3_600_000;
const log: string[] = [];
/** At boot. */
let wallMs = 0;
let boot = "a";
const moment = () => ({ nowMs, wallMs: wallMs + nowMs, boot });

beforeEach(() => {
  directory = new TempDir();
  path = directory.file("bans");
  nowMs = 1000;
  wallMs = 1_800_000_000_000;
  boot = "a";
  log.length = 0;
});
afterEach(() => directory[Symbol.dispose]());

function setUp() {
  const bans = new Bans(2_000_000, 64);
  const enforcement = new Enforcement(bans, new NeverBan(), undefined, newBanCounters());
  const offenders = new Offenders(() => memoryMs);
  enforcement.follow(offenders);
  const file = new StateFile({
    path,
    bans,
    offenders,
    moment,
    log: (level, message) => void log.push(`${level} ${message}`),
  });
  enforcement.follow(file);
  const ban = (text: string, forMs = 60_000, origin: Origin = "operator") =>
    enforcement.ban({ prefix: requirePrefix(text), reason: "manual", origin, untilMs: nowMs + forMs }, nowMs);
  return { bans, enforcement, offenders, file, ban };
}

/** What is in the file. */
async function state() {
  const bySource = new Map<string, SavedSource & { readonly source: string }>();
  const read = await readState(path, moment, (piece) => {
    for (const one of piece) {
      const source = one.prefix.text;
      if (one.claims.length === 0 && one.offender === undefined) bySource.delete(source);
      else bySource.set(source, { ...one, source });
    }
  });
  return { ...read, sources: [...bySource.values()] };
}

async function saved(): Promise<string[]> {
  return (await state()).sources.map(({ source }) => source).sort();
}

test("bans, more claims, lifts and ends are in the file a moment later", async () => {
  const { enforcement, file, ban } = setUp();
  ban("192.0.2.1");
  await file.save();
  ban("192.0.2.2");
  ban("192.0.2.2", 120_000, "sniffer");
  ban("2001:db8::/64", 5000);
  await file.save();
  expect(await saved()).toEqual(["192.0.2.1", "192.0.2.2", "2001:db8::/64"]);
  const [both] = (await state()).sources.filter(({ source }) => source === "192.0.2.2");
  expect(both?.claims.map(({ origin }) => origin)).toEqual(["sniffer", "operator"]);
  lifted(enforcement, [requirePrefix("192.0.2.1")], nowMs);
  nowMs += 6000;
  enforcement.sweep(nowMs);
  await file.close();
  expect(await saved()).toEqual(["192.0.2.2"]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
});

test("a torn end and damage in the middle cost only their own lines", async () => {
  const { file, ban } = setUp();
  await file.save();
  for (let number = 1; number <= 9; number++) ban(`192.0.2.${number}`);
  await file.close();
  truncateSync(path, statSync(path).size - 7);
  const lines = readFileSync(path, "utf8").split("\n");
  lines[3] = `${lines[3]?.slice(0, -2)}xx`;
  writeFileSync(path, lines.join("\n"));
  const torn = await state();
  expect([torn.sources.length, torn.damaged]).toEqual([7, 2]);
  // The next run goes on with what is whole, in a file that is whole.
  const next = setUp();
  next.enforcement.replace(torn.sources, nowMs);
  await next.file.close();
  expect([(await saved()).length, (await state()).damaged]).toEqual([7, 0]);
});

test("a file of another version is not read; one whose head alone is damaged is", async () => {
  writeFileSync(path, "ttgate-bans 9\nsomething\n");
  expect(await state()).toMatchObject({ sources: [], lines: 0, isHeadForeign: true });
  const { file, ban } = setUp();
  ban("192.0.2.1");
  await file.close();
  const bytes = readFileSync(path, "utf8");
  // A flipped bit makes another version of it.
  writeFileSync(path, bytes.replace("ttgate-bans 1", "ttgate-bans 3"));
  expect(await state()).toMatchObject({ lines: 1, damaged: 0, isHeadForeign: true });
  expect(await saved()).toEqual(["192.0.2.1"]);
});

test("what cannot be written is told once, and written when it can be", async () => {
  const { file, ban } = setUp();
  await file.save();
  ban("192.0.2.1");
  await file.save();
  // A directory in the place of the new file: as good as a full disk for the next rewrite.
  mkdirSync(`${path}.new`);
  for (let number = 0; number < 100_001; number++) ban(`10.${number >> 16}.${(number >> 8) & 255}.${number & 255}`);
  await file.save();
  await file.save();
  expect([file.error === undefined, log.filter((line) => line.startsWith("error")).length]).toEqual([false, 1]);
  expect(await saved()).toEqual(["192.0.2.1"]);
  rmSync(`${path}.new`, { recursive: true });
  await file.close();
  expect([(await saved()).length, file.error, log.at(-1)]).toEqual([100_002, undefined, "info Bans are saved again"]);
});

test("what another program did to the file is said, and it is written anew", async () => {
  const { file, ban } = setUp();
  await file.save();
  ban("192.0.2.1");
  await file.save();
  truncateSync(path, 0);
  ban("192.0.2.2");
  await file.save();
  expect(await saved()).toEqual(["192.0.2.1", "192.0.2.2"]);
  appendFileSync(path, "something else\n");
  await file.save();
  expect(await state()).toMatchObject({ lines: 2, damaged: 0 });
  await file.close();
  expect(log).toEqual(Array(2).fill(`warn "${path}" was changed by another program: it is written anew`));
});

test("a table that cannot be written is not written in vain again and again", async () => {
  const { bans, file, ban } = setUp();
  for (let number = 0; number < 50_000; number++) ban(`10.0.${number >> 8}.${number & 255}`);
  // It cannot be replaced by the file, which is known when all of that is written.
  mkdirSync(`${path}/something`, { recursive: true });
  using all = spyOn(bans, "all");
  for (let turn = 0; turn < 5; turn++) await file.save();
  expect([file.error === undefined, all.mock.calls.length]).toEqual([false, 1]);
  rmSync(path, { recursive: true });
  await file.close();
  expect([(await saved()).length, file.error]).toEqual([50_000, undefined]);
});

test("without a second file bans are written behind the first, and it is told once that it grows", async () => {
  const { enforcement, file, ban } = setUp();
  await file.save();
  mkdirSync(`${path}.new`);
  for (let round = 0; round < 5; round++) {
    for (let number = 0; number < 3000; number++) ban(`10.0.${number >> 8}.${number & 255}`);
    await file.save();
    lifted(enforcement, [requirePrefix("10.0.0.0/16")], nowMs);
    await file.save();
  }
  const before = await state();
  ban("192.0.2.1");
  await file.save();
  expect([before.lines > 20_000, await saved(), file.error]).toEqual([true, ["192.0.2.1"], undefined]);
  const told = expect.stringMatching(/^warn Cannot write ".*\/bans" anew: EISDIR.*; it grows until that is mended$/);
  expect([log, file.growth]).toEqual([[told], expect.stringContaining("EISDIR")]);
  rmSync(`${path}.new`, { recursive: true });
  await file.close();
  expect([(await state()).lines, file.growth]).toEqual([1, undefined]);
});

test("a directory is made, and none above it: a disk may be missing there", async () => {
  path = directory.file("above/state/bans");
  const { file, ban } = setUp();
  ban("192.0.2.1");
  await file.save();
  expect(file.error).toContain(`there is no directory "${directory.file("above")}"`);
  mkdirSync(directory.file("above"));
  await file.close();
  expect([await saved(), statSync(directory.file("above/state")).mode & 0o777]).toEqual([["192.0.2.1"], 0o700]);
});

test("a file that has grown far beyond what it holds is written anew", async () => {
  const { enforcement, file, ban } = setUp();
  await file.save();
  for (let round = 0; round < 5; round++) {
    for (let number = 0; number < 3000; number++) ban(`10.0.${number >> 8}.${number & 255}`);
    await file.save();
    lifted(enforcement, [requirePrefix("10.0.0.0/16")], nowMs);
    await file.save();
  }
  await file.close();
  expect(readFileSync(path, "utf8").split("\n").length).toBeLessThan(16_000);
  expect([await saved(), existsSync(`${path}.new`)]).toEqual([[], false]);
});

test("what was said last of each source is taken up, in however many pieces it is", async () => {
  const { bans, enforcement, offenders: known, file, ban } = setUp();
  await file.save();
  const sourceOf = (number: number) =>
    number % 3 === 0 ? `2001:db8:${number}::/64` : `10.1.${number >> 8}.${number & 255}`;
  const shown = (table: Bans) =>
    [...table.all()]
      .map((one) => [one.prefix.text, claimsOf(one, nowMs).map(({ origin, untilMs }) => [origin, Math.round(untilMs)])])
      .sort();
  for (let round = 1; round <= 3; round++) {
    for (let number = 0; number < 900; number += round) ban(sourceOf(number), round * 60_000, "sniffer");
    for (let number = 0; number < 900; number += 2 + round) ban(sourceOf(number), 90_000, "operator");
    for (let number = 0; number < 900; number += 3 + round)
      lifted(enforcement, [requirePrefix(sourceOf(number))], nowMs);
    await file.save();
    nowMs += 1000;
  }
  await file.close();
  expect(statSync(path).size).toBeGreaterThan(2 * 64 * 1024);
  const next = setUp();
  const offenders = new Offenders(() => memoryMs);
  const { taken, damaged } = await takeUp(path, { enforcement: next.enforcement, offenders, moment });
  expect([taken, damaged]).toEqual([bans.size, 0]);
  expect(shown(next.bans)).toEqual(shown(bans));
  expect(offenders.size).toBe(known.size);
});

test("a million bans: saved in short slices, read within seconds", async () => {
  const count = 1_000_000;
  const { file, ban } = setUp();
  await file.save();
  for (let number = 0; number < count; number++) ban(`${1 + (number >> 16)}.0.${(number >> 8) & 255}.${number & 255}`);
  let longestMs = 0;
  let lastMs = performance.now();
  const timer = setInterval(() => {
    const now = performance.now();
    longestMs = Math.max(longestMs, now - lastMs);
    lastMs = now;
  }, 1);
  const saving = file.save();
  await saving;
  clearInterval(timer);
  await file.close();
  const startedMs = performance.now();
  expect((await state()).sources.length).toBe(count);
  console.log(
    `a million bans: longest pause ${longestMs.toFixed(1)} ms, read in ${(performance.now() - startedMs).toFixed(0)} ms, ${(statSync(path).size / 1e6).toFixed(0)} MB`,
  );
}, 120_000);

test("the head is what another version looks at", async () => {
  const { file } = setUp();
  await file.close();
  appendFileSync(path, "");
  expect(readFileSync(path, "utf8").split("\n")).toEqual([
    journalHead,
    expect.stringContaining('{"boot":"a","wallAtBootMs":1800000000000}'),
    "",
  ]);
});

test("within one boot no step of the wall clock moves an end, and after a reboot the wall clock counts", async () => {
  const { file, ban } = setUp();
  ban("192.0.2.1", 600_000);
  await file.save();
  // Slewed by less than a rewrite is worth; all ends in the file are of one clock.
  wallMs += 1500;
  ban("192.0.2.2", 600_000);
  await file.close();
  const endsAt = async (now: Moment) => {
    const ends: [string, number | undefined][] = [];
    await readState(
      path,
      () => now,
      (piece) => ends.push(...piece.map(({ prefix, claims }) => [prefix.text, claims[0]?.untilMs] as [string, number])),
    );
    return ends;
  };
  const both = (untilMs: number): [string, number][] => [
    ["192.0.2.1", untilMs],
    ["192.0.2.2", untilMs],
  ];
  for (const stepMs of [3_600_000, -3_600_000]) {
    expect(await endsAt({ nowMs: 2000, wallMs: wallMs + 2000 + stepMs, boot: "a" })).toEqual(both(601_000));
  }
  // Started a minute later, four seconds after the boot.
  const later = 1_800_000_000_000 + 60_000;
  for (const boot of ["b", undefined]) {
    expect(await endsAt({ nowMs: 4000, wallMs: later, boot })).toEqual(both(601_000 - 60_000 + 4000));
  }
  // Who cannot tell which boot it is goes by the wall clock. So does who cannot read what the file was written by.
  const text = readFileSync(path, "utf8");
  writeFileSync(path, text.replace('"boot":"a"', '"boot":"c"'));
  expect(await endsAt({ nowMs: 4000, wallMs: later, boot: "c" })).toEqual(both(601_000 - 60_000 + 4000));
});

test("a file of an earlier boot is written on by the clock of this one", async () => {
  const first = setUp();
  first.ban("192.0.2.1", 600_000);
  await first.file.close();
  // A reboot a minute later.
  wallMs += 60_000;
  boot = "b";
  const { lines, basis } = await state();
  const next = setUp();
  next.file.goOn(lines, basis);
  next.ban("192.0.2.2", 600_000);
  await next.file.close();
  wallMs += 3_600_000;
  const { sources, basis: last } = await state();
  expect(last?.boot).toBe("b");
  const ends = sources.map(({ source, claims }) => [source, claims[0]?.untilMs]);
  // What the earlier boot wrote goes by the wall clock, and is over by it.
  expect(ends).toEqual([["192.0.2.2", 601_000]]);
});

test("who was banned before is remembered over a rewrite, for as long as it counts", async () => {
  const { enforcement, file, ban } = setUp();
  ban("192.0.2.1", 60_000, "sniffer");
  ban("192.0.2.2", 60_000, "operator");
  await file.save();
  nowMs += 61_000;
  enforcement.sweep(nowMs);
  ban("192.0.2.1", 60_000, "sniffer");
  nowMs += 61_000;
  enforcement.sweep(nowMs);
  await file.save();
  const remembered = async () =>
    (await state()).sources.map(({ source, claims, offender }) => [source, claims, offender?.bans]);
  expect(await remembered()).toEqual([["192.0.2.1", [], 2]]);
  // A file of its own, as at the next start.
  const again = setUp();
  again.offenders.restore(requirePrefix("192.0.2.1"), { bans: 2, untilMs: nowMs });
  await again.file.save();
  expect(await remembered()).toEqual([["192.0.2.1", [], 2]]);
  nowMs += memoryMs + 1;
  const later = setUp();
  later.offenders.restore(requirePrefix("192.0.2.1"), { bans: 2, untilMs: nowMs - memoryMs - 1 });
  await later.file.save();
  expect(await remembered()).toEqual([]);
});
