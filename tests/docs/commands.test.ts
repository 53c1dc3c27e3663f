// SPDX-License-Identifier: Apache-2.0
// What the pages of docs/ tell to type works: each page from its top to its end, with the built executable, in a network
// of its own where a server stands behind the gate.
import { expect, setDefaultTimeout, test } from "bun:test";
import { globSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import process from "node:process";
import { Child, run } from "../harness/child.ts";
import { executable } from "../harness/gate.ts";
import { describeWith } from "../harness/needs.ts";
import { Network } from "../harness/netns.ts";
import { startServer } from "../harness/standin.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { Undo } from "../harness/undo.ts";
import { isEndless, type Step, steps } from "./pages.ts";

setDefaultTimeout(120_000);

/** Those with profiles as examples, not configurations. */
const others = ["docs/signatures.md", "docs/verdict.md"];
const pages = ["README.md", ...globSync("docs/*.md").sort()].filter(
  (page) => !others.includes(page) && steps(page).length > 0,
);

class Session implements AsyncDisposable {
  readonly #directory = new TempDir();
  readonly #undo = new Undo();
  readonly #network: Network;
  readonly #env: Readonly<Record<string, string>>;
  #gate: Child | undefined;

  constructor(network: Network) {
    this.#network = network;
    const bin = this.#directory.file("bin");
    mkdirSync(bin);
    symlinkSync(executable, `${bin}/ttgate`);
    // README tells to type ./ttgate, in the clone where it was built.
    symlinkSync(executable, this.#directory.file("ttgate"));
    this.#env = { PATH: `${bin}:${process.env["PATH"]}` };
    this.#undo.push(() => rmSync("/etc/ttgate/token", { force: true }));
  }

  async step(step: Step): Promise<void> {
    switch (step.kind) {
      case "run": {
        const command = isEndless(step.command) ? `timeout -s INT 1 ${step.command} || [[ $? = 124 ]]` : step.command;
        const { code, stdout, stderr } = await this.#shell(command);
        expect({ command: step.command, code, said: code === 0 ? "" : stdout + stderr }).toEqual({
          ...{ command: step.command, code: 0, said: "" },
        });
        return;
      }
      case "gate":
        return this.#start(step.command);
      case "form": {
        const { code, stderr } = await run(["bash", "-n", "-c", step.command]);
        expect({ command: step.command, code, stderr }).toEqual({ command: step.command, code: 0, stderr: "" });
        return this.#options(step.command);
      }
      case "config":
        writeFileSync(this.#directory.file("page.toml"), step.text);
        return this.step({ kind: "run", command: "ttgate config check -c page.toml", line: step.line });
      default:
        return step satisfies never;
    }
  }

  async #start(command: string): Promise<void> {
    await this.#gate?.stop();
    // The shell becomes the gate, so that a signal is its own.
    const started = command
      .replace(/(^|&& )((?:\w+=\S+ )*)(\.\/|)ttgate/, "$1$2exec $3ttgate")
      .replace(/(\w+=\S+ )exec/, "$1 exec");
    this.#gate = new Child(["bash", "-c", started], {
      ...{ namespace: this.#network.gate, cwd: this.#directory.path, env: this.#env },
    });
    await this.#gate.said(/Listening on|Judging connections/, 20_000);
  }

  /** Of a command that cannot be run here: its options are those that it has. */
  async #options(command: string): Promise<void> {
    const [, name, rest = ""] = /(?:^|-- )ttgate(?: ([a-z]+))?\b(.*)/s.exec(command) ?? [];
    if (!/(?:^|-- )ttgate/.test(command)) return;
    const { stdout } = await this.#shell(`ttgate ${name ?? "run"} --help`);
    for (const [, option = ""] of rest.matchAll(/(?:^|\s)(--?[A-Za-z][\w-]*)/g)) {
      expect(stdout).toMatch(new RegExp(`(^|[\\s,])${option}\\b`, "m"));
    }
  }

  #shell(command: string) {
    const options = { namespace: this.#network.gate, cwd: this.#directory.path, env: this.#env, timeoutMs: 40_000 };
    return run(["bash", "-euo", "pipefail", "-c", command], options);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#gate?.[Symbol.asyncDispose]();
    this.#undo[Symbol.dispose]();
    this.#directory[Symbol.dispose]();
  }
}

describeWith("executable", "namespaces")("what a page tells to type", () => {
  test.each(pages)("%s", async (page) => {
    const all = steps(page);
    using network = new Network();
    await using _server = await startServer(network.gate, "--port", "5001");
    await using session = new Session(network);
    for (const step of all) {
      try {
        await session.step(step);
      } catch (error) {
        throw new Error(`${page}:${step.line}`, { cause: error });
      }
    }
  });
});
