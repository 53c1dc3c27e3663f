// SPDX-License-Identifier: Apache-2.0

import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { parseRecording, type Recording } from "../../src/core/learn/recording.ts";
import { Recorder } from "../../src/recording/recorder.ts";
import { testWith } from "../harness/needs.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Undo } from "../harness/undo.ts";
import { until } from "./bed.ts";

const recording: Recording = { atMs: 1, bytes: Uint8Array.of(1, 2, 3), totalBytes: 3, server: "unknown" };

let directory: TempDir;
let told: string[] = [];

beforeEach(() => {
  directory = new TempDir();
  told = [];
});
afterEach(() => directory[Symbol.dispose]());

function open(file: string, limitBytes = 1_000_000): Recorder {
  return new Recorder({ file, limitBytes, log: (_level, message) => told.push(message) });
}

function linesOf(file: string): string[] {
  return readFileSync(file, "utf8").trim().split("\n");
}

test("appends, for the owner alone, and after what a killed process left", async () => {
  const file = directory.write("recording", '{"atMs":1,"hex":"0');
  chmodSync(file, 0o644);
  const recorder = open(file);
  for (let count = 0; count < 1000; count++) recorder.record(recording);
  await recorder.close();
  expect(statSync(file).mode & 0o777).toBe(0o600);
  const [torn = "", ...others] = linesOf(file);
  expect([torn, others.length, told]).toEqual(['{"atMs":1,"hex":"0', 1000, []]);
  for (const line of others) expect(parseRecording(line).kind).toBe("recording");
  expect(recorder.status()).toMatchObject({ connections: 1000, dropped: 0, bytes: statSync(file).size });
});

test("ends at its limit, with a whole line, and says so once", async () => {
  const recorder = open(directory.file("recording"), 500);
  for (let round = 0; round < 5; round++) {
    for (let count = 0; count < 5; count++) recorder.record(recording);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  await recorder.close();
  const lines = linesOf(directory.file("recording"));
  const { connections, dropped, ended } = recorder.status();
  expect([connections, connections + dropped, ended]).toEqual([
    lines.length,
    25,
    expect.stringContaining("its limit of 500 bytes (--record-max)"),
  ]);
  expect(statSync(directory.file("recording")).size).toBeLessThanOrEqual(500);
  expect(told).toHaveLength(1);
  expect(lines.map((line) => parseRecording(line).kind)).not.toContain("invalid");
});

describe("is told once, and goes on, when the file", () => {
  test.each<[string, (file: string) => void]>([
    ["is a directory", (file) => mkdirSync(file)],
    ["is a symbolic link", (file) => symlinkSync(directory.write("target", ""), file)],
    ["is a pipe that nobody reads", (file) => void spawnSync("mkfifo", [file])],
    ["is a device", (file) => symlinkSync("/dev/full", file)],
  ])("%s", async (_what, make) => {
    const file = directory.file("recording");
    make(file);
    const recorder = open(file);
    recorder.record(recording);
    recorder.record(recording);
    await recorder.close();
    expect(told).toEqual([
      expect.stringMatching(/^Recording to ".*" ends: it cannot be written: .*; correct --record/),
    ]);
    expect(recorder.status()).toMatchObject({ connections: 0, dropped: 2 });
  });

  testWith("root")("system is full", async () => {
    using undo = new Undo();
    const mounted = spawnSync("mount", ["-t", "tmpfs", "-o", "size=16k", "tmpfs", directory.path]);
    expect(mounted.status).toBe(0);
    undo.push(() => void spawnSync("umount", [directory.path]));
    const recorder = open(directory.file("recording"));
    for (let count = 0; count < 1000; count++) recorder.record(recording);
    await until("the end of the recording", () => recorder.status().ended !== null);
    for (let count = 0; count < 1000; count++) recorder.record(recording);
    await recorder.close();
    expect(told).toEqual([expect.stringMatching(/^Recording to ".*" ends: ENOSPC.*; make room and start again; /)]);
    expect(recorder.status().dropped).toBeGreaterThanOrEqual(1000);
  });
});
