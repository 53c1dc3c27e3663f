// SPDX-License-Identifier: Apache-2.0
import { afterAll, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { closeSync, constants, openSync, readFileSync, readSync, write } from "node:fs";
import { promisify } from "node:util";
import { LineSink } from "../../src/host/line_sink.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { waitFor } from "../harness/wait.ts";

const directory = new TempDir();
afterAll(() => directory[Symbol.dispose]());

const writeSome = promisify(write);
const to = (fd: number) => async (bytes: Uint8Array) => (await writeSome(fd, bytes)).bytesWritten;

const line = `${"x".repeat(99)}\n`;

/** Both ends, so that neither is ever alone. */
function openPipe(name: string): number {
  const path = directory.file(name);
  expect(spawnSync("mkfifo", [path]).status).toBe(0);
  return openSync(path, constants.O_RDWR);
}

test("nobody waits for a reader that has stopped; what it missed is counted, and told when it goes on", async () => {
  const fd = openPipe("stopped");
  const lost: number[] = [];
  const sink = new LineSink(to(fd), (count) => {
    lost.push(count);
    sink.write(`lost ${count}\n`);
  });
  // What fits into the pipe is on its way alone, 1 MiB waits.
  sink.write(line.repeat(1000));
  for (let count = 0; count < 20_000; count++) sink.write(line);
  await sink.flush(50);
  expect(lost).toEqual([]);
  const buffer = new Uint8Array(65_536);
  let read = "";
  await waitFor("the number of lost lines", async () => {
    read += new TextDecoder().decode(buffer.subarray(0, readSync(fd, buffer)));
    await new Promise((resolve) => setTimeout(resolve, 1));
    return read.includes("lost");
  });
  const kept = read.split("\n").filter((text) => text.startsWith("x")).length - 1000;
  expect(lost).toEqual([20_000 - kept]);
  expect(kept).toBe(Math.ceil((1024 * 1024) / 100));
  await sink.flush(1000);
  closeSync(fd);
});

test("no line is too long by itself", async () => {
  const path = directory.file("long");
  const file = openSync(path, "w");
  const sink = new LineSink(to(file), () => {
    throw new Error("Nothing is lost");
  });
  const lines = [line, `${"y".repeat(3_000_000)}\n`];
  for (const one of lines) sink.write(one);
  await sink.flush(10_000);
  closeSync(file);
  expect(readFileSync(path, "utf8")).toBe(lines.join(""));
});

test("a full disk and a descriptor that is closed lose lines, and no more", async () => {
  const full = openSync("/dev/full", "w");
  const told: number[] = [];
  const sink = new LineSink(to(full), (count) => told.push(count));
  sink.write(line);
  await sink.flush(1000);
  closeSync(full);
  sink.write(line);
  await sink.flush(1000);
  // The number of the descriptor is given anew: to a file with room.
  const file = directory.file("log");
  expect(openSync(file, "w")).toBe(full);
  sink.write(line);
  await sink.flush(1000);
  expect(told).toEqual([2]);
});
