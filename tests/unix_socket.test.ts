// SPDX-License-Identifier: Apache-2.0
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, readFileSync, statSync, symlinkSync } from "node:fs";
import { createServer, type Server } from "node:net";
import process from "node:process";
import { Failure } from "../src/failure.ts";
import { forOwnerOnly, freeSocketPath, makeDirectoryOf } from "../src/host/unix_socket.ts";
import { Child } from "./harness/child.ts";
import { TempDir } from "./harness/temp_dir.ts";
import { waitFor } from "./harness/wait.ts";

let directory: TempDir;
let path: string;

beforeEach(() => {
  directory = new TempDir();
  path = directory.file("socket");
});

afterEach(() => directory[Symbol.dispose]());

async function refusal(): Promise<string> {
  const failure = await freeSocketPath(path).catch((error: unknown) => error);
  if (!(failure instanceof Failure)) throw new Error("It was not refused");
  expect(failure.exitCode).toBe(3);
  return failure.message;
}

async function listener(server: Server): Promise<AsyncDisposable> {
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return { [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())) };
}

/** A socket whose process is dead. */
async function leaveSocket(): Promise<void> {
  await using child = new Child(["nc", "-lU", path]);
  await waitFor("the socket", () => existsSync(path));
  await child.stop("SIGKILL");
  expect(lstatSync(path).isSocket()).toBe(true);
}

describe("a socket's directory", () => {
  test("is made, and none above it: a path that is misspelt fails", () => {
    const inside = directory.file("made/socket");
    makeDirectoryOf(inside);
    makeDirectoryOf(inside);
    expect(statSync(directory.file("made")).mode & 0o777).toBe(0o755);
    const deep = directory.file("missing/made/socket");
    expect(() => makeDirectoryOf(deep)).toThrow(
      `Cannot listen on "unix:${deep}": there is no directory "${directory.file("missing")}": mount its disk, or make it with mkdir -p ${directory.file("missing")}, or choose another path with --status`,
    );
    expect(existsSync(directory.file("missing"))).toBe(false);
  });
});

describe("a socket's path", () => {
  test("is free where nothing is", async () => {
    await freeSocketPath(path);
    expect(existsSync(path)).toBe(false);
  });

  test("is made free of a dead process's socket", async () => {
    await leaveSocket();
    await freeSocketPath(path);
    expect(existsSync(path)).toBe(false);
  });

  test("is not taken from one that answers, however short its answer", async () => {
    await using _server = await listener(createServer((socket) => socket.destroy()));
    for (let round = 0; round < 20; round++) expect(await refusal()).toContain("another process listens there");
    expect(lstatSync(path).isSocket()).toBe(true);
  });

  test("is not taken from one that is too busy to answer", async () => {
    await using deaf = new Child(["nc", "-lU", path]);
    // The path is there before anybody listens.
    const listening = new RegExp(`^\\S+ \\S+ \\S+ 00010000 .* ${path}$`, "m");
    await waitFor("the listener", () => listening.test(readFileSync("/proc/net/unix", "utf8")));
    using _awake = { [Symbol.dispose]: () => deaf.signal("SIGCONT") };
    deaf.signal("SIGSTOP");
    // Beyond its backlog of 5.
    for (let count = 0; count < 12; count++) expect(await refusal()).toContain("another process listens there");
  });

  test.each(["a file", "a directory", "a link"])("is not taken from %s", async (what) => {
    if (what === "a file") directory.write("socket", "precious");
    else if (what === "a directory") mkdirSync(path);
    else symlinkSync(directory.write("target", "precious"), path);
    expect(await refusal()).toStartWith(`Cannot listen on "unix:${path}": there is something that is no socket`);
    expect(lstatSync(path).isSocket()).toBe(false);
  });
});

test("a socket made for its owner alone is so from the first moment", async () => {
  const before = process.umask();
  await using _server = await forOwnerOnly(() => listener(createServer()));
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(process.umask()).toBe(before);
  await expect(forOwnerOnly(() => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(process.umask()).toBe(before);
});
