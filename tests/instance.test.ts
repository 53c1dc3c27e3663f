// SPDX-License-Identifier: Apache-2.0
// The files by which commands find the gate that runs.

import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import process from "node:process";
import { announce, ownNetns, runningInstances } from "../src/daemon/instance.ts";
import { describeWith } from "./harness/needs.ts";

const told = { version: "1.2.3", listen: "127.0.0.1:5", status: "off", token: "secret" };
const own = `/run/ttgate/${process.pid}.json`;
const other = `/run/ttgate/${process.pid}-other.json`;

describeWith("apart")("a gate that is announced", () => {
  const takeBack = () => rmSync(own, { force: true });

  beforeEach(() => {
    expect(announce(told)).toBe(own);
  });

  afterEach(() => {
    takeBack();
    rmSync(other, { force: true });
  });

  function found(): unknown[] {
    return runningInstances().filter(({ version }) => version === told.version);
  }

  function writeOther(changes: object): void {
    writeFileSync(other, JSON.stringify({ ...JSON.parse(readFileSync(own, "utf8")), ...changes }));
  }

  test("is found, by its owner alone, until it is taken back", () => {
    expect(found()).toMatchObject([{ ...told, pid: process.pid, netns: ownNetns() }]);
    expect(statSync(own).mode & 0o777).toBe(0o600);
    takeBack();
    expect([found(), existsSync(own)]).toEqual([[], false]);
  });

  test("is announced anew over what an earlier process of its number left", () => {
    takeBack();
    writeFileSync(own, "left behind", { mode: 0o644 });
    announce(told);
    expect(found()).toHaveLength(1);
    expect(statSync(own).mode & 0o777).toBe(0o600);
  });

  test.each([
    ["a pid that is gone", { pid: 2 ** 22 + 1 }],
    ["a pid that was given away again", { startTicks: "1" }],
  ])("is not found by %s, and its file goes", (_name, changes) => {
    writeOther(changes);
    expect(found()).toHaveLength(1);
    expect(existsSync(other)).toBe(false);
  });

  test("is not found once another one, which came later, takes over from it", () => {
    const init = "/run/ttgate/1.json";
    const stat = readFileSync("/proc/1/stat", "utf8");
    const startTicks = stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[19];
    writeFileSync(init, JSON.stringify({ ...JSON.parse(readFileSync(own, "utf8")), pid: 1, startTicks }));
    try {
      expect(found()).toHaveLength(2);
      takeBack();
      announce({ ...told, replaces: 1 });
      expect(found()).toMatchObject([{ pid: process.pid }]);
      // By its number alone it would hide whoever comes later.
      const replaces = process.pid;
      writeFileSync(init, JSON.stringify({ ...JSON.parse(readFileSync(own, "utf8")), pid: 1, startTicks, replaces }));
      expect(found()).toMatchObject([{ pid: process.pid }]);
    } finally {
      rmSync(init, { force: true });
    }
  });

  test("in another network namespace is left to those who are there", () => {
    writeOther({ netns: "net:[1]" });
    expect(found()).toHaveLength(1);
    expect(existsSync(other)).toBe(true);
  });

  test.each(["", "{", "null", "[]", '{"pid": 1}', "\u0000"])("is found beside a file that holds %j", (content) => {
    writeFileSync(other, content);
    expect(found()).toHaveLength(1);
  });
});
