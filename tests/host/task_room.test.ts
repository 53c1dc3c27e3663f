// SPDX-License-Identifier: Apache-2.0
// How many tasks the control groups around this process may still have, of both versions and in containers.
import { expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { taskRoom } from "../../src/host/task_room.ts";
import { TempDir } from "../harness/temp_dir.ts";

function groups(memberships: string, limits: Readonly<Record<string, readonly [limit: string, current: string]>>) {
  const directory = new TempDir();
  for (const [group, [limit, current]] of Object.entries(limits)) {
    mkdirSync(directory.file(`root/${group}`), { recursive: true });
    directory.write(`root/${group}/pids.max`, `${limit}\n`);
    directory.write(`root/${group}/pids.current`, `${current}\n`);
  }
  directory.write("memberships", memberships);
  return {
    room: () => taskRoom(directory.file("memberships"), directory.file("root")),
    root: directory.file("root"),
    [Symbol.dispose]: () => directory[Symbol.dispose](),
  };
}

test("the tightest group around it counts", () => {
  using unified = groups("0::/system.slice/ttgate.service\n", {
    "system.slice": ["100", "95"],
    "system.slice/ttgate.service": ["64", "9"],
  });
  expect(unified.room()).toEqual({ group: `${unified.root}/system.slice`, limit: 100, left: 5 });
});

test("of version 1 the hierarchy of tasks", () => {
  using legacy = groups("9:name=systemd:/\n8:cpu,pids:/docker/abc\n4:memory:/other\n", {
    "pids/docker/abc": ["20", "12"],
    "pids/other": ["1", "1"],
  });
  expect(legacy.room()).toEqual({ group: `${legacy.root}/pids/docker/abc`, limit: 20, left: 8 });
});

test("a container sees its own group as the root, by whatever path it is named", () => {
  using container = groups("0::/../../abc\n", { "": ["32", "40"] });
  expect(container.room()).toEqual({ group: `${container.root}/`, limit: 32, left: 0 });
});

test("without a limit, or where nothing can be seen, there is none", () => {
  using unlimited = groups("0::/a\n", { a: ["max", "9"] });
  expect(unlimited.room()).toBeUndefined();
  using unseen = groups("garbage\n0::/b\n", {});
  expect(unseen.room()).toBeUndefined();
});
