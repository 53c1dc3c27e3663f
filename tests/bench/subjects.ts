// SPDX-License-Identifier: Apache-2.0
// What the proxy benchmark compares, each as a running process on a port of its own in front of the
// same server.
import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import { Child, run } from "../harness/child.ts";
import { freePort, listening } from "../harness/ports.ts";
import type { TempDir } from "../harness/temp_dir.ts";
import { haproxyConfig } from "./haproxy.ts";
import { nginxConfig, streamModule } from "./nginx.ts";

export interface Subject extends AsyncDisposable {
  readonly name: string;
  readonly version: string;
  readonly port: number;
  /** Undefined for the server itself, without a gate. */
  readonly pid: number | undefined;
}

/** "bare Bun": a relay on the same runtime that does nothing else, the least that ttgate could take. */
export type SubjectName = "ttgate" | "haproxy" | "nginx" | "bare Bun" | "direct";

export async function startSubject(name: SubjectName, upstreamPort: number, directory: TempDir): Promise<Subject> {
  if (name === "direct")
    return { name, version: "", port: upstreamPort, pid: undefined, async [Symbol.asyncDispose]() {} };
  const port = await freePort();
  const { argv, versionArgv } = commandOf(name, port, upstreamPort, directory);
  const child = new Child(argv, { cwd: directory.path });
  try {
    await listening(port);
  } catch (cause) {
    await child[Symbol.asyncDispose]();
    throw new Error(`Cannot start "${argv.join(" ")}":\n${child.stderr}`, { cause });
  }
  const version = await run(versionArgv);
  return {
    name,
    // nginx tells it on stderr.
    version: (version.stdout || version.stderr).split("\n")[0] ?? "",
    port,
    pid: child.pid,
    [Symbol.asyncDispose]: () => child[Symbol.asyncDispose](),
  };
}

interface Command {
  readonly argv: string[];
  readonly versionArgv: string[];
}

function commandOf(
  name: Exclude<SubjectName, "direct">,
  port: number,
  upstreamPort: number,
  directory: TempDir,
): Command {
  switch (name) {
    case "ttgate":
      return { argv: ttgateArgv(port, upstreamPort), versionArgv: [executable(), "version"] };
    case "haproxy":
      return { argv: haproxyArgv(port, upstreamPort, directory), versionArgv: ["haproxy", "-v"] };
    case "nginx":
      return { argv: nginxArgv(port, upstreamPort, directory), versionArgv: ["nginx", "-v"] };
    case "bare Bun":
      return {
        argv: [process.execPath, join(import.meta.dirname, "bare_relay.ts"), `${port}`, `${upstreamPort}`],
        versionArgv: [process.execPath, "--version"],
      };
    default:
      return name satisfies never;
  }
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

function nginxArgv(port: number, upstreamPort: number, directory: TempDir): string[] {
  const config = directory.write(`nginx-${port}.conf`, nginxConfig({ port, upstreamPort }));
  return ["nginx", "-p", directory.path, "-c", config, "-e", "stderr"];
}

/** The subjects that can run here, and why the others cannot. */
export async function availableSubjects(say: (line: string) => void): Promise<SubjectName[]> {
  const subjects: SubjectName[] = [];
  if (existsSync(executable())) subjects.push("ttgate");
  else say(`Without ttgate: "${executable()}" is not built; run make bpf`);
  if (await runs(["haproxy", "-v"])) subjects.push("haproxy");
  else say("Without HAProxy: it is not installed; run apt-get install haproxy");
  if (existsSync(streamModule) && (await runs(["nginx", "-v"]))) subjects.push("nginx");
  else say("Without nginx: it is not installed; run apt-get install nginx-light libnginx-mod-stream");
  return [...subjects, "bare Bun", "direct"];
}

function runs(argv: string[]): Promise<boolean> {
  return run(argv).then(
    ({ code }) => code === 0,
    () => false,
  );
}

/** Resident memory now; `anonymousBytes`: without pages of files, of which more are read in as more of the code runs. */
export async function residentMemory(
  pid: number,
): Promise<{ readonly bytes: number; readonly anonymousBytes: number }> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const bytesOf = (name: string) =>
    Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "m").exec(status)?.[1] ?? Number.NaN) * 1024;
  return { bytes: bytesOf("VmRSS"), anonymousBytes: bytesOf("RssAnon") };
}

/** CPU time of all threads since the start. */
export async function cpuSeconds(pid: number): Promise<{ readonly user: number; readonly kernel: number }> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  // Fields 14 and 15 of proc(5), in clock ticks, of which Linux shows 100 a second.
  return { user: Number(fields[11]) / 100, kernel: Number(fields[12]) / 100 };
}
