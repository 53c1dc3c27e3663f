// SPDX-License-Identifier: Apache-2.0
// What a command sees of a running daemon: a file in the run directory and a status endpoint, here with
// answers that the test gives. It is in the test's own process.
import { readFileSync } from "node:fs";
import { createServer, type Server } from "node:http";
import process from "node:process";
import { ownNetns } from "../../src/daemon/instance.ts";
import { TempDir } from "../harness/temp_dir.ts";
import { type Answered, type Given, ttgate } from "./fake_env.ts";

export interface Request {
  readonly what: string;
  readonly body: string;
  readonly authorization: string | undefined;
}

/** Status and body: a string is sent as it is, anything else as JSON. */
export type Answer = readonly [status: number, body: unknown];

export class FakeDaemon implements AsyncDisposable {
  /** By method and path, `GET /bans`; anything else is 404. */
  readonly answers: Record<string, Answer | ((request: Request) => Answer)> = {};
  readonly requests: Request[] = [];
  readonly token = "the daemon's token";
  readonly #directory = new TempDir();
  readonly #server: Server;

  private constructor() {
    this.#server = createServer(async (incoming, outgoing) => {
      const { method, url, headers } = incoming;
      const what = `${method} ${url}`;
      const chunks = (await Array.fromAsync(incoming)) as Uint8Array<ArrayBuffer>[];
      const request = { what, body: await new Blob(chunks).text(), authorization: headers.authorization };
      this.requests.push(request);
      const answer = this.answers[what] ?? [404, { error: `Nothing at ${what}` }];
      const [status, body] = typeof answer === "function" ? answer(request) : answer;
      outgoing.writeHead(status).end(typeof body === "string" ? body : JSON.stringify(body));
    });
  }

  static async start(): Promise<FakeDaemon> {
    const daemon = new FakeDaemon();
    await new Promise<void>((resolve) => daemon.#server.listen(daemon.#directory.file("status"), resolve));
    daemon.announce();
    return daemon;
  }

  get statusAddress(): string {
    return `unix:${this.#directory.file("status")}`;
  }

  get runDirectory(): string {
    return this.#directory.path;
  }

  /** Writes the file by which commands find it. */
  announce(changes: object = {}, name = "gate"): void {
    const stat = readFileSync("/proc/self/stat", "utf8");
    // proc(5): field 22, and the name, field 2, ends with the last ")".
    const startTicks = stat.slice(stat.lastIndexOf(") ") + 2).split(" ")[22 - 3];
    const told = { pid: process.pid, startTicks, netns: ownNetns(), version: "1.2.3", listen: "[::]:5000" };
    const file = { ...told, status: this.statusAddress, token: this.token, ...changes };
    this.#directory.write(`${name}.json`, JSON.stringify(file));
  }

  /** Runs `ttgate ARGS` where this daemon runs. */
  ttgate(args: readonly string[], given: Given = {}): Promise<Answered> {
    return ttgate(args, { runDirectory: this.runDirectory, ...given });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
    this.#directory[Symbol.dispose]();
  }
}
