// SPDX-License-Identifier: Apache-2.0
// ttgate as its users start it: the built executable, or the sources under Deno. Its status is read over
// a unix socket, which reaches into a network namespace.

import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import process from "node:process";
import type { BanDetails, BanView, Snapshot } from "../../src/status/snapshot.ts";
import { Child, type Completed, inNamespace, run } from "./child.ts";
import { TempDir } from "./temp_dir.ts";
import { Undo } from "./undo.ts";
import { waitFor } from "./wait.ts";

const root = resolve(import.meta.dirname, "../..");

export type Form = "executable" | "deno";

export const executable = resolve(process.env["TTGATE"] ?? join(root, "ttgate"));

/** Why the executable cannot be tested, or undefined when it can. */
export function notBuilt(): string | undefined {
  return existsSync(executable) ? undefined : `"${executable}" is not there: run make bpf`;
}

/** The command line of `ttgate ARGS`. */
export function ttgate(args: readonly string[], form: Form = "executable"): string[] {
  if (form === "executable") return [executable, ...args];
  const config = join(root, "deno.json");
  return [
    join(root, "node_modules/.bin/deno"),
    "run",
    "--config",
    config,
    ...denoPermissions(),
    join(root, "src/main.ts"),
    ...args,
  ];
}

/** What deno.json's task `start` grants. */
function denoPermissions(): string[] {
  const { tasks } = JSON.parse(readFileSync(join(root, "deno.json"), "utf8")) as { tasks: { start: string } };
  return tasks.start.split(" ").filter((word) => word.startsWith("-"));
}

export interface GateOptions {
  /** Network namespace; without it, on the host's loopback. */
  readonly namespace?: string;
  readonly form?: Form;
  readonly env?: Readonly<Record<string, string>>;
  /** Another build. */
  readonly executable?: string;
  /** How long it may take until it listens. */
  readonly startMs?: number;
}

export class RunningGate implements AsyncDisposable {
  readonly child: Child;
  readonly statusAddress: string;
  readonly #directory: TempDir;
  readonly #namespace: string | undefined;

  private constructor(child: Child, directory: TempDir, namespace: string | undefined) {
    this.child = child;
    this.#directory = directory;
    this.statusAddress = `unix:${directory.file("status")}`;
    this.#namespace = namespace;
  }

  /** Starts it and waits until it listens. @throws Error with what it said when it ends instead. */
  static async start(args: readonly string[], options: GateOptions = {}): Promise<RunningGate> {
    const directory = new TempDir();
    const argv = ttgate(["-s", `unix:${directory.file("status")}`, ...args], options.form);
    if (options.executable !== undefined) argv[0] = options.executable;
    const { namespace, env, startMs = 20_000 } = options;
    const child = new Child(argv, {
      cwd: directory.path,
      ...(namespace === undefined ? {} : { namespace }),
      ...(env === undefined ? {} : { env }),
    });
    const gate = new RunningGate(child, directory, namespace);
    try {
      await child.said(/Listening on|Judging connections|waiting for/, startMs);
      const isAsked = !args.some((arg) => arg === "-s" || arg.startsWith("--status"));
      if (isAsked) await waitFor("the status endpoint", () => existsSync(directory.file("status")));
    } catch (error) {
      await gate[Symbol.asyncDispose]();
      throw error;
    }
    return gate;
  }

  fetch(path: string, init: RequestInit = {}): Promise<Response> {
    return fetch(`http://ttgate${path}`, { ...init, unix: this.#directory.file("status") });
  }

  async status(): Promise<Snapshot> {
    return (await this.fetch("/status")).json() as Promise<Snapshot>;
  }

  async bans(): Promise<readonly BanView[]> {
    const { bans } = (await (await this.fetch("/bans")).json()) as { bans: readonly BanView[] };
    return bans;
  }

  async ban(source: string): Promise<BanDetails | undefined> {
    const reply = await this.fetch(`/bans/${encodeURIComponent(source)}`);
    return reply.status === 200 ? ((await reply.json()) as BanDetails) : undefined;
  }

  /** Waits until a source is banned. */
  banned(source: string): Promise<BanDetails> {
    return waitFor(`a ban of ${source}`, () => this.ban(source));
  }

  /** Waits until the status is as wanted. */
  until(what: string, wanted: (status: Snapshot) => boolean | Promise<boolean>, timeoutMs?: number): Promise<Snapshot> {
    return waitFor(
      what,
      async () => {
        const status = await this.status();
        return (await wanted(status)) && status;
      },
      timeoutMs,
    );
  }

  /** Runs `ttgate COMMAND ... --status ADDR` against it. */
  command(...args: readonly string[]): Promise<Completed> {
    const argv = ttgate([...args, "--status", this.statusAddress]);
    return run(argv, this.#namespace === undefined ? {} : { namespace: this.#namespace });
  }

  /** Resident memory. */
  async residentBytes(): Promise<number> {
    const status = await readFile(`/proc/${this.child.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024;
  }

  /** Time that it had on a CPU. */
  async cpuMs(): Promise<number> {
    const stat = await readFile(`/proc/${this.child.pid}/stat`, "utf8");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    // Fields 14 and 15 of proc(5), in hundredths of a second.
    return (Number(fields[11]) + Number(fields[12])) * 10;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      await this.child[Symbol.asyncDispose]();
    } finally {
      this.#directory[Symbol.dispose]();
    }
  }
}

const bpffs = "/sys/fs/bpf";

/** A name under /sys/fs/bpf that nobody else uses; what is pinned there under it is removed at the end. */
export class BlockMap implements Disposable {
  readonly name = `ttg_${randomBytes(4).toString("hex")}`;
  readonly path = `${bpffs}/${this.name}`;
  readonly #undo = new Undo();

  constructor() {
    this.#undo.push(() => {
      for (const pin of this.pins()) rmSync(pin, { force: true });
    });
  }

  /** Everything that is pinned under the name: the map and what stands beside it. */
  pins(): string[] {
    if (!existsSync(bpffs)) return [];
    return readdirSync(bpffs)
      .filter((name) => name.startsWith(this.name))
      .map((name) => `${bpffs}/${name}`);
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}

/** Runs bpftool and reads its JSON. @throws Error with what it said. */
export function bpftool(args: readonly string[], namespace?: string): unknown {
  const [program = "", ...rest] = inNamespace(namespace, ["bpftool", "-j", ...args]);
  const result = spawnSync(program, rest, { encoding: "utf8" });
  if (result.status !== 0) {
    throw new Error(`Cannot run "bpftool ${args.join(" ")}": ${result.stdout}${result.stderr}`);
  }
  return result.stdout.trim() === "" ? undefined : JSON.parse(result.stdout);
}

/** Id of the link that holds the XDP program on an interface: bpftool shows those of the whole machine. */
export function xdpLink(namespace: string, device: string): number | undefined {
  const programs = xdpPrograms(namespace, device);
  const links = (bpftool(["link", "show"], namespace) ?? []) as { id: number; type: string; prog_id: number }[];
  return links.find(({ type, prog_id }) => type === "xdp" && programs.includes(prog_id))?.id;
}

/** Ids of the XDP programs on an interface. */
export function xdpPrograms(namespace: string, device: string): number[] {
  const [report] = bpftool(["net", "show", "dev", device], namespace) as [{ xdp: { id: number }[] }];
  return report.xdp.map(({ id }) => id);
}
