// SPDX-License-Identifier: Apache-2.0
// `ttgate learn` from recordings and `ttgate replay`: what they say of good and bad files, and what they
// leave behind. With sockets, as a process: tests/e2e/learn.test.ts.
import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import process from "node:process";
import { type Recording, recordedBytes, recordingLine } from "../../src/core/learn/recording.ts";
import { seal } from "../harness/tapetrack_wire.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { type Answered, ttgate as answer } from "./fake_env.ts";

setDefaultTimeout(20_000);

const get = new TextEncoder().encode("GET / HTTP/1.0\r\n\r\n");
const good = Array.from({ length: 40 }, (_, index) => line(seal(randomBytes(20 + index * 9), "length"), "accepted"));
const bad = [
  "",
  "{",
  '{"atMs":1}',
  `"${"x".repeat(recordedBytes * 3)}"`,
  '{"atMs":9e15,"hex":"","totalBytes":0,"server":"unknown"}',
];
const home = process.cwd();
let directory: TempDir;

beforeAll(() => {
  directory = new TempDir();
  directory.write("good", `${good.join("\n")}\n`);
  directory.write("mixed", [...good.slice(0, 20), ...bad, ...good.slice(20), line(get, "refused")].join("\n"));
  directory.write("few", good.slice(0, 29).join("\n"));
  mkdirSync(directory.file("a directory"));
  process.chdir(directory.path);
});

afterAll(() => {
  process.chdir(home);
  directory[Symbol.dispose]();
});

function line(bytes: Uint8Array, server: Recording["server"]): string {
  return recordingLine({ atMs: 1.8e12, bytes: Uint8Array.from(bytes), totalBytes: bytes.length, server });
}

function ttgate(args: readonly string[], input = ""): Promise<Answered> {
  return answer(args, { input });
}

test("bad lines are told with their numbers, and take no other line with them", async () => {
  const { code, stdout, stderr } = await ttgate(["learn", "mixed", "-o", "mixed.toml"]);
  expect([code, stdout]).toEqual([1, expect.stringContaining("Learned from 40 of 40 connections")]);
  expect(stdout).toContain("Of the 1 on which the server hung up without a byte it would have accepted none");
  expect(stderr.split("\n").map((told) => told.split(":").slice(0, 2).join(":"))).toEqual([
    ...["mixed:22", "mixed:23", "mixed:24", "mixed:25"],
    "",
  ]);
  expect(existsSync(directory.file("mixed.toml"))).toBe(true);
  const replayed = await ttgate(["replay", "mixed", "-p", "mixed.toml"]);
  expect([replayed.code, replayed.stdout]).toEqual([1, expect.stringContaining("4 lines are not recordings")]);
  expect(replayed.stdout).toStartWith("41 connections: the verdict on 0 changes from tapetrack to mixed.toml\n");
});

test("standard input is a recording too", async () => {
  const { code, stderr } = await ttgate(["learn", "-", "-o", "input.json"], good.join("\n"));
  expect([code, stderr]).toEqual([0, ""]);
  const again = await ttgate(["replay", "-", "-p", "input.json", "--json"], line(get, "unknown"));
  expect([again.code, JSON.parse(again.stdout)]).toEqual([
    0,
    { sum: { connections: 1, changed: 0, wrongly: 0, relayed: 0, invalid: 0, defects: 0 } },
  ]);
});

test("replay shows who would be judged otherwise, and fails when the server had accepted one", async () => {
  const { code, stdout } = await ttgate(["replay", "good", "-p", "http"]);
  const lines = stdout.trim().split("\n");
  expect([code, lines.length]).toEqual([1, 43]);
  expect(lines[0]).toMatch(
    /^good:1: accept at byte 44 becomes foreign \(unknown\) at byte \d+; the server accepted it; "/,
  );
  expect(lines.slice(40)).toEqual([
    "40 connections: the verdict on 40 changes from tapetrack to http",
    "Of those that the server accepted, http rejects 40",
    "Of those on which the server hung up, http accepts none",
  ]);
  const improved = await ttgate(["replay", "-", "-p", "tapetrack", "--against", "http"], line(get, "refused"));
  expect([improved.code, improved.stdout]).toEqual([
    0,
    expect.stringContaining("accept at byte 13 becomes foreign (http)"),
  ]);
});

test("a file's name makes the profile's", async () => {
  expect((await ttgate(["learn", "good", "-o", "my site (2).json"])).code).toBe(0);
  expect(JSON.parse(readFileSync(directory.file("my site (2).json"), "utf8")).name).toBe("my-site--2-");
  directory.write("friend", Uint8Array.from(seal(randomBytes(99), "length")));
  expect((await ttgate(["check", "-p", "./my site (2).json", "friend"])).code).toBe(0);
});

test("replay of no connection at all has shown nothing", async () => {
  const { code, stdout, stderr } = await ttgate(["replay", "/dev/null", "-p", "http", "--json"]);
  expect([code, JSON.parse(stdout).sum.connections]).toEqual([1, 0]);
  expect(stderr).toBe("ttgate: Replay a recording: there is no connection in it, so nothing is shown by this\n");
});

test.each<[string[], number, string]>([
  [["learn"], 2, "Learn a profile: no file is given; say -o FILE.toml"],
  [["learn", "-o", "x"], 2, 'Write "x": the format is unknown'],
  [["learn", "-o", "no/x.toml"], 2, 'Write "no/x.toml": '],
  [["learn", "good", "-o", "x.toml", "--for", "1h"], 2, "Invalid --for: it has no meaning for recordings"],
  [["learn", "-c", "/dev/null", "-o", "x.toml", "--for", "soon"], 2, 'Invalid --for "soon"'],
  [["learn", "-c", "/dev/null", "-o", "x.toml", "--connections", "7"], 2, 'Invalid --connections "7"'],
  [["learn", "-c", "/dev/null", "-o", "x.toml", "--upstream", "x"], 2, 'Invalid --upstream "x"'],
  [["learn", "missing", "-o", "x.toml"], 3, 'Read recording "missing": '],
  [["learn", "a directory", "-o", "x.toml"], 3, 'Read recording "a directory": '],
  [["learn", "few", "-o", "x.toml"], 1, "The server accepted 29 connections and 30 are needed"],
  [["replay", "good"], 2, "no --profile is given"],
  [["replay", "-p", "http"], 2, "no RECORDING is given"],
  [["replay", "missing", "-p", "http"], 3, 'Read recording "missing": '],
  [["replay", "good", "-p", "nosuch"], 2, 'Read profile "nosuch"'],
])("%j exits %d with one line, and writes nothing", async (args, exitCode, message) => {
  const before = readdirSync(directory.path);
  const { code, stdout, stderr } = await ttgate(args);
  expect([code, stdout, stderr.trim().split("\n").length]).toEqual([exitCode, "", 1]);
  expect(stderr).toContain(message);
  expect(readdirSync(directory.path)).toEqual(before);
});
