// SPDX-License-Identifier: Apache-2.0
// `ttgate` from its sources, in a network namespace that holds nothing but loopback: there it finds no
// other gate, and no other gate finds it.
import { randomBytes } from "node:crypto";
import { join, resolve } from "node:path";
import process from "node:process";
import { Child, type ChildOptions, type Completed, run } from "../harness/child.ts";
import { ip } from "../harness/netns.ts";
import { startServer } from "../harness/standin.ts";
import { Undo } from "../harness/undo.ts";

const main = resolve(import.meta.dirname, "../../src/main.ts");
/** Read instead of the host's own file, which a test must not depend on. */
const noConfig = ["-c", "/dev/null"];

export class Loopback implements Disposable {
  readonly name = `ttg-${randomBytes(3).toString("hex")}`;
  readonly #undo = new Undo();

  constructor() {
    ip("netns", "add", this.name);
    this.#undo.push(() => ip("netns", "del", this.name));
    ip("-n", this.name, "link", "set", "lo", "up");
  }

  ttgate(args: readonly string[], options: ChildOptions = {}): Promise<Completed> {
    return run(commandLine(args), { namespace: this.name, ...options });
  }

  /** Starts a gate and waits until it listens. */
  async gate(args: readonly string[], options: ChildOptions = {}): Promise<Gate> {
    const child = new Child(commandLine([...args, ...noConfig]), { namespace: this.name, ...options });
    try {
      await child.said(/Listening on [\s\S]*Never banned/);
    } catch (error) {
      await child[Symbol.asyncDispose]();
      throw error;
    }
    return new Gate(child);
  }

  server(port = 5001) {
    return startServer(this.name, "--port", String(port));
  }

  [Symbol.dispose](): void {
    this.#undo[Symbol.dispose]();
  }
}

export class Gate implements AsyncDisposable {
  readonly child: Child;

  constructor(child: Child) {
    this.child = child;
  }

  /** What tells other commands of it. */
  get runFile(): string {
    return join("/run/ttgate", `${this.child.pid}.json`);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.child[Symbol.asyncDispose]();
  }
}

export function commandLine(args: readonly string[]): string[] {
  return [process.execPath, main, ...args];
}
