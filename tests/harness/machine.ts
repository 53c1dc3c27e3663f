// SPDX-License-Identifier: Apache-2.0
// A machine of its own under a real systemd (systemd-nspawn), in a network namespace of a test and with this test
// run's bpf file system. Its root is a Debian that is only read; what it writes is in memory and goes with it.
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Child, type Completed, run } from "./child.ts";
import { waitFor } from "./wait.ts";

const root = resolve(import.meta.dirname, "../../build/systemd-root");

/** Minutes, where it is not there yet. */
const makeRootMs = 480_000;

export class Machine implements AsyncDisposable {
  readonly #nspawn: Child;
  readonly #leader: number;

  private constructor(nspawn: Child, leader: number) {
    this.#nspawn = nspawn;
    this.#leader = leader;
  }

  /** @throws Error with what was said when it does not come up. */
  static async boot(namespace: string): Promise<Machine> {
    const made = await run(["scripts/systemd_root.sh"], { timeoutMs: makeRootMs });
    if (made.code !== 0) throw new Error(`Cannot make build/systemd-root: ${made.stderr}`);
    const nspawn = new Child([
      ...["systemd-nspawn", "--quiet", "-D", root, "--volatile=overlay", "-M", `ttg${randomBytes(4).toString("hex")}`],
      ...["--register=no", "--keep-unit", `--network-namespace-path=/run/netns/${namespace}`],
      ...["--capability=CAP_BPF,CAP_PERFMON,CAP_NET_ADMIN", "--system-call-filter=bpf perf_event_open"],
      ...["--bind=/sys/fs/bpf:/sys/fs/bpf", "-b"],
    ]);
    try {
      // Its first child makes the second one, which is the machine's first process, and ends.
      return await waitFor(
        "systemd",
        async () => {
          if (nspawn.exit !== undefined) return undefined;
          const children = readFileSync(`/proc/${nspawn.pid}/task/${nspawn.pid}/children`, "utf8").trim().split(" ");
          const machine = new Machine(nspawn, Number(children.at(-1)));
          const { stdout } = await machine.run("systemctl", "is-system-running");
          return /running|degraded/.test(stdout) ? machine : undefined;
        },
        30_000,
      );
    } catch (error) {
      nspawn.signal("SIGKILL");
      throw new Error(`The machine does not come up: ${nspawn.stdout}${nspawn.stderr}`, { cause: error });
    }
  }

  /** Runs a program inside. */
  run(...argv: readonly string[]): Promise<Completed> {
    return run(["nsenter", "-t", String(this.#leader), "-m", "-u", "-i", "-n", "-p", "-C", "-r", "-w", ...argv], {
      timeoutMs: 60_000,
    });
  }

  /** @throws Error when it does not succeed. */
  async must(...argv: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await this.run(...argv);
    if (code !== 0) throw new Error(`"${argv.join(" ")}" ended with ${code}: ${stdout}${stderr}`);
    return stdout;
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
    await this.must("chmod", "0755", `${path}.new`);
    await this.must("mv", `${path}.new`, path);
  }

  #inside(path: string): string {
    return `/proc/${this.#leader}/root${path}`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#nspawn.stop();
    // Its first process goes with all others in it, also when the machine did not shut down in time.
  }
}
