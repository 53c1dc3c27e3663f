// SPDX-License-Identifier: Apache-2.0
// A Debian with a systemd of its own, booted from build/debian-root or build/trixie-root in a network namespace. What is written there is
// gone with it; /sys/fs/bpf is the test's.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import process from "node:process";
import { Child, type Completed, run } from "./child.ts";
import { waitFor } from "./wait.ts";

const bootMs = 60_000;

const needed = { capabilities: "CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", systemCalls: "bpf perf_event_open" };

/** What is booted: Debian 12 with systemd 252, Debian 13 with 257. */
export type Release = "debian" | "trixie";

export interface MachineOptions {
  readonly release?: Release;
  /** A directory of this host, there as /root/share and read-only. */
  readonly share?: string;
  /** What is not forbidden there by what it is booted with: by default what ttgate needs. */
  readonly privileges?: typeof needed;
}

function rootOf(release: Release): string {
  return `build/${release}-root`;
}

/** Why no machine can be booted here, or undefined when one can. */
export function noMachine(release: Release = "debian"): string | undefined {
  if (process.getuid?.() !== 0) return "booting a Debian needs root";
  if (Bun.which("systemd-nspawn") === null) return `"systemd-nspawn" is not installed: run make test-systems`;
  const root = rootOf(release);
  return existsSync(root) ? undefined : `"${root}" is not there: run make test-systems`;
}

export class Machine implements AsyncDisposable {
  readonly #container: Child;
  #init = 0;

  private constructor(container: Child) {
    this.#container = container;
  }

  static async boot(
    namespace: string,
    { release = "debian", share, privileges = needed }: MachineOptions = {},
  ): Promise<Machine> {
    const container = new Child([
      ...[
        "systemd-nspawn",
        "--quiet",
        `--directory=${rootOf(release)}`,
        "--volatile=overlay",
        `--machine=ttgate-${process.pid}`,
      ],
      ...["--register=no", "--keep-unit", `--network-namespace-path=/run/netns/${namespace}`],
      ...[`--capability=${privileges.capabilities}`, `--system-call-filter=${privileges.systemCalls}`],
      ...["--bind=/sys/fs/bpf", ...(share === undefined ? [] : [`--bind-ro=${share}:/root/share`]), "--boot"],
    ]);
    const machine = new Machine(container);
    try {
      await waitFor("the end of its boot", () => machine.#isUp(), bootMs);
    } catch (error) {
      await machine[Symbol.asyncDispose]();
      throw new Error(`Cannot boot a Debian: ${container.stdout}${container.stderr}`, { cause: error });
    }
    return machine;
  }

  async #isUp(): Promise<boolean> {
    this.#init = childOf(this.#container.pid) ?? 0;
    return /^(running|degraded)\n$/.test((await this.run("systemctl", "is-system-running")).stdout);
  }

  run(...argv: readonly string[]): Promise<Completed> {
    const into = ["nsenter", `--target=${this.#init}`, ..."-m -u -i -n -p -C -r -w".split(" "), "--"];
    const env = { DEBIAN_FRONTEND: "noninteractive", LC_ALL: "C.UTF-8", PATH: "/usr/sbin:/usr/bin:/sbin:/bin" };
    return run([...into, ...argv], { timeoutMs: bootMs, env });
  }

  /** @throws Error with what it said when it fails. @returns its standard output. */
  async sh(command: string): Promise<string> {
    const { code, stdout, stderr } = await this.run("sh", "-c", command);
    if (code === 0) return stdout;
    const { stdout: journal } = await this.run("journalctl", "--no-pager", "--lines=30");
    throw new Error(`In the machine, "${command}" ended with ${code}: ${stdout}${stderr}${journal}`);
  }

  write(path: string, text: string): void {
    const inside = this.#inside(path);
    mkdirSync(dirname(inside), { recursive: true });
    writeFileSync(inside, text);
  }

  /** As an installer does: the new file takes the old one's place, and who runs that one keeps it. */
  async install(from: string, path: string): Promise<void> {
    mkdirSync(dirname(this.#inside(path)), { recursive: true });
    cpSync(from, this.#inside(`${path}.new`));
    await this.sh(`chmod 0755 ${path}.new && mv ${path}.new ${path}`);
  }

  #inside(path: string): string {
    return `/proc/${this.#init}/root${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#init > 0) await this.run("systemctl", "poweroff", "--force").catch(() => {});
    await Promise.race([this.#container.exited, Bun.sleep(10_000)]);
    await this.#container[Symbol.asyncDispose]();
  }
}

/** The first process that another one started. */
function childOf(pid: number): number | undefined {
  for (const task of readdirSync(`/proc/${pid}/task`)) {
    const [child] = readFileSync(`/proc/${pid}/task/${task}/children`, "utf8").split(" ");
    if (child !== undefined && child !== "") return Number(child);
  }
  return undefined;
}
