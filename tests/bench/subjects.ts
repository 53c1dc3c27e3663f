// SPDX-License-Identifier: Apache-2.0
// What the proxy benchmark compares, each as a running process on a port of its own in front of the
// same server.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { resolve } from "node:path";
import process from "node:process";
import { Child, run } from "../harness/child.ts";
import { freePort, listening } from "../harness/ports.ts";
import type { TempDir } from "../harness/temp_dir.ts";
import { haproxyConfig } from "./haproxy.ts";

export interface Subject extends AsyncDisposable {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  /** Undefined for the server itself, without a gate. */
  readonly pid: number | undefined;
}

export type SubjectName = "ttgate" | "haproxy" | "direct";

export async function startSubject(name: SubjectName, upstreamPort: number, directory: TempDir): Promise<Subject> {
  if (name === "direct")
    return { name, version: "", port: upstreamPort, pid: undefined, async [Symbol.asyncDispose]() {} };
  const port = await freePort();
  const argv = name === "haproxy" ? haproxyArgv(port, upstreamPort, directory) : ttgateArgv(port, upstreamPort);
  const child = new Child(argv, { cwd: directory.path });
  try {
    await listening(port);
  } catch (cause) {
    await child[Symbol.asyncDispose]();
    throw new Error(`Cannot start "${argv.join(" ")}":\n${child.stderr}`, { cause });
  }
  const version = await run(name === "haproxy" ? ["haproxy", "-v"] : [executable(), "version"]);
  return {
    name,
    version: version.stdout.split("\n")[0] ?? "",
    port,
    pid: child.pid,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

function executable(): string {
  return resolve(process.env["TTGATE"] ?? "ttgate");
}

function ttgateArgv(port: number, upstreamPort: number): string[] {
  const endpoints = ["-l", `127.0.0.1:${port}`, "-u", `127.0.0.1:${upstreamPort}`];
  // The load comes from loopback addresses, which the gate by itself would never ban.
  return [executable(), ...endpoints, "-s", "off", "--never-ban", "none"];
}

function haproxyArgv(port: number, upstreamPort: number, directory: TempDir): string[] {
  return ["haproxy", "-db", "-f", directory.write(`haproxy-${port}.cfg`, haproxyConfig({ port, upstreamPort }))];
}

/** The subjects that can run here, and why the others cannot. */
export async function availableSubjects(say: (line: string) => void): Promise<SubjectName[]> {
  const subjects: SubjectName[] = [];
  if (existsSync(executable())) subjects.push("ttgate");
  else say(`Without ttgate: "${executable()}" is not built; run make bpf`);
  if (
    await run(["haproxy", "-v"]).then(
      (result) => result.code === 0,
      () => false,
    )
  )
    subjects.push("haproxy");
  else say("Without HAProxy: it is not installed; run apt-get install haproxy");
  return [...subjects, "direct"];
}

/** Resident memory now. */
export async function residentBytes(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

/** CPU time of all threads since the start, in user and kernel mode. */
export async function cpuSeconds(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Fields 14 and 15 of proc(5), in clock ticks, of which Linux shows 100 a second.
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
