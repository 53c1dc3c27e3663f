// SPDX-License-Identifier: Apache-2.0
// Child processes of a test: started in a network namespace if wanted, their output kept, ended by
// their own pid. Nothing outlives the scope that started it.
import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";
import { Undo } from "./undo.ts";
import { patienceMs, waitFor } from "./wait.ts";

export interface ChildOptions {
  /** Name of a network namespace; /sys/fs/bpf stays the host's. */
  readonly namespace?: string;
  readonly cwd?: string;
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Sent to standard input, which is then closed; without it standard input is empty. */
  readonly input?: string | Uint8Array;
  /** Leaves standard input open, for a program that ends with it. */
  readonly holdInput?: boolean;
}

export interface Exit {
  /** 128 + signal number is not used: a signal leaves this undefined. */
  readonly code: number | undefined;
  readonly signal: string | undefined;
}

export interface Completed extends Exit {
  readonly stdout: string;
  readonly stderr: string;
}

/** `ip netns exec` would mount a /sys of its own, without the bpffs: pins made there vanish. */
export function inNamespace(namespace: string | undefined, argv: readonly string[]): readonly string[] {
  return namespace === undefined ? argv : ["nsenter", `--net=/run/netns/${namespace}`, "--", ...argv];
}

/** From the end of a process to the end of its output, which is in the pipes by then. */
const outputGraceMs = 500;

export class Child implements AsyncDisposable {
  stdout = "";
  stderr = "";
  readonly exited: Promise<Exit>;
  readonly #process: ChildProcess;
  readonly #undo = new Undo();
  #exit: Exit | undefined;

  constructor(argv: readonly string[], options: ChildOptions = {}) {
    const [program = "", ...args] = inNamespace(options.namespace, argv);
    this.#process = spawn(program, args, {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, ...options.env },
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    });
    this.#undo.push(() => this.signal("SIGKILL"));
    this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.stdout += text;
    });
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.stderr += text;
    });
    this.#process.stdin?.on("error", () => {});
    if (options.input !== undefined) this.#process.stdin?.end(options.input);
    else if (options.holdInput !== true) this.#process.stdin?.end();
    this.exited = new Promise((resolve, reject) => {
      this.#process.once("error", reject);
      const over = (code: number | null, signal: NodeJS.Signals | null) => {
        this.#exit ??= { code: code ?? undefined, signal: signal ?? undefined };
        resolve(this.#exit);
      };
      this.#process.once("close", over);
      // Bun now and then does not say "close": then what was written until now is all there is.
      this.#process.once("exit", (code, signal) => setTimeout(() => over(code, signal), outputGraceMs));
    });
    this.exited.catch(() => {});
  }

  /** nsenter becomes the program, so that this is the program's own. */
  get pid(): number {
    return this.#process.pid ?? 0;
  }

  get exit(): Exit | undefined {
    return this.#exit;
  }

  /** Writes to a standard input that was left open. */
  send(text: string): void {
    this.#process.stdin?.write(text);
  }

  closeInput(): void {
    this.#process.stdin?.end();
  }

  signal(name: NodeJS.Signals): void {
    if (this.#exit === undefined) this.#process.kill(name);
  }

  /** Waits for text in the output. @throws Error with all that was said when it ends before that. */
  async said(text: RegExp | string, timeoutMs = patienceMs): Promise<RegExpExecArray> {
    const pattern = typeof text === "string" ? new RegExp(RegExp.escape(text)) : text;
    const said = () => pattern.exec(this.stdout) ?? pattern.exec(this.stderr) ?? undefined;
    const what = () => `${pattern} of "${this.#process.spawnargs.join(" ")}":\n${this.stdout}${this.stderr}`;
    const found = await waitFor(
      `${pattern}`,
      () => said() ?? (this.#exit === undefined ? undefined : null),
      timeoutMs,
    ).catch((cause: unknown) => {
      throw new Error(`Waited ${timeoutMs} ms in vain for ${what()}`, { cause });
    });
    if (found === null) throw new Error(`Ended with ${JSON.stringify(this.#exit)} before ${what()}`);
    return found;
  }

  /** Waits for the end. @throws Error when it takes longer. */
  async done(timeoutMs = patienceMs): Promise<Completed> {
    const exit = await Promise.race([
      this.exited,
      waitFor(`the end of "${this.#process.spawnargs.join(" ")}"`, () => this.#exit, timeoutMs),
    ]);
    return { ...exit, stdout: this.stdout, stderr: this.stderr };
  }

  /** Ends it, with SIGKILL after a while. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<Completed> {
    this.signal(signal);
    return this.done(5000).catch(() => {
      this.signal("SIGKILL");
      return this.done();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      if (this.pid > 0) await this.stop();
    } finally {
      this.#undo[Symbol.dispose]();
    }
  }
}

/** Runs a program to its end. */
export async function run(
  argv: readonly string[],
  options: ChildOptions & { readonly timeoutMs?: number } = {},
): Promise<Completed> {
  await using child = new Child(argv, options);
  return await child.done(options.timeoutMs ?? 20_000);
}
