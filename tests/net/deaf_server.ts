// SPDX-License-Identifier: Apache-2.0
// A server that answers no SYN: a process that stands still accepts nothing, the kernel takes two connections for it
// (nc's backlog is 1), and leaves the next SYN without an answer.
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { Child } from "../harness/child.ts";
import { freePort } from "../harness/ports.ts";
import { host, isUnanswered, kernelState, until } from "./bed.ts";

export class DeafServer implements AsyncDisposable {
  readonly port: number;
  readonly #stack: AsyncDisposableStack;

  private constructor(port: number, stack: AsyncDisposableStack) {
    this.port = port;
    this.#stack = stack;
  }

  static async open(): Promise<DeafServer> {
    const port = await freePort();
    await using stack = new AsyncDisposableStack();
    const nc = stack.use(new Child(["nc", "-lk", host, String(port)]));
    await until("nc to listen", () => kernelState(port, 0) === "0A");
    nc.signal("SIGSTOP");
    stack.defer(() => nc.signal("SIGCONT"));
    await until("nc to stand still", () => / T /.test(readFileSync(`/proc/${nc.pid}/stat`, "utf8")));
    const fillers = Array.from({ length: 6 }, () => connect({ host, port }).on("error", () => {}));
    stack.defer(() => {
      for (const filler of fillers) filler.destroy();
    });
    await until("the backlog to be full", () => fillers.filter(({ readyState }) => readyState === "open").length === 2);
    await until("a SYN without an answer", () => isUnanswered(port));
    return new DeafServer(port, stack.move());
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#stack[Symbol.asyncDispose]();
  }
}
