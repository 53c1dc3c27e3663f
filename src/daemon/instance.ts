// SPDX-License-Identifier: Apache-2.0
// Gates that run on this host, so that `ttgate status` or `ttgate ban` finds the right one without being
// told: one small file each, readable by its owner only because it holds the token for changes.
import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { z } from "zod";
import { runDirectory } from "../host/run_directory.ts";
import { startTicks } from "../host/start_ticks.ts";

const schema = z.object({
  pid: z.number(),
  /** /proc/PID/stat field 22: a pid that was given away again has another one. */
  startTicks: z.string(),
  /** Gates in different network namespaces may have the same addresses. */
  netns: z.string(),
  version: z.string(),
  /** Of the first gate. */
  listen: z.string(),
  /** Of all gates. */
  listens: z.array(z.string()).optional(),
  /** HOST:PORT, unix:PATH or off. */
  status: z.string(),
  token: z.string(),
  blockMap: z.string().optional(),
  /** The pid of a gate that it takes over from, or took: that one only drains, once this one is there. */
  replaces: z.number().optional(),
});

export type Instance = z.infer<typeof schema>;

function directory(): string {
  return runDirectory(process.env, process.getuid?.());
}

export function ownNetns(): string {
  try {
    return readlinkSync("/proc/self/ns/net");
  } catch {
    return "";
  }
}

/** Where another process asks this one to hand over. */
export function takeoverPath(pid: number): string {
  return join(directory(), `${pid}.takeover`);
}

/** Between a status socket from elsewhere and the HTTP server. */
export function innerStatusPath(): string {
  return join(directory(), `${process.pid}.status`);
}

/** Makes this process known. @returns the file; throws when the directory cannot be written. */
export function announce(instance: Omit<Instance, "pid" | "startTicks" | "netns">): string {
  mkdirSync(directory(), { recursive: true, mode: 0o755 });
  const path = join(directory(), `${process.pid}.json`);
  const whole: Instance = {
    ...instance,
    pid: process.pid,
    startTicks: startTicks(process.pid) ?? "",
    netns: ownNetns(),
  };
  rmSync(path, { force: true });
  writeFileSync(path, `${JSON.stringify(whole)}\n`, { mode: 0o600, flag: "wx" });
  return path;
}

/** Gates of this network namespace that are alive; files of dead ones are removed. */
export function runningInstances(from = directory()): Instance[] {
  let names: string[];
  try {
    names = readdirSync(from).filter((name) => name.endsWith(".json"));
  } catch {
    return [];
  }
  const found = names.flatMap((name) => {
    const instance = readInstance(join(from, name));
    return instance !== undefined && instance.netns === ownNetns() ? [instance] : [];
  });
  // A process that came later is another one, be its pid the same.
  const isReplaced = ({ pid, startTicks: began }: Instance) =>
    found.some((other) => other.replaces === pid && Number(other.startTicks) >= Number(began));
  return found.filter((instance) => !isReplaced(instance));
}

function readInstance(path: string): Instance | undefined {
  try {
    const instance = schema.parse(JSON.parse(readFileSync(path, "utf8")));
    if (startTicks(instance.pid) === instance.startTicks) return instance;
    rmSync(path, { force: true });
    rmSync(path.replace(/json$/, "takeover"), { force: true });
  } catch {
    return undefined;
  }
  return undefined;
}
